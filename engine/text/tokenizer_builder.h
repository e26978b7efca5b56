/* Builds a tokenizer from the parts of its definition, in the order in which a reader meets them.
 *
 *     tokenizer_builder_open
 *     tokenizer_builder_set_*, add_token (every token of the model), add_added_token, in any order
 *     add_merge (all, ascending rank; after the tokens)
 *     tokenizer_builder_finish
 *
 * Texts are copied. One thread. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_BUILDER_H
#define QUERN_ENGINE_TEXT_TOKENIZER_BUILDER_H

#include "engine/error.h"
#include "engine/text/added_tokens.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer_builder;

bool tokenizer_builder_open(struct tokenizer_builder **out, struct error *err);
void tokenizer_builder_close(struct tokenizer_builder *builder);

/* A normalizer step: every `pattern` becomes `content`. Steps run in the order in which they are
 * added. */
bool tokenizer_builder_add_replacement(struct tokenizer_builder *builder, struct token_text pattern,
                                       struct token_text content, struct error *err);

/* A pre-tokenizer that cuts behind every `pattern` (Split, MergedWithPrevious); at most one. */
bool tokenizer_builder_set_split(struct tokenizer_builder *builder, struct token_text pattern,
                                 struct error *err);

/* Decoder steps: every `pattern` within a token's text becomes `content`; tokens <0x00> to <0xFF>
 * become bytes. */
bool tokenizer_builder_add_decoder_replacement(struct tokenizer_builder *builder,
                                               struct token_text pattern, struct token_text content,
                                               struct error *err);
void tokenizer_builder_set_decoder_bytes(struct tokenizer_builder *builder);

/* The post-processor puts this special token around the text: before it, or behind it. */
bool tokenizer_builder_add_special(struct tokenizer_builder *builder, bool before, int32_t id,
                                   struct error *err);

bool tokenizer_builder_add_token(struct tokenizer_builder *builder, int32_t id,
                                 struct token_text text, struct error *err);
bool tokenizer_builder_add_added_token(struct tokenizer_builder *builder,
                                       const struct added_token *token, struct token_text text,
                                       struct error *err);
bool tokenizer_builder_add_merge(struct tokenizer_builder *builder, struct token_text left,
                                 struct token_text right, struct error *err);

/* unknown: the text of the token for unknown characters; NULL bytes: none. */
bool tokenizer_builder_set_model(struct tokenizer_builder *builder, bool byte_fallback,
                                 bool fuse_unknown, struct token_text unknown, struct error *err);

/* The builder is empty afterwards, and only good for closing. */
bool tokenizer_builder_finish(struct tokenizer_builder *builder, struct tokenizer **out,
                              struct error *err);

#endif
