/* Instructions that no fixture model has, run on a plan made for them and compared with the same
 * arithmetic in double precision, row by row.
 *
 *   embed -> r0     add r0 + vector -> r1    scale r1 -> r2     linear r2 -> r3    gate r3 -> r4
 *                                                               (an activation alone)
 *   linear r4 -> r5    add r2 + r5 -> r6     linear r6 -> r7    scale r7 -> r8 (logits, capped) */
#include "engine/decoder.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <math.h>

enum { HIDDEN = 48, INNER = 100, VOCABULARY = 40, TABLE = 0, UP = 1, DOWN = 2, HEAD = 3, ROWS = 5 };

static const float factor = 40.0f;
static const float softcap = 2.0f;

static const struct weight_form forms[] = {
    [TABLE] = {.rows = VOCABULARY, .columns = HIDDEN, .type = ELEMENT_F32},
    [UP] = {.rows = INNER, .columns = HIDDEN, .bits = 8, .type = ELEMENT_F32, .block_size = 16},
    [DOWN] = {.rows = HIDDEN, .columns = INNER, .bits = 4, .type = ELEMENT_F32, .block_size = 32},
    [HEAD] = {.rows = VOCABULARY, .columns = HIDDEN, .type = ELEMENT_F32},
};

static void append(struct plan *plan, struct plan_instruction instruction) {
    instruction.name = "test";
    cr_assert(plan_append(plan, &instruction));
}

static void append_linear(struct plan *plan, int input, int weight, int output) {
    struct plan_instruction linear = {.kind = PLAN_LINEAR, .linear = {.input = input, .count = 1}};
    linear.linear.outputs[0].weight = weight;
    linear.linear.outputs[0].bias = PLAN_NONE;
    linear.linear.outputs[0].low_rank = PLAN_NONE;
    linear.linear.outputs[0].output = output;
    append(plan, linear);
}

static void build(struct plan *plan, struct plan_weight *weights, bool fine_inputs) {
    static const size_t widths[] = {HIDDEN, HIDDEN, HIDDEN,     INNER,     INNER,
                                    HIDDEN, HIDDEN, VOCABULARY, VOCABULARY};
    plan_init(plan);
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        plan_add_register(plan, widths[i]);
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        weights[i] = random_weight(forms[i], (unsigned)i + 1);
        weights[i].fine_inputs = fine_inputs;
        plan_add_weight(plan, &weights[i]);
    }
    float *values;
    int vector = plan_add_vector(plan, "vector", HIDDEN, &values);
    for (size_t k = 0; k < HIDDEN; k++) {
        values[k] = (float)k * 0.01f;
    }
    plan->vocabulary_size = VOCABULARY;
    plan->context_length = 16;
    plan->logits = 8;
    append(plan, (struct plan_instruction){.kind = PLAN_EMBED,
                                           .embed = {.table = TABLE, .scale = 1, .output = 0}});
    append(plan, (struct plan_instruction){
                     .kind = PLAN_ADD,
                     .add = {.first = 0, .second = PLAN_NONE, .vector = vector, .output = 1}});
    append(plan, (struct plan_instruction){.kind = PLAN_SCALE,
                                           .scale = {.input = 1, .factor = factor, .output = 2}});
    append_linear(plan, 2, UP, 3);
    append(plan, (struct plan_instruction){.kind = PLAN_GATE,
                                           .gate = {.activation = PLAN_ACTIVATION_RELU,
                                                    .gate = {.reg = 3},
                                                    .up = {.reg = PLAN_NONE},
                                                    .output = 4}});
    append_linear(plan, 4, DOWN, 5);
    append(plan, (struct plan_instruction){
                     .kind = PLAN_ADD,
                     .add = {.first = 2, .second = 5, .vector = PLAN_NONE, .output = 6}});
    append_linear(plan, 6, HEAD, 7);
    append(plan, (struct plan_instruction){
                     .kind = PLAN_SCALE,
                     .scale = {.input = 7, .factor = 0.01f, .softcap = softcap, .output = 8}});
}

static void multiply(const struct plan_weight *weight, const double *x, double *y) {
    for (size_t n = 0; n < weight->rows; n++) {
        y[n] = 0;
        for (size_t k = 0; k < weight->columns; k++) {
            y[n] += x[k] * (double)weight_at(weight, n, k);
        }
    }
}

static void slow_logits(const struct plan_weight *weights, size_t token, double *logits) {
    double x[HIDDEN], inner[INNER], y[HIDDEN];
    for (size_t k = 0; k < HIDDEN; k++) {
        x[k] = ((double)weight_at(&weights[TABLE], token, k) + (double)k * 0.01) * (double)factor;
    }
    multiply(&weights[UP], x, inner);
    for (size_t i = 0; i < INNER; i++) {
        inner[i] = inner[i] > 0 ? inner[i] : 0;
    }
    multiply(&weights[DOWN], inner, y);
    for (size_t k = 0; k < HIDDEN; k++) {
        x[k] += y[k];
    }
    multiply(&weights[HEAD], x, logits);
    for (size_t n = 0; n < VOCABULARY; n++) {
        logits[n] = (double)softcap * tanh(0.01 * logits[n] / (double)softcap);
    }
}

/* Expects logits within the tolerance; returns the sum of the squares of their errors. */
static double expect_logits(bool exact, bool fine_inputs, double tolerance) {
    struct plan plan;
    struct plan_weight weights[sizeof forms / sizeof forms[0]];
    struct decoder decoder;
    struct error err = {0};
    build(&plan, weights, fine_inputs);
    cr_assert(plan_verify(&plan, &err), "%s", err.text);
    struct decoder_options options = {
        .exact = exact, .threads = 2, .rows_max = ROWS, .wanted_max = ROWS};
    cr_assert(decoder_open(&decoder, &plan, &options, &err), "%s", err.text);
    struct executor_row rows[ROWS];
    for (size_t r = 0; r < ROWS; r++) {
        rows[r] = (struct executor_row){.token = (int32_t)(7 * r), .position = r, .wanted = true};
    }
    const float *logits = executor_run(decoder.executor, rows, ROWS);
    double squares = 0;
    for (size_t r = 0; r < ROWS; r++) {
        double want[VOCABULARY];
        slow_logits(weights, 7 * r, want);
        for (size_t n = 0; n < VOCABULARY; n++) {
            double got = (double)logits[r * executor_logits_stride(decoder.executor) + n];
            cr_assert(fabs(got - want[n]) <= tolerance, "%s: row %zu, logit %zu is %g, expected %g",
                      exact ? "exact" : "fast", r, n, got, want[n]);
            squares += pow(got - want[n], 2);
        }
    }
    decoder_close(&decoder);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        random_weight_free(&weights[i]);
    }
    plan_deinit(&plan);
    return squares;
}

Test(executor, sums_factors_and_lone_activations_are_exact_in_exact_mode) {
    expect_logits(true, false, 1e-5);
}

Test(executor, and_close_in_fast_mode) {
    expect_logits(false, false, 0.1);
}

Test(executor, finely_quantized_inputs_lose_less) {
    double coarse = expect_logits(false, false, 0.1);
    double fine = expect_logits(false, true, 0.1);
    cr_assert_lt(fine, 0.8 * coarse, "squared errors %g, coarse %g", fine, coarse);
}
