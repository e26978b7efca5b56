#include "engine/sampler.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 5000, DRAWS = 3000, HISTORY_MAX = 4096 };

static struct sampler *open_sampler(size_t vocabulary_size) {
    struct sampler *sampler;
    struct error err = {0};
    cr_assert(sampler_open(&sampler, vocabulary_size, HISTORY_MAX, kernels_select(NULL), &err),
              "%s", err.text);
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
    static const int32_t tokens[HISTORY_MAX];
    struct sampling_state state = sampling_begin(sampling);
    const struct sampler_row row = {.logits = logits, .tokens = tokens, .length = index};
    return sampler_choose(sampler, sampling, &state, &row);
}

/* ---- Candidate sets, against a sort in double precision ---- */

struct ranked {
    int32_t id;
    double key;
    double probability; /* relative to the others' */
};

static int by_key(const void *a, const void *b) {
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->key != y->key) {
        return x->key > y->key ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

static double sum_of(const struct ranked *ranked, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += ranked[i].probability;
    }
    return sum;
}

static size_t cut_at(const struct ranked *ranked, size_t count, double p) {
    double target = p * sum_of(ranked, count);
    double reached = 0;
    for (size_t i = 0; i < count; i++) {
        reached += ranked[i].probability;
        if (reached >= target) {
            return i + 1;
        }
    }
    return count;
}

static size_t cut_typical(struct ranked *ranked, size_t count, double p) {
    double total = sum_of(ranked, count);
    double entropy = 0;
    for (size_t i = 0; i < count; i++) {
        double share = ranked[i].probability / total;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    for (size_t i = 0; i < count; i++) {
        ranked[i].key = -fabs(-log(ranked[i].probability / total) - entropy);
    }
    qsort(ranked, count, sizeof *ranked, by_key);
    count = cut_at(ranked, count, p);
    for (size_t i = 0; i < count; i++) {
        ranked[i].key = ranked[i].probability;
    }
    qsort(ranked, count, sizeof *ranked, by_key);
    return count;
}

/* How many of the ranked tokens are left. */
static size_t cut_slowly(const struct sampling *sampling, const float *logits,
                         struct ranked *ranked) {
    for (int32_t i = 0; i < VOCABULARY; i++) {
        ranked[i].id = i;
        ranked[i].probability = exp((double)logits[i] / (double)sampling->temperature);
        ranked[i].key = ranked[i].probability;
    }
    qsort(ranked, VOCABULARY, sizeof *ranked, by_key);
    size_t count = sampling->top_k != 0 ? sampling->top_k : VOCABULARY;
    if (sampling->typical_p < 1.0f) {
        count = cut_typical(ranked, count, (double)sampling->typical_p);
    }
    if (sampling->top_p < 1.0f) {
        count = cut_at(ranked, count, (double)sampling->top_p);
    }
    while (ranked[count - 1].probability < (double)sampling->min_p * ranked[0].probability) {
        count--;
    }
    return count;
}

/* Whatever is left out is off. */
static struct sampling from_cuts(float temperature, size_t top_k, float typical_p, float top_p,
                                 float min_p) {
    struct sampling sampling = sampling_default();
    sampling.temperature = temperature;
    sampling.top_k = top_k;
    sampling.typical_p = typical_p;
    sampling.top_p = top_p;
    sampling.min_p = min_p;
    return sampling;
}

Test(sampler, draws_from_the_candidates_of_a_full_sort_and_from_all_of_them) {
    const struct sampling samplings[] = {
        from_cuts(1.0f, 40, 1.0f, 1.0f, 0.0f),    from_cuts(50.0f, 64, 1.0f, 1.0f, 0.0f),
        from_cuts(9.0f, 12, 1.0f, 1.0f, 0.0f),    from_cuts(1.0f, 0, 1.0f, 0.9f, 0.0f),
        from_cuts(0.3f, 0, 1.0f, 0.5f, 0.0f),     from_cuts(20.0f, 0, 1.0f, 0.3f, 0.0f),
        from_cuts(1.0f, 0, 1.0f, 1.0f, 0.3f),     from_cuts(2.0f, 100, 1.0f, 0.8f, 0.7f),
        from_cuts(0.7f, 64, 1.0f, 0.95f, 0.0f),   from_cuts(1.0f, 0, 1.0f, 0.0f, 0.0f),
        from_cuts(1.0f, 0, 0.5f, 1.0f, 0.0f),     from_cuts(3.0f, 50, 0.2f, 1.0f, 0.0f),
        from_cuts(1.5f, 200, 0.9f, 0.9f, 0.01f),  from_cuts(0.5f, 0, 1.0f, 1.0f, 0.0f),
        from_cuts(0.7f, 0, 1.0f, 0.999f, 0.005f),
    };
    struct sampler *sampler = open_sampler(VOCABULARY);
    float *logits = malloc(VOCABULARY * sizeof *logits);
    struct ranked *ranked = malloc(VOCABULARY * sizeof *ranked);
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
        struct sampling sampling = samplings[s];
        sampling.seed = s;
        coarse_logits(logits, 20.0f, (uint32_t)s);
        size_t count = cut_slowly(&sampling, logits, ranked);
        double total = sum_of(ranked, count);
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

/* ---- XTC, dynamic temperature, Mirostat ---- */

/* How often each of the tokens is drawn, for the logarithms of its probability as logits. */
static void count_draws(const struct sampling *sampling, const double *probabilities, size_t tokens,
                        unsigned *drawn) {
    struct sampler *sampler = open_sampler(tokens);
    float logits[8];
    for (size_t i = 0; i < tokens; i++) {
        logits[i] = (float)log(probabilities[i]);
        drawn[i] = 0;
    }
    for (size_t index = 0; index < DRAWS; index++) {
        drawn[choose(sampler, sampling, logits, index)]++;
    }
    sampler_close(sampler);
}

static void check_draws(const char *what, const unsigned *drawn, const double *want,
                        size_t tokens) {
    for (size_t i = 0; i < tokens; i++) {
        cr_assert_float_eq(drawn[i], want[i] * DRAWS, 5 * sqrt(want[i] * DRAWS) + 1e-3,
                           "%s: token %zu came %u times, not %g", what, i, drawn[i],
                           want[i] * DRAWS);
    }
}

Test(sampler, xtc_leaves_the_least_probable_of_the_obvious_tokens_as_often_as_it_says) {
    const double probabilities[] = {0.2, 0.4, 0.05, 0.25, 0.1};
    const struct {
        const char *what;
        float probability, threshold;
        double want[5];
    } table[] = {
        {"never", 0.0f, 0.1f, {0.2, 0.4, 0.05, 0.25, 0.1}},
        {"three obvious", 1.0f, 0.15f, {0.2 / 0.35, 0, 0.05 / 0.35, 0, 0.1 / 0.35}},
        {"one obvious", 1.0f, 0.3f, {0.2, 0.4, 0.05, 0.25, 0.1}},
        {"none obvious", 1.0f, 0.6f, {0.2, 0.4, 0.05, 0.25, 0.1}},
        {"half the time", 0.5f, 0.22f, {0.8 / 3, 0.2, 0.2 / 3, 1.0 / 3, 0.4 / 3}},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        struct sampling sampling = sampling_default();
        sampling.temperature = 1.0f;
        sampling.xtc_probability = table[t].probability;
        sampling.xtc_threshold = table[t].threshold;
        unsigned drawn[5];
        count_draws(&sampling, probabilities, 5, drawn);
        check_draws(table[t].what, drawn, table[t].want, 5);
    }
}

Test(sampler, dynamic_temperature_follows_the_entropy_of_what_the_cuts_leave) {
    const double flat[] = {0.25, 0.25, 0.25, 0.25};
    const double steep[] = {0.7, 0.2, 0.05, 0.05};
    const struct {
        const char *what;
        const double *probabilities;
        float range, exponent;
        size_t top_k;
    } table[] = {
        {"flat", flat, 0.5f, 1.0f, 0},
        {"steep", steep, 0.5f, 1.0f, 0},
        {"steep, exponent 2", steep, 0.8f, 2.0f, 0},
        {"two of them", steep, 0.5f, 1.0f, 2},
        {"down to temperature 0", steep, 2.0f, 100.0f, 0},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        struct sampling sampling = sampling_default();
        sampling.temperature = 1.0f;
        sampling.dynatemp_range = table[t].range;
        sampling.dynatemp_exponent = table[t].exponent;
        sampling.top_k = table[t].top_k;
        size_t count = table[t].top_k != 0 ? table[t].top_k : 4;
        double total = 0;
        double entropy = 0;
        for (size_t i = 0; i < count; i++) {
            total += table[t].probabilities[i];
        }
        for (size_t i = 0; i < count; i++) {
            double p = table[t].probabilities[i] / total;
            entropy -= p * log(p);
        }
        double low = fmax(0.0, 1.0 - (double)table[t].range);
        double temperature = low + (1.0 + (double)table[t].range - low) *
                                       pow(entropy / log((double)count), (double)table[t].exponent);
        double want[4] = {0};
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            want[i] = pow(table[t].probabilities[i] / table[t].probabilities[0], 1.0 / temperature);
            sum += want[i];
        }
        for (size_t i = 0; i < count; i++) {
            want[i] /= sum;
        }
        unsigned drawn[4];
        count_draws(&sampling, table[t].probabilities, 4, drawn);
        check_draws(table[t].what, drawn, want, 4);
    }
}

Test(sampler, mirostat_keeps_the_surprise_near_tau) {
    static float logits[VOCABULARY];
    for (size_t i = 0; i < VOCABULARY; i++) {
        logits[i] = -logf((float)(i + 1)); /* Zipf's law */
    }
    struct sampler *sampler = open_sampler(VOCABULARY);
    for (float tau = 2.0f; tau < 7.0f; tau += 2.0f) {
        struct sampling sampling = sampling_default();
        sampling.temperature = 1.0f;
        sampling.mirostat = true;
        sampling.mirostat_tau = tau;
        struct sampling_state state = sampling_begin(&sampling);
        double surprise = 0;
        for (size_t index = 0; index < DRAWS; index++) {
            float limit = state.surprise_limit;
            static const int32_t tokens[HISTORY_MAX];
            const struct sampler_row row = {.logits = logits, .tokens = tokens, .length = index};
            (void)sampler_choose(sampler, &sampling, &state, &row);
            /* limit' = limit - eta (surprise - tau) */
            surprise += (double)((limit - state.surprise_limit) / sampling.mirostat_eta + tau);
        }
        cr_assert_float_eq(surprise / DRAWS, (double)tau, 0.05, "%g bits, not %g", surprise / DRAWS,
                           (double)tau);
    }
    sampler_close(sampler);
}

/* ---- Biases and masks ---- */

Test(sampler, biases_are_added_after_penalties) {
    struct sampler *sampler = open_sampler(3);
    static const int32_t reply[] = {0};
    const float logits[] = {4.0f, 3.0f, -9.0f};
    const struct logit_bias biases[] = {{0, 1.5f}, {2, 12.0f}};
    struct sampling sampling = sampling_default();
    struct sampling_state state = sampling_begin(&sampling);
    const struct sampler_row row = {.logits = logits, .tokens = reply, .length = 1};
    sampling.repetition_penalty = 2.0f;
    cr_assert_eq(sampler_choose(sampler, &sampling, &state, &row), 1, "2, 3, -9");
    sampling.biases = biases;
    sampling.bias_count = 1;
    cr_assert_eq(sampler_choose(sampler, &sampling, &state, &row), 0, "3.5, 3, -9");
    sampling.bias_count = 2;
    sampling.repetition_penalty = 8.0f;
    cr_assert_eq(sampler_choose(sampler, &sampling, &state, &row), 1, "2, 3, 3");
    sampler_close(sampler);
}

Test(sampler, what_the_mask_forbids_is_never_chosen) {
    struct sampler *sampler = open_sampler(VOCABULARY);
    static float logits[VOCABULARY];
    coarse_logits(logits, 8.0f, 5);
    const struct logit_bias biases[] = {{77, 100.0f}};
    const struct sampling samplings[] = {
        from_cuts(0.0f, 0, 1.0f, 1.0f, 0.0f),    from_cuts(1.0f, 0, 1.0f, 1.0f, 0.0f),
        from_cuts(100.0f, 0, 1.0f, 1.0f, 0.0f),  from_cuts(1.0f, 20, 1.0f, 0.9f, 0.0f),
        from_cuts(100.0f, 0, 0.9f, 0.9f, 0.01f),
    };
    static const int32_t tokens[HISTORY_MAX];
    uint64_t allowed[(VOCABULARY + 63) / 64] = {0};
    size_t counts[] = {1, 3, VOCABULARY - 1};
    for (size_t c = 0; c < 3; c++) {
        memset(allowed, counts[c] > 3 ? 0xFF : 0, sizeof allowed);
        for (size_t i = 0; i < 3; i++) {
            if (counts[c] > 3) {
                allowed[77 / 64] &= ~(UINT64_C(1) << 77 % 64);
            } else if (i < counts[c]) {
                allowed[(4999 - i * 1000) / 64] |= UINT64_C(1) << (4999 - i * 1000) % 64;
            }
        }
        for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
            struct sampling sampling = samplings[s];
            sampling.biases = biases;
            sampling.bias_count = 1;
            struct sampling_state state = sampling_begin(&sampling);
            for (size_t index = 0; index < 200; index++) {
                const struct sampler_row row = {
                    .logits = logits, .allowed = allowed, .tokens = tokens, .length = index};
                int32_t token = sampler_choose(sampler, &sampling, &state, &row);
                cr_assert((allowed[token / 64] >> (token % 64) & 1) != 0,
                          "sampling %zu chose token %d of %zu others", s, token, counts[c]);
            }
        }
    }
    sampler_close(sampler);
}

Test(sampler, where_the_model_knows_nothing_of_what_is_allowed_the_first_of_it_is_chosen) {
    struct sampler *sampler = open_sampler(200);
    float logits[200];
    uint64_t allowed[4] = {0, UINT64_C(6), 0, 0};
    const struct sampling sampling = from_cuts(1.0f, 0, 1.0f, 0.9f, 0.0f);
    struct sampling_state state = sampling_begin(&sampling);
    for (size_t i = 0; i < 200; i++) {
        logits[i] = i == 65 ? NAN : i == 66 ? -INFINITY : 1.0f;
    }
    const struct sampler_row row = {.logits = logits, .allowed = allowed};
    cr_assert_eq(sampler_choose(sampler, &sampling, &state, &row), 65);
    sampler_close(sampler);
}

/* ---- Scores ---- */

Test(sampler, scores_are_log_softmax_and_the_most_probable_tokens_in_order) {
    struct sampler *sampler = open_sampler(VOCABULARY);
    float *logits = malloc(VOCABULARY * sizeof *logits);
    struct ranked *ranked = malloc(VOCABULARY * sizeof *ranked);
    const struct sampling sampling = from_cuts(1.0f, 0, 1.0f, 1.0f, 0.0f);
    for (uint32_t seed = 0; seed < 5; seed++) {
        coarse_logits(logits, seed == 0 ? 0.1f : 12.0f, seed); /* 0.1: many are equal */
        cut_slowly(&sampling, logits, ranked);
        double total = log(sum_of(ranked, VOCABULARY));
        struct token_logprob top[20];
        float logprob = sampler_score(sampler, logits, 1234, top, 20);
        cr_assert_float_eq((double)logprob, (double)logits[1234] - total, 1e-5);
        for (size_t i = 0; i < 20; i++) {
            cr_assert_eq(top[i].token, ranked[i].id, "seed %u: token %d at place %zu, not %d", seed,
                         top[i].token, i, ranked[i].id);
            cr_assert_float_eq((double)top[i].logprob, log(ranked[i].probability) - total, 1e-5);
        }
    }
    free(ranked);
    free(logits);
    sampler_close(sampler);
}

Test(sampler, scores_of_a_vocabulary_smaller_than_what_is_asked_for_end_with_no_token) {
    struct sampler *sampler = open_sampler(3);
    const float logits[] = {NAN, 0.0f, -INFINITY};
    struct token_logprob top[3];
    cr_assert_eq(sampler_score(sampler, logits, 1, top, 3), 0.0f);
    cr_assert_eq(top[0].token, 1);
    cr_assert_eq(top[1].token, -1);
    cr_assert_eq(sampler_score(sampler, logits, 2, NULL, 0), -INFINITY);
    sampler_close(sampler);
}

/* ---- Ties ---- */

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
    cr_assert(sampler_open(&want, VOCABULARY, HISTORY_MAX, kernels_select("scalar"), &err));
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        struct sampler *sampler;
        cr_assert(sampler_open(&sampler, VOCABULARY, HISTORY_MAX, kernels_select(*name), &err));
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
