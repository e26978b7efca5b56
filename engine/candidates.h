/* The candidates of a draw: tokens with their logits and weights, cut down step by step.
 *
 *     collect   logits of the vocabulary ─▶ ids, logits, ascending ids
 *     weigh     weight = e^((logit - origin) / temperature)
 *     cut       the first so many, or the first that reach so much weight, in the order of some key
 *     draw      the candidate in whose share of the total weight a point lies
 *
 * No sort of the vocabulary anywhere: a cut finds its threshold in a histogram of the keys, so that
 * it costs a few linear passes. Weights are relative; a probability is weight / total.
 *
 * Where nothing is cut, candidates_weigh_all makes every token of the vocabulary a candidate without
 * copying anything: ids and logits are then not to be looked at.
 *
 * The working memory of a sampler: one thread at a time. */
#ifndef QUERN_ENGINE_CANDIDATES_H
#define QUERN_ENGINE_CANDIDATES_H

#include "engine/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A token further below the greatest logit than this many temperatures is never drawn. All such
 * tokens together, even 2^18 of them, weigh less than the rounding of one f32: 2^18 e^-30 < 2^-24
 * of the most probable one. */
#define CANDIDATE_REACH 30.0f

enum { CANDIDATE_BINS = 1024 };

struct candidates {
    const struct kernels *kernels;
    size_t vocabulary_size;
    bool all; /* candidate i is token i */
    int32_t *ids;
    float *logits;
    float *weights;
    size_t count;
    float *scores;      /* keys of a cut that are not logits */
    int32_t *undecided; /* see candidates_cut */
    double bins[CANDIDATE_BINS];
};

bool candidates_open(struct candidates *candidates, size_t vocabulary_size,
                     const struct kernels *kernels);
void candidates_close(struct candidates *candidates);

/* A bound that at least `count` logits reach, and not many more: the count-th greatest of the
 * maxima of runs of logits. `least` where it would be lower, or where there are not enough runs.
 * `greatest` is that of all logits. What was collected is lost. */
float candidates_bound(struct candidates *candidates, const float *logits, size_t count,
                       float least, float greatest);

/* The tokens whose logits are at least `least`. */
void candidates_collect(struct candidates *candidates, const float *logits, float least);

void candidates_weigh(struct candidates *candidates, float origin, float temperature);
void candidates_weigh_all(struct candidates *candidates, const float *logits, float origin,
                          float temperature);

double candidates_total(const struct candidates *candidates);

/* Keeps the shortest run of candidates, from the greatest key down and lower ids first among
 * equals, whose weights (or whose number) reach `target`. keys[count] is candidates->logits or
 * candidates->scores, all within [least, greatest]. Returns the key at which the run ends. */
float candidates_cut(struct candidates *candidates, const float *keys, float least, float greatest,
                     bool by_weight, double target);

/* Keeps the candidates whose keys are at least `least`. */
void candidates_keep_from(struct candidates *candidates, const float *keys, float least);

/* The token in whose share of [0, total) the point lies, shares in ascending order of ids. */
int32_t candidates_draw(const struct candidates *candidates, double point);

#endif
