/* Builds a tokenizer from the parts of its definition.
 *
 *     tokenizer_builder_open
 *     add_normalizer, add_pre_tokenizer, add_decoder (each in the order in which they run), set_model
 *     add_token (every token of the model)
 *     add_added_token; add_merge (all, ascending rank)
 *     surround
 *     tokenizer_builder_finish
 *
 * Texts are copied. One thread. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_BUILDER_H
#define QUERN_ENGINE_TEXT_TOKENIZER_BUILDER_H

#include "engine/error.h"
#include "engine/text/added_tokens.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/text_steps.h"
#include "engine/text/token_decoder.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer_builder;

bool tokenizer_builder_open(struct tokenizer_builder **out, struct error *err);
void tokenizer_builder_close(struct tokenizer_builder *builder);

bool tokenizer_builder_add_normalizer(struct tokenizer_builder *builder,
                                      const struct text_step_definition *step, struct error *err);
bool tokenizer_builder_add_pre_tokenizer(struct tokenizer_builder *builder,
                                         const struct pre_tokenizer_step_definition *step,
                                         struct error *err);
bool tokenizer_builder_add_decoder(struct tokenizer_builder *builder,
                                   const struct decoder_step_definition *step, struct error *err);

/* A token of the model, by id and by text. */
bool tokenizer_builder_add_token(struct tokenizer_builder *builder, int32_t id,
                                 struct token_text text, struct error *err);

/* An added token; after the model's, among which it may be. */
bool tokenizer_builder_add_added_token(struct tokenizer_builder *builder,
                                       const struct added_token *token, struct token_text text,
                                       struct error *err);
bool tokenizer_builder_add_merge(struct tokenizer_builder *builder, struct token_text left,
                                 struct token_text right, struct error *err);

struct model_definition {
    bool byte_fallback; /* see struct bpe_options */
    bool fuse_unknown;
    bool ignore_merges;
    struct token_text unknown; /* the token for unknown characters; NULL bytes: none */
};
bool tokenizer_builder_set_model(struct tokenizer_builder *builder,
                                 const struct model_definition *definition, struct error *err);

/* The post-processor puts these special tokens before the text and behind it, outside of those that
 * earlier calls put there. */
bool tokenizer_builder_surround(struct tokenizer_builder *builder, const struct token_list *before,
                                const struct token_list *after, struct error *err);

/* The builder is empty afterwards, and only good for closing. */
bool tokenizer_builder_finish(struct tokenizer_builder *builder, struct tokenizer **out,
                              struct error *err);

#endif
