/* A few runs of a whole graph on steps of one sequence, without its activations: what shapes, masks and
 * positions are in each. Experiments start from them (probe_attention.h), and what is the same in all
 * of them is a constant (passes/constant_shapes.c).
 *
 * Owned by the pass that opens them; the graph must not change meanwhile, but for nodes that are
 * rewritten to compute the same. */
#ifndef QUERN_IMPORTER_PROBE_RUNS_H
#define QUERN_IMPORTER_PROBE_RUNS_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/interpret.h"
#include "importer/model_config.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PROBE_POSITIONS_MAX =
        INTERPRET_ELEMENTS_MAX - 1, /* of the longest run: a mask can be looked at */
};

enum probe_run {
    PROBE_PROMPT, /* positions 0 to 4 */
    PROBE_CHUNK,  /* four tokens behind three */
    PROBE_FAR,    /* one token behind 300 */
    PROBE_LONG,   /* the last token of the longest context */
    PROBE_RUNS,
};

struct probe_runs {
    const struct graph *graph;
    const struct model_config *config;
    size_t past[PROBE_RUNS];
    size_t fresh[PROBE_RUNS];
    size_t end; /* experiments look at no node from here on */
    struct interpretation runs[PROBE_RUNS];
};

bool probe_runs_open(struct probe_runs *probes, const struct graph *graph,
                     const struct model_config *config, struct error *err);
void probe_runs_close(struct probe_runs *probes);

/* Repeats the longest run with fewer positions, at least one. */
bool probe_runs_shorten(struct probe_runs *probes, size_t positions, struct error *err);

#endif
