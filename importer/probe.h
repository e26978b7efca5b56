/* What do the sequence lengths of an attention mean? Run them and see.
 *
 * Exports compute seqlens_k, total_sequence_length and positions from the mask with shape
 * arithmetic that differs from one exporter to the next. Here that arithmetic runs on a few batches
 * whose lengths are known: a prompt, one token behind a past, a chunk behind a past, and two
 * prompts of different lengths. Only if every result is what GroupQueryAttention expects of an
 * ordinary causal decoder may the engine use its own positions instead. */
#ifndef QUERN_IMPORTER_PROBE_H
#define QUERN_IMPORTER_PROBE_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/model_config.h"

#include <stdbool.h>

/* Values of the graph; positions may be GRAPH_NONE. Expected: seqlens_k[b] = tokens of sequence b
 * minus 1, total = tokens of the longest, positions[b][s] = past + s. If they are not, or cannot be
 * computed, err says so. */
bool probe_lengths(const struct graph *graph, const struct model_config *config, int seqlens_k,
                   int total, int positions, struct error *err);

#endif
