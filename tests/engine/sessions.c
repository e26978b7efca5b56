#include "sessions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

/* Lets a test sleep until the engine has something new. */
struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t rung;
    bool ringing;
};

static struct bell bell = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};

static void ring(void *context) {
    (void)context;
    pthread_mutex_lock(&bell.mutex);
    bell.ringing = true;
    pthread_cond_signal(&bell.rung);
    pthread_mutex_unlock(&bell.mutex);
}

void wait_for_engine(void) {
    pthread_mutex_lock(&bell.mutex);
    while (!bell.ringing) {
        pthread_cond_wait(&bell.rung, &bell.mutex);
    }
    bell.ringing = false;
    pthread_mutex_unlock(&bell.mutex);
}

struct engine_options small_options(void) {
    struct engine_options options = engine_options_default();
    options.threads = 2;
    options.pin_threads = false;
    options.step_rows_max = 32;
    options.wake = ring;
    return options;
}

struct engine *open_engine_with(const struct model *model, const struct engine_options *options) {
    struct engine *engine = NULL;
    struct error err = {0};
    cr_assert(engine_open(&engine, &model->plan, options, &err), "%s", err.text);
    return engine;
}

struct engine *open_engine(const struct model *model, size_t kv_positions, size_t sessions_max,
                           size_t queue_max) {
    struct engine_options options = small_options();
    options.kv_positions = kv_positions;
    options.sessions_max = sessions_max;
    options.queue_max = queue_max;
    return open_engine_with(model, &options);
}

struct model *open_model(void) {
    struct model *model = NULL;
    struct error err = {0};
    cr_assert(model_open(&model, "models/gemma3-int4", NULL, &err), "%s", err.text);
    return model;
}

void take_all(struct reply *reply, size_t top) {
    struct session_event event;
    while (reply->finish == FINISH_NONE && session_take(reply->session, &event)) {
        reply->finish = event.finish;
        if (event.finish != FINISH_NONE) {
            return;
        }
        struct reply_token token = {.token = event.token, .logprob = event.logprob};
        memcpy(token.top, event.top, top * sizeof *token.top);
        if (event.of_prompt) {
            cr_assert_lt(reply->prompt_length, REPLY_PROMPT_MAX);
            reply->prompt[reply->prompt_length++] = token;
        } else {
            cr_assert_lt(reply->length, REPLY_MAX);
            reply->scores[reply->length] = token;
            reply->tokens[reply->length++] = event.token;
        }
    }
}

void finish_all_with_top(struct reply *replies, size_t count, size_t top) {
    size_t finished = 0;
    while (finished < count) {
        finished = 0;
        for (size_t i = 0; i < count; i++) {
            take_all(&replies[i], top);
            finished += replies[i].finish != FINISH_NONE;
        }
        if (finished < count) {
            wait_for_engine();
        }
    }
    for (size_t i = 0; i < count; i++) {
        replies[i].usage = session_get_usage(replies[i].session);
        session_release(replies[i].session);
    }
}

void finish_all(struct reply *replies, size_t count) {
    finish_all_with_top(replies, count, 0);
}
