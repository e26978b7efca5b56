/* What does choosing a token cost?
 *
 *     quern-bench-sampling [TABLE]
 *
 * For 262144 logits that are normally distributed, with a few that stand out, one thread, a history
 * of 4096 tokens. Each number is the best of many: other processes only make it worse. */
#include "engine/clock.h"
#include "engine/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { VOCABULARY = 262144, OUTSTANDING = 20, HISTORY = 4096, REPEATS = 200, TOP_LOGPROBS = 5 };

/* In (0, 1). */
static double random_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static void fill_logits(float *logits, double deviation) {
    uint64_t state = 1;
    for (size_t i = 0; i < VOCABULARY; i++) {
        double radius = sqrt(-2.0 * log(random_number(&state)));
        logits[i] = (float)(deviation * radius * cos(2.0 * M_PI * random_number(&state)));
    }
    for (size_t i = 0; i < OUTSTANDING; i++) {
        size_t token = (size_t)(random_number(&state) * VOCABULARY);
        logits[token] = (float)(4.5 * deviation + 6.0 * random_number(&state));
    }
}

struct bench {
    struct sampler *sampler;
    float *logits;
    int32_t tokens[HISTORY];
};

static void measure(struct bench *bench, const char *name, const struct sampling *sampling,
                    bool logprobs) {
    struct sampling_state state = sampling_begin(sampling);
    double best = 1e9;
    for (size_t i = 0; i < REPEATS; i++) {
        struct token_logprob top[TOP_LOGPROBS];
        const struct sampler_row row = {
            .logits = bench->logits, .tokens = bench->tokens, .length = HISTORY - i};
        double begin = clock_seconds();
        int32_t token = sampler_choose(bench->sampler, sampling, &state, &row);
        if (logprobs) {
            sampler_score(bench->sampler, bench->logits, token, top, TOP_LOGPROBS);
        }
        best = fmin(best, clock_seconds() - begin);
    }
    printf("  %-32s %6.0f us\n", name, best * 1e6);
}

static void measure_all(struct bench *bench) {
    struct sampling plain = sampling_default();
    struct sampling sampling;
    measure(bench, "temperature 0", &plain, false);
    plain.temperature = 1.0f;
    measure(bench, "temperature 1 (the default)", &plain, false);
    measure(bench, "the same, 5 top logprobs", &plain, true);
#define MEASURE(name, ...)                                                                         \
    sampling = plain;                                                                              \
    __VA_ARGS__;                                                                                   \
    measure(bench, name, &sampling, false)
    MEASURE("top_p 0.95", sampling.top_p = 0.95f);
    MEASURE("min_p 0.05", sampling.min_p = 0.05f);
    MEASURE("top_k 40, top_p 0.95, min_p 0.05", sampling.top_k = 40, sampling.top_p = 0.95f,
            sampling.min_p = 0.05f);
    MEASURE("typical_p 0.9", sampling.typical_p = 0.9f);
    MEASURE("xtc, min_p 0.02", sampling.xtc_probability = 1.0f, sampling.min_p = 0.02f);
    MEASURE("dynamic temperature, top_k 40", sampling.dynatemp_range = 0.5f, sampling.top_k = 40);
    MEASURE("mirostat", sampling.mirostat = true);
    MEASURE("repetition_penalty 1.1", sampling.repetition_penalty = 1.1f);
    MEASURE("dry", sampling.dry.multiplier = 0.8f);
}

int main(int argc, char **argv) {
    const struct kernels *kernels = kernels_select(argc > 1 ? argv[1] : NULL);
    static struct bench bench;
    struct error err = {0};
    bench.logits = malloc(VOCABULARY * sizeof *bench.logits);
    if (kernels == NULL || bench.logits == NULL ||
        !sampler_open(&bench.sampler, VOCABULARY, HISTORY, kernels, &err)) {
        fprintf(stderr, "quern-bench-sampling: %s\n",
                kernels == NULL ? "no such kernel table" : "out of memory");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < HISTORY; i++) {
        bench.tokens[i] = (int32_t)(i * i % VOCABULARY);
    }
    for (int deviation = 2; deviation <= 4; deviation += 2) {
        printf("%s, %d logits of standard deviation %d\n", kernels->name, VOCABULARY, deviation);
        fill_logits(bench.logits, deviation);
        measure_all(&bench);
    }
    sampler_close(bench.sampler);
    free(bench.logits);
    return EXIT_SUCCESS;
}
