#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BINS = 1024,
    RUN = 256, /* logits or weights whose maximum or sum is taken at once */
};

/* A token further below the greatest logit than this many temperatures is never drawn. All such
 * tokens together, even 2^18 of them, weigh less than the rounding of one f32: 2^18 e^-30 < 2^-24
 * of the most probable one. */
#define REACH 30.0f

struct sampler {
    const struct kernels *kernels;
    size_t vocabulary_size;
    /* The candidates, in ascending order of ids. Weights are probabilities over that of the most
     * probable token. */
    int32_t *ids;
    float *logits;
    float *weights;
    size_t count;
    int32_t *undecided;    /* see cut() */
    uint32_t *occurrences; /* of each token; all 0 between calls */
    double bins[BINS];     /* the measure of the candidates in each */
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
        sampler->undecided = calloc(vocabulary_size, sizeof *sampler->undecided);
        sampler->occurrences = calloc(vocabulary_size, sizeof *sampler->occurrences);
        if (sampler->ids != NULL && sampler->logits != NULL && sampler->weights != NULL &&
            sampler->undecided != NULL && sampler->occurrences != NULL) {
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
    free(sampler->undecided);
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

/* The bin of a logit in [least, greatest], cut into bins of equal width, the highest first. */
static size_t bin_of(float logit, float least, float greatest) {
    return (size_t)(int)((greatest - logit) / (greatest - least) * (float)(BINS - 1));
}

/* Candidates whose fate a cut has not yet decided: places in the arrays of the sampler, ascending,
 * and bounds of their logits. */
struct undecided {
    int32_t *places;
    size_t count;
    float least;
    float greatest;
};

static void fill_bins(struct sampler *sampler, const struct undecided *some, bool by_weight) {
    memset(sampler->bins, 0, sizeof sampler->bins);
    for (size_t i = 0; i < some->count; i++) {
        size_t place = (size_t)some->places[i];
        size_t bin = bin_of(sampler->logits[place], some->least, some->greatest);
        sampler->bins[bin] += measure_of(sampler, place, by_weight);
    }
}

/* Leaves those that are in `bin` undecided. Written without branches, as nobody could predict
 * them. */
static void enter_bin(const struct sampler *sampler, struct undecided *some, size_t bin) {
    size_t count = 0;
    for (size_t i = 0; i < some->count; i++) {
        float logit = sampler->logits[some->places[i]];
        some->places[count] = some->places[i];
        count += bin_of(logit, some->least, some->greatest) == bin;
    }
    some->count = count;
    some->least = INFINITY;
    some->greatest = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        float logit = sampler->logits[some->places[i]];
        some->least = fminf(logit, some->least);
        some->greatest = fmaxf(logit, some->greatest);
    }
}

/* Keeps the candidates above `threshold` and the first `equals` of those at it. */
static void keep(struct sampler *sampler, float threshold, size_t equals) {
    size_t kept = 0;
    for (size_t i = 0; i < sampler->count; i++) {
        float logit = sampler->logits[i];
        sampler->ids[kept] = sampler->ids[i];
        sampler->logits[kept] = logit;
        sampler->weights[kept] = sampler->weights[i];
        size_t as_equal = (logit == threshold) & (equals > 0);
        equals -= as_equal;
        kept += (logit > threshold) | as_equal;
    }
    sampler->count = kept;
}

/* Keeps the shortest run of candidates, from the greatest logit down and lower ids first among
 * equals, whose weights (or whose number) reach `target`; returns the logit at which it ends. All
 * logits lie in [least, greatest].
 *
 * The logit at which the run ends is found in a histogram; what fell into the same bin is spread
 * over a histogram of its own, until the bin holds one value only. From the second turn on the
 * bounds are those of the bin's content, which never share a bin, so that this takes few turns. */
static float cut(struct sampler *sampler, float least, float greatest, bool by_weight,
                 double target) {
    struct undecided some = {sampler->undecided, sampler->count, least, greatest};
    for (size_t i = 0; i < some.count; i++) {
        some.places[i] = (int32_t)i;
    }
    double above = 0.0; /* the measure of all candidates above them */
    while (some.least < some.greatest) {
        fill_bins(sampler, &some, by_weight);
        size_t bin = 0;
        while (bin < BINS - 1 && above + sampler->bins[bin] < target) {
            above += sampler->bins[bin];
            bin++;
        }
        enter_bin(sampler, &some, bin);
    }
    /* What is left has one logit. If rounding kept the target out of reach, nothing is left, and
     * all candidates are above -infinity. */
    size_t equals = 0;
    while (equals < some.count && (equals == 0 || above < target)) {
        above += measure_of(sampler, (size_t)some.places[equals], by_weight);
        equals++;
    }
    keep(sampler, some.greatest, equals);
    return some.greatest;
}

/* A bound that at least `count` logits reach, and not many more: the count-th greatest of the
 * maxima of runs of logits. `least` where it would be lower, or where there are not enough runs. */
static float bound_for_top(struct sampler *sampler, const float *logits, size_t count, float least,
                           float greatest) {
    const size_t runs = sampler->vocabulary_size / RUN;
    if (count > runs) {
        return least;
    }
    for (size_t i = 0; i < runs; i++) {
        float most = sampler->kernels->greatest(logits + i * RUN, RUN);
        sampler->logits[i] = most > least ? most : least;
    }
    sampler->count = runs;
    return cut(sampler, least, greatest, false, (double)count);
}

/* The summed weights of the run of candidates that begins at i, or of what is left of it. */
static double run_weight(const struct sampler *sampler, size_t i) {
    size_t left = sampler->count - i;
    return (double)sampler->kernels->sum(sampler->weights + i, left < RUN ? left : RUN);
}

static double total_weight(const struct sampler *sampler) {
    double total = 0.0;
    for (size_t i = 0; i < sampler->count; i += RUN) {
        total += run_weight(sampler, i);
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
    const size_t last = sampler->count - 1;
    size_t i = 0;
    while (last - i > RUN && point >= run_weight(sampler, i)) {
        point -= run_weight(sampler, i);
        i += RUN;
    }
    while (i < last && point >= (double)sampler->weights[i]) {
        point -= (double)sampler->weights[i];
        i++;
    }
    return sampler->ids[i];
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
    float least = greatest - REACH * temperature;
    if (sampling->top_k != 0) {
        least = bound_for_top(sampler, logits, sampling->top_k, least, greatest);
    }
    const float below_least = nextafterf(least, -INFINITY);
    sampler->count = kernels->find_above(logits, sampler->vocabulary_size, below_least,
                                         sampler->ids, sampler->logits);
    kernels->exponentials(sampler->logits, sampler->count, greatest, temperature, sampler->weights);

    if (sampling->top_k != 0 && sampling->top_k < sampler->count) {
        cut(sampler, least, greatest, false, (double)sampling->top_k);
    }
    if (sampling->top_p < 1.0f) {
        cut(sampler, least, greatest, true, (double)sampling->top_p * total_weight(sampler));
    }
    if (sampling->min_p > 0.0f) {
        keep(sampler, greatest + temperature * logf(sampling->min_p), SIZE_MAX);
    }
    double point = uniform(sampling->seed, length - reply_start) * total_weight(sampler);
    return draw(sampler, point);
}
