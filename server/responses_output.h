/* The output of a response: items, made of what is read out of a reply,
 *
 *     thought "Look."   begin "find"   arguments "{}"   end   text "Done."
 *
 *     [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Look."}], …},
 *      {"type": "function_call", "name": "find", "arguments": "{}", …},
 *      {"type": "message", "content": [{"type": "output_text", "text": "Done.", …}], …}]
 *
 * and in a stream the events of each item, numbered with all others of the response:
 *
 *     output_item.added   content_part.added   output_text.delta …   output_text.done
 *     content_part.done   output_item.done
 *
 * Owned by one exchange, on the loop thread. */
#ifndef QUERN_SERVER_RESPONSES_OUTPUT_H
#define QUERN_SERVER_RESPONSES_OUTPUT_H

#include "engine/text/tokenizer.h"
#include "server/chat_reply.h"
#include "server/http.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct item_kind;

/* Start from {0}. */
struct responses_output {
    struct http_exchange *stream; /* takes the events; NULL: there are none */
    const char *id;               /* of the response, without its prefix: part of those of items */
    size_t sequence;              /* events so far */
    cJSON *items;                 /* that are done; an array once something has been added */
    const struct item_kind *open; /* of the item that grows; NULL: none does */
    struct text_buffer text;      /* of the open item, or the arguments of the call */
    cJSON *logprobs;              /* of the tokens of the open item's text; NULL: none */
    struct text_buffer name;      /* of the call */
    char call_id[TOOL_CALL_ID_SIZE];
};

/* `logprobs` is a list of those of the event's text; NULL: none are told. False when memory is out. */
bool responses_output_add(struct responses_output *output, const struct chat_reply *reply,
                          const struct tool_event *event, const cJSON *logprobs);

/* The open item is done. */
bool responses_output_finish(struct responses_output *output, bool complete);

/* Sends an event of a stream; takes over its other members. An event that is not whole ends the
 * stream. */
void responses_output_send(struct responses_output *output, const char *type, cJSON *event,
                           bool whole);

/* An array of all items that are done, which the caller owns; NULL when memory is out. */
cJSON *responses_output_items(const struct responses_output *output);

void responses_output_deinit(struct responses_output *output);

#endif
