#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 1024 };

/* A token further below the greatest logit than this many temperatures is never drawn. All such
 * tokens together, even 2^18 of them, weigh less than the rounding of one f32: 2^18 e^-30 < 2^-24
 * of the most probable one. */
#define REACH 30.0f

/* Candidates of one range of logits. */
struct bin {
    double measure;
    float least;
    float greatest;
};

struct sampler {
    const struct kernels *kernels;
    size_t vocabulary_size;
    /* The candidates, in ascending order of ids. Weights are probabilities over that of the most
     * probable token. */
    int32_t *ids;
    float *logits;
    float *weights;
    size_t count;
    uint32_t *occurrences; /* of each token; all 0 between calls */
    struct bin bins[BINS];
};

/* ---- Parameters ---- */

struct sampling sampling_default(void) {
    return (struct sampling){.top_p = 1.0f, .repetition_penalty = 1.0f};
}

/* The ranges of OpenAI where it has them. */
static const struct {
    const char *name;
    size_t offset;
    float least;
    float greatest;
} parameters[] = {
    {"temperature", offsetof(struct sampling, temperature), 0.0f, 100.0f},
    {"top_p", offsetof(struct sampling, top_p), 0.0f, 1.0f},
    {"min_p", offsetof(struct sampling, min_p), 0.0f, 1.0f},
    {"repetition_penalty", offsetof(struct sampling, repetition_penalty), 0.01f, 100.0f},
    {"presence_penalty", offsetof(struct sampling, presence_penalty), -2.0f, 2.0f},
    {"frequency_penalty", offsetof(struct sampling, frequency_penalty), -2.0f, 2.0f},
};

static const float bias_limit = 100.0f;

bool sampling_check(const struct sampling *sampling, size_t vocabulary_size, struct error *err) {
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        float value;
        memcpy(&value, (const char *)sampling + parameters[i].offset, sizeof value);
        if (!(value >= parameters[i].least && value <= parameters[i].greatest)) {
            return error_set(err, ERROR_INVALID, "%s is %g, but must be a number from %g to %g",
                             parameters[i].name, (double)value, (double)parameters[i].least,
                             (double)parameters[i].greatest);
        }
    }
    for (size_t i = 0; i < sampling->bias_count; i++) {
        const struct logit_bias *entry = &sampling->biases[i];
        if (entry->token < 0 || (size_t)entry->token >= vocabulary_size) {
            return error_set(err, ERROR_INVALID,
                             "logit_bias names token %d, but the vocabulary has tokens 0 to %zu",
                             entry->token, vocabulary_size - 1);
        }
        if (!(fabsf(entry->bias) <= bias_limit)) {
            return error_set(err, ERROR_INVALID,
                             "logit_bias of token %d is %g, but must be a number from %g to %g",
                             entry->token, (double)entry->bias, (double)-bias_limit,
                             (double)bias_limit);
        }
    }
    return true;
}

/* ---- Lifetime ---- */

bool sampler_open(struct sampler **out, size_t vocabulary_size, const struct kernels *kernels,
                  struct error *err) {
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler != NULL) {
        sampler->kernels = kernels;
        sampler->vocabulary_size = vocabulary_size;
        sampler->ids = calloc(vocabulary_size, sizeof *sampler->ids);
        sampler->logits = calloc(vocabulary_size, sizeof *sampler->logits);
        sampler->weights = calloc(vocabulary_size, sizeof *sampler->weights);
        sampler->occurrences = calloc(vocabulary_size, sizeof *sampler->occurrences);
        if (sampler->ids != NULL && sampler->logits != NULL && sampler->weights != NULL &&
            sampler->occurrences != NULL) {
            *out = sampler;
            return true;
        }
    }
    sampler_close(sampler);
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a sampler of %zu tokens",
                     vocabulary_size);
}

void sampler_close(struct sampler *sampler) {
    if (sampler == NULL) {
        return;
    }
    free(sampler->ids);
    free(sampler->logits);
    free(sampler->weights);
    free(sampler->occurrences);
    free(sampler);
}

/* ---- Penalties and biases ---- */

static void penalize(struct sampler *sampler, const struct sampling *sampling, float *logits,
                     const int32_t *tokens, size_t length, size_t reply_start) {
    const uint32_t done = UINT32_MAX;
    const bool repetition = sampling->repetition_penalty != 1.0f;
    if (!repetition && sampling->presence_penalty == 0.0f && sampling->frequency_penalty == 0.0f) {
        return;
    }
    uint32_t *occurrences = sampler->occurrences;
    for (size_t i = reply_start; i < length; i++) {
        occurrences[tokens[i]]++;
    }
    const size_t first = repetition ? 0 : reply_start;
    for (size_t i = first; i < length; i++) {
        uint32_t times = occurrences[tokens[i]];
        if (times == done) {
            continue;
        }
        occurrences[tokens[i]] = done;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0.0f ? *logit / sampling->repetition_penalty
                               : *logit * sampling->repetition_penalty;
        if (times > 0) {
            *logit -= sampling->presence_penalty + sampling->frequency_penalty * (float)times;
        }
    }
    /* Only what was touched is cleared: a prompt is much shorter than the vocabulary. */
    for (size_t i = first; i < length; i++) {
        occurrences[tokens[i]] = 0;
    }
}

/* ---- Candidates ---- */

static double measure_of(const struct sampler *sampler, size_t i, bool by_weight) {
    return by_weight ? (double)sampler->weights[i] : 1.0;
}

/* Sorts the candidates with logits in [least, greatest], least < greatest, into bins of equal width,
 * highest first. */
static void fill_bins(struct sampler *sampler, float least, float greatest, bool by_weight) {
    for (size_t b = 0; b < BINS; b++) {
        sampler->bins[b] = (struct bin){0.0, INFINITY, -INFINITY};
    }
    for (size_t i = 0; i < sampler->count; i++) {
        float logit = sampler->logits[i];
        if (!(logit >= least && logit <= greatest)) {
            continue;
        }
        float depth = (greatest - logit) / (greatest - least);
        struct bin *bin = &sampler->bins[(size_t)(depth * (float)(BINS - 1))];
        bin->measure += measure_of(sampler, i, by_weight);
        bin->least = logit < bin->least ? logit : bin->least;
        bin->greatest = logit > bin->greatest ? logit : bin->greatest;
    }
}

/* Keeps the candidates above `threshold` and the first `equals` of those at it. */
static void keep(struct sampler *sampler, float threshold, size_t equals) {
    size_t kept = 0;
    for (size_t i = 0; i < sampler->count; i++) {
        float logit = sampler->logits[i];
        bool equal = logit == threshold;
        if (logit < threshold || (equal && equals == 0)) {
            continue;
        }
        equals -= equal;
        sampler->ids[kept] = sampler->ids[i];
        sampler->logits[kept] = logit;
        sampler->weights[kept] = sampler->weights[i];
        kept++;
    }
    sampler->count = kept;
}

/* Keeps the shortest run of candidates, from the greatest logit down and lower ids first among
 * equals, whose weights (or whose number) reach `target`.
 *
 * The logit at which the run ends is found in a histogram; what fell into the same bin is spread
 * over a histogram of its own, until the bin holds one value only. The least and the greatest logit
 * never share a bin, so that takes few turns, and no order of the logits makes it slow. */
static void cut(struct sampler *sampler, bool by_weight, double target) {
    float least = INFINITY;
    float greatest = -INFINITY;
    for (size_t i = 0; i < sampler->count; i++) {
        least = sampler->logits[i] < least ? sampler->logits[i] : least;
        greatest = sampler->logits[i] > greatest ? sampler->logits[i] : greatest;
    }
    double above = 0.0; /* the measure of all candidates above `greatest` */
    while (least < greatest) {
        fill_bins(sampler, least, greatest, by_weight);
        const struct bin *bin = sampler->bins;
        const struct bin *last = bin + BINS - 1;
        while (bin < last && above + bin->measure < target) {
            above += bin->measure;
            bin++;
        }
        least = bin->least;
        greatest = bin->greatest;
    }
    size_t equals = 0;
    for (size_t i = 0; i < sampler->count && (equals == 0 || above < target); i++) {
        if (sampler->logits[i] == greatest) {
            above += measure_of(sampler, i, by_weight);
            equals++;
        }
    }
    keep(sampler, greatest, equals);
}

static double total_weight(const struct sampler *sampler) {
    double total = 0.0;
    for (size_t i = 0; i < sampler->count; i++) {
        total += (double)sampler->weights[i];
    }
    return total;
}

/* ---- The draw ---- */

/* The mixing function of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Number `index` of the sequence that belongs to `seed`, in [0, 1). */
static double uniform(uint64_t seed, uint64_t index) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    return (double)(mix(mix(seed + golden) + (index + 1) * golden) >> 11) * 0x1p-53;
}

/* The candidate in whose share of [0, total) the point lies, shares in ascending order of ids. */
static int32_t draw(const struct sampler *sampler, double point) {
    double end = 0.0;
    for (size_t i = 0; i + 1 < sampler->count; i++) {
        end += (double)sampler->weights[i];
        if (point < end) {
            return sampler->ids[i];
        }
    }
    return sampler->ids[sampler->count - 1];
}

int32_t sampler_choose(struct sampler *sampler, const struct sampling *sampling, float *logits,
                       const int32_t *tokens, size_t length, size_t reply_start) {
    const struct kernels *kernels = sampler->kernels;
    penalize(sampler, sampling, logits, tokens, length, reply_start);
    for (size_t i = 0; i < sampling->bias_count; i++) {
        logits[sampling->biases[i].token] += sampling->biases[i].bias;
    }

    const size_t best = kernels->argmax(logits, sampler->vocabulary_size);
    const float greatest = logits[best];
    const float temperature = sampling->temperature;
    if (temperature == 0.0f || !isfinite(greatest)) {
        return (int32_t)best;
    }
    float limit = nextafterf(greatest - REACH * temperature, -INFINITY);
    sampler->count =
        kernels->find_above(logits, sampler->vocabulary_size, limit, sampler->ids, sampler->logits);
    kernels->exponentials(sampler->logits, sampler->count, greatest, temperature, sampler->weights);

    if (sampling->top_k != 0 && sampling->top_k < sampler->count) {
        cut(sampler, false, (double)sampling->top_k);
    }
    if (sampling->top_p < 1.0f) {
        cut(sampler, true, (double)sampling->top_p * total_weight(sampler));
    }
    if (sampling->min_p > 0.0f) {
        keep(sampler, greatest + temperature * logf(sampling->min_p), SIZE_MAX);
    }
    double point = uniform(sampling->seed, length - reply_start) * total_weight(sampler);
    return draw(sampler, point);
}
