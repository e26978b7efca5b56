/* Numbers that change as a sequence grows: run them at many lengths and see.
 *
 *     length    1 ........ 4096 | 4097 ...........          which RoPE tables an If chooses,
 *     number    0 ............0 | 1 ..............          how far positions are ahead of the tokens
 *
 * A graph with long RoPE computes such a number from the mask or the positions. Here it is computed at
 * lengths that close in on the change, and at others all over the range: it must depend on the whole
 * length alone, not on what part of the sequence is new, and change at most once. */
#ifndef QUERN_IMPORTER_PROBE_SWITCH_H
#define QUERN_IMPORTER_PROBE_SWITCH_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/model_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct length_switch {
    int64_t of_short;
    int64_t of_long;
    size_t short_length; /* the longest sequence that has of_short; 0: all have it */
};

/* A condition of one element: 1 where it holds, 0 where it does not. No sequence is longer than
 * `longest`. err says what was found instead. */
bool probe_condition(const struct graph *graph, const struct model_config *config, int condition,
                     size_t longest, struct length_switch *found, struct error *err);

/* Positions of the new tokens, (1, sequence), or that of the first one alone: how much greater they are
 * than the numbers of tokens before them. */
bool probe_positions(const struct graph *graph, const struct model_config *config, int positions,
                     size_t longest, struct length_switch *found, struct error *err);

#endif
