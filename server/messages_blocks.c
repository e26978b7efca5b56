#include "server/messages_blocks.h"

#include "server/answer.h"
#include "server/json.h"
#include "server/sse.h"

#include <string.h>

struct block_kind {
    const char *type;
    const char *delta; /* the type of its pieces, and their member */
    const char *member;
};

static const struct block_kind text_block = {"text", "text_delta", "text"};
static const struct block_kind thinking_block = {"thinking", "thinking_delta", "thinking"};
static const struct block_kind tool_use_block = {"tool_use", "input_json_delta", "partial_json"};

/* ---- Blocks ---- */

/* NULL instead of what is not complete. */
static cJSON *complete(cJSON *object, bool is_complete) {
    if (!is_complete) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static cJSON *create_text(const struct text_buffer *text) {
    cJSON *block = cJSON_CreateObject();
    return complete(block, answer_add_text(block, "type", "text") &&
                               answer_add_bytes(block, "text", text));
}

/* Nobody here can sign thoughts. */
static cJSON *create_thinking(const struct text_buffer *thoughts) {
    cJSON *block = cJSON_CreateObject();
    return complete(block, answer_add_text(block, "type", "thinking") &&
                               answer_add_bytes(block, "thinking", thoughts) &&
                               answer_add_text(block, "signature", ""));
}

/* Takes over `input`, which may be NULL. */
static cJSON *create_tool_use(const struct reply_call *call, cJSON *input) {
    cJSON *block = cJSON_CreateObject();
    bool fine = answer_add(block, "input", input);
    return complete(block, fine && answer_add_text(block, "type", "tool_use") &&
                               answer_add_text(block, "id", call->id) &&
                               answer_add_bytes(block, "name", &call->name));
}

/* The arguments as they were written, so that numbers stay what they are. Where a model has not
 * completed them, they are no JSON, which the input must be: they become the one member of an
 * object. */
static cJSON *create_input(const struct text_buffer *arguments) {
    cJSON *parsed = NULL;
    struct error err;
    bool valid =
        json_parse(&parsed, arguments->bytes, arguments->length, &err) && cJSON_IsObject(parsed);
    cJSON_Delete(parsed);
    if (valid) {
        return cJSON_CreateRaw(arguments->bytes);
    }
    cJSON *input = cJSON_CreateObject();
    return complete(input, answer_add_bytes(input, "INVALID_JSON", arguments));
}

cJSON *messages_blocks_print(const struct chat_reply *reply) {
    cJSON *content = cJSON_CreateArray();
    bool fine = content != NULL;
    if (reply->all_thoughts.length > 0) {
        fine = fine && answer_append(content, create_thinking(&reply->all_thoughts));
    }
    if (reply->all_text.length > 0) {
        fine = fine && answer_append(content, create_text(&reply->all_text));
    }
    for (size_t i = 0; i < reply->call_count && fine; i++) {
        const struct reply_call *call = &reply->all_calls[i];
        fine = answer_append(content, create_tool_use(call, create_input(&call->arguments)));
    }
    return complete(content, fine);
}

/* ---- Events ---- */

/* Takes over the item, which stands in the event under `name` and may be NULL. */
static void send_item(const struct messages_blocks *blocks, struct http_exchange *exchange,
                      const char *type, const char *name, cJSON *item) {
    cJSON *event = cJSON_CreateObject();
    bool fine = answer_add(event, name, item);
    fine = fine && answer_add_text(event, "type", type) &&
           cJSON_AddNumberToObject(event, "index", (double)(blocks->count - 1)) != NULL;
    sse_send_event(exchange, type, answer_print(event, fine));
}

static void start(struct messages_blocks *blocks, struct http_exchange *exchange,
                  const struct block_kind *kind, cJSON *block) {
    messages_blocks_stop(blocks, exchange);
    blocks->open = kind;
    blocks->count++;
    send_item(blocks, exchange, "content_block_start", "content_block", block);
}

static void grow(const struct messages_blocks *blocks, struct http_exchange *exchange,
                 const struct tool_event *event) {
    cJSON *delta = cJSON_CreateObject();
    bool fine =
        answer_add_text(delta, "type", blocks->open->delta) &&
        answer_add(delta, blocks->open->member, json_create_text(event->bytes, event->length));
    send_item(blocks, exchange, "content_block_delta", "delta", complete(delta, fine));
}

void messages_blocks_stop(struct messages_blocks *blocks, struct http_exchange *exchange) {
    if (blocks->open != NULL) {
        cJSON *event = cJSON_CreateObject();
        bool fine = answer_add_text(event, "type", "content_block_stop") &&
                    cJSON_AddNumberToObject(event, "index", (double)(blocks->count - 1)) != NULL;
        sse_send_event(exchange, "content_block_stop", answer_print(event, fine));
        blocks->open = NULL;
    }
}

void messages_blocks_send(struct messages_blocks *blocks, struct http_exchange *exchange,
                          const struct chat_reply *reply, const struct tool_event *event) {
    static char empty[] = "";
    static const struct text_buffer nothing = {.bytes = empty};
    switch (event->kind) {
    case TOOL_EVENT_TEXT:
        if (blocks->open != &text_block) {
            start(blocks, exchange, &text_block, create_text(&nothing));
        }
        grow(blocks, exchange, event);
        break;
    case TOOL_EVENT_REASONING:
        if (blocks->open != &thinking_block) {
            start(blocks, exchange, &thinking_block, create_thinking(&nothing));
        }
        grow(blocks, exchange, event);
        break;
    case TOOL_EVENT_BEGIN:
        start(blocks, exchange, &tool_use_block,
              create_tool_use(&reply->all_calls[event->call], cJSON_CreateObject()));
        break;
    case TOOL_EVENT_ARGUMENTS:
        grow(blocks, exchange, event);
        break;
    case TOOL_EVENT_END:
        messages_blocks_stop(blocks, exchange);
        break;
    }
}
