#include "engine/error.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, what_a_sentence_quotes_cannot_move_a_cursor) {
    struct error err = {0};
    error_set(&err, ERROR_BAD_FILE, "node %s", "\033]0;title\007 naïve\n\302\2331m \377");
    cr_assert_str_eq(err.text, "node ?]0;title? naïve???1m ?");
    error_prefix(&err, "%s", "a\rb");
    cr_assert_str_eq(err.text, "a?b: node ?]0;title? naïve???1m ?");
}

Test(error, a_sentence_that_is_cut_is_still_utf8) {
    char names[ERROR_TEXT_BYTES + 1] = "";
    struct error err = {0};
    for (size_t i = 0; i + 2 < sizeof names; i += 2) {
        strcpy(names + i, "é");
    }
    error_set(&err, ERROR_BAD_FILE, "%s", names);
    cr_assert_eq(strlen(err.text), ERROR_TEXT_BYTES - 1);
    cr_assert_str_eq(err.text + ERROR_TEXT_BYTES - 4, "é?");
}
