/* Thoughts split off replies, however the replies are cut into pieces. */
#include "server/reasoning.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct reasoning_marks think = {"<think>", "</think>"};

static const struct {
    bool open; /* the prompt has the first mark */
    const char *reply;
    const char *thought;
    const char *text;
} cases[] = {
    {false, "<think>\nHm, 6 x 7.\n</think>\n\nIt is 42.", "Hm, 6 x 7.", "It is 42."},
    {false, "\n <think>a</think>b", "a", "b"},
    {true, "\nHm.\n\nSo.\n</think>\n\nYes.\n", "Hm.\n\nSo.", "Yes.\n"},
    {true, "<think>\nagain</think>text", "again", "text"},
    {true, "a < b </thin </think>c", "a < b </thin", "c"},
    {true, "a</think>b</think>c", "a", "b</think>c"},
    {true, "</think>text", "", "text"},
    {true, "never ends </th", "never ends </th", ""},
    {true, " \n", "", ""},
    {false, "<think> \n </think> \n", "", ""},
    {false, " no thoughts <think>here</think>", "", " no thoughts <think>here</think>"},
    {false, "<thin", "", "<thin"},
    {false, "<thing", "", "<thing"},
    {false, "  ", "", "  "},
    {false, "", "", ""},
};

/* The reply in pieces that end at `first`, at `second` and at the end. */
static void check(size_t index, size_t first, size_t second) {
    const char *reply = cases[index].reply;
    size_t length = strlen(reply);
    struct reasoning reasoning;
    struct text_buffer thought = {0};
    struct text_buffer text = {0};
    reasoning_init(&reasoning, &think, cases[index].open);
    text_buffer_append(&thought, "", 0);
    text_buffer_append(&text, "", 0);
    cr_assert(reasoning_push(&reasoning, reply, first, &thought, &text));
    cr_assert(reasoning_push(&reasoning, reply + first, second - first, &thought, &text));
    cr_assert(reasoning_push(&reasoning, reply + second, length - second, &thought, &text));
    cr_assert(reasoning_finish(&reasoning, &thought, &text));
    cr_expect(strlen(cases[index].thought) == thought.length &&
                  memcmp(thought.bytes, cases[index].thought, thought.length) == 0,
              "%s cut at %zu and %zu: thought \"%.*s\"", reply, first, second, (int)thought.length,
              thought.bytes);
    cr_expect(strlen(cases[index].text) == text.length &&
                  memcmp(text.bytes, cases[index].text, text.length) == 0,
              "%s cut at %zu and %zu: text \"%.*s\"", reply, first, second, (int)text.length,
              text.bytes);
    text_buffer_deinit(&thought);
    text_buffer_deinit(&text);
    reasoning_deinit(&reasoning);
}

Test(reasoning, pieces_may_end_anywhere) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = strlen(cases[i].reply);
        for (size_t first = 0; first <= length; first++) {
            for (size_t second = first; second <= length; second++) {
                check(i, first, second);
            }
        }
    }
}

Test(reasoning, what_is_no_mark_is_said_at_once) {
    struct reasoning reasoning;
    struct text_buffer thought = {0};
    struct text_buffer text = {0};
    reasoning_init(&reasoning, &think, true);
    cr_assert(reasoning_push(&reasoning, "Hm, so", 6, &thought, &text));
    cr_expect_eq(thought.length, 6);
    cr_assert(reasoning_push(&reasoning, "</think>Yes", 11, &thought, &text));
    cr_expect_eq(text.length, 3);
    text_buffer_deinit(&thought);
    text_buffer_deinit(&text);
    reasoning_deinit(&reasoning);
}

Test(reasoning, marks_are_those_of_the_template) {
    static const char qwen[] = "{% set x = m.content.split('</think>') %}<|im_start|>assistant\n";
    static const char plain[] = "{{ messages }}";
    cr_expect_str_eq(reasoning_marks_of_template(qwen, strlen(qwen))->begin, "<think>");
    cr_expect_null(reasoning_marks_of_template(plain, strlen(plain)));
    cr_expect(reasoning_is_open(&think, "assistant\n<think>\n", 18));
    cr_expect_not(reasoning_is_open(&think, "<think>\n\n</think>\n\n", 19));
    cr_expect_not(reasoning_is_open(&think, "hink>", 5));
    cr_expect_not(reasoning_is_open(NULL, "<think>", 7));
}
