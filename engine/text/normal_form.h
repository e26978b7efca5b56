/* The normal forms of Unicode (Standard Annex 15), in time proportional to the text.
 *
 * Characters assigned after Unicode 9 stand alone: neither composed, decomposed nor reordered, as in
 * the Hugging Face tokenizers that models are trained with. */
#ifndef QUERN_ENGINE_TEXT_NORMAL_FORM_H
#define QUERN_ENGINE_TEXT_NORMAL_FORM_H

#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

enum normal_form { NORMAL_FORM_C, NORMAL_FORM_D, NORMAL_FORM_KC, NORMAL_FORM_KD };

/* Appends a text, valid UTF-8, in a normal form. False when memory is out. */
bool normal_form_append(enum normal_form form, const char *text, size_t length,
                        struct text_buffer *output);

#endif
