/* The body of POST /v1/chat/completions, checked: what api_chat runs. */
#ifndef QUERN_SERVER_CHAT_REQUEST_H
#define QUERN_SERVER_CHAT_REQUEST_H

#include "server/api_error.h"
#include "server/chat_reply.h"
#include "server/completion.h"
#include "server/conversation.h"
#include "server/generation.h"
#include "server/tool_choice.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chat_request {
    const struct service *service;
    cJSON *json; /* owned: strings are borrowed from it */
    struct generation generation;
    struct tool_choice tools;
    struct conversation conversation;
    struct prompt prompt;
    bool logprobs;
    int64_t top_logprobs;
    bool keeps_thoughts; /* in the text of the reply */
};

/* Also after an error the request must be deinitialized. */
bool chat_request_read(struct chat_request *request, const struct service *service,
                       const char *body, size_t length, struct api_error *error);

/* Makes the prompt and its tokens, and what replies must look like; on any thread. */
bool chat_request_encode(struct chat_request *request, struct api_error *error);

void chat_request_deinit(struct chat_request *request);

/* Adds the parameters to an object of JSON Schema; see parameters_describe. */
bool chat_request_describe(const struct service *service, cJSON *schema);

struct completion_options chat_request_options(const struct chat_request *request);

/* How its replies are read. */
struct chat_reply_options chat_request_reply_options(const struct chat_request *request);

#endif
