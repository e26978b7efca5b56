#include "server/json_lines.h"

#include "server/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

bool json_lines_run(void (*answer)(void *context, const char *line, size_t length), void *context) {
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    for (ssize_t length = getline(&line, &capacity, stdin); ok && length >= 0;
         length = getline(&line, &capacity, stdin)) {
        if (strspn(line, " \t\r\n") < (size_t)length) {
            answer(context, line, (size_t)length);
            ok = fflush(stdout) == 0;
        }
    }
    free(line);
    return ok;
}

void json_lines_print(const char *name, const char *text, size_t length) {
    struct text_buffer string = {0};
    if (json_append_text(&string, text, length)) {
        printf("{\"%s\": %s}\n", name, string.bytes);
    } else {
        puts("{\"error\": \"no memory for the answer\"}");
    }
    text_buffer_deinit(&string);
}
