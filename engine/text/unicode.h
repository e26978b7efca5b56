/* What kind of character a code point is, as of Unicode 16.
 *
 * Most of it comes from utf8proc. That and PCRE2 are older than the tokenizers that models are
 * trained with, so what Unicode 15 and 16 added is listed here, for both. Constant; any thread. */
#ifndef QUERN_ENGINE_TEXT_UNICODE_H
#define QUERN_ENGINE_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The general category, "Lu" or "Nd"; "Cn" where none is assigned. (Unicode Standard Annex 44, 5.7.1) */
const char *unicode_category(uint32_t code);

bool unicode_is_space(uint32_t code);       /* White_Space */
bool unicode_is_number(uint32_t code);      /* Nd, Nl or No */
bool unicode_is_punctuation(uint32_t code); /* P, and ASCII's symbols */
bool unicode_is_word(uint32_t code);        /* \w of Technical Standard 18, Annex C */

/* Appends nothing but the lower case of one character; most have one, some two code points. Returns
 * how many. Context is not looked at: a capital sigma is always a medial one. */
size_t unicode_lowercase(uint32_t code, uint32_t lower[2]);

struct unicode_range {
    uint32_t first;
    uint32_t last;
    char category[3];
};

/* What Unicode 15, 15.1 and 16 added: `count` ranges, ascending. */
const struct unicode_range *unicode_additions(size_t *count);

#endif
