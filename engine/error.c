#include "engine/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_write(struct error *err, enum error_code code, const char *format, ...) {
    if (err == NULL) {
        return;
    }
    err->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
}

void error_write_prefix(struct error *err, const char *format, ...) {
    if (err == NULL || err->code == ERROR_NONE) {
        return;
    }
    char sentence[sizeof err->text];
    memcpy(sentence, err->text, sizeof sentence);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof err->text) {
        snprintf(err->text + length, sizeof err->text - (size_t)length, ": %s", sentence);
    }
}
