#include "server/vocabulary_index.h"

#include <pthread.h>
#include <stdlib.h>

struct vocabulary_index {
    const struct tokenizer *tokenizer;
    size_t vocabulary_size;
    pthread_mutex_t mutex;      /* guards what follows */
    struct token_bytes *bytes;  /* NULL until it is asked for */
    struct token_bytes sayable; /* those of them that the model knows */
    struct token_trie *trie;    /* of these; NULL until it is asked for */
};

bool vocabulary_index_open(struct vocabulary_index **out, const struct tokenizer *tokenizer,
                           size_t vocabulary_size, struct error *err) {
    struct vocabulary_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an index of the vocabulary");
    }
    index->tokenizer = tokenizer;
    index->vocabulary_size = vocabulary_size;
    pthread_mutex_init(&index->mutex, NULL);
    *out = index;
    return true;
}

void vocabulary_index_close(struct vocabulary_index *index) {
    if (index == NULL) {
        return;
    }
    token_trie_close(index->trie);
    token_bytes_close(index->bytes);
    pthread_mutex_destroy(&index->mutex);
    free(index);
}

static bool make_bytes(struct vocabulary_index *index, struct error *err) {
    return index->bytes != NULL || token_bytes_open(&index->bytes, index->tokenizer, err);
}

static bool make_trie(struct vocabulary_index *index, struct error *err) {
    if (index->trie != NULL) {
        return true;
    }
    if (!make_bytes(index, err)) {
        return false;
    }
    index->sayable = *index->bytes;
    if (index->sayable.size > index->vocabulary_size) {
        index->sayable.size = index->vocabulary_size;
    }
    return token_trie_open(&index->trie, &index->sayable, err);
}

const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index,
                                                 struct error *err) {
    pthread_mutex_lock(&index->mutex);
    const struct token_bytes *bytes = make_bytes(index, err) ? index->bytes : NULL;
    pthread_mutex_unlock(&index->mutex);
    return bytes;
}

const struct token_trie *vocabulary_index_trie(struct vocabulary_index *index, struct error *err) {
    pthread_mutex_lock(&index->mutex);
    const struct token_trie *trie = make_trie(index, err) ? index->trie : NULL;
    pthread_mutex_unlock(&index->mutex);
    return trie;
}
