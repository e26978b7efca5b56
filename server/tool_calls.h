/* Reads the calls of tools out of a reply, while it comes:
 *
 *     push "I look.\n<tool_call>{\"name\": \"find\", \"ar"    says text "I look."
 *     push "guments\": {\"city\": \"Par"                     says begin "find", arguments "{\"city\": \"Par"
 *     push "is\"}}</tool_call>"                              says arguments "is\"}", end
 *
 * Only calls of known tools are calls. What begins like a call and turns out to be none is text, and
 * comes out whole; so no more is held back than the beginning of a mark, white space that a call may
 * follow, and a call up to where its name is known, of CALL_HEAD_MAX bytes at most. Arguments are
 * passed on as the model writes them, as soon as they come: they may be wrong, and where the reply
 * breaks off within them, unfinished. White space around calls is left out.
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_TOOL_CALLS_H
#define QUERN_SERVER_TOOL_CALLS_H

#include "engine/error.h"
#include "server/tool_format.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CALL_HEAD_MAX = 16 << 10,
    TOOL_CALL_ID_SIZE = 10, /* Mistral's templates take nothing but 9 letters and digits */
};

struct tool_calls;

enum tool_event_kind {
    TOOL_EVENT_TEXT,      /* a piece of what is no call */
    TOOL_EVENT_REASONING, /* a piece of what the model says to itself */
    TOOL_EVENT_BEGIN,     /* a call: the tool's name */
    TOOL_EVENT_ARGUMENTS, /* a piece of its arguments, JSON text */
    TOOL_EVENT_END,
};

struct tool_event {
    enum tool_event_kind kind;
    size_t call;       /* which call of the reply, from 0 */
    const char *bytes; /* stay until the next push */
    size_t length;
};

/* Borrows the names of the tools. */
bool tool_calls_open(struct tool_calls **out, const struct tool_format *format,
                     const char *const *names, size_t name_count, struct error *err);
void tool_calls_close(struct tool_calls *calls);

/* Takes a piece of the reply, of whole characters; all events of the last one have been taken. False
 * when memory is out. */
bool tool_calls_push(struct tool_calls *calls, const char *bytes, size_t length);

/* The reply has ended: what is held back comes out. */
void tool_calls_finish(struct tool_calls *calls);

/* What is known now, event by event; false when more must be pushed. */
bool tool_calls_next(struct tool_calls *calls, struct tool_event *event);

/* Makes up the identifier by which a call and its result refer to each other. */
void tool_call_make_id(char id[TOOL_CALL_ID_SIZE]);

#endif
