#include "server/chat_reply.h"

#include <stdlib.h>
#include <string.h>

struct chat_reply_options chat_reply_options_of(const struct conversation *conversation,
                                                const struct tool_choice *tools, bool splits) {
    const struct chat_format *format = &conversation->service->chat_format;
    const struct text_buffer *prompt = &conversation->prompt;
    return (struct chat_reply_options){
        .marks = splits ? format->reasoning : NULL,
        .thinks = reasoning_is_open(format->reasoning, prompt->bytes, prompt->length),
        .tool_format = tool_choice_allows_calls(tools) ? format->tools : NULL,
        .tool_names = tools->names,
        .tool_count = tool_choice_allows_calls(tools) ? tools->count : 0,
        .has_channels = format->tools->has_channels,
        .one_call = !tools->parallel,
    };
}

static bool copy_names(struct chat_reply *reply, const struct chat_reply_options *options) {
    reply->tool_names = calloc(options->tool_count + 1, sizeof *reply->tool_names);
    bool fine = reply->tool_names != NULL;
    for (size_t i = 0; fine && i < options->tool_count; i++) {
        reply->tool_names[i] = strdup(options->tool_names[i]);
        fine = reply->tool_names[i] != NULL;
        reply->tool_count += fine;
    }
    return fine;
}

bool chat_reply_open(struct chat_reply *reply, const struct chat_reply_options *options,
                     struct error *err) {
    *reply = (struct chat_reply){.one_call = options->one_call};
    reasoning_init(&reply->reasoning, options->marks, options->thinks);
    if (!copy_names(reply, options)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the names of tools");
    }
    const char *const *names = (const char *const *)reply->tool_names;
    if (options->has_channels) {
        return reply_channels_open(&reply->channels, names, reply->tool_count, err);
    }
    return options->tool_format == NULL ||
           tool_calls_open(&reply->calls, options->tool_format, names, reply->tool_count, err);
}

void chat_reply_close(struct chat_reply *reply) {
    reasoning_deinit(&reply->reasoning);
    tool_calls_close(reply->calls);
    reply_channels_close(reply->channels);
    text_buffer_deinit(&reply->thought);
    text_buffer_deinit(&reply->text);
    text_buffer_deinit(&reply->all_thoughts);
    text_buffer_deinit(&reply->all_text);
    for (size_t i = 0; i < reply->call_count; i++) {
        text_buffer_deinit(&reply->all_calls[i].name);
        text_buffer_deinit(&reply->all_calls[i].arguments);
    }
    free(reply->all_calls);
    for (size_t i = 0; i < reply->tool_count; i++) {
        free(reply->tool_names[i]);
    }
    free(reply->tool_names);
}

/* ---- Pushing ---- */

static bool pass_text(struct chat_reply *reply) {
    return reply->calls == NULL || reply->text.length == 0 ||
           tool_calls_push(reply->calls, reply->text.bytes, reply->text.length);
}

bool chat_reply_push(struct chat_reply *reply, const char *bytes, size_t length) {
    if (reply->channels != NULL) {
        return reply_channels_push(reply->channels, bytes, length);
    }
    reply->thought.length = reply->text.length = 0;
    return reasoning_push(&reply->reasoning, bytes, length, &reply->thought, &reply->text) &&
           pass_text(reply);
}

bool chat_reply_finish(struct chat_reply *reply) {
    if (reply->channels != NULL) {
        reply_channels_finish(reply->channels);
        return true;
    }
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

static bool next_event(struct chat_reply *reply, struct tool_event *event) {
    if (reply->channels != NULL) {
        return reply_channels_next(reply->channels, event);
    }
    return tell(&reply->thought, TOOL_EVENT_REASONING, event) ||
           (reply->calls == NULL ? tell(&reply->text, TOOL_EVENT_TEXT, event)
                                 : next_call(reply, event));
}

bool chat_reply_next(struct chat_reply *reply, struct tool_event *event, bool *fine) {
    bool told = !reply->over && next_event(reply, event);
    reply->over = reply->over || (told && reply->one_call && event->kind == TOOL_EVENT_END);
    *fine = !told || keep(reply, event);
    return told && *fine;
}
