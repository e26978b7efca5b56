#include "server/chat_reply.h"

#include <stdlib.h>

bool chat_reply_open(struct chat_reply *reply, const struct chat_reply_options *options,
                     struct error *err) {
    *reply = (struct chat_reply){0};
    reasoning_init(&reply->reasoning, options->marks, options->thinks);
    return options->tool_format == NULL ||
           tool_calls_open(&reply->calls, options->tool_format, options->tool_names,
                           options->tool_count, err);
}

void chat_reply_close(struct chat_reply *reply) {
    reasoning_deinit(&reply->reasoning);
    tool_calls_close(reply->calls);
    text_buffer_deinit(&reply->thought);
    text_buffer_deinit(&reply->text);
    text_buffer_deinit(&reply->all_thoughts);
    text_buffer_deinit(&reply->all_text);
    for (size_t i = 0; i < reply->call_count; i++) {
        text_buffer_deinit(&reply->all_calls[i].name);
        text_buffer_deinit(&reply->all_calls[i].arguments);
    }
    free(reply->all_calls);
}

/* ---- Pushing ---- */

static bool pass_text(struct chat_reply *reply) {
    return reply->calls == NULL || reply->text.length == 0 ||
           tool_calls_push(reply->calls, reply->text.bytes, reply->text.length);
}

bool chat_reply_push(struct chat_reply *reply, const char *bytes, size_t length) {
    reply->thought.length = reply->text.length = 0;
    return reasoning_push(&reply->reasoning, bytes, length, &reply->thought, &reply->text) &&
           pass_text(reply);
}

bool chat_reply_finish(struct chat_reply *reply) {
    reply->thought.length = reply->text.length = 0;
    reply->finishing = reply->calls != NULL;
    return reasoning_finish(&reply->reasoning, &reply->thought, &reply->text) && pass_text(reply);
}

/* ---- Events ---- */

static struct reply_call *add_call(struct chat_reply *reply) {
    struct reply_call *calls =
        reallocarray(reply->all_calls, reply->call_count + 1, sizeof *reply->all_calls);
    if (calls == NULL) {
        return NULL;
    }
    reply->all_calls = calls;
    struct reply_call *call = &calls[reply->call_count++];
    *call = (struct reply_call){0};
    tool_call_make_id(call->id);
    return call;
}

static bool keep(struct chat_reply *reply, const struct tool_event *event) {
    switch (event->kind) {
    case TOOL_EVENT_TEXT:
        return text_buffer_append(&reply->all_text, event->bytes, event->length);
    case TOOL_EVENT_REASONING:
        return text_buffer_append(&reply->all_thoughts, event->bytes, event->length);
    case TOOL_EVENT_BEGIN: {
        struct reply_call *call = add_call(reply);
        return call != NULL && text_buffer_append(&call->name, event->bytes, event->length) &&
               text_buffer_append(&call->arguments, "", 0);
    }
    case TOOL_EVENT_ARGUMENTS:
        return text_buffer_append(&reply->all_calls[event->call].arguments, event->bytes,
                                  event->length);
    case TOOL_EVENT_END:
        return true;
    }
    return false;
}

/* The whole buffer as one event; it is empty afterwards, but its bytes stay. */
static bool tell(struct text_buffer *buffer, enum tool_event_kind kind, struct tool_event *event) {
    *event = (struct tool_event){.kind = kind, .bytes = buffer->bytes, .length = buffer->length};
    buffer->length = 0;
    return event->length > 0;
}

static bool next_call(struct chat_reply *reply, struct tool_event *event) {
    if (tool_calls_next(reply->calls, event)) {
        return true;
    }
    if (!reply->finishing) {
        return false;
    }
    reply->finishing = false;
    tool_calls_finish(reply->calls);
    return tool_calls_next(reply->calls, event);
}

bool chat_reply_next(struct chat_reply *reply, struct tool_event *event, bool *fine) {
    bool told = tell(&reply->thought, TOOL_EVENT_REASONING, event) ||
                (reply->calls == NULL ? tell(&reply->text, TOOL_EVENT_TEXT, event)
                                      : next_call(reply, event));
    *fine = !told || keep(reply, event);
    return told && *fine;
}
