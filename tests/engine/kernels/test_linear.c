#include "engine/half.h"
#include "engine/kernels/kernels.h"
#include "engine/weights.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 17, COLUMNS_MAX = 1152, OUTPUTS_MAX = 100 };

static const struct weight_form forms[] = {
    {.rows = 100, .columns = 1152, .bits = 4, .type = ELEMENT_F16, .block_size = 32},
    {.rows = 17, .columns = 40, .bits = 4, .type = ELEMENT_F32, .block_size = 32},
    {.rows = 5, .columns = 100, .bits = 4, .type = ELEMENT_F16, .block_size = 16},
    {.rows = 33,
     .columns = 1,
     .bits = 4,
     .type = ELEMENT_F32,
     .block_size = 16,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 1, .columns = 100, .bits = 4, .type = ELEMENT_F16, .block_size = 64},
    {.rows = 48,
     .columns = 300,
     .bits = 4,
     .type = ELEMENT_F32,
     .block_size = 128,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 17,
     .columns = 40,
     .bits = 4,
     .type = ELEMENT_F16,
     .block_size = 256,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 100, .columns = 1152, .bits = 8, .type = ELEMENT_F32, .block_size = 32},
    {.rows = 17,
     .columns = 100,
     .bits = 8,
     .type = ELEMENT_F16,
     .block_size = 16,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 5,
     .columns = 300,
     .bits = 8,
     .type = ELEMENT_F16,
     .block_size = 64,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 33, .columns = 40, .bits = 8, .type = ELEMENT_F32, .block_size = 128},
    {.rows = 20, .columns = 90, .bits = 4, .type = ELEMENT_F16, .block_size = 96, .unpadded = true},
    {.rows = 20, .columns = 90, .bits = 8, .type = ELEMENT_F32, .block_size = 96, .unpadded = true},
    {.rows = 100,
     .columns = 1152,
     .bits = 4,
     .type = ELEMENT_F32,
     .code_book = &code_book_nf4,
     .block_size = 64,
     .unpadded = true},
    {.rows = 33,
     .columns = 48,
     .bits = 4,
     .type = ELEMENT_F16,
     .code_book = &code_book_fp4,
     .block_size = 16,
     .shared_scales = 2,
     .unpadded = true},
    {.rows = 100, .columns = 100, .type = ELEMENT_F16},
    {.rows = 17, .columns = 1152, .type = ELEMENT_F16, .transposed = true},
    {.rows = 5, .columns = 33, .type = ELEMENT_F32},
    {.rows = 33, .columns = 300, .type = ELEMENT_F32, .transposed = true},
    {.rows = 20, .columns = 40, .type = ELEMENT_BF16},
};

enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

#define EACH_TABLE(table)                                                                          \
    for (const char *const *name_ = kernels_available(); *name_ != NULL; name_++)                  \
        for (const struct kernels *table = kernels_select(*name_); table != NULL; table = NULL)

/* A weight as its file has it, its packed form, and ROWS_MAX rows of inputs. */
struct setup {
    struct weight_form form;
    struct plan_weight source;
    struct plan plan;
    struct weights *weights;
    const struct packed_matrix *matrix;
    size_t blocks;
    float x[ROWS_MAX * COLUMNS_MAX];
    bool
        halves; /* the inputs are quantized by 16: of matrices with blocks of 16, and some others */
    struct quantized_block quantized[ROWS_MAX * (COLUMNS_MAX / ACTIVATION_BLOCK)];
    float bias[OUTPUTS_MAX];
};

static struct setup *set_up(struct weight_form form, bool exact) {
    struct setup *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    s->form = form;
    s->source = random_weight(form, 3);
    plan_init(&s->plan);
    struct plan_instruction linear = {
        .kind = PLAN_LINEAR, .name = "linear", .linear = {.count = 1}};
    linear.linear.outputs[0].weight = plan_add_weight(&s->plan, &s->source);
    cr_assert(plan_append(&s->plan, &linear));
    cr_assert(
        weights_open(&s->weights, &s->plan, &(struct weights_options){.exact = exact}, NULL, NULL));
    s->matrix = weights_matrix(s->weights, 0);

    uint32_t seed = 11;
    for (size_t i = 0; i < ROWS_MAX * form.columns; i++) {
        seed = seed * 1664525u + 1013904223u;
        s->x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    for (size_t i = 0; i < form.rows; i++) {
        s->bias[i] = (float)i * 0.01f - 0.3f;
    }
    s->blocks = (form.columns + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK;
    s->halves = form.bits != 0 && (s->matrix->block == 16 || form.rows == 17);
    for (size_t r = 0; r < ROWS_MAX; r++) {
        kernels_select("scalar")->quantize(s->x + r * form.columns, form.columns, s->halves,
                                           s->quantized + r * s->blocks);
    }
    return s;
}

static void tear_down(struct setup *s) {
    weights_close(s->weights);
    plan_deinit(&s->plan);
    random_weight_free(&s->source);
    free(s);
}

/* Computes the task on the inputs that begin at row `row`; false if there is no such kernel. */
static bool run_task(const struct kernels *kernels, const struct setup *s, bool int8, size_t row,
                     struct linear_task task) {
    const bool exists = !int8 || kernels->linear_int8[s->matrix->format] != NULL;
    task.matrix = s->matrix;
    if (!int8) {
        task.values = s->x + row * s->form.columns;
        task.x_stride = s->form.columns;
        kernels->linear_f32[s->matrix->format](&task);
    } else if (exists) {
        task.codes = s->quantized + row * s->blocks;
        task.halves = s->halves;
        task.x_stride = s->blocks;
        kernels->linear_int8[s->matrix->format](&task);
    }
    return exists;
}

/* Rows [row, row + rows) times the whole matrix; false if there is no such kernel. */
static bool multiply(const struct kernels *kernels, const struct setup *s, bool int8, size_t row,
                     size_t rows, const float *bias, float *y, size_t y_stride) {
    return run_task(kernels, s, int8, row,
                    (struct linear_task){.end_tile = s->matrix->tiles,
                                         .rows = rows,
                                         .bias = bias,
                                         .y = y,
                                         .y_stride = y_stride});
}

Test(linear, the_scalar_table_agrees_with_double_precision) {
    for (size_t i = 0; i < FORM_COUNT; i++) {
        for (int int8 = 0; int8 < 2; int8++) {
            struct setup *s = set_up(forms[i], int8 == 0);
            float y[ROWS_MAX * OUTPUTS_MAX];
            if (!multiply(kernels_select("scalar"), s, int8 == 1, 0, ROWS_MAX, s->bias, y,
                          OUTPUTS_MAX)) {
                tear_down(s);
                continue;
            }
            for (size_t r = 0; r < ROWS_MAX; r++) {
                for (size_t n = 0; n < forms[i].rows; n++) {
                    double want = (double)s->bias[n];
                    double magnitude = 1.0;
                    for (size_t k = 0; k < forms[i].columns; k++) {
                        const struct quantized_block *block = &s->quantized[r * s->blocks + k / 32];
                        double x = int8 == 1 ? (double)block->scales[k % 32 / 16] *
                                                   (double)block->codes[k % 32]
                                             : (double)s->x[r * forms[i].columns + k];
                        double product = x * (double)weight_at(&s->source, n, k);
                        want += product;
                        magnitude += fabs(product);
                    }
                    float got = y[r * OUTPUTS_MAX + n];
                    cr_assert_leq(fabs((double)got - want), 1e-6 * magnitude,
                                  "%s%s, row %zu, output %zu: %g, expected %g",
                                  weight_form_name(&forms[i]), int8 == 1 ? " int8" : "", r, n,
                                  (double)got, want);
                }
            }
            tear_down(s);
        }
    }
}

/* Each table, each number of rows: the bits that the scalar table gives each row alone. */
static void rows_have_the_same_bits(const struct setup *s, bool int8) {
    static float want[ROWS_MAX * OUTPUTS_MAX];
    static float got[ROWS_MAX * OUTPUTS_MAX];
    const size_t outputs = s->form.rows;
    for (size_t r = 0; r < ROWS_MAX; r++) {
        if (!multiply(kernels_select("scalar"), s, int8, r, 1, NULL, want + r * outputs, outputs)) {
            return;
        }
    }
    EACH_TABLE(kernels) {
        for (size_t rows = 1; rows <= ROWS_MAX; rows++) {
            size_t row = ROWS_MAX - rows;
            multiply(kernels, s, int8, row, rows, NULL, got, outputs);
            for (size_t j = 0; j < rows * outputs; j++) {
                float expected = want[row * outputs + j];
                cr_assert_eq(float_to_bits(got[j]), float_to_bits(expected),
                             "%s, %s%s, row %zu of %zu, output %zu: %a, expected %a", kernels->name,
                             weight_form_name(&s->form), int8 ? " int8" : "", j / outputs, rows,
                             j % outputs, (double)got[j], (double)expected);
            }
        }
    }
}

Test(linear, a_row_has_the_same_bits_in_every_table_and_any_company) {
    for (size_t i = 0; i < FORM_COUNT; i++) {
        struct setup *s = set_up(forms[i], i % 2 == 0);
        rows_have_the_same_bits(s, false);
        rows_have_the_same_bits(s, true);
        tear_down(s);
    }
}

Test(linear, rows_are_taken_in_the_order_that_is_given) {
    static const uint32_t order[] = {16, 3, 3, 0, 9, 15, 1, 8, 2, 16};
    enum { COUNT = sizeof order / sizeof order[0] };
    struct setup *s = set_up(forms[1], false);
    const size_t outputs = s->form.rows;
    static float in_place[ROWS_MAX * OUTPUTS_MAX];
    static float in_order[COUNT * OUTPUTS_MAX];
    EACH_TABLE(kernels) {
        for (int int8 = 0; int8 < 2; int8++) {
            multiply(kernels, s, int8 == 1, 0, ROWS_MAX, NULL, in_place, outputs);
            run_task(kernels, s, int8 == 1, 0,
                     (struct linear_task){.end_tile = s->matrix->tiles,
                                          .order = order,
                                          .rows = COUNT,
                                          .y = in_order,
                                          .y_stride = outputs});
            for (size_t i = 0; i < COUNT; i++) {
                cr_assert(memcmp(in_order + i * outputs, in_place + order[i] * outputs,
                                 outputs * sizeof(float)) == 0,
                          "%s: row %zu is not that of input %u", kernels->name, i, order[i]);
            }
        }
    }
    tear_down(s);
}

Test(linear, only_the_outputs_of_the_given_tiles_are_written) {
    struct weight_form form = {
        .rows = 37, .columns = 64, .bits = 4, .type = ELEMENT_F16, .block_size = 32};
    struct setup *s = set_up(form, false);
    EACH_TABLE(kernels) {
        for (int int8 = 0; int8 < 2; int8++) {
            float y[2 * 48];
            for (size_t i = 0; i < 2 * 48; i++) {
                y[i] = -1e30f;
            }
            run_task(kernels, s, int8 == 1, 0,
                     (struct linear_task){.first_tile = 1,
                                          .end_tile = 3,
                                          .rows = 2,
                                          .bias = s->bias,
                                          .y = y + TILE_ROWS,
                                          .y_stride = 48});
            for (size_t i = 0; i < 2 * 48; i++) {
                bool written = y[i] != -1e30f;
                bool given = i % 48 >= 16 && i % 48 < 37;
                cr_assert_eq(written, given, "%s: output %zu of row %zu is %g", kernels->name,
                             i % 48, i / 48, (double)y[i]);
            }
        }
    }
    tear_down(s);
}

/* Codes, inputs and zero points that make the integer sums as large as they can be. */
Test(linear, extreme_codes_do_not_overflow) {
    for (unsigned bits = 4; bits <= 8; bits += 4) {
        struct weight_form form = {.rows = 16,
                                   .columns = 64,
                                   .bits = bits,
                                   .type = ELEMENT_F16,
                                   .block_size = 64,
                                   .zero_points = ZERO_POINTS_CODES};
        struct setup *s = set_up(form, false);
        memset((void *)(uintptr_t)s->source.data.bytes, 0xff, 16 * 64 * bits / 8);
        memset((void *)(uintptr_t)s->source.zero_points.bytes, 0, 16);
        struct weights *weights;
        cr_assert(weights_open(&weights, &s->plan, &(struct weights_options){0}, NULL, NULL));
        float x[64];
        struct quantized_block blocks[2];
        for (size_t k = 0; k < 64; k++) {
            x[k] = -127.0f;
        }
        EACH_TABLE(kernels) {
            kernels->quantize(x, 64, false, blocks);
            float y[16];
            const struct packed_matrix *matrix = weights_matrix(weights, 0);
            struct linear_task task = {.matrix = matrix,
                                       .end_tile = 1,
                                       .codes = blocks,
                                       .x_stride = 2,
                                       .rows = 1,
                                       .y = y,
                                       .y_stride = 16};
            kernels->linear_int8[matrix->format](&task);
            for (size_t n = 0; n < 16; n++) {
                float want = -127.0f * 64.0f * weight_at(&s->source, n, 0);
                cr_assert_eq(y[n], want, "%s, %u bits: %g, expected %g", kernels->name, bits,
                             (double)y[n], (double)want);
            }
        }
        weights_close(weights);
        tear_down(s);
    }
}
