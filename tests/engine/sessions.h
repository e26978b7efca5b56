/* Sessions of an engine on a fixture's model, and the replies that they make. One engine at a time. */
#ifndef QUERN_TESTS_ENGINE_SESSIONS_H
#define QUERN_TESTS_ENGINE_SESSIONS_H

#include "engine/engine.h"
#include "engine/sampler.h"
#include "importer/model.h"

#include <stddef.h>

enum { REPLY_MAX = 48, REPLY_PROMPT_MAX = 128, REPLY_TOP = 5 };

/* A token of a reply, or of a prompt that is scored, with its logprobs. */
struct reply_token {
    int32_t token;
    float logprob;
    struct token_logprob top[REPLY_TOP]; /* as many as the session wants */
};

struct reply {
    struct session *session;
    int32_t tokens[REPLY_MAX];
    struct reply_token scores[REPLY_MAX];
    size_t length;
    struct reply_token prompt[REPLY_PROMPT_MAX];
    size_t prompt_length; /* of it, what has been scored */
    struct session_usage usage;
    enum finish_reason finish;
};

/* Two threads, steps of at most 32 rows; its wake ends wait_for_engine. */
struct engine_options small_options(void);
struct engine *open_engine_with(const struct model *model, const struct engine_options *options);
struct engine *open_engine(const struct model *model, size_t kv_positions, size_t sessions_max,
                           size_t queue_max);
struct model *open_model(void);

/* Sleeps until the engine has something new. */
void wait_for_engine(void);

/* Takes all that is there, `top` logprobs with each token. */
void take_all(struct reply *reply, size_t top);

/* Takes until all have finished, and releases them. */
void finish_all(struct reply *replies, size_t count);
void finish_all_with_top(struct reply *replies, size_t count, size_t top);

#endif
