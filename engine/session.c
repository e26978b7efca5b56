#include "engine/session.h"

#include "engine/checked.h"

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
    free(session->biases);
    free(session);
}

bool session_open(struct session **out, struct engine *engine, const struct kv_cache *cache,
                  const struct session_request *request, size_t context_length, struct error *err) {
    size_t room = context_length - request->prompt_length;
    size_t reply = request->max_tokens < room ? request->max_tokens : room;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for another session");
    }
    session->engine = engine;
    session->user = request->user;
    session->prompt_length = request->prompt_length;
    session->capacity = request->prompt_length + reply;
    session->length = request->prompt_length;
    session->tokens = calloc(session->capacity, sizeof *session->tokens);
    session->stop_tokens =
        copy_of(request->stop_tokens, request->stop_token_count, sizeof *session->stop_tokens);
    session->stop_token_count = request->stop_token_count;
    session->sampling = request->sampling;
    session->drafts_max = request->drafts_max;
    session->biases =
        copy_of(request->sampling.biases, request->sampling.bias_count, sizeof *session->biases);
    session->sampling.biases = session->biases;
    atomic_init(&session->holders, 2);
    if (session->tokens == NULL || session->stop_tokens == NULL || session->biases == NULL) {
        session_free(session);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a session of %zu tokens",
                         request->prompt_length + reply);
    }
    if (!kv_sequence_open(&session->sequence, cache, session->capacity, err)) {
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

void session_push(struct session *session, struct session_event event) {
    size_t written = atomic_load_explicit(&session->written, memory_order_relaxed);
    assert(ring_used(session) < SESSION_RING_EVENTS);
    session->ring[written % SESSION_RING_EVENTS] = event;
    atomic_store(&session->written, written + 1);
}

bool session_is_stop_token(const struct session *session, int32_t token) {
    for (size_t i = 0; i < session->stop_token_count; i++) {
        if (session->stop_tokens[i] == token) {
            return true;
        }
    }
    return false;
}
