#include "server/vocabulary_index.h"

const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index,
                                                 struct error *err) {
    if (index->bytes == NULL && !token_bytes_open(&index->bytes, index->tokenizer, err)) {
        return NULL;
    }
    return index->bytes;
}

const struct token_trie *vocabulary_index_trie(struct vocabulary_index *index, struct error *err) {
    const struct token_bytes *bytes = vocabulary_index_bytes(index, err);
    if (bytes == NULL || index->trie != NULL) {
        return index->trie;
    }
    index->sayable = *bytes;
    if (index->sayable.size > index->vocabulary_size) {
        index->sayable.size = index->vocabulary_size;
    }
    return token_trie_open(&index->trie, &index->sayable, err) ? index->trie : NULL;
}

void vocabulary_index_deinit(struct vocabulary_index *index) {
    token_trie_close(index->trie);
    token_bytes_close(index->bytes);
    index->trie = NULL;
    index->bytes = NULL;
}
