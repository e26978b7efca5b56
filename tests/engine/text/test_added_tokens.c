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
    size_t length = strlen(text);
    for (size_t from = 0; from < length;) {
        struct added_match match = added_tokens_find(added, text, length, from);
        if (match.token != NULL) {
            size_t at = strlen(shown);
            snprintf(shown + at, sizeof shown - at, "%d[%zu,%zu)", match.token->id, match.begin,
                     match.end);
        }
        from = match.end;
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
