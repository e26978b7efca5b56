#include "engine/session.h"

#include "engine/checked.h"
#include "engine/sampler.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *bytes, size_t count, size_t size) {
    size_t total;
    void *copy = checked_multiply(count, size, &total) ? malloc(total + 1) : NULL;
    if (copy != NULL && total > 0) {
        memcpy(copy, bytes, total);
    }
    return copy;
}

static void session_free(struct session *session) {
    free(session->tokens);
    free(session->stop_tokens);
    free(session->unstopped);
    free(session->ring_top);
    grammar_matcher_close(session->matcher);
    for (size_t i = 0; i < sizeof session->sampling_parts / sizeof *session->sampling_parts; i++) {
        free(session->sampling_parts[i]);
    }
    free(session);
}

static bool copy_sampling(struct session *session, const struct sampling *sampling,
                          size_t vocabulary_size) {
    struct sampling *copy = &session->sampling;
    void **parts = session->sampling_parts;
    *copy = *sampling;
    copy->biases = parts[0] = copy_of(sampling->biases, sampling->bias_count, sizeof *copy->biases);
    copy->dry.breaker_runs = parts[1] =
        copy_of(sampling->dry.breaker_runs, sampling->dry.breaker_run_length,
                sizeof *copy->dry.breaker_runs);
    if (sampling->dry.breaker_bits != NULL) {
        copy->dry.breaker_bits = parts[2] =
            copy_of(sampling->dry.breaker_bits, (vocabulary_size + 63) / 64, sizeof(uint64_t));
    }
    session->sampling_state = sampling_begin(sampling);
    return parts[0] != NULL && parts[1] != NULL &&
           (parts[2] != NULL || sampling->dry.breaker_bits == NULL);
}

/* False when memory is out. */
static bool hold_stop_tokens(struct session *session, size_t min_tokens) {
    if (min_tokens == 0 || session->stop_token_count == 0) {
        return true;
    }
    size_t words = (session->vocabulary_size + 63) / 64;
    session->unstopped = malloc(words * sizeof *session->unstopped);
    if (session->unstopped == NULL) {
        return false;
    }
    memset(session->unstopped, 0xFF, words * sizeof *session->unstopped);
    for (size_t i = 0; i < session->stop_token_count; i++) {
        size_t token = (size_t)session->stop_tokens[i];
        if (token < session->vocabulary_size) {
            session->unstopped[token / 64] &= ~(UINT64_C(1) << token % 64);
        }
    }
    session->reply_least = min_tokens;
    return true;
}

bool session_open(struct session **out, struct engine *engine, const struct decoder *decoder,
                  const struct session_request *request, struct error *err) {
    size_t room = decoder->context_length - request->prompt_length;
    size_t reply = request->max_tokens < room ? request->max_tokens : room;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for another session");
    }
    session->engine = engine;
    session->vocabulary_size = decoder->plan->vocabulary_size;
    session->prompt_length = request->prompt_length;
    session->capacity = request->prompt_length + reply;
    session->length = request->prompt_length;
    session->scored = 1;
    session->tokens = calloc(session->capacity, sizeof *session->tokens);
    session->stop_tokens =
        copy_of(request->stop_tokens, request->stop_token_count, sizeof *session->stop_tokens);
    session->stop_token_count = request->stop_token_count;
    session->logprobs = request->logprobs || request->prompt_logprobs;
    session->top_logprobs = request->top_logprobs;
    session->prompt_logprobs = request->prompt_logprobs;
    session->ring_top =
        calloc((SESSION_RING_EVENTS + 1) * (request->top_logprobs + 1), sizeof *session->ring_top);
    session->drafts_max = request->drafts_max;
    session->adapter = request->adapter;
    bool sampling = copy_sampling(session, &request->sampling, decoder->plan->vocabulary_size);
    atomic_init(&session->holders, 2);
    if (session->tokens == NULL || session->stop_tokens == NULL || session->ring_top == NULL ||
        !sampling || !hold_stop_tokens(session, request->min_tokens)) {
        session_free(session);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a session of %zu tokens",
                         request->prompt_length + reply);
    }
    bool matcher =
        request->grammar == NULL || grammar_matcher_open(&session->matcher, request->grammar,
                                                         decoder->plan->vocabulary_size, err);
    if (!matcher || !kv_sequence_open(&session->sequence, decoder->cache, session->capacity, err)) {
        session_free(session);
        return false;
    }
    memcpy(session->tokens, request->prompt, request->prompt_length * sizeof *session->tokens);
    *out = session;
    return true;
}

void session_let_go(struct session *session) {
    if (atomic_fetch_sub(&session->holders, 1) == 1) {
        session_free(session);
    }
}

static size_t ring_used(const struct session *session) {
    return atomic_load(&session->written) - atomic_load(&session->taken);
}

size_t session_room(const struct session *session) {
    size_t used = ring_used(session);
    return used + 1 < SESSION_RING_EVENTS ? SESSION_RING_EVENTS - 1 - used : 0;
}

bool session_has_room(struct session *session) {
    if (session_room(session) > 0) {
        return true;
    }
    /* The reader may have taken the last event between the look and the flag: look again after
     * raising it. */
    atomic_store(&session->paused, true);
    if (session_room(session) == 0) {
        return false;
    }
    atomic_store(&session->paused, false);
    return true;
}

static size_t slot_ahead(const struct session *session, size_t ahead) {
    size_t written = atomic_load_explicit(&session->written, memory_order_relaxed);
    assert(ring_used(session) + ahead < SESSION_RING_EVENTS);
    return (written + ahead) % SESSION_RING_EVENTS;
}

struct session_event *session_event_ahead(struct session *session, size_t ahead) {
    return &session->ring[slot_ahead(session, ahead)];
}

struct token_logprob *session_event_top(struct session *session, size_t ahead) {
    return session->ring_top + slot_ahead(session, ahead) * session->top_logprobs;
}

void session_push(struct session *session) {
    size_t written = atomic_load_explicit(&session->written, memory_order_relaxed);
    assert(ring_used(session) < SESSION_RING_EVENTS);
    session->ring[written % SESSION_RING_EVENTS].at_ns = measures_now();
    atomic_store(&session->written, written + 1);
}

bool session_pop(struct session *session, struct session_event *event) {
    size_t taken = atomic_load_explicit(&session->taken, memory_order_relaxed);
    if (taken == atomic_load(&session->written)) {
        return false;
    }
    size_t slot = taken % SESSION_RING_EVENTS;
    size_t count = session->top_logprobs;
    struct token_logprob *top = session->ring_top + SESSION_RING_EVENTS * count;
    memcpy(top, session->ring_top + slot * count, count * sizeof *top);
    *event = session->ring[slot];
    event->top = top;
    atomic_store(&session->taken, taken + 1);
    return true;
}

size_t session_scores_left(const struct session *session) {
    return session->prompt_logprobs ? session->prompt_length - session->scored : 0;
}

bool session_is_stop_token(const struct session *session, int32_t token) {
    for (size_t i = 0; i < session->stop_token_count; i++) {
        if (session->stop_tokens[i] == token) {
            return true;
        }
    }
    return false;
}

/* ---- Grammars ---- */

static bool is_empty(const uint64_t *mask, size_t bits) {
    for (size_t i = 0; i < (bits + 63) / 64; i++) {
        if (mask[i] != 0) {
            return false;
        }
    }
    return true;
}

bool session_allows(struct session *session, size_t length, const uint64_t **allowed) {
    bool early = length - session->prompt_length < session->reply_least;
    *allowed = early ? session->unstopped : NULL;
    if (session->matcher == NULL) {
        return true;
    }
    uint64_t *mask = grammar_matcher_mask(session->matcher, session->capacity - length);
    bool goes_on = !is_empty(mask, session->vocabulary_size);
    bool ends = grammar_matcher_accepts(session->matcher) && !(early && goes_on);
    for (size_t i = 0; i < session->stop_token_count; i++) {
        size_t token = (size_t)session->stop_tokens[i];
        if (token >= session->vocabulary_size) {
            continue; /* the model's settings may name tokens that it does not have */
        }
        uint64_t bit = UINT64_C(1) << token % 64;
        /* A stop token may have a text, too, which would end the reply amid the grammar's. */
        mask[token / 64] = ends ? mask[token / 64] | bit : mask[token / 64] & ~bit;
    }
    *allowed = mask;
    return !is_empty(mask, session->vocabulary_size);
}

bool session_goes_on_behind(struct session *session, int32_t token) {
    if (session_is_stop_token(session, token)) {
        return false;
    }
    session->stuck = session->matcher != NULL && !grammar_matcher_advance(session->matcher, token);
    return !session->stuck && !session_is_complete(session);
}

bool session_is_complete(const struct session *session) {
    return session->matcher != NULL && grammar_matcher_is_finished(session->matcher);
}

enum finish_reason session_end(const struct session *session) {
    bool hurried = session->matcher != NULL && grammar_matcher_was_hurried(session->matcher);
    return hurried ? FINISH_LENGTH : FINISH_STOP;
}
