#include "engine/text/tokenizer.h"

#include "engine/text/tokenizer_internal.h"

#include <stdlib.h>

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool skip_special;
    const int32_t *shown; /* special tokens that are not skipped */
    size_t shown_count;
    struct decoder_stream *stream;
};

bool detokenizer_open(struct detokenizer **out, const struct tokenizer *tokenizer,
                      bool skip_special, struct error *err) {
    struct detokenizer *detokenizer = calloc(1, sizeof *detokenizer);
    if (detokenizer == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for decoded text");
    }
    detokenizer->tokenizer = tokenizer;
    detokenizer->skip_special = skip_special;
    if (!decoder_stream_open(&detokenizer->stream, &tokenizer->decoder, DECODER_STREAM_TEXT, err)) {
        free(detokenizer);
        return false;
    }
    *out = detokenizer;
    return true;
}

void detokenizer_close(struct detokenizer *detokenizer) {
    if (detokenizer == NULL) {
        return;
    }
    decoder_stream_close(detokenizer->stream);
    free(detokenizer);
}

void detokenizer_continue(struct detokenizer *detokenizer) {
    decoder_stream_continue(detokenizer->stream);
}

void detokenizer_show(struct detokenizer *detokenizer, const int32_t *ids, size_t count) {
    detokenizer->shown = ids;
    detokenizer->shown_count = count;
}

size_t detokenizer_waiting(const struct detokenizer *detokenizer) {
    return decoder_stream_waiting(detokenizer->stream);
}

static bool is_skipped(const struct detokenizer *detokenizer, int32_t id) {
    bool skipped = detokenizer->skip_special && tokenizer_is_special(detokenizer->tokenizer, id);
    for (size_t i = 0; skipped && i < detokenizer->shown_count; i++) {
        skipped = detokenizer->shown[i] != id;
    }
    return skipped;
}

bool detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct text_buffer *text,
                      struct error *err) {
    struct token_text token = vocabulary_text(&detokenizer->tokenizer->vocabulary, id);
    return token.bytes == NULL || is_skipped(detokenizer, id) ||
           decoder_stream_push(detokenizer->stream, token, text, err);
}

bool detokenizer_finish(struct detokenizer *detokenizer, struct text_buffer *text,
                        struct error *err) {
    return decoder_stream_finish(detokenizer->stream, text, err);
}

bool tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool skip_special, struct text_buffer *text, struct error *err) {
    struct detokenizer *detokenizer;
    if (!detokenizer_open(&detokenizer, tokenizer, skip_special, err)) {
        return false;
    }
    bool ok = text_buffer_append(text, "", 0) ||
              error_set(err, ERROR_OUT_OF_MEMORY, "no memory for decoded text");
    for (size_t i = 0; ok && i < count; i++) {
        ok = detokenizer_push(detokenizer, ids[i], text, err);
    }
    ok = ok && detokenizer_finish(detokenizer, text, err);
    detokenizer_close(detokenizer);
    return ok;
}
