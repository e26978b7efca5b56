#include "engine/text/regex.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

static struct regex *compile(const char *pattern) {
    struct regex *regex = NULL;
    struct error err = {0};
    cr_assert(regex_open(&regex, text(pattern), &err), "%s: %s", pattern, err.text);
    return regex;
}

/* All matches, each between brackets. */
static void check(const char *pattern, const char *subject, const char *expected) {
    struct regex *regex = compile(pattern);
    struct regex_search *search = NULL;
    char shown[300] = "";
    bool found = true;
    size_t begin;
    size_t end;
    cr_assert(regex_search_open(&search, regex, NULL));
    regex_search_begin(search, text(subject));
    while (found) {
        cr_assert(regex_search_next(search, &found, &begin, &end, NULL));
        if (found) {
            size_t length = strlen(shown);
            snprintf(shown + length, sizeof shown - length, "[%.*s]", (int)(end - begin),
                     subject + begin);
        }
    }
    cr_assert_str_eq(shown, expected, "%s on \"%s\": %s, expected %s", pattern, subject, shown,
                     expected);
    regex_search_close(search);
    regex_close(regex);
}

Test(regex, families_patterns_cut_words_numbers_and_white_space) {
    static const char llama[] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    check(llama, "I'LL  buy 12345 ½€!\n\n  now",
          "[I]['LL][ ][ buy][ ][123][45][ ][½][€!\n\n][ ][ now]");
    check(llama, "привет, 世界", "[привет][,][ 世界]");
    check(
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+",
        "camelCase XMLfile", "[camel][Case][ XMLfile]");
}

/* What Oniguruma finds, where PCRE2 by itself finds something else. */
Test(regex, a_pattern_means_what_it_means_to_oniguruma) {
    check("\\s+",
          "a \xE1\xA0\x8E"
          "b",
          "[ ]");                                          /* U+180E is no white space */
    check("[^\\S]", "\xC2\x85\xE1\xA0\x8E", "[\xC2\x85]"); /* but U+0085 is */
    check("\\p{L}+", "\xF0\xB1\x8D\x90-\xF0\x90\xB5\x90",
          "[\xF0\xB1\x8D\x90][\xF0\x90\xB5\x90]"); /* letters of Unicode 15 and 16 */
    check("\\P{L}+", "a\xF0\xB1\x8D\x90-", "[-]");
    check("\\w+", "e\xCC\x81-x\xC2\xB2", "[e\xCC\x81][x\xC2\xB2]");
    check("[^\\w\\s]+", "x\xC2\xB2", "[\xC2\xB2]");
    check("\\d{1,2}+-", "1234-", "[1234-]"); /* repeated, not possessive */
    check("a{2}?b", "aab b", "[aab][b]");    /* optional, not lazy */
    check("x{,2}y", "xxxy", "[xxy]");
    check("{1}", "{1}", "[{1}]");
    check("[a[b-c]]+", "abcd", "[abc]");
    check("[]x-]+", "]-xy", "[]-x]");
    check("\\h+\\v", "beef\v", "[beef\v]");
    check("^b$", "a\nb\nc", "[b]");
    check("\\Aa|c\\z", "a\nac", "[a][c]");
    check("\\x{e9}|\\u4f60|\\x41", "A\xC3\xA9\xE4\xBD\xA0", "[A][\xC3\xA9][\xE4\xBD\xA0]");
    check("(?<=a)b(?!c)", "abc ab", "[b]");
}

Test(regex, empty_matches_stand_once_and_not_behind_another_match) {
    check("x*", "axb", "[][x][]");
    check("(?=b)", "abb", "[][]");
}

static void expect_refusal(const char *pattern, enum error_code code, const char *part) {
    struct regex *regex = NULL;
    struct error err = {0};
    cr_assert_not(regex_open(&regex, text(pattern), &err), "accepted %s", pattern);
    cr_assert_eq(err.code, code, "%s: %s", pattern, err.text);
    cr_assert(strstr(err.text, part) != NULL, "%s: \"%s\" does not say \"%s\"", pattern, err.text,
              part);
}

Test(regex, what_would_mean_something_else_is_refused_by_name) {
    expect_refusal("[a&&[^b]]", ERROR_UNSUPPORTED, "intersection");
    expect_refusal("[a[^b]]", ERROR_UNSUPPORTED, "negated set");
    expect_refusal("[[:alpha:]]", ERROR_UNSUPPORTED, "[:...:]");
    expect_refusal("[\\P{L}]", ERROR_UNSUPPORTED, "\\P");
    expect_refusal("\\p{Han}", ERROR_UNSUPPORTED, "general category");
    expect_refusal("\\bword", ERROR_UNSUPPORTED, "\\b");
    expect_refusal("(a)\\1", ERROR_UNSUPPORTED, "\\1");
    expect_refusal("(?m:.)", ERROR_UNSUPPORTED, "(?...)");
    expect_refusal("\\xE9", ERROR_UNSUPPORTED, "number");
    expect_refusal("[a", ERROR_BAD_FILE, "does not end");
    expect_refusal("a)", ERROR_BAD_FILE, "group");
    expect_refusal("(a", ERROR_BAD_FILE, "parenthesis");
    expect_refusal("a\\", ERROR_UNSUPPORTED, "end");
}

Test(regex, a_search_that_takes_too_many_steps_is_an_error) {
    struct regex *regex = compile("(?:a|aa|a+)+$");
    struct regex_search *search = NULL;
    struct error err = {0};
    char subject[60] = "";
    bool found;
    size_t begin;
    size_t end;
    memset(subject, 'a', sizeof subject - 2);
    subject[sizeof subject - 2] = 'b';
    cr_assert(regex_search_open(&search, regex, NULL));
    regex_search_begin(search, (struct token_text){subject, sizeof subject - 1});
    cr_assert_not(regex_search_next(search, &found, &begin, &end, &err));
    cr_assert_eq(err.code, ERROR_UNSUPPORTED, "%s", err.text);
    cr_assert(strstr(err.text, "(?:a|aa|a+)+$") != NULL, "%s", err.text);
    regex_search_close(search);
    regex_close(regex);
}

Test(regex, backtracking_over_a_megabyte_finds_its_match) {
    enum { LENGTH = 1000000 };
    struct regex *regex = compile("(?:a|b)+c|a");
    struct regex_search *search = NULL;
    struct error err = {0};
    char *subject = malloc(LENGTH);
    bool found;
    size_t begin;
    size_t end;
    memset(subject, 'a', LENGTH);
    subject[LENGTH - 1] = 'c';
    cr_assert(regex_search_open(&search, regex, NULL));
    regex_search_begin(search, (struct token_text){subject, LENGTH});
    bool searched = regex_search_next(search, &found, &begin, &end, &err);
    cr_assert(searched ? found && end == LENGTH : err.code == ERROR_UNSUPPORTED, "%s", err.text);
    regex_search_close(search);
    regex_close(regex);
    free(subject);
}
