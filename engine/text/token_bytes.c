#include "engine/text/token_bytes.h"

#include "engine/text/tokenizer_internal.h"

#include <stdlib.h>

bool tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id, struct text_buffer *bytes,
                           struct error *err) {
    struct token_text text = vocabulary_text(&tokenizer->vocabulary, id);
    int byte = tokenizer_byte_of(tokenizer, id);
    bool ok = true;
    if (byte >= 0) {
        ok = text_buffer_append(bytes, &(char){(char)byte}, 1);
    } else if (text.bytes != NULL && tokenizer_is_special(tokenizer, id)) {
        ok = text_buffer_append(bytes, text.bytes, text.length);
    } else if (text.bytes != NULL) {
        ok = replacements_apply(&tokenizer->decoder, text.bytes, text.length, bytes);
    }
    return ok || error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the bytes of a token");
}

static bool fill(struct token_bytes *tokens, const struct tokenizer *tokenizer,
                 struct text_buffer *pool, struct error *err) {
    for (size_t id = 0; id < tokens->size; id++) {
        tokens->offsets[id] = (uint32_t)pool->length;
        if (!tokenizer_is_special(tokenizer, (int32_t)id) &&
            !tokenizer_token_bytes(tokenizer, (int32_t)id, pool, err)) {
            return false;
        }
        if (pool->length > UINT32_MAX) {
            return error_set(err, ERROR_TOO_LARGE, "the tokens have more than 4 GB of text");
        }
    }
    tokens->offsets[tokens->size] = (uint32_t)pool->length;
    return true;
}

bool token_bytes_open(struct token_bytes **out, const struct tokenizer *tokenizer,
                      struct error *err) {
    struct token_bytes *tokens = calloc(1, sizeof *tokens);
    struct text_buffer pool = {0};
    if (tokens == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the bytes of tokens");
    }
    tokens->size = tokenizer_vocabulary_size(tokenizer);
    tokens->offsets = calloc(tokens->size + 1, sizeof *tokens->offsets);
    bool ok = tokens->offsets != NULL && text_buffer_append(&pool, "", 0);
    if (!ok) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the bytes of %zu tokens", tokens->size);
    }
    ok = ok && fill(tokens, tokenizer, &pool, err);
    tokens->pool = pool.bytes;
    if (!ok) {
        token_bytes_close(tokens);
        return false;
    }
    *out = tokens;
    return true;
}

void token_bytes_close(struct token_bytes *tokens) {
    if (tokens == NULL) {
        return;
    }
    free(tokens->pool);
    free(tokens->offsets);
    free(tokens);
}
