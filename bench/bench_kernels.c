/* How fast are the linear kernels on this machine?
 *
 *     quern-bench-kernels [THREADS] [TABLE]
 *
 * For each kernel table and weight format: with 1 row of inputs the packed bytes streamed per
 * second (matrices of 256 MB, so that no cache holds them), with many rows the multiply-adds per
 * second (matrices as of a model's layer). Each number is the best of a few runs. */
#include "engine/kernels/kernels.h"
#include "engine/weights.h"
#include "engine/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    COLUMNS = 1152,
    MANY_ROWS = 512,
    STREAM_BYTES = 256 << 20,
    LAYER_OUTPUTS = 6912,
    RUNS = 5,
    TILES_PER_ITEM = 8,
};

struct form {
    const char *name;
    unsigned bits; /* 0: numbers of `type` */
    enum element_type type;
    enum weight_format format;
    bool int8;
};

static const struct form forms[] = {
    {"q4 x int8", 4, ELEMENT_F16, WEIGHT_Q4, true},
    {"q8 x int8", 8, ELEMENT_F16, WEIGHT_Q8, true},
    {"q4 x f32", 4, ELEMENT_F32, WEIGHT_Q4, false},
    {"q8 x f32", 8, ELEMENT_F32, WEIGHT_Q8, false},
    {"f16 x f32", 0, ELEMENT_F16, WEIGHT_F16, false},
    {"f32 x f32", 0, ELEMENT_F32, WEIGHT_F32, false},
};

/* One multiplication: everything an item needs. */
struct product {
    const struct kernels *kernels;
    const struct form *form;
    const struct packed_matrix *matrix;
    const float *x;
    const struct quantized_block *quantized;
    size_t rows;
    float *y;
};

static void multiply_item(void *context, size_t thread, size_t item) {
    (void)thread;
    const struct product *p = context;
    const size_t blocks = COLUMNS / ACTIVATION_BLOCK;
    const size_t outputs = p->matrix->tiles * TILE_ROWS;
    size_t first = item * TILES_PER_ITEM;
    size_t end =
        first + TILES_PER_ITEM < p->matrix->tiles ? first + TILES_PER_ITEM : p->matrix->tiles;
    if (p->form->int8) {
        p->kernels->linear_int8[p->form->format](p->matrix, first, end, p->quantized, blocks,
                                                 p->rows, NULL, p->y, outputs);
    } else {
        p->kernels->linear_f32[p->form->format](p->matrix, first, end, p->x, COLUMNS, p->rows, NULL,
                                                p->y, outputs);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double best_time(struct product *product, struct workers *workers) {
    size_t items = (product->matrix->tiles + TILES_PER_ITEM - 1) / TILES_PER_ITEM;
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = seconds();
        workers_run(workers, multiply_item, product, items);
        double time = seconds() - start;
        best = time < best ? time : best;
    }
    return best;
}

/* Source bytes are what the allocator gives: every code is valid, and scales are 1. */
static struct plan_weight make_weight(const struct form *form, size_t outputs) {
    struct plan_weight weight = {
        .name = form->name,
        .rows = outputs,
        .columns = COLUMNS,
        .bits = form->bits,
        .type = form->type,
        .scale_type = form->type,
        .block_size = form->bits != 0 ? ACTIVATION_BLOCK : 0,
    };
    size_t bits = form->bits != 0 ? form->bits : 8 * element_type_bytes(form->type);
    size_t scales = outputs * COLUMNS / ACTIVATION_BLOCK;
    weight.data = calloc(outputs * COLUMNS / 8, bits);
    uint8_t *scale_bytes = calloc(scales, element_type_bytes(form->type));
    for (size_t i = 0; scale_bytes != NULL && i < scales; i++) {
        uint16_t one = 0x3c00;
        float one_f32 = 1.0f;
        memcpy(scale_bytes + i * element_type_bytes(form->type),
               form->type == ELEMENT_F16 ? (void *)&one : (void *)&one_f32,
               element_type_bytes(form->type));
    }
    weight.scales = scale_bytes;
    return weight;
}

static void measure(const struct kernels *kernels, const struct form *form, struct workers *workers,
                    size_t outputs, size_t rows) {
    struct plan_weight weight = make_weight(form, outputs);
    struct plan plan;
    plan_init(&plan);
    struct plan_instruction linear = {
        .kind = PLAN_LINEAR,
        .name = "linear",
        .linear = {.count = 1, .outputs = {{.weight = plan_add_weight(&plan, &weight)}}}};
    struct weights *weights = NULL;
    struct error err = {0};
    bool ready = weight.data != NULL && weight.scales != NULL && plan_append(&plan, &linear) &&
                 weights_open(&weights, &plan, !form->int8, workers, &err);
    size_t blocks = COLUMNS / ACTIVATION_BLOCK;
    float *x = aligned_alloc(64, rows * COLUMNS * sizeof *x);
    struct quantized_block *quantized = aligned_alloc(64, rows * blocks * sizeof *quantized);
    float *y = aligned_alloc(64, rows * (outputs + TILE_ROWS) * sizeof *y);
    if (!ready || x == NULL || quantized == NULL || y == NULL) {
        fprintf(stderr, "quern-bench-kernels: %s\n", ready ? "out of memory" : err.text);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < rows * COLUMNS; i++) {
        x[i] = (float)(i % 17) - 8.0f;
    }
    for (size_t r = 0; r < rows; r++) {
        kernels->quantize(x + r * COLUMNS, COLUMNS, quantized + r * blocks);
    }
    struct product product = {kernels, form, weights_matrix(weights, 0), x, quantized, rows, y};
    double time = best_time(&product, workers);
    if (rows == 1) {
        printf("  %7.1f GB/s", (double)weights_bytes(weights) / time * 1e-9);
    } else {
        printf("  %7.1f G/s (%zu rows)",
               (double)rows * (double)outputs * (double)COLUMNS / time * 1e-9, rows);
    }
    weights_close(weights);
    plan_deinit(&plan);
    free((void *)(uintptr_t)weight.data);
    free((void *)(uintptr_t)weight.scales);
    free(x);
    free(quantized);
    free(y);
}

int main(int argc, char **argv) {
    size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    struct workers *workers;
    struct error err;
    if (!workers_open(&workers, threads, true, &err)) {
        fprintf(stderr, "quern-bench-kernels: %s\n", err.text);
        return EXIT_FAILURE;
    }
    printf("%zu threads\n", workers_count(workers));
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        const struct kernels *kernels = kernels_select(*name);
        if (argc > 2 ? strcmp(argv[2], *name) != 0 : strcmp(*name, "scalar") == 0) {
            continue; /* the scalar table is a specification: slow, and measured only if asked */
        }
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            size_t bits =
                forms[i].bits != 0 ? forms[i].bits + 1 : 8 * element_type_bytes(forms[i].type);
            printf("%-7s %-10s", *name, forms[i].name);
            measure(kernels, &forms[i], workers, STREAM_BYTES / bits * 8 / COLUMNS, 1);
            measure(kernels, &forms[i], workers, LAYER_OUTPUTS, 4);
            measure(kernels, &forms[i], workers, LAYER_OUTPUTS, MANY_ROWS);
            printf("\n");
            fflush(stdout);
        }
    }
    workers_close(workers);
    return EXIT_SUCCESS;
}
