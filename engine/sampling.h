/* How a session samples: the parameters of engine/sampler.h, their ranges, and what of them changes
 * from token to token.
 *
 * Names and meanings are those of OpenAI, vLLM and llama.cpp, whoever has the parameter. Plain data;
 * any thread. */
#ifndef QUERN_ENGINE_SAMPLING_H
#define QUERN_ENGINE_SAMPLING_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logit_bias {
    int32_t token;
    float bias;
};

/* A window of this many tokens is the whole of prompt and reply. */
#define WHOLE_CONTEXT SIZE_MAX

/* Penalizes the token that would prolong a repetition (DRY, p-e-w 2024): one that followed earlier
 * on the last n >= allowed_length tokens loses multiplier * base^(n - allowed_length). What repeats
 * does not reach over a breaker. */
struct dry_sampling {
    float multiplier; /* 0: off */
    float base;
    size_t allowed_length;
    size_t window;                /* tokens of prompt and reply that are looked at, the last ones */
    const uint64_t *breaker_bits; /* one a token: those that break by themselves; NULL: none */
    const int32_t *breaker_runs;  /* tokens that break together: each run is its length, then it */
    size_t breaker_run_length;    /* of all runs and lengths */
};

struct sampling {
    float temperature;    /* 0: greedy */
    float dynatemp_range; /* 0: off; the temperature lies within so much of `temperature`: as
                                 high as the entropy of what may be drawn, over its greatest possible
                                 entropy, to the power of the exponent */
    float dynatemp_exponent;
    size_t top_k;          /* 0: off */
    float typical_p;       /* 1: off; the fewest tokens that reach this probability, those first
                                 whose surprise is nearest to the entropy (Meister et al. 2022) */
    float top_p;           /* 1: off */
    float min_p;           /* 0: off; keeps tokens with p >= min_p * p_max */
    float xtc_probability; /* 0: off; of the tokens with p >= xtc_threshold, this often, only the
                                 least probable one is kept (XTC, p-e-w 2024) */
    float xtc_threshold;
    bool mirostat;      /* instead of all that cuts candidates: Mirostat 2 (Basu et al. 2021) */
    float mirostat_tau; /* the surprise aimed at, in bits */
    float mirostat_eta; /* how fast */
    float repetition_penalty; /* 1: off; divides positive, multiplies negative logits of tokens in
                                 prompt or reply */
    float presence_penalty;   /* 0: off; subtracted once for each token that is in the reply */
    float frequency_penalty;  /* 0: off; subtracted for each time it is there */
    size_t penalty_window;    /* the last tokens, to which these three penalties look back */
    struct dry_sampling dry;
    uint64_t seed;
    const struct logit_bias *biases;
    size_t bias_count;
};

/* Greedy, everything else off; what needs further numbers when it is switched on has those of
 * llama.cpp. */
struct sampling sampling_default(void);

/* ERROR_INVALID names the parameter, its value and its range. */
bool sampling_check(const struct sampling *sampling, size_t vocabulary_size, struct error *err);

/* What one token leaves for the next. */
struct sampling_state {
    float surprise_limit; /* Mirostat's mu, in bits */
};

struct sampling_state sampling_begin(const struct sampling *sampling);

#endif
