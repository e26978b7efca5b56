#include "engine/text/tokenizer_builder.h"

#include "engine/text/tokenizer_internal.h"

#include <stdlib.h>

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the tokenizer");
}

struct tokenizer_builder {
    struct tokenizer *tokenizer;
    struct text_buffer unknown;
    bool has_unknown;
    struct bpe_options options;
    struct token_list specials; /* ids of special added tokens */
    /* Added tokens that are looked for in normalized text: they wait for the whole normalizer. */
    struct added_token *normalized;
    size_t normalized_count;
};

bool tokenizer_builder_open(struct tokenizer_builder **out, struct error *err) {
    struct tokenizer_builder *builder = calloc(1, sizeof *builder);
    struct tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (builder == NULL || tokenizer == NULL) {
        free(builder);
        free(tokenizer);
        return no_memory(err);
    }
    builder->tokenizer = tokenizer;
    *out = builder;
    return true;
}

void tokenizer_builder_close(struct tokenizer_builder *builder) {
    if (builder == NULL) {
        return;
    }
    tokenizer_close(builder->tokenizer);
    text_buffer_deinit(&builder->unknown);
    token_list_deinit(&builder->specials);
    free(builder->normalized);
    free(builder);
}

bool tokenizer_builder_add_normalizer(struct tokenizer_builder *builder,
                                      const struct text_step_definition *step, struct error *err) {
    return text_steps_add(&builder->tokenizer->normalizer, step, err);
}

bool tokenizer_builder_add_pre_tokenizer(struct tokenizer_builder *builder,
                                         const struct pre_tokenizer_step_definition *step,
                                         struct error *err) {
    return pre_tokenizer_add(&builder->tokenizer->pre_tokenizer, step, err);
}

bool tokenizer_builder_add_decoder(struct tokenizer_builder *builder,
                                   const struct decoder_step_definition *step, struct error *err) {
    return token_decoder_add(&builder->tokenizer->decoder, step, err);
}

bool tokenizer_builder_add_token(struct tokenizer_builder *builder, int32_t id,
                                 struct token_text text, struct error *err) {
    return vocabulary_add(&builder->tokenizer->vocabulary, id, text.bytes, text.length, err);
}

bool tokenizer_builder_add_added_token(struct tokenizer_builder *builder,
                                       const struct added_token *token, struct token_text text,
                                       struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    struct vocabulary *vocabulary = &tokenizer->vocabulary;
    bool known =
        token->id >= 0 && vocabulary_find(vocabulary, text.bytes, text.length) == token->id;
    if (!known && !vocabulary_name(vocabulary, token->id, text.bytes, text.length, err)) {
        return false;
    }
    if (token->special && !token_list_push(&builder->specials, token->id)) {
        return no_memory(err);
    }
    if (!token->normalized) {
        return added_tokens_add(&tokenizer->raw_added, token, text.bytes, text.length, err);
    }
    struct added_token *normalized =
        realloc(builder->normalized, (builder->normalized_count + 1) * sizeof *normalized);
    if (normalized == NULL) {
        return no_memory(err);
    }
    builder->normalized = normalized;
    normalized[builder->normalized_count++] = *token;
    return true;
}

bool tokenizer_builder_add_merge(struct tokenizer_builder *builder, struct token_text left,
                                 struct token_text right, struct error *err) {
    return bpe_add_merge(&builder->tokenizer->bpe, &builder->tokenizer->vocabulary, left, right,
                         err);
}

bool tokenizer_builder_set_model(struct tokenizer_builder *builder,
                                 const struct model_definition *definition, struct error *err) {
    const struct token_text *unknown = &definition->unknown;
    builder->options = (struct bpe_options){.byte_fallback = definition->byte_fallback,
                                            .fuse_unknown = definition->fuse_unknown,
                                            .ignore_merges = definition->ignore_merges};
    builder->has_unknown = unknown->bytes != NULL;
    builder->unknown.length = 0;
    return !builder->has_unknown ||
           text_buffer_append(&builder->unknown, unknown->bytes, unknown->length) || no_memory(err);
}

bool tokenizer_builder_surround(struct tokenizer_builder *builder, const struct token_list *before,
                                const struct token_list *after, struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    struct token_list outside = {0};
    bool ok = token_list_append(&outside, before) &&
              token_list_append(&outside, &tokenizer->before) &&
              token_list_append(&tokenizer->after, after);
    token_list_deinit(&tokenizer->before);
    tokenizer->before = outside;
    return ok || no_memory(err);
}

/* ---- Finishing ---- */

/* What is looked for in normalized text has to be normalized too: "new york" is "new▁york" there. Of
 * two that become the same, a special one counts. */
static bool add_normalized_tokens(struct tokenizer_builder *builder, bool special,
                                  struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    struct text_buffer normal = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < builder->normalized_count; i++) {
        const struct added_token *token = &builder->normalized[i];
        struct token_text text = vocabulary_text(&tokenizer->vocabulary, token->id);
        normal.length = 0;
        ok = token->special != special ||
             (text_steps_apply(&tokenizer->normalizer, text, &normal, err) &&
              added_tokens_add(&tokenizer->normalized_added, token, normal.bytes, normal.length,
                               err));
    }
    text_buffer_deinit(&normal);
    return ok;
}

static bool find_unknown(struct tokenizer_builder *builder, struct error *err) {
    const struct text_buffer *unknown = &builder->unknown;
    builder->options.unknown = -1;
    if (builder->has_unknown) {
        builder->options.unknown =
            vocabulary_find(&builder->tokenizer->vocabulary, unknown->bytes, unknown->length);
    }
    return !builder->has_unknown || builder->options.unknown >= 0 ||
           error_set(err, ERROR_BAD_FILE, "unk_token \"%.60s\" is not in the vocabulary",
                     unknown->bytes);
}

static bool specials_are_tokens(const struct tokenizer *tokenizer, const struct token_list *ids,
                                struct error *err) {
    for (size_t i = 0; i < ids->length; i++) {
        if (vocabulary_text(&tokenizer->vocabulary, ids->ids[i]).bytes == NULL) {
            return error_set(err, ERROR_BAD_FILE,
                             "the post-processor adds token %d, which is not in the vocabulary",
                             ids->ids[i]);
        }
    }
    return true;
}

static bool mark_specials(struct tokenizer_builder *builder, struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    tokenizer->special = calloc(tokenizer->vocabulary.size + 1, 1);
    if (tokenizer->special == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < builder->specials.length; i++) {
        tokenizer->special[builder->specials.ids[i]] = 1;
    }
    return true;
}

bool tokenizer_builder_finish(struct tokenizer_builder *builder, struct tokenizer **out,
                              struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    bool ok =
        find_unknown(builder, err) && specials_are_tokens(tokenizer, &tokenizer->before, err) &&
        specials_are_tokens(tokenizer, &tokenizer->after, err) && mark_specials(builder, err) &&
        add_normalized_tokens(builder, true, err) && add_normalized_tokens(builder, false, err) &&
        bpe_finish(&tokenizer->bpe, &tokenizer->vocabulary, builder->options, err);
    if (ok) {
        builder->tokenizer = NULL;
        *out = tokenizer;
    }
    return ok;
}
