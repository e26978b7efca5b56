#include "engine/engine.h"
#include "engine/allocation_guard.h"

#include "engine/decoder.h"
#include "engine/scheduler.h"
#include "engine/session.h"
#include "engine/turns.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct engine {
    const struct plan *plan;
    struct engine_options options;
    struct decoder decoder;
    struct scheduler *scheduler;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct session *inbox; /* newest first */
    bool kicked;           /* something else changed: a reader took or released */
    bool stopping;
    bool idle;       /* the thread waits for something to do */
    uint64_t rounds; /* of the thread: each is a step or a look at what there is to do */
    bool ready;      /* the decoder is open, or has failed to */
    bool failed;
    struct error failure;
};

struct engine_options engine_options_default(void) {
    return (struct engine_options){
        .kv_type = KV_F16,
        .pin_threads = true,
        .sessions_max = 32,
        .queue_max = 128,
        .step_rows_max = 512,
    };
}

/* ---- The engine thread ---- */

static struct decoder_options options_of_decoder(const struct engine_options *options) {
    return (struct decoder_options){
        .exact = options->exact,
        .kv_type = options->kv_type,
        .threads = options->threads,
        .pin_threads = options->pin_threads,
        .kernels = options->kernels,
        .kv_positions = options->kv_positions,
        .adapters = options->adapters,
        .memory_max = options->memory_max,
        .rows_max = options->step_rows_max,
        .wanted_max = scheduler_wanted_max(options->sessions_max),
        .packing = options->packing,
    };
}

static bool open_parts(struct engine *engine, struct error *err) {
    const struct engine_options *options = &engine->options;
    const struct decoder_options decoder = options_of_decoder(options);
    return decoder_open(&engine->decoder, engine->plan, &decoder, err) &&
           scheduler_open(&engine->scheduler, &engine->decoder, options->sessions_max,
                          !options->no_prefix_cache, err);
}

/* Before anybody waits for a step, and where nothing counts it. */
static bool warm_up(struct engine *engine, struct error *err) {
    turns_take(engine->options.turns);
    bool warm = decoder_warm_up(&engine->decoder, err);
    turns_give(engine->options.turns);
    return warm;
}

static void report_ready(struct engine *engine, bool ok, const struct error *err) {
    pthread_mutex_lock(&engine->mutex);
    engine->ready = true;
    engine->failed = !ok;
    engine->failure = *err;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
}

/* Waits, unless the engine is busy, for something to do; takes the inbox. False: time to stop. */
static bool take_inbox(struct engine *engine, bool busy, struct session **inbox) {
    pthread_mutex_lock(&engine->mutex);
    engine->rounds++;
    engine->idle = true;
    while (!busy && engine->inbox == NULL && !engine->kicked && !engine->stopping) {
        pthread_cond_wait(&engine->changed, &engine->mutex);
    }
    engine->idle = false;
    *inbox = engine->inbox;
    engine->inbox = NULL;
    engine->kicked = false;
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->mutex);
    return !stopping;
}

/* The inbox is newest first: hand it over in the order of submission. */
static void add_in_order(struct engine *engine, struct session *inbox) {
    struct session *oldest_first = NULL;
    while (inbox != NULL) {
        struct session *next = inbox->next;
        inbox->next = oldest_first;
        oldest_first = inbox;
        inbox = next;
    }
    while (oldest_first != NULL) {
        struct session *next = oldest_first->next;
        scheduler_add(engine->scheduler, oldest_first);
        oldest_first = next;
    }
}

static void *engine_main(void *argument) {
    struct engine *engine = argument;
    struct error err = {0};
    pthread_setname_np(pthread_self(), "quern-engine");
    bool ok = open_parts(engine, &err) && warm_up(engine, &err);
    report_ready(engine, ok, &err);
    bool busy = false;
    struct session *inbox = NULL;
    while (ok && take_inbox(engine, busy, &inbox)) {
        add_in_order(engine, inbox);
        bool others_wait = turns_take(engine->options.turns);
        no_allocations_begin();
        struct scheduler_outcome outcome = scheduler_step(engine->scheduler, others_wait);
        no_allocations_end();
        turns_give(engine->options.turns);
        busy = outcome.ran;
        if (outcome.delivered && engine->options.wake != NULL) {
            engine->options.wake(engine->options.wake_context);
        }
    }
    if (ok) {
        add_in_order(engine, inbox);
    }
    scheduler_close(engine->scheduler);
    decoder_close(&engine->decoder);
    return NULL;
}

/* ---- Open, close ---- */

static bool options_check(const struct engine_options *options, struct error *err) {
    if (options->sessions_max == 0 || options->step_rows_max < options->sessions_max) {
        return error_set(err, ERROR_INVALID,
                         "%zu sessions cannot run in steps of %zu rows; every session needs a row",
                         options->sessions_max, options->step_rows_max);
    }
    return true;
}

static void engine_free(struct engine *engine) {
    pthread_mutex_destroy(&engine->mutex);
    pthread_cond_destroy(&engine->changed);
    free(engine);
}

bool engine_open(struct engine **out, const struct plan *plan, const struct engine_options *options,
                 struct error *err) {
    if (!options_check(options, err)) {
        return false;
    }
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the engine");
    }
    engine->plan = plan;
    engine->options = *options;
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_cond_init(&engine->changed, NULL);
    if (pthread_create(&engine->thread, NULL, engine_main, engine) != 0) {
        engine_free(engine);
        return error_set(err, ERROR_IO, "the engine's thread could not be started");
    }
    pthread_mutex_lock(&engine->mutex);
    while (!engine->ready) {
        pthread_cond_wait(&engine->changed, &engine->mutex);
    }
    bool failed = engine->failed;
    struct error failure = engine->failure;
    pthread_mutex_unlock(&engine->mutex);
    if (failed) {
        pthread_join(engine->thread, NULL);
        engine_free(engine);
        return error_set(err, failure.code, "%s", failure.text);
    }
    engine->options.adapters = (struct adapters_source){0}; /* they may go */
    *out = engine;
    return true;
}

bool engine_plan_bytes(const struct plan *plan, const struct engine_options *options, size_t *bytes,
                       struct error *err) {
    const struct decoder_options decoder = options_of_decoder(options);
    return decoder_plan_bytes(plan, &decoder, bytes, err);
}

void engine_close(struct engine *engine) {
    if (engine == NULL) {
        return;
    }
    pthread_mutex_lock(&engine->mutex);
    engine->stopping = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
    pthread_join(engine->thread, NULL);
    engine_free(engine);
}

static void kick(struct engine *engine) {
    pthread_mutex_lock(&engine->mutex);
    engine->kicked = true;
    pthread_cond_signal(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
}

/* ---- Sessions, from the reader's side ---- */

static bool request_check(const struct engine *engine, const struct session_request *request,
                          struct error *err) {
    size_t vocabulary = engine->plan->vocabulary_size;
    size_t context = engine->decoder.context_length;
    if (request->prompt_length == 0) {
        return error_set(err, ERROR_INVALID, "the prompt is empty; it needs at least one token");
    }
    for (size_t i = 0; i < request->prompt_length; i++) {
        if (request->prompt[i] < 0 || (size_t)request->prompt[i] >= vocabulary) {
            return error_set(err, ERROR_INVALID, "prompt token %zu is %d; token ids are 0 to %zu",
                             i, request->prompt[i], vocabulary - 1);
        }
    }
    if (request->prompt_length >= context) {
        return error_set(err, ERROR_TOO_LARGE,
                         "the prompt has %zu tokens, but the context holds %zu, reply included",
                         request->prompt_length, context);
    }
    if (request->drafts_max > DRAFTS_MAX) {
        return error_set(err, ERROR_INVALID, "%zu drafts are more than %d", request->drafts_max,
                         DRAFTS_MAX);
    }
    if (request->top_logprobs > TOP_LOGPROBS_MAX) {
        return error_set(err, ERROR_INVALID, "%zu top logprobs are more than %d",
                         request->top_logprobs, TOP_LOGPROBS_MAX);
    }
    if (request->adapter >= adapters_count(engine->decoder.adapters)) {
        return error_set(err, ERROR_INVALID, "adapter %zu does not exist; there are %zu",
                         request->adapter, adapters_count(engine->decoder.adapters) - 1);
    }
    return sampling_check(&request->sampling, vocabulary, err);
}

bool session_submit(struct session **out, struct engine *engine,
                    const struct session_request *request, struct error *err) {
    if (!request_check(engine, request, err)) {
        return false;
    }
    size_t places = engine->options.sessions_max + engine->options.queue_max;
    if (!scheduler_claim_place(engine->scheduler, places)) {
        return error_set(err, ERROR_BUSY,
                         "%zu requests run or wait already, and no more may; try again later",
                         places);
    }
    if (!session_open(out, engine, &engine->decoder, request, err)) {
        scheduler_give_up_place(engine->scheduler);
        return false;
    }
    struct session *session = *out;
    atomic_store(&session->submitted_ns, measures_now());
    pthread_mutex_lock(&engine->mutex);
    session->next = engine->inbox;
    engine->inbox = session;
    pthread_cond_signal(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
    return true;
}

bool session_take(struct session *session, struct session_event *event) {
    if (!session_pop(session, event)) {
        return false;
    }
    if (atomic_exchange(&session->paused, false)) {
        kick(session->engine);
    }
    return true;
}

/* From one time to a later one; 0 where the later one has not come. */
static double seconds(uint64_t from, uint64_t to) {
    return to > from && from > 0 ? (double)(to - from) * 1e-9 : 0;
}

struct session_usage session_get_usage(const struct session *session) {
    uint64_t admitted = atomic_load(&session->admitted_ns);
    uint64_t first = atomic_load(&session->first_ns);
    return (struct session_usage){
        .queue_s = seconds(atomic_load(&session->submitted_ns), admitted),
        .prefill_s = seconds(admitted, first),
        .decode_s = seconds(first, atomic_load(&session->last_ns)),
        .cached_tokens = atomic_load(&session->cached_tokens),
        .drafted_tokens = atomic_load(&session->drafted_tokens),
        .accepted_tokens = atomic_load(&session->accepted_tokens),
        .admitted_ns = admitted,
    };
}

void session_release(struct session *session) {
    struct engine *engine = session->engine;
    atomic_store(&session->released, true);
    session_let_go(session);
    kick(engine);
}

/* ---- What others may know ---- */

void engine_get_status(const struct engine *engine, struct engine_status *status) {
    scheduler_get_status(engine->scheduler, status);
}

const struct measures *engine_measures(const struct engine *engine) {
    return scheduler_measures(engine->scheduler);
}

bool engine_has_progressed(struct engine *engine, uint64_t *seen) {
    pthread_mutex_lock(&engine->mutex);
    bool idle = engine->idle && engine->inbox == NULL && !engine->kicked;
    bool progressed = idle || engine->rounds != *seen;
    *seen = engine->rounds;
    pthread_mutex_unlock(&engine->mutex);
    return progressed;
}

const char *engine_kernels_name(const struct engine *engine) {
    return engine->decoder.kernels->name;
}

const struct weights *engine_weights(const struct engine *engine) {
    return engine->decoder.weights;
}

size_t engine_adapter_bytes(const struct engine *engine) {
    return adapters_bytes(engine->decoder.adapters);
}

size_t engine_kv_bytes(const struct engine *engine) {
    return kv_cache_pages_total(engine->decoder.cache) * kv_cache_page_bytes(engine->decoder.cache);
}

size_t engine_context_length(const struct engine *engine) {
    return engine->decoder.context_length;
}
