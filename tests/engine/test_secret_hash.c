#include "engine/secret_hash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { NAMES = 4096, PLACES = 2 * NAMES };

/* As many as if they were thrown: 0.787 of all names come first to their place, give or take 0.007. */
Test(secret_hash, similar_names_have_places_all_over_a_table) {
    static bool taken[PLACES];
    size_t first = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[64];
        snprintf(name, sizeof name, "/model/layers.%d/attn/output_0", i);
        size_t place = (size_t)secret_hash(name, strlen(name)) % PLACES;
        cr_assert_eq(place, (size_t)secret_hash(name, strlen(name)) % PLACES);
        first += !taken[place];
        taken[place] = true;
    }
    cr_assert_gt(first, NAMES * 3 / 4, "only %zu different places", first);
}

Test(secret_hash, a_text_is_not_one_with_zeros_behind_it) {
    cr_assert_neq(secret_hash("a", 1), secret_hash("a\0", 2));
    cr_assert_neq(secret_hash("", 0), secret_hash("\0\0\0\0\0\0\0", 7));
}
