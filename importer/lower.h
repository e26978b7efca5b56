/* Lowering: the graph that the passes left, to the engine's plan.
 *
 * Nodes are taken in order. A value is a *row value* if it is made, row by row, from the embedding of
 * the ids: it gets a register, or a run of columns of one. Everything else (masks, positions,
 * shapes) is never lowered; what an instruction needs of it is proven by running it (probe.h).
 *
 * What has no instruction is a reason; lowering goes on, so that all reasons are found at once. */
#ifndef QUERN_IMPORTER_LOWER_H
#define QUERN_IMPORTER_LOWER_H

#include "engine/error.h"
#include "engine/plan.h"
#include "importer/graph.h"
#include "importer/model_config.h"
#include "importer/operators.h"

#include <stdbool.h>

/* Fills an initialized plan, which borrows the bytes of the graph's constants. ERROR_UNSUPPORTED:
 * *reasons (if not NULL; the caller frees) holds a line for each, err the first and their number.
 * ERROR_BAD_FILE: configuration and graph contradict each other. */
bool lower(struct plan *plan, const struct graph *graph, const struct model_config *config,
           char **reasons, struct error *err);

/* The i-th operator that has an instruction; NULL past the last. */
const struct operator_support *lower_support(size_t i);

#endif
