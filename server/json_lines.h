/* Commands that answer each line of JSON on standard input with one on standard output. */
#ifndef QUERN_SERVER_JSON_LINES_H
#define QUERN_SERVER_JSON_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* Calls `answer` for each line that is not blank; it prints one line. False where standard output
 * is gone. */
bool json_lines_run(void (*answer)(void *context, const char *line, size_t length), void *context);

/* Prints {"name": "text"}. The text is UTF-8. */
void json_lines_print(const char *name, const char *text, size_t length);

#endif
