/* The executor: runs a plan on a batch of rows.
 *
 * At open it turns the plan into stages. A stage is work that can be cut into independent items
 * which any thread may take; all threads meet at a barrier between stages. Neighbouring
 * instructions that work row by row share a stage:
 *
 *     plan          norm | linear q k v | attention                 | linear o | norm  norm |
 * linear gate up | ... stages        rows | tiles        | rows   blocks   rows      | tiles    |
 * rows       | tiles          | ... norm,  scores,  softmax RoPE,  per KV   merged store  head
 *
 * A register that only quantized matrices read exists as int8 codes, written by whoever produces
 * the row; registers whose lifetimes do not overlap share memory. All memory is taken at open; a
 * step allocates and locks nothing.
 *
 * Bits of a row's logits depend on its sequence alone: not on the other rows, not on how a prompt
 * is cut into steps, not on the number of threads.
 *
 * One thread (the engine thread) calls executor_run; it is thread 0 of the workers. */
#ifndef QUERN_ENGINE_EXECUTOR_H
#define QUERN_ENGINE_EXECUTOR_H

#include "engine/adapters.h"
#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/kv_cache.h"
#include "engine/plan.h"
#include "engine/weights.h"
#include "engine/workers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One token at one position of one sequence. Rows of a sequence are neighbours, in ascending and
 * gapless positions; pages for them have been reserved, and the positions before them have been
 * run, with the same long_rope. */
struct executor_row {
    int32_t token;
    size_t position;
    const struct kv_sequence *sequence;
    bool wanted;    /* its logits are */
    bool long_rope; /* plan_uses_long_rope of its sequence */
    size_t adapter; /* of its sequence: below adapters_count; 0: none */
};

struct executor;

struct executor_parts {
    const struct plan *plan; /* verified, with select_rows */
    const struct weights *weights;
    const struct adapters *adapters; /* NULL: rows have none, and the plan has none of its own */
    const struct kv_cache *cache;
    enum kv_type kv_type;
    const struct kernels *kernels;
    struct workers *workers;
    size_t rows_max;   /* rows of one step */
    size_t wanted_max; /* of them, rows whose logits are wanted */
    bool exact;        /* activations stay f32 */
};

/* The parts must outlive the executor. */
bool executor_open(struct executor **out, const struct executor_parts *parts, struct error *err);
void executor_close(struct executor *executor);

/* Runs one step of 1 <= count <= rows_max rows. Returns the logits (wanted rows,
 * executor_logits_stride), which the caller may overwrite, and which stay valid until the next
 * step. */
float *executor_run(struct executor *executor, const struct executor_row *rows, size_t count);

/* Floats from one row of logits to the next; the first vocabulary_size of them count. */
size_t executor_logits_stride(const struct executor *executor);

/* Where the time of steps goes, by what a stage does first. */
struct stage_time {
    const char *name; /* "linear", "norm", ... */
    size_t stages;    /* of this name in a step; each ends with a barrier */
    double working;   /* seconds in which threads had work, all threads together */
    double waiting;   /* and in which they waited for the last one */
};

enum { EXECUTOR_STAGE_NAMES_MAX = 17 };

/* Whether the stages of each step are timed from now on, which costs about a thousandth of a step;
 * if so, the times begin at zero. */
void executor_time_stages(struct executor *executor, bool timed);

/* The times of the steps since then, of the stages that there are; returns how many. */
size_t executor_stage_times(const struct executor *executor,
                            struct stage_time times[EXECUTOR_STAGE_NAMES_MAX]);

/* Bytes of packed weights that the latest step read: all but those of experts that no row chose. */
size_t executor_weight_bytes(const struct executor *executor);

#endif
