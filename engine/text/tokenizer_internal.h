/* What encoding (tokenizer.c) and decoding (detokenizer.c) share. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_INTERNAL_H
#define QUERN_ENGINE_TEXT_TOKENIZER_INTERNAL_H

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

/* Every `pattern` becomes `content`. */
struct replacement {
    struct text_buffer pattern;
    struct text_buffer content;
};

struct replacements {
    struct replacement *steps;
    size_t count;
};

struct tokenizer {
    struct vocabulary vocabulary; /* the model's tokens and the added ones */
    struct bpe bpe;
    struct added_tokens raw_added;        /* looked for in the text as it comes */
    struct added_tokens normalized_added; /* looked for in normalized text */
    uint8_t *special;                     /* [vocabulary.size] */
    struct replacements normalizer;
    struct text_buffer split; /* empty: words are not split */
    struct replacements decoder;
    bool decodes_bytes;
    struct token_list before; /* around the text, if add_special */
    struct token_list after;
};

/* Appends `length` bytes to `output`, with all replacements done. */
bool replacements_apply(const struct replacements *replacements, const char *text, size_t length,
                        struct text_buffer *output);

/* The byte that a token like <0x41> stands for, or -1. */
int tokenizer_byte_of(const struct tokenizer *tokenizer, int32_t id);

#endif
