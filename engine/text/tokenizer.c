#include "engine/text/tokenizer.h"

#include "engine/text/tokenizer_builder.h"
#include "engine/text/tokenizer_internal.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the tokenizer or its text");
}

/* ---- Building ---- */

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

static bool add_replacement(struct replacements *replacements, struct token_text pattern,
                            struct token_text content, struct error *err) {
    if (pattern.length == 0) {
        return error_set(err, ERROR_BAD_FILE, "a Replace step has an empty pattern");
    }
    struct replacement *steps =
        realloc(replacements->steps, (replacements->count + 1) * sizeof *steps);
    if (steps == NULL) {
        return no_memory(err);
    }
    replacements->steps = steps;
    struct replacement *step = &steps[replacements->count++];
    *step = (struct replacement){0};
    return (text_buffer_append(&step->pattern, pattern.bytes, pattern.length) &&
            text_buffer_append(&step->content, content.bytes, content.length)) ||
           no_memory(err);
}

bool tokenizer_builder_add_replacement(struct tokenizer_builder *builder, struct token_text pattern,
                                       struct token_text content, struct error *err) {
    return add_replacement(&builder->tokenizer->normalizer, pattern, content, err);
}

bool tokenizer_builder_set_split(struct tokenizer_builder *builder, struct token_text pattern,
                                 struct error *err) {
    if (builder->tokenizer->split.length > 0) {
        return error_set(err, ERROR_UNSUPPORTED, "more than one Split is not supported");
    }
    return text_buffer_append(&builder->tokenizer->split, pattern.bytes, pattern.length) ||
           no_memory(err);
}

bool tokenizer_builder_add_decoder_replacement(struct tokenizer_builder *builder,
                                               struct token_text pattern, struct token_text content,
                                               struct error *err) {
    return add_replacement(&builder->tokenizer->decoder, pattern, content, err);
}

void tokenizer_builder_set_decoder_bytes(struct tokenizer_builder *builder) {
    builder->tokenizer->decodes_bytes = true;
}

bool tokenizer_builder_add_special(struct tokenizer_builder *builder, bool before, int32_t id,
                                   struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    return token_list_push(before ? &tokenizer->before : &tokenizer->after, id) || no_memory(err);
}

bool tokenizer_builder_add_token(struct tokenizer_builder *builder, int32_t id,
                                 struct token_text text, struct error *err) {
    struct vocabulary *vocabulary = &builder->tokenizer->vocabulary;
    /* An added token may have come first: the file lists it in both places. */
    bool known = vocabulary_find(vocabulary, text.bytes, text.length) == id && id >= 0;
    return known || vocabulary_add(vocabulary, id, text.bytes, text.length, err);
}

bool tokenizer_builder_add_added_token(struct tokenizer_builder *builder,
                                       const struct added_token *token, struct token_text text,
                                       struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    if (!tokenizer_builder_add_token(builder, token->id, text, err)) {
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

/* What is looked for in normalized text has to be normalized too: "new york" is "new▁york" there.
 */
static bool add_normalized_tokens(struct tokenizer_builder *builder, struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    struct text_buffer normal = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < builder->normalized_count; i++) {
        const struct added_token *token = &builder->normalized[i];
        struct token_text text = vocabulary_text(&tokenizer->vocabulary, token->id);
        normal.length = 0;
        ok = replacements_apply(&tokenizer->normalizer, text.bytes, text.length, &normal)
                 ? added_tokens_add(&tokenizer->normalized_added, token, normal.bytes,
                                    normal.length, err)
                 : no_memory(err);
    }
    text_buffer_deinit(&normal);
    return ok;
}

bool tokenizer_builder_add_merge(struct tokenizer_builder *builder, struct token_text left,
                                 struct token_text right, struct error *err) {
    return bpe_add_merge(&builder->tokenizer->bpe, &builder->tokenizer->vocabulary, left, right,
                         err);
}

bool tokenizer_builder_set_model(struct tokenizer_builder *builder, bool byte_fallback,
                                 bool fuse_unknown, struct token_text unknown, struct error *err) {
    builder->options =
        (struct bpe_options){.byte_fallback = byte_fallback, .fuse_unknown = fuse_unknown};
    builder->has_unknown = unknown.bytes != NULL;
    builder->unknown.length = 0;
    return !builder->has_unknown ||
           text_buffer_append(&builder->unknown, unknown.bytes, unknown.length) || no_memory(err);
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

bool tokenizer_builder_finish(struct tokenizer_builder *builder, struct tokenizer **out,
                              struct error *err) {
    struct tokenizer *tokenizer = builder->tokenizer;
    const struct text_buffer *unknown = &builder->unknown;
    builder->options.unknown = -1;
    if (builder->has_unknown) {
        builder->options.unknown =
            vocabulary_find(&tokenizer->vocabulary, unknown->bytes, unknown->length);
        if (builder->options.unknown < 0) {
            return error_set(err, ERROR_BAD_FILE, "unk_token \"%.60s\" is not in the vocabulary",
                             unknown->bytes);
        }
    }
    if (!specials_are_tokens(tokenizer, &tokenizer->before, err) ||
        !specials_are_tokens(tokenizer, &tokenizer->after, err)) {
        return false;
    }
    tokenizer->special = calloc(tokenizer->vocabulary.size + 1, 1);
    if (tokenizer->special == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < builder->specials.length; i++) {
        tokenizer->special[builder->specials.ids[i]] = 1;
    }
    if (!add_normalized_tokens(builder, err) ||
        !bpe_finish(&tokenizer->bpe, &tokenizer->vocabulary, builder->options, err)) {
        return false;
    }
    builder->tokenizer = NULL;
    *out = tokenizer;
    return true;
}

static void replacements_deinit(struct replacements *replacements) {
    for (size_t i = 0; i < replacements->count; i++) {
        text_buffer_deinit(&replacements->steps[i].pattern);
        text_buffer_deinit(&replacements->steps[i].content);
    }
    free(replacements->steps);
}

void tokenizer_close(struct tokenizer *tokenizer) {
    if (tokenizer == NULL) {
        return;
    }
    vocabulary_deinit(&tokenizer->vocabulary);
    bpe_deinit(&tokenizer->bpe);
    added_tokens_deinit(&tokenizer->raw_added);
    added_tokens_deinit(&tokenizer->normalized_added);
    free(tokenizer->special);
    replacements_deinit(&tokenizer->normalizer);
    replacements_deinit(&tokenizer->decoder);
    text_buffer_deinit(&tokenizer->split);
    token_list_deinit(&tokenizer->before);
    token_list_deinit(&tokenizer->after);
    free(tokenizer);
}

/* ---- Encoding ---- */

static const char *find_text(const char *text, size_t length, const struct text_buffer *pattern) {
    return memmem(text, length, pattern->bytes, pattern->length);
}

static bool replace(const struct replacement *step, const char *text, size_t length,
                    struct text_buffer *output) {
    const char *end = text + length;
    for (const char *at = find_text(text, length, &step->pattern); at != NULL;
         at = find_text(text, (size_t)(end - text), &step->pattern)) {
        if (!text_buffer_append(output, text, (size_t)(at - text)) ||
            !text_buffer_append(output, step->content.bytes, step->content.length)) {
            return false;
        }
        text = at + step->pattern.length;
    }
    return text_buffer_append(output, text, (size_t)(end - text));
}

bool replacements_apply(const struct replacements *replacements, const char *text, size_t length,
                        struct text_buffer *output) {
    if (replacements->count == 0) {
        return text_buffer_append(output, text, length);
    }
    struct text_buffer before = {0}; /* what the previous step made */
    bool ok = true;
    for (size_t i = 0; ok && i < replacements->count; i++) {
        bool last = i + 1 == replacements->count;
        struct text_buffer made = {0};
        ok = replace(&replacements->steps[i], i == 0 ? text : before.bytes,
                     i == 0 ? length : before.length, last ? output : &made);
        text_buffer_deinit(&before);
        before = made;
    }
    text_buffer_deinit(&before);
    return ok;
}

static bool encode_words(const struct tokenizer *tokenizer, const char *text, size_t length,
                         struct token_list *ids, struct error *err) {
    while (length > 0) {
        const char *at =
            tokenizer->split.length > 0 ? find_text(text, length, &tokenizer->split) : NULL;
        size_t word = at == NULL ? length : (size_t)(at - text) + tokenizer->split.length;
        if (!bpe_encode(&tokenizer->bpe, &tokenizer->vocabulary, text, word, ids, err)) {
            return false;
        }
        text += word;
        length -= word;
    }
    return true;
}

/* Encodes what lies between the added tokens with `encode_rest`, and the added tokens as
 * themselves. */
static bool
encode_between(const struct tokenizer *tokenizer, const struct added_tokens *added,
               const char *text, size_t length, struct token_list *ids, struct error *err,
               bool (*encode_rest)(const struct tokenizer *tokenizer, const char *text,
                                   size_t length, struct token_list *ids, struct error *err)) {
    size_t from = 0;
    while (from < length) {
        struct added_match match = added_tokens_find(added, text, length, from);
        if (!encode_rest(tokenizer, text + from, match.begin - from, ids, err)) {
            return false;
        }
        if (match.token != NULL && !token_list_push(ids, match.token->id)) {
            return no_memory(err);
        }
        from = match.end;
    }
    return true;
}

static bool encode_unnormalized(const struct tokenizer *tokenizer, const char *text, size_t length,
                                struct token_list *ids, struct error *err) {
    struct text_buffer normal = {0};
    bool ok = replacements_apply(&tokenizer->normalizer, text, length, &normal) || no_memory(err);
    ok = ok && encode_between(tokenizer, &tokenizer->normalized_added, normal.bytes, normal.length,
                              ids, err, encode_words);
    text_buffer_deinit(&normal);
    return ok;
}

/* Copies text with U+FFFD in place of each byte that is not part of a valid character. */
static bool repair(const char *text, size_t length, struct text_buffer *repaired) {
    for (size_t at = 0; at < length;) {
        size_t valid = utf8_valid_prefix(text + at, length - at);
        if (!text_buffer_append(repaired, text + at, valid)) {
            return false;
        }
        at += valid;
        if (at < length) {
            at++;
            if (!text_buffer_append(repaired, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT))) {
                return false;
            }
        }
    }
    return true;
}

static bool append_ids(struct token_list *ids, const struct token_list *more, struct error *err) {
    for (size_t i = 0; i < more->length; i++) {
        if (!token_list_push(ids, more->ids[i])) {
            return no_memory(err);
        }
    }
    return true;
}

bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                      bool add_special, struct token_list *ids, struct error *err) {
    struct text_buffer repaired = {0};
    if (utf8_valid_prefix(text, length) < length) {
        if (!repair(text, length, &repaired)) {
            text_buffer_deinit(&repaired);
            return no_memory(err);
        }
        text = repaired.bytes;
        length = repaired.length;
    }
    bool ok = (!add_special || append_ids(ids, &tokenizer->before, err)) &&
              encode_between(tokenizer, &tokenizer->raw_added, text, length, ids, err,
                             encode_unnormalized) &&
              (!add_special || append_ids(ids, &tokenizer->after, err));
    text_buffer_deinit(&repaired);
    return ok;
}

/* ---- Asking ---- */

size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer) {
    return tokenizer->vocabulary.size;
}

int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *content) {
    return vocabulary_find(&tokenizer->vocabulary, content, strlen(content));
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->vocabulary.size && tokenizer->special[id] != 0;
}
