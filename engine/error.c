#include "engine/error.h"

#include "engine/text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Sentences quote files of strangers, and are cut anywhere: no byte of them may move a cursor or make
 * an answer that is no UTF-8. */
static void make_harmless(char *text) {
    const size_t length = strlen(text);
    for (size_t at = 0, bytes; at < length; at += bytes) {
        const size_t character = utf8_character(text + at, length - at);
        bytes = character > 0 ? character : 1;
        const uint32_t code = character > 0 ? utf8_decode(text + at, character) : 0;
        if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
            memset(text + at, '?', bytes);
        }
    }
}

void error_write(struct error *err, enum error_code code, const char *format, ...) {
    if (err == NULL) {
        return;
    }
    err->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    make_harmless(err->text);
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
    make_harmless(err->text);
}
