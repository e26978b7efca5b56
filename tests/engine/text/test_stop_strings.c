#include "engine/text/stop_strings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* What a reader may see of `text`: up to the stop string that is complete first, and of several
 * that end at the same byte before the one that starts first. */
static size_t visible_length(const char *text, const char *const *stops, size_t count,
                             bool *stopped) {
    for (size_t end = 1; end <= strlen(text); end++) {
        for (size_t start = 0; start < end; start++) {
            for (size_t i = 0; i < count; i++) {
                size_t length = strlen(stops[i]);
                if (length == end - start && memcmp(text + start, stops[i], length) == 0) {
                    *stopped = true;
                    return start;
                }
            }
        }
    }
    *stopped = false;
    return strlen(text);
}

/* Pushes `text` cut where the bits of `cuts` are set. What stopped it is what follows what is said. */
static void push_in_pieces(const char *text, unsigned cuts, const char *const *stops, size_t count,
                           struct text_buffer *out, bool *stopped) {
    struct stop_strings *machine = NULL;
    cr_assert(stop_strings_open(&machine, stops, count, NULL));
    size_t length = strlen(text);
    size_t start = 0;
    *stopped = false;
    for (size_t end = 1; end <= length && !*stopped; end++) {
        if (end == length || (cuts >> (end - 1) & 1) != 0) {
            cr_assert(stop_strings_push(machine, text + start, end - start, out, stopped, NULL));
            start = end;
        }
    }
    const char *found = stop_strings_found(machine);
    cr_assert_eq(found != NULL, *stopped);
    if (*stopped) {
        cr_assert_eq(strncmp(text + out->length, found, strlen(found)), 0, "\"%s\" in \"%s\"",
                     found, text);
    } else {
        cr_assert(stop_strings_finish(machine, out, NULL));
    }
    stop_strings_close(machine);
}

Test(stop_strings, every_split_of_a_text_gives_what_the_whole_text_gives) {
    static const struct {
        const char *text;
        const char *stops[3];
        size_t count;
    } cases[] = {
        {"Hello\nUser: x", {"\nUser:"}, 1},
        {"Hello\nUsed", {"\nUser:"}, 1},
        {"aabaabaaab", {"aabaaab"}, 1},
        {"abababac", {"ababac", "zz"}, 2},
        {"xxabcd", {"abcd", "bc"}, 2},
        {"xxabcd", {"cd", "abcd", "d"}, 3},
        {"aaaaaaaa", {"aaa"}, 1},
        {"no stop", {"stopp", "o  "}, 2},
        {"anything", {NULL}, 0},
        {"stop", {"stop"}, 1},
        {"\xC3\xA8\xC3\xA9!", {"\xC3\xA9"}, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        bool expect_stopped;
        size_t expected =
            visible_length(cases[c].text, cases[c].stops, cases[c].count, &expect_stopped);
        unsigned splits = 1u << (strlen(cases[c].text) - 1);
        for (unsigned cuts = 0; cuts < splits; cuts++) {
            struct text_buffer out = {0};
            bool stopped;
            push_in_pieces(cases[c].text, cuts, cases[c].stops, cases[c].count, &out, &stopped);
            cr_assert_eq(stopped, expect_stopped, "\"%s\" cut at %x", cases[c].text, cuts);
            cr_assert(out.length == expected &&
                          (expected == 0 || memcmp(out.bytes, cases[c].text, expected) == 0),
                      "\"%s\" cut at %x gave \"%.*s\", not its first %zu bytes", cases[c].text,
                      cuts, (int)out.length, out.length > 0 ? out.bytes : "", expected);
            text_buffer_deinit(&out);
        }
    }
}

Test(stop_strings, only_what_may_still_become_a_stop_string_is_held) {
    const char *stops[] = {"\nUser:"};
    struct stop_strings *machine = NULL;
    struct text_buffer out = {0};
    bool stopped;
    cr_assert(stop_strings_open(&machine, stops, 1, NULL));
    cr_assert(stop_strings_push(machine, "Hello\nUs", 8, &out, &stopped, NULL));
    cr_assert_str_eq(out.bytes, "Hello");
    cr_assert(stop_strings_push(machine, "ed", 2, &out, &stopped, NULL));
    cr_assert_str_eq(out.bytes, "Hello\nUsed");
    cr_assert_not(stopped);
    stop_strings_close(machine);
    text_buffer_deinit(&out);
}
