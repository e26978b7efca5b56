/* The logprobs of a completion, as OpenAI's completions tell of them:
 *
 *     {"tokens": [" a", …], "token_logprobs": [-0.12, …],
 *      "top_logprobs": [{" a": -0.12, " the": -2.3}, …], "text_offset": [16, …]}
 *
 * They are those of the model's distribution, whatever temperature, penalties and the like made of
 * it. The first token of a prompt has none: null. Offsets count the characters of the choice's text
 * that come before the token. A token that is no whole characters is named by its bytes,
 * "bytes:\xe2\x80".
 *
 * A queue: tokens go in when they come from the session, and out when their text does. */
#ifndef QUERN_SERVER_LOGPROBS_H
#define QUERN_SERVER_LOGPROBS_H

#include "engine/engine.h"
#include "engine/sampler.h"
#include "engine/text/tokenizer.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logprobs_entry {
    int32_t token;
    bool known; /* it has logprobs */
    float logprob;
    size_t offset;
};

struct logprobs {
    size_t top_count; /* of the most probable tokens, with each token */
    struct logprobs_entry *entries;
    struct token_logprob *tops; /* [count, top_count] */
    size_t count;
    size_t capacity;
    size_t taken;
};

/* `logprob` may be NULL: not known. `top` has top_count elements. False when memory is out. */
bool logprobs_push(struct logprobs *logprobs, int32_t token, const float *logprob,
                   const struct token_logprob *top, size_t offset);

/* Takes the tokens that begin before character `end` as an object; null where there are none. NULL
 * when memory is out. */
cJSON *logprobs_take(struct logprobs *logprobs, const struct tokenizer *tokenizer, size_t end);

/* The same, as chat completions tell of them:
 *
 *     {"content": [{"token": " a", "logprob": -0.12, "bytes": [32, 97], "top_logprobs": […]}, …]} */
cJSON *logprobs_take_chat(struct logprobs *logprobs, const struct tokenizer *tokenizer, size_t end);

/* Only the list, which may be empty, as responses tell of them: its elements are raw items. */
cJSON *logprobs_take_list(struct logprobs *logprobs, const struct tokenizer *tokenizer, size_t end);

/* Leaves out tokens that end at or before character `begin`. */
void logprobs_skip(struct logprobs *logprobs, size_t begin);

/* The first two of them. */
typedef cJSON *logprobs_taker(struct logprobs *logprobs, const struct tokenizer *tokenizer,
                              size_t end);

void logprobs_deinit(struct logprobs *logprobs);

#endif
