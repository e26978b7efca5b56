/* A decoder: everything that running a plan needs, put together: kernels, worker threads, packed
 * weights, KV pool and executor. The engine drives one with its scheduler; `quern logits` and
 * `quern bench` drive one step by step. */
#ifndef QUERN_ENGINE_DECODER_H
#define QUERN_ENGINE_DECODER_H

#include "engine/error.h"
#include "engine/executor.h"

#include <stdbool.h>
#include <stddef.h>

struct decoder_options {
    bool exact; /* f32 activations, f32 scales */
    enum kv_type kv_type;
    size_t threads; /* compute threads, the caller's included; 0: one for each processor */
    bool pin_threads;
    const char *kernels; /* name of a kernel table, or NULL for the best */
    size_t kv_positions; /* KV pool: room for so many positions, shared by all sequences; 0: for one
                            sequence of the full context, and for at least KV_POSITIONS_DEFAULT */
    struct adapters_source adapters; /* that rows may have (executor_row.adapter) */
    size_t memory_max; /* bytes of weights, adapters and KV pool; 0: what this process may have */
    size_t rows_max;   /* rows of one step */
    size_t wanted_max; /* of them, rows whose logits are wanted */
    struct weights_options
        packing; /* but for `exact` and `bytes_max`, which follow from the rest */
};

enum { KV_POSITIONS_DEFAULT = 8192 };

struct decoder {
    const struct plan *plan;
    const struct kernels *kernels;
    struct workers *workers;
    struct weights *weights;
    struct adapters *adapters;
    struct kv_cache *cache;
    struct executor *executor;
    size_t rows_max;
    size_t
        context_length; /* positions that one sequence may have: what the plan and the pool allow */
};

/* The plan must outlive the decoder. Weights, adapters and KV pool together stay within memory_max,
 * or the memory that this process may have (memory_limit.h): a pool of the default size is made
 * smaller, one that was asked for is refused, ERROR_TOO_LARGE with the numbers. */
bool decoder_open(struct decoder *decoder, const struct plan *plan,
                  const struct decoder_options *options, struct error *err);

/* Bytes that decoder_open would take with no limit, weights as weights_plan_bytes has them. */
bool decoder_plan_bytes(const struct plan *plan, const struct decoder_options *options,
                        size_t *bytes, struct error *err);

/* Runs one row and forgets it, which the first step that somebody waits for need not do then: code comes
 * into memory, activations get theirs, the threads meet for the first time. */
bool decoder_warm_up(struct decoder *decoder, struct error *err);

/* A zeroed decoder is fine. */
void decoder_close(struct decoder *decoder);

#endif
