/* The matrices of adapters (LoRA), as a graph declares them: nodes LowRank (passes/passes.h), in
 * their order, are the places of the plan where adapters add something. */
#ifndef QUERN_IMPORTER_LOW_RANK_H
#define QUERN_IMPORTER_LOW_RANK_H

#include "engine/error.h"
#include "engine/plan.h"
#include "importer/graph.h"

#include <stdbool.h>

/* Fills a pair for that place from the tensors of the node's two matrices. Where both are missing
 * (NULL) or empty, the pair adds nothing. ERROR_BAD_FILE names the matrix that does not fit, and
 * what was expected. */
bool low_rank_read(struct plan_low_rank_pair *pair, const struct plan_low_rank *low_rank,
                   const struct graph *graph, const struct graph_node *node,
                   const struct tensor *down, const struct tensor *up, struct error *err);

#endif
