/* A timeline: one sequence that is run step by step without the engine's thread, for commands that
 * want to see or time each step. Used by one thread; the decoder must outlive it. */
#ifndef QUERN_SERVER_TIMELINE_H
#define QUERN_SERVER_TIMELINE_H

#include "engine/decoder.h"
#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timeline {
    struct decoder *decoder;
    struct kv_sequence sequence;
    int32_t *tokens; /* [position] */
    size_t position; /* of the next token: so many have been run */
    bool long_rope;  /* they were rotated by the long RoPE tables (plan.h) */
    size_t adapter;  /* of all tokens: to be set before the first is run; 0: none */
};

/* Room for `positions` tokens. ERROR_TOO_LARGE where the decoder's context has less. */
bool timeline_open(struct timeline *timeline, struct decoder *decoder, size_t positions,
                   struct error *err);

/* A zeroed timeline is fine. */
void timeline_close(struct timeline *timeline);

/* Forgets all tokens. */
void timeline_rewind(struct timeline *timeline);

/* A prompt is to follow that makes the timeline `length` tokens long: where that is too long for the
 * RoPE tables of the tokens so far, they are forgotten. Returns how many there are now. */
size_t timeline_expect(struct timeline *timeline, size_t length);

enum timeline_wanted { TIMELINE_NONE, TIMELINE_LAST, TIMELINE_ALL };

/* Runs 1 <= count <= decoder->rows_max tokens in one step. A timeline that outgrows the short RoPE
 * tables unexpectedly is run again from its first token before. *logits (may be NULL) becomes the rows
 * wanted, executor_logits_stride apart, valid until the next step. ERROR_TOO_LARGE where the pool
 * has no pages left. */
bool timeline_run(struct timeline *timeline, const int32_t *tokens, size_t count,
                  enum timeline_wanted wanted, float **logits, struct error *err);

/* One step of all `count` timelines (of one decoder): timelines[i] runs tokens[i], every logits row
 * is wanted. */
bool timeline_run_together(struct timeline *timelines, const int32_t *tokens, size_t count,
                           float **logits, struct error *err);

#endif
