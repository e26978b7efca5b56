/* Regular expressions as expressions of a grammar.
 *
 *     alternation   a|b
 *     repetition    a*  a+  a?  a{2}  a{2,}  a{2,5}, also lazy (a*?): that matches the same texts
 *     groups        (a)  (?:a)  (?<name>a)  (?P<name>a)
 *     characters    .  [a-z]  [^a-z]  \d \D \w \W \s \S  \t \n \v \f \r \0  \xHH  \uHHHH  \u{H…}  \cA  \.
 *     anchors       ^ and $, where an alternative of the whole begins and ends
 *
 * This is what JavaScript (ECMA 262) and Python agree on. Where they differ, over whether \d, \w, \s
 * and . know Unicode, only what matches in both is matched: \d is 0 to 9, and \D no letter of
 * another script. Look-around, references back, word boundaries and \p{…} are refused by name. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_REGEX_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_REGEX_H

#include "engine/text/grammar/grammar_builder.h"

/* How the texts that match stand in the grammar's. */
struct grammar_regex_style {
    /* One character of the ranges, which ascend and do not touch, as it is written: a JSON string, say,
     * escapes some. NULL: as it is. */
    grammar_expression (*characters)(struct grammar_builder *builder,
                                     const struct code_range *ranges, size_t count, void *context);
    void *context;
    /* The expression may match anywhere within the text, unless an anchor says otherwise; if not, it
     * matches all of it. */
    bool search;
};

/* An error makes the builder fail, with ERROR_INVALID and where it is. */
grammar_expression grammar_regex(struct grammar_builder *builder, const char *pattern,
                                 size_t length, const struct grammar_regex_style *style);

#endif
