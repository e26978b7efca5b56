/* The engine: a loaded plan, its packed weights, its KV pool, and one thread that turns submitted
 * sessions into tokens.
 *
 *     loop thread                         engine thread
 *     session_submit ──── inbox ────────▶ admits it, batches its rows into steps, samples
 *     session_take   ◀─── its own ring ── one event a token, then one with the finish reason
 *                    ◀─── wake() ──────── after a step that put something into a ring that was
 * empty session_release ─── flag ─────────▶ frees its pages within one step, if it was still
 * running
 *
 * A session's ring is bounded: when its reader is slow the session is paused until there is room,
 * the others go on.
 *
 * Threads: engine_open and engine_close on one thread; session_* from any one thread per session
 * (the loop thread); wake is called on the engine thread and must only signal (uv_async_send, a
 * condition variable). */
#ifndef QUERN_ENGINE_ENGINE_H
#define QUERN_ENGINE_ENGINE_H

#include "engine/adapters.h"
#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/measures.h"
#include "engine/plan.h"
#include "engine/sampler.h"
#include "engine/text/grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct session;
struct turns;

struct engine_options {
    bool exact; /* f32 activations, f32 scales */
    enum kv_type kv_type;
    size_t threads; /* compute threads, the engine thread included; 0: one a processor */
    bool pin_threads;
    const char *kernels; /* name of a kernel table, or NULL for the best */
    size_t kv_positions; /* KV pool: room for this many positions of full context, shared by all
                             sessions;  0: enough for one sequence of the full context and at least
                             8192 */
    struct adapters_source adapters; /* for session_request.adapter; see decoder_options */
    size_t memory_max; /* bytes of weights, adapters and KV pool; 0: what this process may have */
    struct turns
        *turns; /* shared with other engines on the same processors; NULL: there are none */
    size_t sessions_max;  /* sessions that run together */
    size_t queue_max;     /* sessions that wait; beyond that session_submit says ERROR_BUSY */
    bool no_prefix_cache; /* compute every prompt from its first token */
    size_t step_rows_max; /* rows of one step: bounds memory, and how long a prompt delays others */
    struct weights_options packing; /* as in decoder_options */
    void (*wake)(void *context);
    void *wake_context;
};

/* The defaults of all of the above. */
struct engine_options engine_options_default(void);

/* `plan` must outlive the engine, the adapters need not. Packs the weights, reserves the KV pool,
 * starts the threads. */
bool engine_open(struct engine **out, const struct plan *plan, const struct engine_options *options,
                 struct error *err);

/* Bytes that the weights and KV pool of a plan will take, as far as that is known before; see
 * decoder_plan_bytes. */
bool engine_plan_bytes(const struct plan *plan, const struct engine_options *options, size_t *bytes,
                       struct error *err);

/* Stops the threads and frees everything. Sessions still running finish with FINISH_CANCELLED; they
 * must be released before this is called. */
void engine_close(struct engine *engine);

/* What session_request.drafts_max may be, and what is good where nothing else is known. */
enum { DRAFTS_MAX = 7, DRAFTS_DEFAULT = 5 };

/* What session_request.top_logprobs may be. */
enum { TOP_LOGPROBS_MAX = 20 };

enum finish_reason {
    FINISH_NONE,
    FINISH_STOP,      /* a stop token was sampled, or the grammar is at its end */
    FINISH_LENGTH,    /* max_tokens, or the context is full */
    FINISH_CANCELLED, /* released, or the engine closed */
};

struct session_request {
    const int32_t *prompt; /* copied; at least one token, each within the vocabulary */
    size_t prompt_length;
    size_t max_tokens;
    size_t min_tokens; /* fewer, and no stop token is sampled, unless the grammar wants one */
    const int32_t
        *stop_tokens; /* copied: sampling one of these ends the session; it is not delivered */
    size_t stop_token_count;
    struct sampling sampling; /* copied, with all that it points to */
    struct grammar *grammar; /* held: the reply matches it, and a stop token comes only where it may
                                 end; NULL: none. Ends with FINISH_STOP where the reply is complete,
                                 or FINISH_LENGTH if max_tokens made it shorter than it might be */
    bool logprobs;           /* the events of tokens carry logprobs ... */
    size_t top_logprobs;     /* ... and those of so many of the most probable tokens */
    bool prompt_logprobs;    /* the tokens of the prompt but the first are events, too, before those
                                 of the reply; all of the prompt is computed for that */
    size_t drafts_max;       /* tokens guessed ahead in a step; changes the speed, not the reply; 0:
                                 none */
    size_t adapter;          /* i + 1: adapter i of the engine's; 0: none */
};

struct session_event {
    int32_t token;                   /* meaningful if finish == FINISH_NONE */
    enum finish_reason finish;       /* the last event of a session has one, and no token */
    bool of_prompt;                  /* see prompt_logprobs */
    uint64_t at_ns;                  /* when it came, on the monotonic clock */
    float logprob;                   /* of the token, if asked for; see sampler.h */
    const struct token_logprob *top; /* [top_logprobs], until the next event is taken */
};

/* Queues a session. ERROR_INVALID for a bad request, ERROR_TOO_LARGE with both numbers for a prompt
 * that leaves no room in the context or can never fit into the pool, ERROR_BUSY when the queue is
 * full. */
bool session_submit(struct session **out, struct engine *engine,
                    const struct session_request *request, struct error *err);

/* Takes the next event, if there is one. Never blocks. */
bool session_take(struct session *session, struct session_event *event);

/* What a session has needed so far; meaningful once an event has been taken. */
struct session_usage {
    size_t cached_tokens;   /* of the prompt, from the prefix cache */
    size_t drafted_tokens;  /* guessed ahead */
    size_t accepted_tokens; /* of those, the ones that are in the reply */
    uint64_t admitted_ns;   /* when it began to run, on the monotonic clock */
    double queue_s;         /* until it ran for the first time */
    double prefill_s;       /* from then to the first token of the reply */
    double decode_s;        /* from that to the last one */
};
struct session_usage session_get_usage(const struct session *session);

/* Gives the session back; if it still runs, it stops and its pages are free within one step. */
void session_release(struct session *session);

/* A snapshot for /health, logs and metrics; any thread. */
struct engine_status {
    size_t running;
    size_t waiting;
    size_t pages_used;   /* by sessions */
    size_t pages_cached; /* by the prefix cache alone: free when wanted */
    size_t pages_total;
    uint64_t steps;
    uint64_t prompt_tokens; /* computed */
    uint64_t cached_tokens; /* of prompts, from the prefix cache */
    uint64_t generated_tokens;
    uint64_t drafted_tokens;  /* guessed ahead */
    uint64_t accepted_tokens; /* of those, the ones that were right */
    uint64_t preemptions;
};
void engine_get_status(const struct engine *engine, struct engine_status *status);

/* What has been measured since the start; any thread. */
const struct measures *engine_measures(const struct engine *engine);

/* Has the engine's thread done something since the last call with the same `seen` (0 at first), or does
 * it wait because there is nothing to do? False for long: it is stuck. Any thread. */
bool engine_has_progressed(struct engine *engine, uint64_t *seen);

/* The kernel table in use ("avx512"), the packed weights, the bytes of the adapters and of the KV
 * pool. */
const char *engine_kernels_name(const struct engine *engine);
const struct weights *engine_weights(const struct engine *engine);
size_t engine_adapter_bytes(const struct engine *engine);
size_t engine_kv_bytes(const struct engine *engine);

/* Tokens that prompt and reply may have together: what the model and the KV pool allow. */
size_t engine_context_length(const struct engine *engine);

#endif
