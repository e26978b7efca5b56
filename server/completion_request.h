/* The body of POST /v1/completions, checked: what api_completions runs. */
#ifndef QUERN_SERVER_COMPLETION_REQUEST_H
#define QUERN_SERVER_COMPLETION_REQUEST_H

#include "engine/sampler.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STOP_STRINGS_MAX = 16,
    LOGIT_BIASES_MAX = 1024,
};

struct prompt {
    const char *text; /* borrowed from the JSON; NULL for a prompt of token ids */
    struct token_list ids;
};

struct completion_request {
    const struct service *service;
    cJSON *json; /* owned: the strings below are borrowed from it */
    const char *model;
    struct prompt *prompts;
    size_t prompt_count;
    int64_t max_tokens;
    int64_t n;
    int64_t best_of;
    int64_t top_k;
    int64_t draft_tokens;
    int64_t seed;
    bool has_seed;
    bool echo;
    bool stream;
    bool include_usage;
    bool ignore_eos;
    const char *stops[STOP_STRINGS_MAX];
    size_t stop_count;
    struct sampling sampling; /* its seed is that of choice 0 */
    struct logit_bias *biases;
};

/* Also after an error the request must be deinitialized. */
bool completion_request_read(struct completion_request *request, const struct service *service,
                             const char *body, size_t length, struct api_error *error);
void completion_request_deinit(struct completion_request *request);

#endif
