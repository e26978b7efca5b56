#include "engine/text/grammar/grammar_regex.h"
#include "vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Against POSIX: random expressions, all short texts ---- */

static uint32_t random_state;

static uint32_t draw(uint32_t below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static void append(char *pattern, const char *text) {
    strcat(pattern, text);
}

/* A little of the syntax that both have. */
static void make_pattern(char *pattern, int depth) {
    static const char *const atoms[] = {"a", "b", "c", ".", "[ab]", "[^b]", "[a-c]"};
    static const char *const quantifiers[] = {"*", "+", "?", "{2}", "{1,2}", "{2,}"};
    if (depth == 0 || strlen(pattern) > 150) {
        append(pattern, atoms[draw(7)]);
        return;
    }
    switch (draw(4)) {
    case 0:
        make_pattern(pattern, depth - 1);
        make_pattern(pattern, depth - 1);
        break;
    case 1:
        append(pattern, "(");
        make_pattern(pattern, depth - 1);
        append(pattern, "|");
        make_pattern(pattern, depth - 1);
        append(pattern, ")");
        break;
    default:
        append(pattern, "(");
        make_pattern(pattern, depth - 1);
        append(pattern, ")");
        append(pattern, quantifiers[draw(6)]);
        break;
    }
}

static void compare(const struct token_trie *trie, const char *pattern) {
    enum { LENGTH_MAX = 5 };
    char anchored[256];
    regex_t posix;
    snprintf(anchored, sizeof anchored, "^(%s)$", pattern);
    cr_assert_eq(regcomp(&posix, anchored, REG_EXTENDED | REG_NOSUB), 0, "%s", anchored);
    struct grammar_automaton *automaton = run_grammar(compile_regex(trie, pattern, false));
    for (size_t length = 0, count = 1; length <= LENGTH_MAX; length++, count *= 3) {
        for (size_t number = 0; number < count; number++) {
            char text[LENGTH_MAX + 1] = {0};
            for (size_t i = 0, rest = number; i < length; i++, rest /= 3) {
                text[i] = (char)('a' + rest % 3);
            }
            bool wanted = regexec(&posix, text, 0, NULL, 0) == 0;
            cr_assert_eq(matches(automaton, text, length), wanted, "%s %s \"%s\"", pattern,
                         wanted ? "should match" : "should not match", text);
        }
    }
    grammar_automaton_close(automaton);
    regfree(&posix);
}

Test(grammar_regex, random_expressions_match_what_posix_matches) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (random_state = 1; random_state < 40;) {
        uint32_t seed = random_state;
        char pattern[256] = "";
        make_pattern(pattern, 4);
        compare(vocabulary.trie, pattern);
        random_state = seed + 1;
    }
    vocabulary_close(&vocabulary);
}

/* ---- Syntax ---- */

Test(grammar_regex, what_each_construct_matches) {
    static const struct {
        const char *pattern;
        const char *yes[4];
        const char *no[4];
    } table[] = {
        {"", {""}, {"a"}},
        {"^abc$", {"abc"}, {"abcd", "^abc$"}},
        {"a|^b|c$", {"a", "b", "c"}, {"d", "ab"}},
        {"\\d{3}-\\d{4}", {"555-0199"}, {"55-0199", "555-01999", "\u0665\u0665\u0665-0199"}},
        {"(?:ab){2,}", {"abab", "ababab"}, {"ab", "aba"}},
        {"(?<year>\\d+)(?P<x>y)?", {"1", "12y"}, {"", "y"}},
        {"a*?b+?c??", {"b", "aabbc"}, {"a", "c"}},
        {"\\w+\\s\\W\\S\\D", {"a !xy", "_9\t-\u00e9z"}, {"\u00e9 !xy", "a !x9", "a\u00a0!xy"}},
        {"[^\\s]", {"a", "\u00e9", "\U0001F600"}, {" ", "\u00a0", "\u3000", "\n"}},
        {"[^\\d]", {"a"}, {"1", "\u0665"}},
        {".", {"a", "\u65e5", "\t"}, {"\n", "\r", "\u2028", ""}},
        {"[a\\]\\-z-]+", {"a]-z", "-"}, {"b"}},
        {"[\\x41-\\u0043\\u{1F600}]+", {"ABC\U0001F600"}, {"D"}},
        {"\\ud83d\\ude00", {"\U0001F600"}, {"\U0001F601"}},
        {"\\t\\n\\v\\f\\r\\cJ", {"\t\n\v\f\r\n"}, {"tnvfr"}},
        {"\\.\\*\\\\\\/\\{\\}", {".*\\/{}"}, {"a*\\/{}"}},
        {"a{,2}b{x}{", {"a{,2}b{x}{"}, {"ab", "aab"}},
        {"x{0}y", {"y"}, {"xy"}},
        {"(a|)(|b)", {"", "a", "b", "ab"}, {"ba"}},
        {"[\u00e0-\u00ff]+", {"\u00e9\u00ff"}, {"\u00df", "\u0100"}},
        {"[^\u00a0-\U0010FFFF]", {"a"}, {"\u00e9", "\U0001F600"}},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct grammar_automaton *automaton =
            run_grammar(compile_regex(vocabulary.trie, table[i].pattern, false));
        for (size_t t = 0; t < 4; t++) {
            const char *yes = table[i].yes[t];
            const char *no = table[i].no[t];
            cr_assert(yes == NULL || matches(automaton, yes, strlen(yes)), "%s should match \"%s\"",
                      table[i].pattern, yes);
            cr_assert(no == NULL || !matches(automaton, no, strlen(no)),
                      "%s should not match \"%s\"", table[i].pattern, no);
        }
        grammar_automaton_close(automaton);
    }
    vocabulary_close(&vocabulary);
}

Test(grammar_regex, a_search_matches_anywhere_unless_an_anchor_says_otherwise) {
    static const struct {
        const char *pattern;
        bool alone, before, behind; /* "ab", "xab", "abx" */
    } table[] = {
        {"ab", true, true, true},     {"^ab", true, false, true},    {"ab$", true, true, false},
        {"^ab$", true, false, false}, {"^ab|ab$", true, true, true},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct grammar_automaton *automaton =
            run_grammar(compile_regex(vocabulary.trie, table[i].pattern, true));
        cr_assert_eq(matches(automaton, "ab", 2), table[i].alone, "%s", table[i].pattern);
        cr_assert_eq(matches(automaton, "xab", 3), table[i].before, "%s", table[i].pattern);
        cr_assert_eq(matches(automaton, "abx", 3), table[i].behind, "%s", table[i].pattern);
        grammar_automaton_close(automaton);
    }
    vocabulary_close(&vocabulary);
}

Test(grammar_regex, what_is_wrong_or_not_supported_is_refused_with_its_place) {
    static const struct {
        const char *pattern;
        const char *says;
    } table[] = {
        {"a(b", "at byte 1, a group does not end"},
        {"a)b", "at byte 1, a parenthesis closes nothing"},
        {"*a", "at byte 0, there is nothing to repeat"},
        {"a**", "at byte 2, there is nothing to repeat"},
        {"a{3,2}", "wrong order"},
        {"a{100001}", "100000"},
        {"a++", "possessive"},
        {"[a", "at byte 0, a class does not end"},
        {"[z-a]", "no order"},
        {"[\\d-z]x[a-\\d]", "no order"},
        {"[]a]", "empty"},
        {"a\\", "backslash"},
        {"\\bword", "word boundaries"},
        {"(a)\\1", "references"},
        {"\\p{L}", "\\p{...}"},
        {"(?=a)", "look-around"},
        {"(?<!a)b", "look-around"},
        {"(?i)a", "flags"},
        {"\\q", "escape"},
        {"\\xZZ", "hexadecimal"},
        {"\\u{110000}", "no such character"},
        {"\\ud800", "no such character"},
        {"a^b", "^ and $"},
        {"a$b", "$ is supported only where"},
        {"(^a)", "^ and $"},
        {"a\xff", "UTF-8"},
        {"[^\\S\\s]", "matches no text"},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error err = refuse_regex(vocabulary.trie, table[i].pattern);
        cr_assert_eq(err.code, ERROR_INVALID, "%s", table[i].pattern);
        cr_assert(strstr(err.text, table[i].says) != NULL, "%s: \"%s\" does not say \"%s\"",
                  table[i].pattern, err.text, table[i].says);
    }
    char deep[1000] = "";
    for (size_t i = 0; i < 400; i++) {
        strcat(deep, "(");
    }
    cr_assert_eq(refuse_regex(vocabulary.trie, deep).code, ERROR_INVALID);
    char *huge = malloc(200001);
    memset(huge, 'a', 200000);
    huge[200000] = '\0';
    cr_assert_eq(refuse_regex(vocabulary.trie, huge).code, ERROR_TOO_LARGE);
    free(huge);
    vocabulary_close(&vocabulary);
}
