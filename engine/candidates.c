#include "engine/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BINS = CANDIDATE_BINS,
    RUN = 256, /* logits or weights whose maximum or sum is taken at once */
};

bool candidates_open(struct candidates *candidates, size_t vocabulary_size,
                     const struct kernels *kernels) {
    *candidates = (struct candidates){.kernels = kernels, .vocabulary_size = vocabulary_size};
    candidates->ids = calloc(vocabulary_size, sizeof *candidates->ids);
    candidates->logits = calloc(vocabulary_size, sizeof *candidates->logits);
    candidates->weights = calloc(vocabulary_size, sizeof *candidates->weights);
    candidates->scores = calloc(vocabulary_size, sizeof *candidates->scores);
    candidates->undecided = calloc(vocabulary_size, sizeof *candidates->undecided);
    return candidates->ids != NULL && candidates->logits != NULL && candidates->weights != NULL &&
           candidates->scores != NULL && candidates->undecided != NULL;
}

void candidates_close(struct candidates *candidates) {
    free(candidates->ids);
    free(candidates->logits);
    free(candidates->weights);
    free(candidates->scores);
    free(candidates->undecided);
}

/* ---- Weights ---- */

void candidates_collect(struct candidates *candidates, const float *logits, float least) {
    const float below_least = nextafterf(least, -INFINITY);
    candidates->all = false;
    candidates->count = candidates->kernels->find_above(
        logits, candidates->vocabulary_size, below_least, candidates->ids, candidates->logits);
}

void candidates_weigh(struct candidates *candidates, float origin, float temperature) {
    candidates->kernels->exponentials(candidates->logits, candidates->count, origin, temperature,
                                      candidates->weights);
}

void candidates_weigh_all(struct candidates *candidates, const float *logits, float origin,
                          float temperature) {
    candidates->all = true;
    candidates->count = candidates->vocabulary_size;
    candidates->kernels->exponentials(logits, candidates->count, origin, temperature,
                                      candidates->weights);
}

/* The summed weights of the run of candidates that begins at i, or of what is left of it. */
static double run_weight(const struct candidates *candidates, size_t i) {
    size_t left = candidates->count - i;
    return (double)candidates->kernels->sum(candidates->weights + i, left < RUN ? left : RUN);
}

double candidates_total(const struct candidates *candidates) {
    double total = 0.0;
    for (size_t i = 0; i < candidates->count; i += RUN) {
        total += run_weight(candidates, i);
    }
    return total;
}

int32_t candidates_draw(const struct candidates *candidates, double point) {
    const size_t last = candidates->count - 1;
    size_t i = 0;
    while (last - i > RUN && point >= run_weight(candidates, i)) {
        point -= run_weight(candidates, i);
        i += RUN;
    }
    while (i <= last && point >= (double)candidates->weights[i]) {
        point -= (double)candidates->weights[i];
        i++;
    }
    if (i > last) { /* by rounding */
        i = last;
        while (i > 0 && !(candidates->weights[i] > 0.0f)) {
            i--;
        }
    }
    return candidates->all ? (int32_t)i : candidates->ids[i];
}

/* ---- Cuts ---- */

static double measure_of(const struct candidates *candidates, size_t i, bool by_weight) {
    return by_weight ? (double)candidates->weights[i] : 1.0;
}

/* The bin of a key in [least, greatest], cut into bins of equal width, the highest first. */
static size_t bin_of(float key, float least, float greatest) {
    return (size_t)(int)((greatest - key) / (greatest - least) * (float)(BINS - 1));
}

/* Candidates whose fate a cut has not yet decided: places in the arrays, ascending, and bounds of
 * their keys. */
struct undecided {
    const float *keys;
    int32_t *places;
    size_t count;
    float least;
    float greatest;
};

static void fill_bins(struct candidates *candidates, const struct undecided *some, bool by_weight) {
    memset(candidates->bins, 0, sizeof candidates->bins);
    for (size_t i = 0; i < some->count; i++) {
        size_t place = (size_t)some->places[i];
        size_t bin = bin_of(some->keys[place], some->least, some->greatest);
        candidates->bins[bin] += measure_of(candidates, place, by_weight);
    }
}

/* Leaves those that are in `bin` undecided. Written without branches, as nobody could predict
 * them. */
static void enter_bin(struct undecided *some, size_t bin) {
    size_t count = 0;
    for (size_t i = 0; i < some->count; i++) {
        float key = some->keys[some->places[i]];
        some->places[count] = some->places[i];
        count += bin_of(key, some->least, some->greatest) == bin;
    }
    some->count = count;
    some->least = INFINITY;
    some->greatest = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        float key = some->keys[some->places[i]];
        some->least = fminf(key, some->least);
        some->greatest = fmaxf(key, some->greatest);
    }
}

/* Keeps the candidates above `threshold` and the first `equals` of those at it. */
static void keep(struct candidates *candidates, const float *keys, float threshold, size_t equals) {
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        float key = keys[i];
        candidates->ids[kept] = candidates->ids[i];
        candidates->logits[kept] = candidates->logits[i];
        candidates->weights[kept] = candidates->weights[i];
        candidates->scores[kept] = candidates->scores[i];
        size_t as_equal = (key == threshold) & (equals > 0);
        equals -= as_equal;
        kept += (key > threshold) | as_equal;
    }
    candidates->count = kept;
}

void candidates_keep_from(struct candidates *candidates, const float *keys, float least) {
    keep(candidates, keys, least, SIZE_MAX);
}

/* The key at which the run ends is found in a histogram; what fell into the same bin is spread
 * over a histogram of its own, until the bin holds one value only. From the second turn on the
 * bounds are those of the bin's content, which never share a bin, so that this takes few turns. */
float candidates_cut(struct candidates *candidates, const float *keys, float least, float greatest,
                     bool by_weight, double target) {
    struct undecided some = {keys, candidates->undecided, candidates->count, least, greatest};
    for (size_t i = 0; i < some.count; i++) {
        some.places[i] = (int32_t)i;
    }
    double above = 0.0; /* the measure of all candidates above them */
    while (some.least < some.greatest) {
        fill_bins(candidates, &some, by_weight);
        size_t bin = 0;
        while (bin < BINS - 1 && above + candidates->bins[bin] < target) {
            above += candidates->bins[bin];
            bin++;
        }
        enter_bin(&some, bin);
    }
    /* What is left has one key. If rounding kept the target out of reach, nothing is left, and all
     * candidates are above -infinity. */
    size_t equals = 0;
    while (equals < some.count && (equals == 0 || above < target)) {
        above += measure_of(candidates, (size_t)some.places[equals], by_weight);
        equals++;
    }
    keep(candidates, keys, some.greatest, equals);
    return some.greatest;
}

float candidates_bound(struct candidates *candidates, const float *logits, size_t count,
                       float least, float greatest) {
    const size_t runs = candidates->vocabulary_size / RUN;
    if (count > runs) {
        return least;
    }
    for (size_t i = 0; i < runs; i++) {
        float most = candidates->kernels->greatest(logits + i * RUN, RUN);
        candidates->logits[i] = most > least ? most : least;
    }
    candidates->count = runs;
    return candidates_cut(candidates, candidates->logits, least, greatest, false, (double)count);
}
