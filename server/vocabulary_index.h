/* What some requests need to know of the vocabulary and what is too large to make for each of them:
 * made at the first use, kept until the server ends. Loop thread. */
#ifndef QUERN_SERVER_VOCABULARY_INDEX_H
#define QUERN_SERVER_VOCABULARY_INDEX_H

#include "engine/error.h"
#include "engine/text/grammar/token_trie.h"
#include "engine/text/token_bytes.h"

#include <stddef.h>

struct vocabulary_index {
    const struct tokenizer *tokenizer;
    size_t vocabulary_size;     /* of the model; a tokenizer may know more tokens, or fewer */
    struct token_bytes *bytes;  /* NULL until it is asked for */
    struct token_bytes sayable; /* those of them that the model knows */
    struct token_trie *trie;    /* of these; NULL until it is asked for */
};

/* NULL and an error when memory is out. */
const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index, struct error *err);
const struct token_trie *vocabulary_index_trie(struct vocabulary_index *index, struct error *err);

/* Nobody uses a grammar of the trie any more. */
void vocabulary_index_deinit(struct vocabulary_index *index);

#endif
