/* The scheduler: continuous batching. Each step it decides which rows run.
 *
 *     1. Sessions whose reader has let go are dropped, and their pages with them.
 *     2. Waiting sessions are admitted, first come first served, as long as the pool holds their
 *        tokens; what the prefix cache has of them need not be computed. Where there is no room for
 *        one, sessions with a slow reader make it: they cannot go on anyway.
 *     3. Every running session that has one token to compute (decode) gets a row, and while there are
 *        few of them rows for what its drafter guesses will follow (drafter.h); what is left of
 *        the step goes to prompts, oldest first, in chunks; one that would compute the same block
 *        as another waits for that one's. While others decode, prompts get few rows a step, so that
 *        they do not wait.
 *     4. Pages are reserved, oldest session first. Where the pool has too few, the prefix cache
 *        forgets some; where that is not enough, a session with a slow reader, or else the youngest,
 *        is preempted.
 *     5. The step runs; a session whose last token was in it samples the next one, and those that
 *        guesses have computed already, and hands them to its reader. One that wants the logprobs
 *        of its prompt scores it row by row, few rows a step.
 *
 * Results depend on none of these decisions (see executor.h), only their time does.
 *
 * Invariants: running is ordered by admission, waiting by submission (a preempted session is older
 * than all that wait); a session is in exactly one list; a waiting session holds no pages.
 *
 * Used by the engine thread alone, except where a function says otherwise. */
#ifndef QUERN_ENGINE_SCHEDULER_H
#define QUERN_ENGINE_SCHEDULER_H

#include "engine/decoder.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/measures.h"
#include "engine/session.h"

#include <stdbool.h>
#include <stddef.h>

struct scheduler;

/* Rows of one step whose logits are wanted: what decoder_options.wanted_max must be. */
size_t scheduler_wanted_max(size_t sessions_max);

bool scheduler_open(struct scheduler **out, struct decoder *decoder, size_t sessions_max,
                    bool keep_prefixes, struct error *err);

/* Cancels what still runs or waits. */
void scheduler_close(struct scheduler *scheduler);

/* A place among those that run or wait, if fewer than `places_max` are taken; a session gives its
 * place up when it finishes. Any thread. */
bool scheduler_claim_place(struct scheduler *scheduler, size_t places_max);
void scheduler_give_up_place(struct scheduler *scheduler);

/* Takes over a submitted session, which has a place. */
void scheduler_add(struct scheduler *scheduler, struct session *session);

struct scheduler_outcome {
    bool ran; /* there were rows to run; if not, nothing will change until someone submits, takes or
                 releases */
    bool delivered; /* some reader has something new */
};

/* With `others_wait`, for the next turn on the processors, the step is short as if a session decoded. */
struct scheduler_outcome scheduler_step(struct scheduler *scheduler, bool others_wait);

/* Any thread; the numbers are of the last step. */
void scheduler_get_status(const struct scheduler *scheduler, struct engine_status *status);
const struct measures *scheduler_measures(const struct scheduler *scheduler);

#endif
