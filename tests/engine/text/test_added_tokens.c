#include "engine/text/added_tokens.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void add(struct added_tokens *added, struct added_token token, const char *text) {
    struct error err = {0};
    cr_assert(added_tokens_add(added, &token, text, strlen(text), &err), "%s", err.text);
}

/* All matches in a text, as "id[begin,end)". */
static void check(const struct added_tokens *added, const char *text, const char *expected) {
    char shown[200] = "";
    struct added_search search = {.added = added, .text = text, .length = strlen(text)};
    struct added_match match = added_search_next(&search);
    for (; match.token != NULL; match = added_search_next(&search)) {
        size_t at = strlen(shown);
        snprintf(shown + at, sizeof shown - at, "%d[%zu,%zu)", match.token->id, match.begin,
                 match.end);
    }
    cr_assert_str_eq(shown, expected, "\"%s\": %s, expected %s", text, shown, expected);
}

Test(added_tokens, the_leftmost_match_wins_and_there_the_longest) {
    struct added_tokens added;
    added_tokens_init(&added);
    check(&added, "<a>", "");
    add(&added, (struct added_token){.id = 1}, "<a>");
    add(&added, (struct added_token){.id = 2}, "<a><b>");
    add(&added, (struct added_token){.id = 3}, "a><b>!");
    add(&added, (struct added_token){.id = 4}, "\n\n");
    check(&added, "x<a>y", "1[1,4)");
    check(&added, "<a><b>!", "2[0,6)");
    check(&added, "<a><a><b", "1[0,3)1[3,6)");
    check(&added, "\n\n\n", "4[0,2)");
    check(&added, "<a", "");
    added_tokens_deinit(&added);
}

Test(added_tokens, flags_say_what_may_touch_a_token_and_what_it_takes_along) {
    struct added_tokens added;
    added_tokens_init(&added);
    add(&added, (struct added_token){.id = 1, .single_word = true}, "cat");
    add(&added, (struct added_token){.id = 2, .strip_left = true}, "<l>");
    add(&added, (struct added_token){.id = 3, .strip_right = true}, "<r>");
    add(&added, (struct added_token){.id = 4}, "at");
    check(&added, "cat concat cats cat", "1[0,3)1[16,19)");
    check(&added, "a  <l> b", "2[1,6)");
    check(&added, "a <r>\n b", "3[2,7)");
    check(&added, "<r>  <l>", "3[0,5)2[5,8)");
    added_tokens_deinit(&added);
}

Test(added_tokens, letters_digits_marks_and_white_space_are_those_of_unicode) {
    struct added_tokens added;
    added_tokens_init(&added);
    add(&added, (struct added_token){.id = 1, .single_word = true}, "cat");
    add(&added, (struct added_token){.id = 2, .strip_left = true, .strip_right = true}, "<s>");
    check(&added, "écat", "");
    check(&added, "cat_", "");
    check(&added, "cat\xCC\x81", "");     /* a combining mark */
    check(&added, "cat\xE2\x80\x8D", ""); /* a joiner */
    check(&added,
          "\xF0\xB1\x8D\x90"
          "cat",
          ""); /* a letter of Unicode 15 */
    check(&added,
          "\xE2\x86\x92"
          "cat!",
          "1[3,6)");                  /* an arrow */
    check(&added, "½cat…", "1[2,5)"); /* a number, but no digit */
    check(&added, "a\xC2\xA0\xE3\x80\x80<s>\xE2\x80\xA8 b", "2[1,13)");
    check(&added, "a\xE2\x80\x8B<s>\xE1\xA0\x8E", "2[4,7)"); /* neither of them is White_Space */
    added_tokens_deinit(&added);
}

/* The reference goes on behind a token's own text, not behind the white space that it took. */
Test(added_tokens, white_space_that_a_token_took_may_be_a_token_too) {
    struct added_tokens added;
    added_tokens_init(&added);
    add(&added, (struct added_token){.id = 1, .strip_right = true}, "<r>");
    add(&added, (struct added_token){.id = 2}, "\n");
    add(&added, (struct added_token){.id = 3, .strip_left = true}, "\t");
    check(&added, "<r> \n a", "1[0,6)2[4,5)");
    check(&added, "<r>\t", "1[0,4)");
    added_tokens_deinit(&added);
}
