/* What do the sequence lengths of an attention mean? Run them and see.
 *
 * Exports compute seqlens_k and total_sequence_length from the mask with shape arithmetic that
 * differs from one exporter to the next. Here that arithmetic runs on a few batches
 * whose lengths are known: a prompt, one token behind a past, a chunk behind a past, and two
 * prompts of different lengths. Only if every result is what GroupQueryAttention expects of an
 * ordinary causal decoder may the engine use its own positions instead. */
#ifndef QUERN_IMPORTER_PROBE_H
#define QUERN_IMPORTER_PROBE_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/interpret.h"
#include "importer/model_config.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- Probes ---- */

enum { PROBE_SEQUENCES_MAX = 2 };

/* A step that a model could be asked for. */
struct probe_batch {
    size_t size;                         /* sequences */
    size_t past;                         /* tokens whose keys and values are there */
    size_t fresh;                        /* tokens of this step, padding included */
    size_t lengths[PROBE_SEQUENCES_MAX]; /* of each sequence, past included, padding not */
};

/* The graph inputs of a batch: the mask is ones up to the length, positions count from the past on. Of
 * token ids and of the past only the shape is given. */
bool probe_feed(struct interpretation *run, const struct probe_batch *batch,
                const struct model_config *config, struct error *err);

/* ---- Lengths ---- */

/* Values of the graph. Expected: seqlens_k[b] = tokens of sequence b minus 1, total = tokens of the
 * longest. If they are not, or cannot be computed, err says so. */
bool probe_lengths(const struct graph *graph, const struct model_config *config, int seqlens_k,
                   int total, struct error *err);

#endif
