#include "server/json_lines.h"

#include "engine/text/utf8.h"

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

/* What some readers of lines take for the end of one: U+0085, U+2028 and U+2029. */
static unsigned line_end(const char *text, size_t bytes) {
    if (bytes == 2 && memcmp(text, "\xC2\x85", 2) == 0) {
        return 0x85;
    }
    if (bytes == 3 && memcmp(text, "\xE2\x80\xA8", 3) == 0) {
        return 0x2028;
    }
    return bytes == 3 && memcmp(text, "\xE2\x80\xA9", 3) == 0 ? 0x2029 : 0;
}

void json_lines_print(const char *name, const char *text, size_t length) {
    printf("{\"%s\": \"", name);
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character(text + at, length - at);
        unsigned char byte = (unsigned char)text[at];
        unsigned end = line_end(text + at, bytes);
        if (byte == '"' || byte == '\\') {
            printf("\\%c", byte);
        } else if (byte < 0x20 || end != 0) {
            printf("\\u%04x", end != 0 ? end : byte);
        } else {
            fwrite(text + at, 1, bytes, stdout);
        }
        at += bytes > 0 ? bytes : 1;
    }
    puts("\"}");
}
