/* A session: one generation. Its tokens, its block tables, how it samples, and the ring through
 * which its tokens reach their reader.
 *
 *     tokens   [ prompt ............ | reply ...... ]      capacity: prompt and all that may follow
 *               computed ^                  length ^       keys and values exist for [0, computed)
 *
 *     waiting ──admitted──▶ running ──sampled a stop token, or full──▶ finished
 *        ▲                     │
 *        └─────preempted───────┘   pages given back; all tokens are computed again later, with the
 *                                  same result
 *
 * A running session that outgrows the short RoPE tables (plan.h) gives its pages back as well, and is
 * computed again from its first token.
 *
 * Two parties hold it, the engine and the reader; the last one to let go frees it. The engine
 * thread alone touches what is not marked otherwise. */
#ifndef QUERN_ENGINE_SESSION_H
#define QUERN_ENGINE_SESSION_H

#include "engine/decoder.h"
#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/prefix_cache.h"
#include "engine/text/grammar/grammar_matcher.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Events that may wait for a slow reader before its session pauses. */
enum { SESSION_RING_EVENTS = 64 };

struct session {
    /* Constant once submitted. */
    struct engine *engine;
    size_t vocabulary_size;
    size_t prompt_length;
    size_t capacity;
    int32_t *stop_tokens;
    size_t stop_token_count;
    size_t reply_least;  /* tokens before which no stop token comes */
    uint64_t *unstopped; /* a bit for each token, all but the stop tokens; NULL: reply_least is 0 */
    struct sampling sampling;
    void *sampling_parts[3]; /* what it points to */
    bool logprobs;
    size_t top_logprobs;
    bool prompt_logprobs;
    size_t drafts_max;
    size_t adapter;

    int32_t *tokens; /* [capacity]; drafts follow the last one, then what was sampled */
    size_t length;
    size_t computed;
    struct kv_sequence sequence;
    struct prefix_cursor cursor;
    bool long_rope;   /* keys are rotated by the long RoPE tables */
    bool restarted;   /* at least once: its tokens are computed again */
    size_t step_rows; /* rows in the step being built */
    size_t drafts;    /* of them, the last ones: tokens that are guesses */
    size_t logits_row;
    size_t scored;      /* tokens of the prompt whose logprobs are known, the first included */
    size_t step_scores; /* rows of the step, the first wanted ones, that score the next ones */
    size_t sampled;     /* tokens, behind the last one */
    bool stuck;         /* the automaton of the grammar has no room for what would have to follow */
    struct sampling_state sampling_state;
    struct grammar_matcher *matcher; /* of the reply with what was sampled; NULL: any reply */
    struct drafter drafter;
    struct session *next; /* in the list that holds it */

    /* One writer (the engine thread), one reader. */
    atomic_size_t cached_tokens;
    atomic_size_t drafted_tokens;
    atomic_size_t accepted_tokens;
    _Atomic uint64_t submitted_ns; /* times by measures_now; 0: not yet */
    _Atomic uint64_t admitted_ns;  /* for the first time */
    _Atomic uint64_t first_ns;     /* token of the reply */
    _Atomic uint64_t last_ns;
    struct session_event ring[SESSION_RING_EVENTS];
    struct token_logprob *ring_top; /* [SESSION_RING_EVENTS + 1, top_logprobs]: one for each event,
                                       and the reader's copy of the last one */
    atomic_size_t written;
    atomic_size_t taken;

    atomic_bool paused;   /* the ring was full: whoever takes an event wakes the engine */
    atomic_bool released; /* the reader has let go */
    atomic_int holders;
};

/* A session with copies of all that the request points to. */
bool session_open(struct session **out, struct engine *engine, const struct decoder *decoder,
                  const struct session_request *request, struct error *err);

/* One holder lets go. The engine's has closed the sequence before. */
void session_let_go(struct session *session);

/* Room for a token and the finish reason behind it? If not, the session is paused until its reader
 * takes something. */
bool session_has_room(struct session *session);

/* Tokens that the reader has room for, besides the finish reason. */
size_t session_room(const struct session *session);

/* The event that will be the reader's when `ahead` more have been pushed; its `top`, if the session
 * has top_logprobs, can be written through session_event_top. There is room: see session_room. */
struct session_event *session_event_ahead(struct session *session, size_t ahead);
struct token_logprob *session_event_top(struct session *session, size_t ahead);

/* Hands the next event, which has been filled, to the reader. */
void session_push(struct session *session);

/* The reader's side of it: takes the next event, if there is one. */
bool session_pop(struct session *session, struct session_event *event);

/* Tokens of the prompt that are still to be scored. */
size_t session_scores_left(const struct session *session);

bool session_is_stop_token(const struct session *session, int32_t token);

/* The tokens that may come behind `length` tokens, the stop tokens among them, and whether there are
 * any; *allowed is NULL where all may. */
bool session_allows(struct session *session, size_t length, const uint64_t **allowed);

/* Takes note of a token that was sampled. False if the reply ends with it, or before it. */
bool session_goes_on_behind(struct session *session, int32_t token);

/* The reply matches its grammar and cannot go on. */
bool session_is_complete(const struct session *session);

/* How a reply that ends by itself ends: see session_request.grammar. */
enum finish_reason session_end(const struct session *session);

#endif
