/* The body of POST /v1/messages, checked: what api_messages runs. */
#ifndef QUERN_SERVER_MESSAGES_REQUEST_H
#define QUERN_SERVER_MESSAGES_REQUEST_H

#include "server/api_error.h"
#include "server/chat_reply.h"
#include "server/completion.h"
#include "server/conversation.h"
#include "server/generation.h"
#include "server/tool_choice.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct messages_request {
    cJSON *json; /* owned: strings of what follows are borrowed from it */
    struct generation generation;
    struct tool_choice tools;
    struct conversation conversation;
    struct prompt prompt;
};

/* The prompt is yet to be made. With `counts`, only the tokens of the prompt are wanted, and max_tokens may be missing. Also after an
 * error the request must be deinitialized. */
bool messages_request_read(struct messages_request *request, const struct service *service,
                           const char *body, size_t length, bool counts, struct api_error *error);

/* Makes the prompt and its tokens; on any thread. */
bool messages_request_encode(struct messages_request *request, struct api_error *error);

void messages_request_deinit(struct messages_request *request);

/* Adds the parameters to an object of JSON Schema; see parameters_describe. */
bool messages_request_describe(const struct service *service, cJSON *schema);

struct completion_options messages_request_options(const struct messages_request *request);

/* How its reply is read. */
struct chat_reply_options messages_request_reply_options(const struct messages_request *request);

#endif
