/* The adapters (LoRA) of a running plan: what each adds at each place of the plan, packed for the
 * kernels as weights are.
 *
 *     places of the plan      q.0           k.0           ...
 *     adapter 0, none         -             -                       as a rule
 *     adapter 1               down, up      down, up
 *     adapter 2               down, up      -                       it leaves k.0 as it is
 *
 * adapters_open is called once; after it everything is constant, and any thread may read. */
#ifndef QUERN_ENGINE_ADAPTERS_H
#define QUERN_ENGINE_ADAPTERS_H

#include "engine/error.h"
#include "engine/plan.h"
#include "engine/weights.h"

#include <stdbool.h>
#include <stddef.h>

struct adapters;

/* What to pack: for each adapter a pair for each place of the plan, in that order. The bytes of the
 * weights may go once the adapters are open. */
struct adapters_source {
    const struct plan_low_rank_pair *const *adapters; /* [count] */
    size_t count;
};

/* Adapter i + 1 will be adapters[i] of the source; adapter 0 is what the plan itself has. Unless
 * `exact`, numbers become f16. ERROR_TOO_LARGE beyond bytes_max. */
bool adapters_open(struct adapters **out, const struct plan *plan,
                   const struct adapters_source *source, bool exact, size_t bytes_max,
                   struct error *err);
void adapters_close(struct adapters *adapters);

/* Bytes that they will take at most: as if they were `exact`. */
bool adapters_plan_bytes(const struct plan *plan, const struct adapters_source *source,
                         size_t *bytes, struct error *err);

/* What an adapter adds at a place of the plan: up(down(x)). NULL: nothing. */
struct packed_low_rank {
    struct packed_matrix down;
    struct packed_matrix up;
};
const struct packed_low_rank *adapters_find(const struct adapters *adapters, size_t adapter,
                                            int place);

/* How many there are, 0 included. */
size_t adapters_count(const struct adapters *adapters);

/* The greatest rank of any; 0: none adds anything. */
size_t adapters_rank(const struct adapters *adapters);

size_t adapters_bytes(const struct adapters *adapters);

#endif
