#include "server/reply_channels.h"
#include "server/tool_calls.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"find", "now"};

/* Reads a reply, of the family whose chat templates have a text. */
struct reply {
    struct tool_calls *calls;
    struct reply_channels *channels; /* of families that have them */
};

static struct reply open_reply(const char *template) {
    const struct tool_format *format = tool_format_of_template(template, strlen(template));
    struct reply reply = {0};
    cr_assert(format->has_channels ? reply_channels_open(&reply.channels, names, 2, NULL)
                                   : tool_calls_open(&reply.calls, format, names, 2, NULL));
    return reply;
}

static void push(struct reply reply, const char *bytes, size_t length) {
    cr_assert(reply.channels != NULL ? reply_channels_push(reply.channels, bytes, length)
                                     : tool_calls_push(reply.calls, bytes, length));
}

static bool next(struct reply reply, struct tool_event *event) {
    return reply.channels != NULL ? reply_channels_next(reply.channels, event)
                                  : tool_calls_next(reply.calls, event);
}

static void append(struct text_buffer *out, const char *text) {
    cr_assert(text_buffer_append(out, text, strlen(text)));
}

/* Writes what is said as text, calls as "«name arguments»", and reasoning in capitals. */
static void drain(struct reply reply, struct text_buffer *out) {
    struct tool_event event;
    while (next(reply, &event)) {
        if (event.kind == TOOL_EVENT_BEGIN) {
            append(out, "«");
        }
        cr_assert(text_buffer_append(out, event.bytes, event.length));
        for (size_t i = out->length - event.length;
             event.kind == TOOL_EVENT_REASONING && i < out->length; i++) {
            out->bytes[i] = (char)toupper(out->bytes[i]);
        }
        append(out, event.kind == TOOL_EVENT_BEGIN ? " " : event.kind == TOOL_EVENT_END ? "»" : "");
    }
}

static void finish(struct reply reply, struct text_buffer *out) {
    if (reply.channels != NULL) {
        reply_channels_finish(reply.channels);
    } else {
        tool_calls_finish(reply.calls);
    }
    drain(reply, out);
    reply_channels_close(reply.channels);
    tool_calls_close(reply.calls);
}

/* Pushes a text in pieces of `piece` bytes, of which the first is `first` bytes long. */
static char *read_in_pieces(const char *template, const char *text, size_t first, size_t piece) {
    struct reply reply = open_reply(template);
    struct text_buffer out = {0};
    append(&out, "");
    size_t left = strlen(text);
    for (size_t length = first; left > 0; length = piece) {
        length = length < left ? length : left;
        push(reply, text, length);
        drain(reply, &out);
        text += length;
        left -= length;
    }
    finish(reply, &out);
    return out.bytes;
}

struct example {
    const char *text;
    const char *read;
};

static void check(const char *template, const struct example *replies, size_t count) {
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
    static const struct example replies[] = {
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
    static const struct example replies[] = {
        {"[TOOL_CALLS] [{\"name\": \"find\", \"arguments\": {\"a\": 1}, \"id\": \"abcdefghi\"},\n"
         " {\"name\": \"now\", \"arguments\": {}}]",
         "«find {\"a\": 1}»«now {}»"},
        {"Well. [TOOL_CALLS][{\"name\":\"now\"},{\"name\":\"now\"}] So.",
         "Well.«now {}»«now {}» So."},
    };
    CHECK("[TOOL_CALLS]", replies);
    static const struct example phi[] = {
        {"<|tool_call|>[{\"name\": \"find\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
         "«find {\"a\": 1}»"},
        {"functools[{\"name\": \"now\", \"arguments\": {}}]", "«now {}»"},
        {"the functools module", "the functools module"},
    };
    CHECK("<|tool|><|/tool|>", phi);
    static const struct example granite[] = {
        {"<|tool_call|>[{\"name\": \"find\", \"arguments\": {\"a\": 1}}]", "«find {\"a\": 1}»"},
        {"<tool_call>[{\"arguments\": {}, \"name\": \"now\"}]", "«now {}»"},
    };
    CHECK("<|tool_call|>", granite);
}

Test(tool_calls, mistral_with_names_before_arguments) {
    static const struct example replies[] = {
        {"[TOOL_CALLS]find[ARGS]{\"a\": 1}[TOOL_CALLS]now[CALL_ID]abc123[ARGS] {}",
         "«find {\"a\": 1}»«now {}»"},
        {"[TOOL_CALLS]now{}", "«now {}»"},
        {"[TOOL_CALLS]nowhere[ARGS]{}", "[TOOL_CALLS]nowhere[ARGS]{}"},
    };
    CHECK("[TOOL_CALLS] [ARGS]", replies);
}

Test(tool_calls, llama) {
    static const struct example replies[] = {
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
    static const struct example replies[] = {
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
    static const struct example replies[] = {
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": \"Par", "«find {\"a\": \"Par»"},
        {"<tool_call>{\"name\": \"now\", \"arguments\": {}</tool_call>", "«now {}»"},
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": 1</tool_call>.",
         "«find {\"a\": 1»."},
        {"<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": 1;2}}", "«find {\"a\": 1»;2}}"},
        {"<tool_call>{\"name\": \"now\", \"arguments\": {}, \"x\"", "«now {}»"},
    };
    CHECK("<tool_call>", replies);
}

Test(tool_calls, channels_of_gpt_oss) {
    static const struct example replies[] = {
        {"<|channel|>analysis<|message|>hm, so.<|end|><|start|>assistant<|channel|>final<|message|>"
         "It is 5 < 7.<|return|>",
         "HM, SO.It is 5 < 7."},
        {"<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.find <|constrain|>json<|message|>{\"a\": 1}<|call|>",
         "I look.«find {\"a\": 1}»"},
        {" to=functions.now<|channel|>commentary json<|message|> {}", "«now {}»"},
        {"<|channel|>commentary to=functions.then<|message|>{}<|call|>", "{}"},
        {"<|channel|>analysis<|message|>cut off <|en", "CUT OFF <|EN"},
        {"<|channel|>analysis<|message|>one<|channel|>final<|message|>two", "ONEtwo"},
        {"no channels", "no channels"},
        {"<|channel|>fin", "<|channel|>fin"},
        {"<b> is a tag<|end|>", "<b> is a tag"},
        {"<|message|>bare<|end|>tail", "baretail"},
    };
    CHECK("<|channel|>", replies);
}

Test(tool_calls, any_template_has_a_format) {
    static const struct example replies[] = {
        {"{\"name\": \"find\", \"arguments\": {\"a\": 1}}", "«find {\"a\": 1}»"},
        {"{\"find\": 1}", "{\"find\": 1}"},
    };
    CHECK("{{ tools }}", replies);
}

Test(tool_calls, text_and_arguments_come_as_soon_as_they_are_known) {
    struct reply reply = open_reply("<tool_call>");
    struct text_buffer out = {0};
    static const char *const pieces[][2] = {
        {"I look.\n<tool", "I look."},
        {"_call>{\"name\": \"find\",", "I look."},
        {" \"arguments\": {\"city", "I look.«find {\"city"},
        {"\": \"P", "I look.«find {\"city\": \"P"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        push(reply, pieces[i][0], strlen(pieces[i][0]));
        drain(reply, &out);
        cr_expect_str_eq(out.bytes, pieces[i][1]);
    }
    finish(reply, &out);
    text_buffer_deinit(&out);
}

/* A call that never comes to its point, white space without end. */
Test(tool_calls, little_is_held_back) {
    static const struct {
        const char *template;
        const char *beginning;
        char byte;
    } replies[] = {
        {"<tool_call>", "<tool_call>{\"arguments\": {\"a\": \"", 'x'},
        {"<tool_call>", "\n", ' '},
        {"<|channel|>", "<|channel|>", 'x'},
        {"<|channel|>", "<|start|>", '<'},
    };
    char piece[1024];
    for (size_t b = 0; b < sizeof replies / sizeof *replies; b++) {
        struct reply reply = open_reply(replies[b].template);
        struct text_buffer out = {0};
        size_t pushed = strlen(replies[b].beginning);
        memset(piece, replies[b].byte, sizeof piece);
        push(reply, replies[b].beginning, pushed);
        for (size_t i = 0; i < 64; i++, pushed += sizeof piece) {
            drain(reply, &out);
            push(reply, piece, sizeof piece);
        }
        drain(reply, &out);
        cr_expect(out.length + CALL_HEAD_MAX + 2 * sizeof piece > pushed, "%zu of %zu", out.length,
                  pushed);
        finish(reply, &out);
        cr_expect_eq(out.length, pushed);
        text_buffer_deinit(&out);
    }
}
