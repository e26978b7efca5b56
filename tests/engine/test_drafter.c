#include "engine/drafter.h"

#include <criterion/criterion.h>

Test(drafter, guesses_what_followed_the_last_three_tokens_most_recently) {
    int32_t tokens[16] = {1, 2, 3, 7, 1, 2, 3, 4, 5, 6, 1, 2, 3};
    struct drafter drafter = {0};
    cr_assert_eq(drafter_guess(&drafter, tokens, 13, 3), 2, "it begins with two");
    cr_assert_eq(tokens[13], 4);
    cr_assert_eq(tokens[14], 5);
}

Test(drafter, guesses_go_on_where_tokens_repeat) {
    int32_t tokens[12] = {8, 9, 8, 9, 8, 9};
    struct drafter drafter = {.confidence = 4};
    cr_assert_eq(drafter_guess(&drafter, tokens, 6, 6), 6);
    for (size_t i = 6; i < 12; i++) {
        cr_assert_eq(tokens[i], i % 2 == 0 ? 8 : 9);
    }
}

Test(drafter, says_nothing_where_it_knows_nothing) {
    int32_t tokens[8] = {1, 2, 3, 4, 5, 6};
    struct drafter drafter = {0};
    for (size_t length = 0; length <= 6; length++) {
        cr_assert_eq(drafter_guess(&drafter, tokens, length, 2), 0);
    }
    int32_t same[8] = {1, 1, 1, 1, 1, 1};
    cr_assert_eq(drafter_guess(&drafter, same, 6, 0), 0);
}

Test(drafter, learns_to_guess_more_or_to_keep_quiet) {
    int32_t tokens[40] = {0};
    struct drafter drafter = {0};
    size_t guesses[4];
    for (size_t i = 0; i < 4; i++) {
        guesses[i] = drafter_guess(&drafter, tokens, 20, 7);
        drafter_learn(&drafter, guesses[i], guesses[i]);
    }
    cr_assert(guesses[0] == 2 && guesses[1] == 5 && guesses[2] == 7 && guesses[3] == 7);
    size_t spoken = 0;
    for (size_t step = 0; step < 200; step++) {
        size_t count = drafter_guess(&drafter, tokens, 20, 7);
        spoken += count > 0;
        if (count > 0) {
            drafter_learn(&drafter, count, 0);
        }
    }
    cr_assert(spoken >= 10 && spoken <= 20, "it spoke in %zu of 200 steps", spoken);
}
