#include "server/vocabulary_index.h"

const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index,
                                                 struct error *err) {
    if (index->bytes == NULL && !token_bytes_open(&index->bytes, index->tokenizer, err)) {
        return NULL;
    }
    return index->bytes;
}

void vocabulary_index_deinit(struct vocabulary_index *index) {
    token_bytes_close(index->bytes);
    index->bytes = NULL;
}
