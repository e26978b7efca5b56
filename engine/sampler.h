/* The sampler: one row of logits to one token.
 *
 * Order: repetition, presence and frequency penalties; logit_bias; then, unless temperature is 0
 * (greedy: the greatest logit, the lowest id of equals), temperature, top_k, top_p, min_p, and a
 * draw. Randomness is a counter-based generator keyed by (seed, index of the token within the
 * reply): a draw depends on nothing else, so a preempted and recomputed session, or one in another
 * batch, says the same.
 *
 *     candidates   the tokens within 30 temperatures of the greatest logit; NaN is never one
 *     top_k        the k greatest of them; of equal logits the lower ids
 *     top_p        of those, the fewest whose probabilities reach top_p, in the same order
 *     min_p        of those, the ones with p >= min_p * p_max
 *     draw         u in [0, 1) from (seed, index): the token in whose share of the summed weights u
 *                  falls, shares in ascending order of ids
 *
 * No sort of the vocabulary anywhere: candidates are cut by a threshold found from a histogram of
 * logits, so that a draw costs a few linear passes.
 *
 * A struct sampler holds the working memory for one thread at a time. */
#ifndef QUERN_ENGINE_SAMPLER_H
#define QUERN_ENGINE_SAMPLER_H

#include "engine/error.h"
#include "engine/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logit_bias {
    int32_t token;
    float bias;
};

struct sampling {
    float temperature;        /* 0: greedy */
    float top_p;              /* 1: off */
    size_t top_k;             /* 0: off */
    float min_p;              /* 0: off; keeps tokens with p >= min_p * p_max */
    float repetition_penalty; /* 1: off; divides positive, multiplies negative logits of tokens in
                                 prompt or reply */
    float presence_penalty;   /* 0: off; subtracted once for each token that is in the reply */
    float frequency_penalty;  /* 0: off; subtracted for each time it is there */
    uint64_t seed;
    const struct logit_bias *biases;
    size_t bias_count;
};

/* Greedy, everything else off. */
struct sampling sampling_default(void);

/* ERROR_INVALID names the parameter, its value and its range. */
bool sampling_check(const struct sampling *sampling, size_t vocabulary_size, struct error *err);

struct sampler;

bool sampler_open(struct sampler **out, size_t vocabulary_size, const struct kernels *kernels,
                  struct error *err);
void sampler_close(struct sampler *sampler);

/* Chooses a token from logits[vocabulary_size], which it may overwrite. tokens: prompt then reply,
 * `reply_start` where the reply begins (length - reply_start is the index of the token to be
 * drawn). */
int32_t sampler_choose(struct sampler *sampler, const struct sampling *sampling, float *logits,
                       const int32_t *tokens, size_t length, size_t reply_start);

#endif
