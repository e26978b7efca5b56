/* Regular expressions of tokenizer.json: Oniguruma's syntax, run by PCRE2.
 *
 * Hugging Face tokenizers match with Oniguruma. The two engines agree on what families' patterns use
 * but not on how it is written, nor on which characters \s, \w and \p{...} are: a pattern is
 * rewritten (regex_syntax.c), and what would mean something else is refused by name.
 *
 * A search that takes too many steps ends with an error. A regex is constant: any threads may search
 * with it, each with a search of its own. */
#ifndef QUERN_ENGINE_TEXT_REGEX_H
#define QUERN_ENGINE_TEXT_REGEX_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>

struct regex;

/* ERROR_BAD_FILE for what is no regular expression, ERROR_UNSUPPORTED for what PCRE2 would read
 * otherwise. */
bool regex_open(struct regex **out, struct token_text pattern, struct error *err);
void regex_close(struct regex *regex);

/* Rewrites a pattern for PCRE2 with its options UTF, UCP and MULTILINE. */
bool regex_translate(struct token_text pattern, struct text_buffer *translated, struct error *err);

/* Where the matches in a text are, one after the other. */
struct regex_search;

bool regex_search_open(struct regex_search **out, const struct regex *regex, struct error *err);
void regex_search_close(struct regex_search *search);

/* Begins at the first byte of a text, valid UTF-8, which must outlive the search. A search may begin
 * any number of times. */
void regex_search_begin(struct regex_search *search, struct token_text text);

/* The next match that does not overlap the last one: *found, and [*begin, *end). An empty match right
 * behind the last one does not count. ERROR_UNSUPPORTED where it takes too many steps. */
bool regex_search_next(struct regex_search *search, bool *found, size_t *begin, size_t *end,
                       struct error *err);

#endif
