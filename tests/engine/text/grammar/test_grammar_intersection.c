/* Conditions together, against each on its own: POSIX's regular expressions and counting. */
#include "engine/text/grammar/grammar_intersection.h"
#include "vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool intersect(const struct token_trie *trie, const struct grammar_intersection *conditions,
                      struct grammar **grammar, struct error *err) {
    struct grammar_builder *builder = NULL;
    const struct grammar_regex_style style = {.search = false};
    cr_assert(grammar_builder_open(&builder, trie, err));
    grammar_expression root = grammar_intersect(builder, conditions, &style);
    bool ok = grammar_builder_finish(builder, root, grammar, err);
    grammar_builder_close(builder);
    return ok;
}

static struct token_text text_of(const char *text) {
    return (struct token_text){text, strlen(text)};
}

static bool posix_matches(const char *pattern, const char *text) {
    char anchored[100];
    regex_t posix;
    snprintf(anchored, sizeof anchored, "^(%s)$", pattern);
    cr_assert_eq(regcomp(&posix, anchored, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&posix, text, 0, NULL, 0) == 0;
    regfree(&posix);
    return found;
}

Test(grammar_intersection, texts_satisfy_all_conditions_and_no_text_that_does_is_missing) {
    enum { LENGTH_MAX = 5 };
    static const struct {
        const char *patterns[2];
        uint32_t least, most;
    } table[] = {
        {{"a*", "(aa)*"}, 0, GRAMMAR_UNBOUNDED},
        {{"(a|b)*", ".*c?"}, 2, 4},
        {{"[ab]*c[ab]*", "[^b]+"}, 3, GRAMMAR_UNBOUNDED},
        {{"(abc|cba)+", ".{3}|.{6}"}, 0, 5},
        {{"a+b+|b+a+", "a{2}.*|.*a{2}"}, 1, 4},
        {{"(ab){1,5}", ".*"}, 0, 5},
        {{"a|ab|abc", "[a-c]*"}, 2, 2},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        const struct grammar_intersection conditions = {
            .patterns = {{text_of(table[t].patterns[0]), false},
                         {text_of(table[t].patterns[1]), false}},
            .pattern_count = 2,
            .least = table[t].least,
            .most = table[t].most,
        };
        struct grammar *grammar = NULL;
        struct error err = {0};
        cr_assert(intersect(vocabulary.trie, &conditions, &grammar, &err), "%s", err.text);
        struct grammar_automaton *automaton = run_grammar(grammar);
        for (size_t length = 0, count = 1; length <= LENGTH_MAX; length++, count *= 3) {
            for (size_t number = 0; number < count; number++) {
                char text[LENGTH_MAX + 1] = {0};
                for (size_t i = 0, rest = number; i < length; i++, rest /= 3) {
                    text[i] = (char)('a' + rest % 3);
                }
                bool wanted = length >= table[t].least && length <= table[t].most &&
                              posix_matches(table[t].patterns[0], text) &&
                              posix_matches(table[t].patterns[1], text);
                cr_assert_eq(matches(automaton, text, length), wanted, "case %zu: \"%s\" should%s",
                             t, text, wanted ? "" : " not");
            }
        }
        grammar_automaton_close(automaton);
    }
    vocabulary_close(&vocabulary);
}

Test(grammar_intersection, multiples_are_counted_in_decimal) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    const struct grammar_intersection conditions = {
        .patterns = {{text_of("-?(0|[1-9][0-9]*)"), false}},
        .pattern_count = 1,
        .most = 5,
        .multiple_of = 37,
    };
    struct grammar *grammar = NULL;
    struct error err = {0};
    cr_assert(intersect(vocabulary.trie, &conditions, &grammar, &err), "%s", err.text);
    struct grammar_automaton *automaton = run_grammar(grammar);
    for (int number = -1500; number < 20000; number++) {
        char text[12];
        int length = snprintf(text, sizeof text, "%d", number);
        cr_assert_eq(matches(automaton, text, (size_t)length), number % 37 == 0, "%s", text);
    }
    grammar_automaton_close(automaton);
    vocabulary_close(&vocabulary);
}

Test(grammar_intersection, what_nothing_satisfies_or_too_many_do_is_refused) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar *grammar = NULL;
    struct error err = {0};
    struct grammar_intersection conditions = {
        .patterns = {{text_of("(aaa)+"), false}, {text_of("b?a+"), false}},
        .pattern_count = 2,
        .least = 4,
        .most = 5,
    };
    cr_assert_not(intersect(vocabulary.trie, &conditions, &grammar, &err));
    cr_assert(strstr(err.text, "matches no text") != NULL, "%s", err.text);
    conditions.most = 60000;
    cr_assert_not(intersect(vocabulary.trie, &conditions, &grammar, &err));
    cr_assert_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
    conditions.patterns[1].text = text_of("(");
    cr_assert_not(intersect(vocabulary.trie, &conditions, &grammar, &err));
    cr_assert(strstr(err.text, "does not end") != NULL, "%s", err.text);
    vocabulary_close(&vocabulary);
}
