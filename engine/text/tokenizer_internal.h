/* What building (tokenizer_builder.c), encoding (tokenizer.c) and decoding (detokenizer.c) share. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_INTERNAL_H
#define QUERN_ENGINE_TEXT_TOKENIZER_INTERNAL_H

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/text_steps.h"
#include "engine/text/token_decoder.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

struct tokenizer {
    struct vocabulary vocabulary; /* the model's tokens, and the added ones by id */
    struct bpe bpe;
    struct added_tokens raw_added;        /* looked for in the text as it comes */
    struct added_tokens normalized_added; /* looked for in normalized text */
    uint8_t *special;                     /* [vocabulary.size] */
    struct text_steps normalizer;
    struct pre_tokenizer pre_tokenizer;
    struct token_decoder decoder;
    struct token_list before; /* around the text, if add_special */
    struct token_list after;
};

#endif
