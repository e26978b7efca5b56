/* Reads a model's reply to a conversation, while it comes: thoughts, text and calls of tools.
 *
 *     completion's text ─▶ reasoning ─▶ tool_calls ─▶ events
 *                  └────▶ reply_channels ───────────▶ kept, for whole answers
 *
 *     chat_reply_push(reply, bytes, length);
 *     while (chat_reply_next(reply, &event)) ...
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_CHAT_REPLY_H
#define QUERN_SERVER_CHAT_REPLY_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "server/conversation.h"
#include "server/reasoning.h"
#include "server/reply_channels.h"
#include "server/tool_calls.h"
#include "server/tool_choice.h"

#include <stdbool.h>
#include <stddef.h>

struct chat_reply_options {
    const struct reasoning_marks *marks;   /* of thoughts that are split off; NULL: none are */
    bool thinks;                           /* the prompt ends within thoughts */
    const struct tool_format *tool_format; /* of calls; NULL: there are none */
    const char *const *tool_names;         /* copied */
    size_t tool_count;
    bool has_channels; /* the reply consists of channels, thoughts and calls among them */
    bool one_call;     /* the reply is over behind its first call */
};

struct reply_call {
    char id[TOOL_CALL_ID_SIZE];
    struct text_buffer name;
    struct text_buffer arguments;
};

struct chat_reply {
    struct reasoning reasoning;
    char **tool_names;
    size_t tool_count;
    struct tool_calls *calls;        /* NULL: none come */
    struct reply_channels *channels; /* instead of the two; NULL: there are none */
    struct text_buffer thought;      /* of the last push */
    struct text_buffer text;
    bool finishing;
    bool one_call;
    bool over; /* no more events come, whatever is pushed */

    /* All of the reply that events have told of. */
    struct text_buffer all_thoughts;
    struct text_buffer all_text;
    struct reply_call *all_calls;
    size_t call_count;
};

/* How the replies to a conversation whose prompt has been made are read. With `splits`, thoughts are told
 * from text. Borrows from the choice. */
struct chat_reply_options chat_reply_options_of(const struct conversation *conversation,
                                                const struct tool_choice *tools, bool splits);

/* Whatever happens, close it. */
bool chat_reply_open(struct chat_reply *reply, const struct chat_reply_options *options,
                     struct error *err);
void chat_reply_close(struct chat_reply *reply);

/* All events of the last push have been taken. False when memory is out. */
bool chat_reply_push(struct chat_reply *reply, const char *bytes, size_t length);

/* The reply has ended: what is held back comes out. */
bool chat_reply_finish(struct chat_reply *reply);

/* What is known now, event by event; false when more must be pushed, or when memory is out, which
 * *fine tells. */
bool chat_reply_next(struct chat_reply *reply, struct tool_event *event, bool *fine);

#endif
