/* What prompt and reply so far do to the next token's logits: repetition, presence and frequency
 * penalties, and DRY.
 *
 * The working memory of a sampler: one thread at a time. */
#ifndef QUERN_ENGINE_PENALTIES_H
#define QUERN_ENGINE_PENALTIES_H

#include "engine/sampling.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct penalties {
    uint32_t *counts;  /* [vocabulary]; all 0 between calls */
    uint32_t *repeats; /* [tokens_max] */
    size_t tokens_max;
};

/* tokens_max: prompt and reply together; what is further back is not seen. */
bool penalties_open(struct penalties *penalties, size_t vocabulary_size, size_t tokens_max);
void penalties_close(struct penalties *penalties);

/* Would penalties_apply change anything? */
bool penalties_wanted(const struct sampling *sampling);

/* tokens: prompt, then from reply_start on the reply. */
void penalties_apply(struct penalties *penalties, const struct sampling *sampling, float *logits,
                     const int32_t *tokens, size_t length, size_t reply_start);

#endif
