#include "engine/text/token_bytes.h"

#include "engine/text/tokenizer_internal.h"

#include <stdlib.h>

enum { POOL_BYTES_MAX = 256 << 20 }; /* 260,000 real tokens have 2 MB */

static bool append_bytes(const struct tokenizer *tokenizer, struct decoder_stream *stream,
                         int32_t id, struct text_buffer *bytes, struct error *err) {
    struct token_text text = vocabulary_text(&tokenizer->vocabulary, id);
    return text.bytes == NULL || decoder_stream_push(stream, text, bytes, err);
}

bool tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id, struct text_buffer *bytes,
                           struct error *err) {
    struct decoder_stream *stream;
    if (tokenizer_is_special(tokenizer, id)) {
        struct token_text text = vocabulary_text(&tokenizer->vocabulary, id);
        return text_buffer_append(bytes, text.bytes, text.length) ||
               error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the bytes of a token");
    }
    if (!decoder_stream_open(&stream, &tokenizer->decoder, DECODER_STREAM_BYTES, err)) {
        return false;
    }
    bool ok = append_bytes(tokenizer, stream, id, bytes, err);
    decoder_stream_close(stream);
    return ok;
}

static bool fill(struct token_bytes *tokens, const struct tokenizer *tokenizer,
                 struct text_buffer *pool, struct error *err) {
    struct decoder_stream *stream;
    if (!decoder_stream_open(&stream, &tokenizer->decoder, DECODER_STREAM_BYTES, err)) {
        return false;
    }
    bool ok = true;
    for (size_t id = 0; ok && id < tokens->size; id++) {
        tokens->offsets[id] = (uint32_t)pool->length;
        ok = tokenizer_is_special(tokenizer, (int32_t)id) ||
             append_bytes(tokenizer, stream, (int32_t)id, pool, err);
        if (ok && pool->length > POOL_BYTES_MAX) {
            ok = error_set(err, ERROR_TOO_LARGE, "the tokens have more than %d bytes of text",
                           POOL_BYTES_MAX);
        }
    }
    tokens->offsets[tokens->size] = (uint32_t)pool->length;
    decoder_stream_close(stream);
    return ok;
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
