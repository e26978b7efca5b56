#include "engine/penalties.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 5, HISTORY_MAX = 400 };

static struct penalties open_penalties(void) {
    struct penalties penalties;
    cr_assert(penalties_open(&penalties, VOCABULARY, HISTORY_MAX));
    return penalties;
}

Test(penalties, counts_move_logits_as_defined) {
    static const int32_t history[] = {0, 1, 1, /* reply: */ 2, 3, 3, 3};
    static const float plain[VOCABULARY] = {4.0f, -4.0f, 4.0f, -4.0f, 4.0f};
    const struct {
        float repetition, presence, frequency;
        size_t window;
        float want[VOCABULARY];
    } table[] = {
        {1.0f, 0.0f, 0.0f, WHOLE_CONTEXT, {4.0f, -4.0f, 4.0f, -4.0f, 4.0f}},
        {2.0f, 0.0f, 0.0f, WHOLE_CONTEXT, {2.0f, -8.0f, 2.0f, -8.0f, 4.0f}},
        {1.0f, 0.5f, 0.0f, WHOLE_CONTEXT, {4.0f, -4.0f, 3.5f, -4.5f, 4.0f}},
        {1.0f, 0.0f, 0.5f, WHOLE_CONTEXT, {4.0f, -4.0f, 3.5f, -5.5f, 4.0f}},
        {2.0f, 1.0f, -0.5f, WHOLE_CONTEXT, {2.0f, -8.0f, 1.5f, -7.5f, 4.0f}},
        {2.0f, 0.0f, 0.5f, 2, {4.0f, -4.0f, 4.0f, -9.0f, 4.0f}},
        {2.0f, 0.5f, 0.0f, 5, {4.0f, -8.0f, 1.5f, -8.5f, 4.0f}},
        {2.0f, 1.0f, 1.0f, 0, {4.0f, -4.0f, 4.0f, -4.0f, 4.0f}},
    };
    struct penalties penalties = open_penalties();
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        struct sampling sampling = sampling_default();
        sampling.repetition_penalty = table[t].repetition;
        sampling.presence_penalty = table[t].presence;
        sampling.frequency_penalty = table[t].frequency;
        sampling.penalty_window = table[t].window;
        float logits[VOCABULARY];
        memcpy(logits, plain, sizeof logits);
        penalties_apply(&penalties, &sampling, logits, history, 7, 3);
        for (size_t token = 0; token < VOCABULARY; token++) {
            cr_assert_float_eq(logits[token], table[t].want[token], 1e-6,
                               "case %zu, token %zu: %g, not %g", t, token, (double)logits[token],
                               (double)table[t].want[token]);
        }
    }
    penalties_close(&penalties);
}

/* ---- DRY, against every place compared with the end ---- */

static bool breaks(const struct dry_sampling *dry, const int32_t *tokens, size_t end) {
    size_t last = (size_t)tokens[end - 1];
    bool pair = end >= 2 && tokens[end - 2] == dry->breaker_runs[1] &&
                tokens[end - 1] == dry->breaker_runs[2];
    return (dry->breaker_bits[0] >> last & 1) != 0 || pair;
}

static void penalize_slowly(const struct dry_sampling *dry, const int32_t *tokens, size_t length,
                            float *logits) {
    size_t longest[VOCABULARY] = {0};
    size_t first = length > dry->window ? length - dry->window : 0;
    for (size_t place = first + 1; place < length; place++) {
        size_t repeated = 0;
        while (place > first + repeated &&
               tokens[place - 1 - repeated] == tokens[length - 1 - repeated] &&
               !breaks(dry, tokens + first, length - repeated - first)) {
            repeated++;
        }
        if (repeated > longest[tokens[place]]) {
            longest[tokens[place]] = repeated;
        }
    }
    for (size_t i = 0; i < VOCABULARY; i++) {
        if (longest[i] >= dry->allowed_length) {
            double excess = (double)(longest[i] - dry->allowed_length);
            logits[i] -= (float)((double)dry->multiplier * pow((double)dry->base, excess));
        }
    }
}

Test(penalties, dry_penalizes_what_would_prolong_the_longest_repetition) {
    static const uint64_t breaker_bits[] = {UINT64_C(1) << 4};
    static const int32_t breaker_runs[] = {2, 0, 3};
    struct penalties penalties = open_penalties();
    uint32_t random = 1;
    size_t penalized = 0;
    for (size_t round = 0; round < 2000; round++) {
        int32_t tokens[60];
        size_t length = 1 + round % 60;
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525u + 1013904223u;
            /* Few different tokens, and few breakers, so that much repeats. */
            tokens[i] = (random >> 16) % 20 == 0 ? 4 : (int32_t)((random >> 24) % (1 + round % 4));
        }
        struct sampling sampling = sampling_default();
        sampling.dry = (struct dry_sampling){
            .multiplier = 0.5f,
            .base = 1.25f,
            .allowed_length = 1 + round % 3,
            .window = round % 5 == 0 ? 12 : WHOLE_CONTEXT,
            .breaker_bits = breaker_bits,
            .breaker_runs = breaker_runs,
            .breaker_run_length = 3,
        };
        float want[VOCABULARY] = {0};
        float got[VOCABULARY] = {0};
        penalize_slowly(&sampling.dry, tokens, length, want);
        penalties_apply(&penalties, &sampling, got, tokens, length, 0);
        for (size_t i = 0; i < VOCABULARY; i++) {
            cr_assert_float_eq(got[i], want[i], 1e-3 + 1e-4 * fabs((double)want[i]),
                               "round %zu, token %zu: %g, not %g", round, i, (double)got[i],
                               (double)want[i]);
            penalized += want[i] < 0.0f;
        }
    }
    cr_assert_gt(penalized, 1000, "only %zu penalties", penalized);
    penalties_close(&penalties);
}

Test(penalties, dry_stays_finite_however_long_the_repetition) {
    struct penalties penalties = open_penalties();
    static const int32_t tokens[HISTORY_MAX * 2];
    struct sampling sampling = sampling_default();
    sampling.dry.multiplier = 1.0f;
    sampling.dry.base = 4.0f;
    float logits[VOCABULARY] = {0};
    penalties_apply(&penalties, &sampling, logits, tokens, HISTORY_MAX * 2, 0);
    cr_assert(isfinite(logits[0]) && logits[0] < -1e30f, "%g", (double)logits[0]);
    cr_assert_eq(logits[1], 0.0f);
    penalties_close(&penalties);
}
