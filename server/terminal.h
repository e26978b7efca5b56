/* What is said to a person at a terminal: styles, and text of strangers made harmless.
 *
 * Styles are escape sequences where the stream is a terminal that knows them, and empty where it is
 * not, or where NO_COLOR is set (no-color.org) or TERM is "dumb". */
#ifndef QUERN_SERVER_TERMINAL_H
#define QUERN_SERVER_TERMINAL_H

#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct terminal_styles {
    const char *prompt; /* before what the person types */
    const char *faint;  /* remarks of the program, beside the text that matters */
    const char *wrong;  /* errors */
    const char *plain;  /* ends each of them */
};

bool terminal_knows_escapes(FILE *stream);
const struct terminal_styles *terminal_styles_of(FILE *stream);

/* Appends UTF-8 with U+FFFD in place of each control character but line feed and tab: what a model says
 * must not move the cursor, set the title, or answer for the person. False when memory is out. */
bool terminal_append_harmless(struct text_buffer *out, const char *bytes, size_t length);

/* The same for what is printed, such as names that a model file gives to its nodes. */
bool terminal_print_harmless(FILE *out, const char *bytes, size_t length);

#endif
