/* The sampler: one row of logits to one token, and to what the model thought of it.
 *
 *     logits ─▶ mask ─▶ penalties ─▶ logit_bias ─┬─▶ greatest                    temperature 0
 *                                                └─▶ temperature ─▶ cuts ─▶ draw
 *
 *     candidates   the tokens within 30 temperatures of the greatest logit; NaN is never one
 *     top_k        the k greatest of them; of equal logits the lower ids
 *     typical_p    of those, the fewest that reach typical_p, the least surprising or dull first
 *     top_p        of those, the fewest whose probabilities reach top_p, the most probable first
 *     min_p        of those, the ones with p >= min_p * p_max
 *     XTC          of those, by a draw, not the ones that are too obvious
 *     mirostat     instead of all these cuts: the ones whose surprise is within a limit, which
 *                  follows what was drawn
 *     draw         u in [0, 1) from (seed, index): the token in whose share of the summed weights u
 *                  falls, shares in ascending order of ids
 *
 * A dynamic temperature depends on what the cuts leave: they see temperature 1, and it comes after
 * them.
 *
 * Randomness is a counter-based generator keyed by (seed, index of the token within the reply): a
 * draw depends on nothing else, so a preempted and recomputed session, or one in another batch, says
 * the same.
 *
 * A struct sampler holds the working memory for one thread at a time. */
#ifndef QUERN_ENGINE_SAMPLER_H
#define QUERN_ENGINE_SAMPLER_H

#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/sampling.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sampler;

/* tokens_max: what prompt and reply may have together. */
bool sampler_open(struct sampler **out, size_t vocabulary_size, size_t tokens_max,
                  const struct kernels *kernels, struct error *err);
void sampler_close(struct sampler *sampler);

/* What a token is chosen from. `length - reply_start` is the index of the token to be drawn. */
struct sampler_row {
    const float *logits;     /* [vocabulary_size] */
    const uint64_t *allowed; /* one bit a token, at least one of them set; NULL: all */
    const int32_t *tokens;   /* prompt, then reply */
    size_t length;
    size_t reply_start;
};

int32_t sampler_choose(struct sampler *sampler, const struct sampling *sampling,
                       struct sampling_state *state, const struct sampler_row *row);

/* A token and the natural logarithm of its probability, softmax over the model's logits as they are:
 * before temperature, penalties, biases and masks. */
struct token_logprob {
    int32_t token;
    float logprob;
};

/* Writes the `count` most probable tokens to `top`, most probable first, lower ids first of equals
 * (token -1 where there are not so many). Returns the logprob of `token`. */
float sampler_score(struct sampler *sampler, const float *logits, int32_t token,
                    struct token_logprob *top, size_t count);

#endif
