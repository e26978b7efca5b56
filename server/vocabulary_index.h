/* What some requests need to know of the vocabulary and what is too large to make for each of them:
 * made at the first use, kept until the model is closed.
 *
 * Any thread: whoever comes while something is being made waits for it. For 262144 tokens that takes
 * some 0.3 s, so the loop does not ask. */
#ifndef QUERN_SERVER_VOCABULARY_INDEX_H
#define QUERN_SERVER_VOCABULARY_INDEX_H

#include "engine/error.h"
#include "engine/text/grammar/token_trie.h"
#include "engine/text/token_bytes.h"

#include <stdbool.h>
#include <stddef.h>

struct vocabulary_index;

/* Of the tokenizer, which must outlive it. `vocabulary_size` is that of the model: a tokenizer may know
 * more tokens, or fewer. */
bool vocabulary_index_open(struct vocabulary_index **out, const struct tokenizer *tokenizer,
                           size_t vocabulary_size, struct error *err);

/* Nobody uses a grammar of the trie any more. NULL is nothing. */
void vocabulary_index_close(struct vocabulary_index *index);

/* NULL and an error when memory is out. The trie is of the tokens that the model knows. */
const struct token_bytes *vocabulary_index_bytes(struct vocabulary_index *index, struct error *err);
const struct token_trie *vocabulary_index_trie(struct vocabulary_index *index, struct error *err);

#endif
