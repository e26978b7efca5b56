#include "vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(grammar_gbnf, what_each_construct_matches) {
    static const struct {
        const char *grammar;
        const char *yes[4];
        const char *no[4];
    } table[] = {
        {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "yesno", "maybe"}},
        {"root ::= a-b c_2\na-b ::= \"x\"\nc_2 ::= \"y\"?", {"x", "xy"}, {"y"}},
        {"# a comment\nroot ::= # another\n  \"a\" # and\n  | \"b\"\n\n", {"a", "b"}, {"c"}},
        {"root ::= (\n \"a\"\n | \"b\" )+ \"c\"", {"ac", "abbac"}, {"c", "ab"}},
        {"root ::= [a-c]{2,3} [^0-9\\n]* .", {"abX", "abcx yz"}, {"aX", "ab"}},
        {"root ::= \"a\"{2} \"b\"{,2} \"c\"{1,}", {"aac", "aabbccc"}, {"ac", "aabbbc", "aab"}},
        {"root ::= \"\\n\\r\\t\\\\\\\"\\x41\\u00e9\\U0001F600\"",
         {"\n\r\t\\\"A\u00e9\U0001F600"},
         {"n"}},
        {"root ::= [\\]\\-\\\\^a-]+", {"]-\\^a"}, {"b"}},
        {"root ::= [^\\x80-\\U0010FFFF]", {"a", "\n"}, {"\u00e9"}},
        {"root ::= \"(\" root? \")\" | root2\nroot2 ::= \"x\"", {"()", "((x))"}, {"(", "())"}},
        {"root ::= \"\"", {""}, {"a"}},
        {"root ::= ((\"a\" | \"\")* \"b\")?\r\n", {"", "aab"}, {"a"}},
        {"root ::= \"\u65e5\u672c\"", {"\u65e5\u672c"}, {"\u65e5"}},
        {"root ::= \"a\" | nothing\nnothing ::= [] \"b\"", {"a"}, {"b"}},
        {"root ::= \"[\" i (\",\" \"  \"{0,20} i){2,3} \"]\"\ni ::= \"0\" | \"#\" i | [1-9] "
         "[0-9]{0,30}",
         {"[1,2,3]", "[0,  12,3,4]"},
         {"[1,2]", "[1]", "[1,2,3,4,5]"}},
        {"root ::= \"a\" ([a]{0}){3,50}", {"a"}, {"aa", "aaaa"}},
        {"root ::= \"a\" ([]*){3,50} \"b\"", {"ab"}, {"a"}},
        {"root ::= \"a\" (\"b\" endless)?\nendless ::= \"c\" endless", {"a"}, {"ab", "abc"}},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct grammar_automaton *automaton =
            run_grammar(compile_gbnf(vocabulary.trie, table[i].grammar));
        for (size_t t = 0; t < 4; t++) {
            const char *yes = table[i].yes[t];
            const char *no = table[i].no[t];
            cr_assert(yes == NULL || matches(automaton, yes, strlen(yes)), "%s should match \"%s\"",
                      table[i].grammar, yes);
            cr_assert(no == NULL || !matches(automaton, no, strlen(no)),
                      "%s should not match \"%s\"", table[i].grammar, no);
        }
        grammar_automaton_close(automaton);
    }
    vocabulary_close(&vocabulary);
}

Test(grammar_gbnf, what_is_wrong_is_refused_with_its_line) {
    static const struct {
        const char *grammar;
        const char *says;
    } table[] = {
        {"", "no rule \"root\""},
        {"start ::= \"a\"", "no rule \"root\""},
        {"root ::= \"a\n\"", "line 1, column 10: a text does not end"},
        {"root ::= \"a\"\nb", "line 2, column 1: a rule was expected"},
        {"root ::= \"a\" )", "should have ended"},
        {"root ::= (\"a\"", "parenthesis"},
        {"root ::= [a\n]", "class"},
        {"root ::= [z-a]", "order"},
        {"root ::= missing", "\"missing\" is not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: a rule is defined twice"},
        {"root ::= \"\\q\"", "escape"},
        {"root ::= \"\\ud800\"", "escape"},
        {"root ::= \"a\"{3,2}", "bounds"},
        {"root ::= \"a\"{}", "number"},
        {"root ::= \"a\"{200000}", "100000"},
        {"root ::= <[1000]>", "tokens"},
        {"root ::= root \"a\" | \"b\"", "\"root\" begins with itself"},
        {"root ::= \"x\" a\na ::= b? \"\" c\nb ::= \"b\"\nc ::= a | \"d\"", "begins with itself"},
        {"root ::= (root)? \"a\"", "begins with itself"},
        {"root ::= \"a\" root", "matches no text"},
        {"root ::= a b\na ::= \"a\"\nb ::= []", "matches no text"},
        {"root ::= \"\xff\"", "UTF-8"},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error err = refuse_gbnf(vocabulary.trie, table[i].grammar);
        cr_assert_eq(err.code, ERROR_INVALID, "%s", table[i].grammar);
        cr_assert(strstr(err.text, table[i].says) != NULL, "%s: \"%s\" does not say \"%s\"",
                  table[i].grammar, err.text, table[i].says);
    }
    vocabulary_close(&vocabulary);
}

/* Texts that are long in one way or another. */
static char *repeat(const char *begin, const char *unit, size_t times, const char *end) {
    char *text = malloc(strlen(begin) + times * strlen(unit) + strlen(end) + 1);
    char *at = stpcpy(text, begin);
    for (size_t i = 0; i < times; i++) {
        at = stpcpy(at, unit);
    }
    stpcpy(at, end);
    return text;
}

/* Rules that nest in each other, in parentheses, and may all be empty, within a repetition. */
static char *nest(size_t rules, size_t parentheses) {
    char *text = calloc(rules * (2 * parentheses + 40) + 100, 1);
    char *at = stpcpy(text, "root ::= x0{0,50}\n");
    for (size_t i = 0; i < rules; i++) {
        at += sprintf(at, "x%zu ::= ", i);
        at = memset(at, '(', parentheses);
        at += parentheses + (size_t)sprintf(at + parentheses, "x%zu", i + 1);
        at = (char *)memset(at, ')', parentheses) + parentheses;
        at = stpcpy(at, "\n");
    }
    sprintf(at, "x%zu ::= \"a\"*\n", rules);
    return text;
}

Test(grammar_gbnf, what_nests_within_rules_is_bounded_too) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    char *few = nest(5, 10);
    char *many = nest(5000, 90);
    grammar_release(compile_gbnf(vocabulary.trie, few));
    struct error err = refuse_gbnf(vocabulary.trie, many);
    cr_assert_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
    free(few);
    free(many);
    vocabulary_close(&vocabulary);
}

Test(grammar_gbnf, what_would_explode_is_refused) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    char *texts[] = {
        repeat("root ::= ", "(", 100000, ""),
        repeat("root ::= ", "\"abcdefgh\" | ", 100000, "\"\""),
        repeat("root ::= [", "\\u0100-\\u0101\\u0200-\\u0201", 60000, "]{2}"),
        repeat("root ::= \"a\"", "{9}", 600, ""),
        repeat("root ::= x0\n", "x ::= \"\"\n", 2, ""),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {0};
        if (i != 2) {
            err = refuse_gbnf(vocabulary.trie, texts[i]);
            cr_assert(err.code == ERROR_INVALID || err.code == ERROR_TOO_LARGE, "%s", err.text);
        } else {
            grammar_release(compile_gbnf(vocabulary.trie, texts[i])); /* two ranges in the end */
        }
        free(texts[i]);
    }
    /* Rules that use each other twice: 2^40 letters, were they written out. */
    char *doubling = calloc(1, 4000);
    char *at = stpcpy(doubling, "root ::= x0\n");
    for (int i = 0; i < 40; i++) {
        at += sprintf(at, "x%d ::= x%d x%d\n", i, i + 1, i + 1);
    }
    stpcpy(at, "x40 ::= \"a\"\n");
    grammar_release(compile_gbnf(vocabulary.trie, doubling));
    free(doubling);
    vocabulary_close(&vocabulary);
}
