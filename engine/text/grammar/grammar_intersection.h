/* Texts that are to satisfy several conditions at once: regular expressions, a length, a multiple.
 *
 *     "[a-z]+" and at most 3 characters     ()─a-z─▶(1)─a-z─▶(2)─a-z─▶(3)
 *
 * A grammar has choices, but no "and". Here the conditions are run side by side, character by
 * character, and each combination of their states from which an end can be reached becomes a rule. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_INTERSECTION_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_INTERSECTION_H

#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_regex.h"
#include "engine/text/vocabulary.h"

#include <stddef.h>
#include <stdint.h>

enum { INTERSECTION_PATTERNS_MAX = 6 };

struct grammar_intersection {
    struct {
        struct token_text text;
        bool search; /* as in grammar_regex_style */
    } patterns[INTERSECTION_PATTERNS_MAX];
    size_t pattern_count;
    uint32_t least;       /* characters */
    uint32_t most;        /* or GRAMMAR_UNBOUNDED */
    uint32_t multiple_of; /* of its digits, read as a number; 0: any */
};

/* Of the style, only how characters are written counts. ERROR_TOO_LARGE where there are too many
 * combinations. */
grammar_expression grammar_intersect(struct grammar_builder *builder,
                                     const struct grammar_intersection *intersection,
                                     const struct grammar_regex_style *style);

#endif
