/* What some requests need to know of the vocabulary and what is too large to make for each of them:
 * made at the first use, kept until the server ends. Loop thread. */
#ifndef QUERN_SERVER_VOCABULARY_INDEX_H
#define QUERN_SERVER_VOCABULARY_INDEX_H

#include "engine/error.h"
#include "engine/text/token_bytes.h"

struct vocabulary_index {
    const struct tokenizer *tokenizer;
    struct token_bytes *bytes; /* NULL until it is asked for */
};

/* NULL and an error when memory is out. */
const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index, struct error *err);

void vocabulary_index_deinit(struct vocabulary_index *index);

#endif
