/* Which tokens of a vocabulary a text is in: the sequence breakers of DRY (engine/sampling.h). */
#ifndef QUERN_ENGINE_TEXT_TOKEN_SEARCH_H
#define QUERN_ENGINE_TEXT_TOKEN_SEARCH_H

#include "engine/error.h"
#include "engine/text/token_bytes.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the bits, one a token, of the tokens whose bytes contain one of the texts, none of which is
 * empty; special tokens are found by their content. Appends for each text that is several tokens by
 * itself how many, and those. */
bool token_search(const struct tokenizer *tokenizer, const struct token_bytes *tokens,
                  const char *const *texts, size_t count, uint64_t *bits, struct token_list *runs,
                  struct error *err);

#endif
