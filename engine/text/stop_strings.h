/* Stop strings: cuts a streamed text before the first of several strings, which may span any number
 * of pieces, and never lets a part of one through.
 *
 *     push "Hello\nUs"   with stop "\nUser:"   says "Hello", holds "\nUs"
 *     push "ed"                                says "\nUsed"
 *
 * One thread at a time. */
#ifndef QUERN_ENGINE_TEXT_STOP_STRINGS_H
#define QUERN_ENGINE_TEXT_STOP_STRINGS_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

struct stop_strings;

/* Copies `count` non-empty strings; count may be 0. */
bool stop_strings_open(struct stop_strings **out, const char *const *strings, size_t count,
                       struct error *err);
void stop_strings_close(struct stop_strings *stops);

/* Appends to `text` what of the held bytes and these is certainly not part of a stop string.
 * *stopped becomes true once a stop string is complete: text then ends just before it, and nothing
 * more must be pushed. */
bool stop_strings_push(struct stop_strings *stops, const char *bytes, size_t length,
                       struct text_buffer *text, bool *stopped, struct error *err);

/* At the end without a stop: what is still held comes out. */
bool stop_strings_finish(struct stop_strings *stops, struct text_buffer *text, struct error *err);

/* The stop string that stopped the text, or NULL; it lives as long as the stops. */
const char *stop_strings_found(const struct stop_strings *stops);

#endif
