/* The parameters that every endpoint which generates text has: how long, how often, how to sample, where
 * to stop. One table reads them; an endpoint adds what is its own.
 *
 * Names are those of OpenAI, vLLM and llama-server, whoever has the parameter. */
#ifndef QUERN_SERVER_GENERATION_H
#define QUERN_SERVER_GENERATION_H

#include "engine/engine.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/reply_form.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHOICES_OF_ONE_PROMPT_MAX = 128,
    STOP_STRINGS_MAX = 16,
    BREAKERS_MAX = 64,
    STOP_TOKENS_MAX = 256,
    LOGIT_BIASES_MAX = 1024,
};

/* Tokens of a reply where the request does not say. */
enum {
    REPLY_TOKENS_FEW = 16,         /* OpenAI's, for completions */
    REPLY_TOKENS_ALL = 1000000000, /* as many as the context holds */
};

enum { DRAFT_TOKENS_OF_SERVICE = -1 };

struct generation {
    const struct service *service;
    const char *model;  /* NULL: not named */
    int64_t max_tokens; /* -1: as many as the context holds */
    int64_t min_tokens;
    int64_t n;
    int64_t draft_tokens;
    bool stream;
    bool include_usage;
    bool ignore_eos;
    bool skip_special; /* special tokens are no text */
    bool include_stop; /* the stop string that ends a reply is part of it */
    bool return_tokens;
    bool timings_per_token;
    const char *stops[STOP_STRINGS_MAX]; /* borrowed from the JSON */
    size_t stop_count;
    int32_t *stop_tokens; /* [stop_token_count, and behind them those of the model]; or NULL */
    size_t stop_token_count;
    bool has_seed;
    struct reply_form form;   /* of replies; complete from generation_prepare on */
    struct sampling sampling; /* its seed is that of choice 0 */

    /* What `sampling` is made of. */
    int64_t seed;
    int64_t top_k;
    int64_t repeat_last_n;
    int64_t dry_allowed_length;
    int64_t dry_penalty_last_n;
    const char *breakers[BREAKERS_MAX];
    size_t breaker_count;
    struct logit_bias *biases;
    uint64_t *breaker_bits;
    struct token_list breaker_runs;
};

/* Reads the parameters from the object, which must outlive what is read; `max_tokens` is the default
 * of that name. Also after an error the generation must be deinitialized. */
bool generation_read(struct generation *generation, const struct service *service,
                     const cJSON *object, int64_t max_tokens, struct api_error *error);
void generation_deinit(struct generation *generation);

/* Finds out what the parameters mean for the model's vocabulary: on any thread, and not on the loop if
 * that takes long. */
bool generation_takes_long(struct generation *generation);
bool generation_prepare(struct generation *generation, struct api_error *error);

/* Adds the parameters to an object of JSON Schema; see parameters_describe. */
bool generation_describe(const struct service *service, int64_t max_tokens, cJSON *schema);

/* Once prepared, on the loop: what session_submit needs to know, but for the prompt. `choice` and `prompt` are indices within
 * the request. */
struct session_request generation_session(const struct generation *generation, size_t prompt,
                                          size_t choice);

#endif
