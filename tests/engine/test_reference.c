/* Whole models against the logits that onnxruntime gives, and against themselves. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = {
    "gemma3-int4",        "gemma3-int4-untied", "gemma3-fp32",     "hunyuan-int4",
    "optimum-gemma3-q4",  "optimum-qwen2-q4",   "gptoss-int4",     "llama-lora-int4",
    "optimum-llama-bnb4", "optimum-gptneox-q4", "optimum-gpt2-q4", "optimum-opt-fp32",
    "optimum-falcon-q4"};
enum { MODELS = sizeof models / sizeof models[0], ROWS_MAX = 64 };

static struct decoder open_decoder(const struct fixture *fixture, struct decoder_options options) {
    struct decoder decoder;
    struct error err = {0};
    options.adapters = fixture_adapters(fixture);
    options.rows_max = ROWS_MAX;
    options.wanted_max = ROWS_MAX;
    cr_assert(decoder_open(&decoder, &fixture->model->plan, &options, &err), "%s", err.text);
    return decoder;
}

static size_t logit_count(const struct fixture *fixture, const struct fixture_case *test) {
    return (test->length - test->first_row) * fixture->model->plan.vocabulary_size;
}

Test(reference, exact_mode_agrees_with_onnxruntime) {
    for (size_t m = 0; m < MODELS; m++) {
        struct fixture fixture = fixture_open(models[m]);
        struct decoder decoder = open_decoder(
            &fixture, (struct decoder_options){.exact = true, .kv_type = KV_F32, .threads = 2});
        for (size_t c = 0; c < fixture.case_count; c++) {
            const struct fixture_case *test = &fixture.cases[c];
            float *logits = fixture_run(&decoder, test, ROWS_MAX);
            double worst = 0;
            for (size_t i = 0; i < logit_count(&fixture, test); i++) {
                double error = fabs((double)logits[i] - (double)test->logits[i]);
                worst = error <= worst ? worst : error; /* a NaN counts */
            }
            cr_assert(worst <= 2e-4, "%s case %zu: greatest error %g", models[m], c, worst);
            free(logits);
        }
        decoder_close(&decoder);
        fixture_close(&fixture);
    }
}

static double root_mean_square_error(const float *a, const float *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double error = (double)a[i] - (double)b[i];
        sum += error * error;
    }
    return sqrt(sum / (double)count);
}

Test(reference, fast_mode_is_no_further_off_than_onnxruntime_itself) {
    for (size_t m = 0; m < MODELS; m++) {
        struct fixture fixture = fixture_open(models[m]);
        struct decoder decoder =
            open_decoder(&fixture, (struct decoder_options){.kv_type = KV_F16, .threads = 2});
        double ours = 0;
        double theirs = 0;
        for (size_t c = 0; c < fixture.case_count; c++) {
            const struct fixture_case *test = &fixture.cases[c];
            float *logits = fixture_run(&decoder, test, ROWS_MAX);
            double error =
                root_mean_square_error(logits, test->logits, logit_count(&fixture, test));
            ours = fmax(ours, error);
            theirs = fmax(theirs, test->onnxruntime_error);
            free(logits);
        }
        double limit =
            theirs > 0 ? 1.1 * theirs : 3e-3; /* only the scales and the KV cache are f16 */
        cr_assert(ours <= limit, "%s: error %g, limit %g", models[m], ours, limit);
        decoder_close(&decoder);
        fixture_close(&fixture);
    }
}

/* Every way to cut the prompt, every number of threads, every kernel table: the same bits. */
static void check_bits(const struct fixture *fixture, struct decoder_options options,
                       float *const *expected) {
    static const size_t chunks[] = {1, 7, 16, ROWS_MAX};
    struct decoder decoder = open_decoder(fixture, options);
    for (size_t c = 0; c < fixture->case_count; c++) {
        const struct fixture_case *test = &fixture->cases[c];
        for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
            float *logits = fixture_run(&decoder, test, chunks[i]);
            cr_assert(memcmp(logits, expected[c], logit_count(fixture, test) * sizeof *logits) == 0,
                      "%s, case %zu, steps of %zu rows, %zu threads: other bits",
                      decoder.kernels->name, c, chunks[i], options.threads);
            free(logits);
        }
    }
    decoder_close(&decoder);
}

static void check_all_bits(const char *model, enum kv_type type) {
    struct fixture fixture = fixture_open(model);
    float *expected[8] = {NULL};
    struct decoder decoder =
        open_decoder(&fixture, (struct decoder_options){.kv_type = type, .threads = 1});
    for (size_t c = 0; c < fixture.case_count; c++) {
        expected[c] = fixture_run(&decoder, &fixture.cases[c], ROWS_MAX);
    }
    decoder_close(&decoder);
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        for (size_t threads = 1; threads <= 4; threads += 3) {
            check_bits(
                &fixture,
                (struct decoder_options){.kernels = *name, .kv_type = type, .threads = threads},
                expected);
        }
    }
    for (size_t c = 0; c < fixture.case_count; c++) {
        free(expected[c]);
    }
    fixture_close(&fixture);
}

Test(reference, bits_depend_on_neither_chunks_nor_threads_nor_kernels) {
    check_all_bits("gemma3-int4", KV_F16);
    check_all_bits("gemma3-int4", KV_INT8);
    check_all_bits("gptoss-int4", KV_F16);
    check_all_bits("llama-lora-int4", KV_F16);
}
