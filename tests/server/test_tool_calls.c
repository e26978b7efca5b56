#include "server/tool_calls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"find", "now"};

static void append(struct text_buffer *out, const char *text) {
    cr_assert(text_buffer_append(out, text, strlen(text)));
}

/* Writes what is said as text, and calls as "«name arguments»". */
static void drain(struct tool_calls *calls, struct text_buffer *out) {
    struct tool_event event;
    while (tool_calls_next(calls, &event)) {
        if (event.kind == TOOL_EVENT_BEGIN) {
            append(out, "«");
        }
        cr_assert(text_buffer_append(out, event.bytes, event.length));
        append(out, event.kind == TOOL_EVENT_BEGIN ? " " : event.kind == TOOL_EVENT_END ? "»" : "");
    }
}

/* Pushes a text in pieces of `piece` bytes, of which the first is `first` bytes long. */
static char *read_in_pieces(const char *template, const char *text, size_t first, size_t piece) {
    const struct tool_format *format = tool_format_of_template(template, strlen(template));
    struct tool_calls *calls = NULL;
    struct text_buffer out = {0};
    cr_assert(tool_calls_open(&calls, format, names, 2, NULL));
    append(&out, "");
    size_t left = strlen(text);
    for (size_t length = first; left > 0; length = piece) {
        length = length < left ? length : left;
        cr_assert(tool_calls_push(calls, text, length));
        drain(calls, &out);
        text += length;
        left -= length;
    }
    tool_calls_finish(calls);
    drain(calls, &out);
    tool_calls_close(calls);
    return out.bytes;
}

struct reply {
    const char *text;
    const char *read;
};

static void check(const char *template, const struct reply *replies, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(replies[i].text);
        for (size_t first = 1; first <= length; first++) {
            size_t pieces[] = {1, 3, length};
            for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
                char *read = read_in_pieces(template, replies[i].text, first, pieces[p]);
                cr_assert_str_eq(read, replies[i].read, "%s, cut at %zu and every %zu", template,
                                 first, pieces[p]);
                free(read);
            }
        }
    }
}

#define CHECK(template, replies) check(template, replies, sizeof(replies) / sizeof *(replies))

Test(tool_calls, hermes) {
    static const struct reply replies[] = {
        {"<tool_call>\n{\"name\": \"find\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
         "«find {\"city\": \"Paris\"}»"},
        {"I look.\n\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>\n"
         "<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": [{}, \"}\\\"{\"]}}</tool_call>\n",
         "I look.«now {}»«find {\"a\": [{}, \"}\\\"{\"]}»"},
        {"<tool_call>{\"arguments\": {\"a\": {\"b\": 1}}, \"name\": \"find\"}</tool_call>Done. ",
         "«find {\"a\": {\"b\": 1}}»Done. "},
        {"<tool_call>{\"name\": \"now\"}</tool_call>", "«now {}»"},
        {"<tool_call>{\"name\": \"now\", \"arguments\": null, \"id\": 7 }", "«now {}»"},
        {"<tool_call>{\"id\": \"x\", \"name\": \"now\", \"arguments\": {}, \"id\": [1, 2]}",
         "«now {}»"},
    };
    CHECK("<tool_call>", replies);
}

Test(tool_calls, mistral_and_others_with_lists) {
    static const struct reply replies[] = {
        {"[TOOL_CALLS] [{\"name\": \"find\", \"arguments\": {\"a\": 1}, \"id\": \"abcdefghi\"},\n"
         " {\"name\": \"now\", \"arguments\": {}}]",
         "«find {\"a\": 1}»«now {}»"},
        {"Well. [TOOL_CALLS][{\"name\":\"now\"},{\"name\":\"now\"}] So.",
         "Well.«now {}»«now {}» So."},
    };
    CHECK("[TOOL_CALLS]", replies);
    static const struct reply phi[] = {
        {"<|tool_call|>[{\"name\": \"find\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
         "«find {\"a\": 1}»"},
        {"functools[{\"name\": \"now\", \"arguments\": {}}]", "«now {}»"},
        {"the functools module", "the functools module"},
    };
    CHECK("<|tool|><|/tool|>", phi);
    static const struct reply granite[] = {
        {"<|tool_call|>[{\"name\": \"find\", \"arguments\": {\"a\": 1}}]", "«find {\"a\": 1}»"},
        {"<tool_call>[{\"arguments\": {}, \"name\": \"now\"}]", "«now {}»"},
    };
    CHECK("<|tool_call|>", granite);
}

Test(tool_calls, mistral_with_names_before_arguments) {
    static const struct reply replies[] = {
        {"[TOOL_CALLS]find[ARGS]{\"a\": 1}[TOOL_CALLS]now[CALL_ID]abc123[ARGS] {}",
         "«find {\"a\": 1}»«now {}»"},
        {"[TOOL_CALLS]now{}", "«now {}»"},
        {"[TOOL_CALLS]nowhere[ARGS]{}", "[TOOL_CALLS]nowhere[ARGS]{}"},
    };
    CHECK("[TOOL_CALLS] [ARGS]", replies);
}

Test(tool_calls, llama) {
    static const struct reply replies[] = {
        {"{\"name\": \"find\", \"parameters\": {\"a\": 1}}", "«find {\"a\": 1}»"},
        {"\n<|python_tag|>{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}",
         "«now {}»"},
        {"{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"find\", \"parameters\": {\"a\": "
         "{}}}",
         "«now {}»«find {\"a\": {}}»"},
        {"It is {\"name\": \"now\", \"parameters\": {}}",
         "It is {\"name\": \"now\", \"parameters\": {}}"},
        {" {\"city\": \"Paris\", \"name\": \"now\"}", " {\"city\": \"Paris\", \"name\": \"now\"}"},
        {"{\"name\": \"Ann\", \"parameters\": {}}", "{\"name\": \"Ann\", \"parameters\": {}}"},
        {"<|python_tag|>print(1)", "<|python_tag|>print(1)"},
    };
    CHECK("<|python_tag|>", replies);
}

Test(tool_calls, what_is_no_call_is_text) {
    static const struct reply replies[] = {
        {"no call at all\n", "no call at all\n"},
        {" \n ", " \n "},
        {"a < b <tool <tool_cal", "a < b <tool <tool_cal"},
        {" <tool_call> {\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
         " <tool_call> {\"name\": \"unknown\", \"arguments\": {}}</tool_call>"},
        {"<tool_call>{\"name\": 7}", "<tool_call>{\"name\": 7}"},
        {"<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>"},
        {"<tool_call>[]", "<tool_call>[]"},
        {"<tool_call>{\"name\": \"find\", \"argu", "<tool_call>{\"name\": \"find\", \"argu"},
        {"<tool_call><tool_call>{\"name\": \"now\"}", "<tool_call>«now {}»"},
    };
    CHECK("<tool_call>", replies);
}

Test(tool_calls, arguments_that_break_off_or_go_wrong_are_passed_on) {
    static const struct reply replies[] = {
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": \"Par", "«find {\"a\": \"Par»"},
        {"<tool_call>{\"name\": \"now\", \"arguments\": {}</tool_call>", "«now {}»"},
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": 1</tool_call>.",
         "«find {\"a\": 1»."},
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": 1;2}}", "«find {\"a\": 1»;2}}"},
        {"<tool_call>{\"name\": \"now\", \"arguments\": {}, \"x\"", "«now {}»"},
    };
    CHECK("<tool_call>", replies);
}

Test(tool_calls, any_template_has_a_format) {
    static const struct reply replies[] = {
        {"{\"name\": \"find\", \"arguments\": {\"a\": 1}}", "«find {\"a\": 1}»"},
        {"{\"find\": 1}", "{\"find\": 1}"},
    };
    CHECK("{{ tools }}", replies);
}

Test(tool_calls, text_and_arguments_come_as_soon_as_they_are_known) {
    const struct tool_format *format = tool_format_of_template("<tool_call>", 11);
    struct tool_calls *calls = NULL;
    struct text_buffer out = {0};
    cr_assert(tool_calls_open(&calls, format, names, 2, NULL));
    static const char *const pieces[][2] = {
        {"I look.\n<tool", "I look."},
        {"_call>{\"name\": \"find\",", "I look."},
        {" \"arguments\": {\"city", "I look.«find {\"city"},
        {"\": \"P", "I look.«find {\"city\": \"P"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        cr_assert(tool_calls_push(calls, pieces[i][0], strlen(pieces[i][0])));
        drain(calls, &out);
        cr_expect_str_eq(out.bytes, pieces[i][1]);
    }
    text_buffer_deinit(&out);
    tool_calls_close(calls);
}

/* A call that never comes to its point, white space without end. */
Test(tool_calls, little_is_held_back) {
    static const char *const beginnings[] = {"<tool_call>{\"arguments\": {\"a\": \"", "\n"};
    char piece[1024];
    for (size_t b = 0; b < 2; b++) {
        const struct tool_format *format = tool_format_of_template("<tool_call>", 11);
        struct tool_calls *calls = NULL;
        struct text_buffer out = {0};
        size_t pushed = strlen(beginnings[b]);
        memset(piece, b == 0 ? 'x' : ' ', sizeof piece);
        cr_assert(tool_calls_open(&calls, format, names, 2, NULL));
        cr_assert(tool_calls_push(calls, beginnings[b], pushed));
        for (size_t i = 0; i < 64; i++, pushed += sizeof piece) {
            drain(calls, &out);
            cr_assert(tool_calls_push(calls, piece, sizeof piece));
        }
        drain(calls, &out);
        cr_expect(out.length + CALL_HEAD_MAX + 2 * sizeof piece > pushed, "%zu of %zu", out.length,
                  pushed);
        tool_calls_finish(calls);
        drain(calls, &out);
        cr_expect_eq(out.length, pushed);
        text_buffer_deinit(&out);
        tool_calls_close(calls);
    }
}
