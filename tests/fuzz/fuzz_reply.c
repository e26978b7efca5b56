/* Any bytes as a reply: read at once and in pieces, it must say the same.
 *
 *     byte 0   the family of the model, and what else there is to choose
 *     byte 1   bytes of a piece
 *     rest     the reply */
#include "server/chat_reply.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const names[] = {"find", "now"};

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

static struct chat_reply_options options_of(uint8_t choice) {
    static const char *const templates[] = {
        "<tool_call>",    "[ARGS]", "[TOOL_CALLS]", "<|/tool|>", "<|tool_call|>",
        "<|python_tag|>", "",       "<|channel|>"};
    static const char thinking[] = "</think>";
    const char *template = templates[choice % 8];
    const struct tool_format *format = tool_format_of_template(template, strlen(template));
    return (struct chat_reply_options){
        .marks =
            (choice & 8) != 0 ? reasoning_marks_of_template(thinking, sizeof thinking - 1) : NULL,
        .thinks = (choice & 16) != 0,
        .tool_format = format,
        .tool_names = names,
        .tool_count = sizeof names / sizeof *names,
        .has_channels = format->has_channels,
        .one_call = (choice & 32) != 0,
    };
}

/* Texts follow a mark of their kind, however many events bring them. */
static void write_events(struct chat_reply *reply, struct text_buffer *out, int *last) {
    struct tool_event event;
    bool fine;
    while (chat_reply_next(reply, &event, &fine)) {
        char mark = (char)event.kind;
        if (*last != (int)event.kind || event.kind == TOOL_EVENT_BEGIN) {
            require(text_buffer_append(out, &mark, 1));
        }
        require(text_buffer_append(out, event.bytes, event.length));
        *last = (int)event.kind;
    }
    require(fine);
}

static struct text_buffer read_reply(const struct chat_reply_options *options, const char *text,
                                     size_t length, size_t piece) {
    struct chat_reply reply;
    struct text_buffer out = {0};
    int last = -1;
    require(chat_reply_open(&reply, options, NULL) && text_buffer_append(&out, "", 0));
    for (size_t at = 0; at < length; at += piece) {
        size_t left = length - at;
        require(chat_reply_push(&reply, text + at, left < piece ? left : piece));
        write_events(&reply, &out, &last);
    }
    require(chat_reply_finish(&reply));
    write_events(&reply, &out, &last);
    chat_reply_close(&reply);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct chat_reply_options options = options_of(bytes[0]);
    const char *text = (const char *)bytes + 2;
    struct text_buffer whole = read_reply(&options, text, size - 2, size);
    struct text_buffer pieces = read_reply(&options, text, size - 2, bytes[1] % 16 + 1);
    require(whole.length == pieces.length && memcmp(whole.bytes, pieces.bytes, whole.length) == 0);
    text_buffer_deinit(&whole);
    text_buffer_deinit(&pieces);
    return 0;
}
