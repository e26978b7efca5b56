/* Where texts that are read out of a reply stand in it. */
#include "server/text_range.h"

#include <criterion/criterion.h>
#include <string.h>

static void push(struct text_range *range, const char *piece) {
    cr_assert(text_range_push(range, piece, strlen(piece)));
}

static void expect(struct text_range *range, const char *text, size_t begin, size_t end) {
    cr_assert(text_range_find(range, text, strlen(text)), "no %s", text);
    cr_expect(range->begin == begin && range->end == end, "%s is at %zu to %zu", text, range->begin,
              range->end);
}

Test(text_range, what_is_left_out_before_a_text_counts) {
    struct text_range range = {0};
    push(&range, "<think>Hm.");
    push(&range, "</think>\n\nEs sind ");
    expect(&range, "Es sind", 20, 27);
    push(&range, "zwölf");
    expect(&range, " zwölf", 27, 33);
    push(&range, ".");
    expect(&range, ".", 33, 34);
    text_range_deinit(&range);
}

Test(text_range, what_is_no_text_is_not_found) {
    struct text_range range = {0};
    push(&range, "It is 7.");
    text_range_skip(&range);
    cr_expect_not(text_range_find(&range, "7.", 2));
    push(&range, "\n7");
    expect(&range, "7", 9, 10);
    cr_expect_not(text_range_find(&range, "much more than there is", 23));
    text_range_deinit(&range);
}
