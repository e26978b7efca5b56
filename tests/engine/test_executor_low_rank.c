/* What adapters add to a layer of so many inputs that they pass over them in chunks, compared with the
 * same arithmetic in double precision.
 *
 *   embed -> r0     linear r0, adapters -> r1 (logits) */
#include "engine/decoder.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { WIDE = 5000, VOCABULARY = 70, ADAPTERS = 2, RANK_MAX = 20, ROWS = 60 };

static const float factor = 0.25f;

static const struct weight_form table = {.rows = VOCABULARY, .columns = WIDE, .type = ELEMENT_F32};
static const struct weight_form downs[ADAPTERS] = {
    {.rows = RANK_MAX, .columns = WIDE, .type = ELEMENT_F32, .transposed = true},
    {.rows = 3, .columns = WIDE, .type = ELEMENT_BF16},
};
static const struct weight_form ups[ADAPTERS] = {
    {.rows = VOCABULARY, .columns = RANK_MAX, .type = ELEMENT_F32, .transposed = true},
    {.rows = VOCABULARY, .columns = 3, .type = ELEMENT_BF16},
};

struct layer {
    struct plan plan;
    struct plan_weight table;
    struct plan_weight weight;
    struct plan_low_rank_pair adapters[ADAPTERS];
};

static void append(struct plan *plan, struct plan_instruction instruction) {
    instruction.name = "test";
    cr_assert(plan_append(plan, &instruction));
}

static void build(struct layer *layer) {
    struct plan *plan = &layer->plan;
    layer->table = random_weight(table, 1);
    layer->weight = random_weight(table, 2);
    for (size_t i = 0; i < ADAPTERS; i++) {
        layer->adapters[i].down = random_weight(downs[i], 3 + (unsigned)i);
        layer->adapters[i].up = random_weight(ups[i], 5 + (unsigned)i);
    }
    plan_init(plan);
    plan_add_register(plan, WIDE);
    plan_add_register(plan, VOCABULARY);
    plan->vocabulary_size = VOCABULARY;
    plan->context_length = ROWS;
    plan->logits = 1;
    const struct plan_low_rank place = {
        .name = "test", .columns = WIDE, .rows = VOCABULARY, .factor = factor};
    append(plan,
           (struct plan_instruction){
               .kind = PLAN_EMBED,
               .embed = {.table = plan_add_weight(plan, &layer->table), .scale = 1, .output = 0}});
    struct plan_instruction linear = {.kind = PLAN_LINEAR, .linear = {.input = 0, .count = 1}};
    linear.linear.outputs[0].weight = plan_add_weight(plan, &layer->weight);
    linear.linear.outputs[0].bias = PLAN_NONE;
    linear.linear.outputs[0].low_rank = plan_add_low_rank(plan, &place);
    linear.linear.outputs[0].output = 1;
    append(plan, linear);
}

static void free_layer(struct layer *layer) {
    plan_deinit(&layer->plan);
    random_weight_free(&layer->table);
    random_weight_free(&layer->weight);
    for (size_t i = 0; i < ADAPTERS; i++) {
        random_weight_free(&layer->adapters[i].down);
        random_weight_free(&layer->adapters[i].up);
    }
}

/* y += scale * weight x. */
static void add_product(const struct plan_weight *weight, double scale, const double *x,
                        double *y) {
    for (size_t n = 0; n < weight->rows; n++) {
        for (size_t k = 0; k < weight->columns; k++) {
            y[n] += scale * x[k] * (double)weight_at(weight, n, k);
        }
    }
}

static void slow_logits(const struct layer *layer, const struct executor_row *row, double *logits) {
    static double x[WIDE];
    double middle[RANK_MAX] = {0};
    for (size_t k = 0; k < WIDE; k++) {
        x[k] = (double)weight_at(&layer->table, (size_t)row->token, k);
    }
    add_product(&layer->weight, 1, x, logits);
    if (row->adapter > 0) {
        const struct plan_low_rank_pair *pair = &layer->adapters[row->adapter - 1];
        add_product(&pair->down, 1, x, middle);
        add_product(&pair->up, (double)factor, middle, logits);
    }
}

static void check_rows(const struct layer *layer, bool exact) {
    const struct plan_low_rank_pair *const pairs[ADAPTERS] = {&layer->adapters[0],
                                                              &layer->adapters[1]};
    const struct decoder_options options = {
        .exact = exact,
        .threads = 2,
        .rows_max = ROWS,
        .wanted_max = ROWS,
        .adapters = {.adapters = pairs, .count = ADAPTERS},
    };
    struct decoder decoder;
    struct error err = {0};
    cr_assert(decoder_open(&decoder, &layer->plan, &options, &err), "%s", err.text);
    struct executor_row rows[ROWS];
    for (size_t r = 0; r < ROWS; r++) { /* 20 rows of each */
        rows[r] = (struct executor_row){.token = (int32_t)(7 * r % VOCABULARY),
                                        .position = r,
                                        .adapter = (r / 20 + 1) % (ADAPTERS + 1),
                                        .wanted = true};
    }
    const float *logits = executor_run(decoder.executor, rows, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        double want[VOCABULARY] = {0};
        slow_logits(layer, &rows[r], want);
        for (size_t n = 0; n < VOCABULARY; n++) {
            double got = (double)logits[r * executor_logits_stride(decoder.executor) + n];
            cr_assert_leq(fabs(got - want[n]), 1e-5 * WIDE, "%s: row %zu, logit %zu is %g, not %g",
                          exact ? "exact" : "fast", r, n, got, want[n]);
        }
    }
    decoder_close(&decoder);
}

Test(executor_low_rank, chunks_of_many_inputs_add_up) {
    struct layer layer;
    struct error err = {0};
    build(&layer);
    cr_assert(plan_verify(&layer.plan, &err), "%s", err.text);
    check_rows(&layer, true);
    check_rows(&layer, false);
    free_layer(&layer);
}
