/* The content of an answer in Anthropic's form: blocks, made of what is read out of a reply.
 *
 *     [{"type": "text", "text": "I look."},
 *      {"type": "tool_use", "id": "…", "name": "find", "input": {"city": "Ulm"}}]
 *
 * In a stream, each block is started, grows and is stopped:
 *
 *     content_block_start 0   content_block_delta 0 "I look."           content_block_stop 0
 *     content_block_start 1   content_block_delta 1 "{\"city\": …"      content_block_stop 1
 *
 * Owned by one exchange, on the loop thread. */
#ifndef QUERN_SERVER_MESSAGES_BLOCKS_H
#define QUERN_SERVER_MESSAGES_BLOCKS_H

#include "server/chat_reply.h"
#include "server/http.h"

#include <cjson/cJSON.h>
#include <stddef.h>

struct block_kind;

/* Those of a stream; start from {0}. */
struct messages_blocks {
    const struct block_kind *open; /* the kind of the last one; NULL: it has been stopped */
    size_t count;
};

/* Sends what an event of the reply adds. Where memory is out, the stream ends. */
void messages_blocks_send(struct messages_blocks *blocks, struct http_exchange *exchange,
                          const struct chat_reply *reply, const struct tool_event *event);

/* Stops the last block. */
void messages_blocks_stop(struct messages_blocks *blocks, struct http_exchange *exchange);

/* Those of a whole reply: thoughts, text, calls. NULL when memory is out. */
cJSON *messages_blocks_print(const struct chat_reply *reply);

#endif
