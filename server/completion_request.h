/* The body of POST /v1/completions, checked: what api_completions runs. */
#ifndef QUERN_SERVER_COMPLETION_REQUEST_H
#define QUERN_SERVER_COMPLETION_REQUEST_H

#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/completion.h"
#include "server/generation.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct completion_request {
    const struct service *service;
    cJSON *json; /* owned: the strings below are borrowed from it */
    struct generation generation;
    struct prompt *prompts;
    size_t prompt_count;
    int64_t best_of; /* completions of each prompt, of which the n most probable are told */
    bool echo;
    bool logprobs;
    size_t top_logprobs;
};

/* Also after an error the request must be deinitialized. */
bool completion_request_read(struct completion_request *request, const struct service *service,
                             const char *body, size_t length, struct api_error *error);

/* Makes the tokens of its prompts, and what replies must look like; on any thread. */
bool completion_request_encode(struct completion_request *request, struct api_error *error);

void completion_request_deinit(struct completion_request *request);

struct completion_options completion_request_options(const struct completion_request *request);

/* Adds the parameters to an object of JSON Schema; see parameters_describe. */
bool completion_request_describe(const struct service *service, cJSON *schema);

#endif
