/* What steps of a tokenizer look for in a text: a string, a regular expression, or single characters
 * of a kind.
 *
 * A pattern is constant: any threads may search with it, each with a search of its own. */
#ifndef QUERN_ENGINE_TEXT_PATTERN_H
#define QUERN_ENGINE_TEXT_PATTERN_H

#include "engine/error.h"
#include "engine/text/regex.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>

enum pattern_kind {
    PATTERN_STRING,
    PATTERN_REGEX,
    /* Each such character is a match of its own: */
    PATTERN_SPACE,
    PATTERN_NUMBER,
    PATTERN_PUNCTUATION,
};

struct pattern_definition {
    enum pattern_kind kind;
    struct token_text text; /* of a string or regular expression */
};

struct pattern {
    enum pattern_kind kind;
    struct text_buffer string;
    struct regex *regex;
};

/* Copies what is borrowed. An empty string is ERROR_BAD_FILE; for regular expressions see
 * regex_open. */
bool pattern_init(struct pattern *pattern, const struct pattern_definition *definition,
                  struct error *err);
void pattern_deinit(struct pattern *pattern);

/* Where the matches in a text are: ascending, without overlap. */
struct pattern_search {
    const struct pattern *pattern;
    struct token_text text;
    size_t at;
    struct regex_search *regex;
};

bool pattern_search_init(struct pattern_search *search, const struct pattern *pattern,
                         struct error *err);
void pattern_search_deinit(struct pattern_search *search);

/* Begins with a text, valid UTF-8, which must outlive the search; any number of times. */
void pattern_search_begin(struct pattern_search *search, struct token_text text);

/* The next match, if *found: [*begin, *end). */
bool pattern_search_next(struct pattern_search *search, bool *found, size_t *begin, size_t *end,
                         struct error *err);

#endif
