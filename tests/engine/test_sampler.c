#include "engine/sampler.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 5000, DRAWS = 3000 };

static struct sampler *open_sampler(size_t vocabulary_size) {
    struct sampler *sampler;
    struct error err = {0};
    cr_assert(sampler_open(&sampler, vocabulary_size, kernels_select(NULL), &err), "%s", err.text);
    return sampler;
}

/* Logits in steps of 1/64, so that many are equal. */
static void coarse_logits(float *logits, float amplitude, uint32_t seed) {
    for (size_t i = 0; i < VOCABULARY; i++) {
        seed = seed * 1664525u + 1013904223u;
        float number = ((float)(seed >> 8) * 0x1p-23f - 1.0f) * amplitude;
        logits[i] = roundf(number * 64.0f) / 64.0f;
    }
}

static int32_t choose(struct sampler *sampler, const struct sampling *sampling, const float *logits,
                      size_t index) {
    static const int32_t tokens[DRAWS];
    static float scratch[VOCABULARY];
    memcpy(scratch, logits, sizeof scratch);
    return sampler_choose(sampler, sampling, scratch, tokens, index, 0);
}

/* ---- Candidate sets, against a sort in double precision ---- */

struct ranked {
    int32_t id;
    double probability;
};

static int by_rank(const void *a, const void *b) {
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->probability != y->probability) {
        return x->probability > y->probability ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

/* How many of the ranked tokens are left, and their summed probability before renormalization. */
static size_t cut_slowly(const struct sampling *sampling, const float *logits,
                         struct ranked *ranked, double *total) {
    for (int32_t i = 0; i < VOCABULARY; i++) {
        ranked[i].id = i;
        ranked[i].probability = exp((double)logits[i] / (double)sampling->temperature);
    }
    qsort(ranked, VOCABULARY, sizeof *ranked, by_rank);
    size_t count = sampling->top_k != 0 ? sampling->top_k : VOCABULARY;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += ranked[i].probability;
    }
    double reached = 0;
    for (size_t i = 0; i < count; i++) {
        reached += ranked[i].probability;
        if (reached >= (double)sampling->top_p * sum && sampling->top_p < 1.0f) {
            count = i + 1;
        }
    }
    while (ranked[count - 1].probability < (double)sampling->min_p * ranked[0].probability) {
        count--;
    }
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        *total += ranked[i].probability;
    }
    return count;
}

Test(sampler, draws_from_the_candidates_of_a_full_sort_and_from_all_of_them) {
    const struct sampling samplings[] = {
        {.temperature = 1.0f, .top_p = 1.0f, .top_k = 40},
        {.temperature = 50.0f, .top_p = 1.0f, .top_k = 64},
        {.temperature = 9.0f, .top_p = 1.0f, .top_k = 12},
        {.temperature = 1.0f, .top_p = 0.9f},
        {.temperature = 0.3f, .top_p = 0.5f},
        {.temperature = 1.0f, .top_p = 1.0f, .min_p = 0.3f},
        {.temperature = 2.0f, .top_p = 0.8f, .top_k = 100, .min_p = 0.7f},
        {.temperature = 0.7f, .top_p = 0.95f, .top_k = 64},
        {.temperature = 1.0f, .top_p = 0.0f},
    };
    struct sampler *sampler = open_sampler(VOCABULARY);
    float *logits = malloc(VOCABULARY * sizeof *logits);
    struct ranked *ranked = malloc(VOCABULARY * sizeof *ranked);
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
        struct sampling sampling = samplings[s];
        sampling.repetition_penalty = 1.0f;
        sampling.seed = s;
        coarse_logits(logits, 20.0f, (uint32_t)s);
        double total;
        size_t count = cut_slowly(&sampling, logits, ranked, &total);
        unsigned drawn[VOCABULARY] = {0};
        for (size_t index = 0; index < DRAWS; index++) {
            drawn[choose(sampler, &sampling, logits, index)]++;
        }
        unsigned outside = DRAWS;
        for (size_t i = 0; i < count; i++) {
            double expected = DRAWS * ranked[i].probability / total;
            double found = drawn[ranked[i].id];
            outside -= drawn[ranked[i].id];
            cr_assert_float_eq(found, expected, 5 * sqrt(expected) + 1,
                               "sampling %zu: token %d (rank %zu of %zu) came %g times, not %g", s,
                               ranked[i].id, i, count, found, expected);
        }
        cr_assert_eq(outside, 0, "sampling %zu: %u draws are no candidates", s, outside);
    }
    free(ranked);
    free(logits);
    sampler_close(sampler);
}

Test(sampler, of_equal_logits_the_lower_ids_are_kept) {
    struct sampler *sampler = open_sampler(VOCABULARY);
    static float logits[VOCABULARY];
    struct sampling sampling = sampling_default();
    sampling.temperature = 1.0f;
    sampling.top_k = 7;
    unsigned drawn[VOCABULARY] = {0};
    for (size_t index = 0; index < 500; index++) {
        drawn[choose(sampler, &sampling, logits, index)]++;
    }
    for (size_t i = 0; i < VOCABULARY; i++) {
        cr_assert_eq(drawn[i] > 0, i < 7, "token %zu came %u times", i, drawn[i]);
    }
    sampler_close(sampler);
}

/* ---- Draws ---- */

Test(sampler, a_draw_depends_on_seed_and_index_alone) {
    struct sampler *sampler = open_sampler(VOCABULARY);
    static float logits[VOCABULARY];
    struct sampling sampling = sampling_default();
    sampling.temperature = 1.0f;
    sampling.seed = 7;
    int32_t first[20];
    for (size_t i = 0; i < 20; i++) {
        first[i] = choose(sampler, &sampling, logits, i);
    }
    size_t same_with_other_seed = 0;
    for (size_t i = 20; i-- > 0;) {
        cr_assert_eq(choose(sampler, &sampling, logits, i), first[i]);
        sampling.seed = 8;
        same_with_other_seed += choose(sampler, &sampling, logits, i) == first[i];
        sampling.seed = 7;
    }
    cr_assert_leq(same_with_other_seed, 1, "%zu of 20", same_with_other_seed);
    sampler_close(sampler);
}

Test(sampler, every_kernel_table_draws_the_same) {
    static float logits[VOCABULARY];
    coarse_logits(logits, 8.0f, 3);
    struct sampling sampling = sampling_default();
    sampling.temperature = 0.8f;
    sampling.top_p = 0.95f;
    struct error err;
    struct sampler *want;
    cr_assert(sampler_open(&want, VOCABULARY, kernels_select("scalar"), &err));
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        struct sampler *sampler;
        cr_assert(sampler_open(&sampler, VOCABULARY, kernels_select(*name), &err));
        for (size_t i = 0; i < 100; i++) {
            cr_assert_eq(choose(sampler, &sampling, logits, i), choose(want, &sampling, logits, i),
                         "%s, draw %zu", *name, i);
        }
        sampler_close(sampler);
    }
    sampler_close(want);
}

Test(sampler, nan_never_wins_and_nothing_finite_is_no_crash) {
    struct sampler *sampler = open_sampler(VOCABULARY);
    static float logits[VOCABULARY];
    for (size_t i = 0; i < VOCABULARY; i++) {
        logits[i] = i % 3 == 0 ? -INFINITY : NAN;
    }
    struct sampling greedy = sampling_default();
    struct sampling random = sampling_default();
    random.temperature = 1.0f;
    random.top_p = 0.5f;
    random.top_k = 3;
    random.min_p = 0.1f;
    cr_assert_eq(choose(sampler, &greedy, logits, 0) % 3, 0);
    cr_assert_eq(choose(sampler, &random, logits, 0) % 3, 0);
    logits[100] = -3.0f;
    cr_assert_eq(choose(sampler, &greedy, logits, 0), 100);
    cr_assert_eq(choose(sampler, &random, logits, 0), 100);
    logits[4000] = INFINITY;
    cr_assert_eq(choose(sampler, &greedy, logits, 0), 4000);
    cr_assert_eq(choose(sampler, &random, logits, 0), 4000);
    random.temperature = 1e-44f;
    logits[4000] = -3.5f;
    cr_assert_eq(choose(sampler, &random, logits, 0), 100, "a tiny temperature is greedy");
    sampler_close(sampler);
}

/* ---- Penalties and biases ---- */

static const int32_t history[] = {0, 1, 1, /* reply: */ 2, 3, 3, 3};

/* What each of five tokens' logits is after penalties: token i against a range of rivals. */
static float penalized(const struct sampling *sampling, const float *logits, size_t token) {
    struct sampler *sampler = open_sampler(6);
    /* Token 5 does not occur: the logit at which it begins to win is the penalized one. */
    float low = -100.0f;
    float high = 100.0f;
    for (int step = 0; step < 40; step++) {
        float rival = 0.5f * (low + high);
        float row[6];
        for (size_t i = 0; i < 6; i++) {
            row[i] = i == token ? logits[i] : i == 5 ? rival : -INFINITY;
        }
        if (sampler_choose(sampler, sampling, row, history, 7, 3) == 5) {
            high = rival;
        } else {
            low = rival;
        }
    }
    sampler_close(sampler);
    return high;
}

Test(sampler, penalties_and_biases_move_logits_as_defined) {
    const float logits[5] = {4.0f, -4.0f, 4.0f, -4.0f, 4.0f};
    const struct logit_bias biases[] = {{0, 1.5f}, {4, -2.0f}};
    struct sampling sampling = sampling_default();
    const struct {
        float repetition, presence, frequency;
        size_t biases;
        float want[5];
    } table[] = {
        {1.0f, 0.0f, 0.0f, 0, {4.0f, -4.0f, 4.0f, -4.0f, 4.0f}},
        {2.0f, 0.0f, 0.0f, 0, {2.0f, -8.0f, 2.0f, -8.0f, 4.0f}},
        {1.0f, 0.5f, 0.0f, 0, {4.0f, -4.0f, 3.5f, -4.5f, 4.0f}},
        {1.0f, 0.0f, 0.5f, 0, {4.0f, -4.0f, 3.5f, -5.5f, 4.0f}},
        {1.0f, 0.0f, 0.0f, 2, {5.5f, -4.0f, 4.0f, -4.0f, 2.0f}},
        {2.0f, 1.0f, -0.5f, 2, {3.5f, -8.0f, 1.5f, -7.5f, 2.0f}},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        sampling.repetition_penalty = table[t].repetition;
        sampling.presence_penalty = table[t].presence;
        sampling.frequency_penalty = table[t].frequency;
        sampling.biases = biases;
        sampling.bias_count = table[t].biases;
        for (size_t token = 0; token < 5; token++) {
            float got = penalized(&sampling, logits, token);
            cr_assert_float_eq(got, table[t].want[token], 1e-4, "case %zu, token %zu: %g, not %g",
                               t, token, (double)got, (double)table[t].want[token]);
        }
    }
}

/* ---- Parameters ---- */

Test(sampler, check_names_the_parameter_that_is_out_of_range) {
    struct logit_bias outside = {10, 0.0f};
    struct logit_bias too_strong = {9, -101.0f};
    struct logit_bias no_number = {0, NAN};
    struct sampling sampling;
    struct error err;
#define REFUSED(parameter, value, word)                                                            \
    sampling = sampling_default();                                                                 \
    sampling.parameter = value;                                                                    \
    sampling.bias_count = sampling.biases != NULL;                                                 \
    err = (struct error){0};                                                                       \
    cr_assert_not(sampling_check(&sampling, 10, &err), #parameter " = " #value " passed");         \
    cr_assert_eq(err.code, ERROR_INVALID);                                                         \
    cr_assert(strstr(err.text, word) != NULL, "\"%s\" does not say \"%s\"", err.text, word)

    REFUSED(temperature, -0.1f, "temperature is -0.1");
    REFUSED(temperature, NAN, "temperature is nan");
    REFUSED(temperature, INFINITY, "temperature is inf");
    REFUSED(top_p, 1.01f, "top_p is 1.01");
    REFUSED(top_p, NAN, "top_p");
    REFUSED(min_p, -1.0f, "min_p");
    REFUSED(repetition_penalty, 0.0f, "repetition_penalty");
    REFUSED(presence_penalty, 2.5f, "presence_penalty");
    REFUSED(frequency_penalty, -INFINITY, "frequency_penalty");
    REFUSED(biases, &outside, "token 10");
    REFUSED(biases, &too_strong, "-101");
    REFUSED(biases, &no_number, "nan");
    sampling = sampling_default();
    cr_assert(sampling_check(&sampling, 10, &err));
}
