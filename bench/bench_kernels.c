/* How fast are the linear kernels on this machine?
 *
 *     quern-bench-kernels [THREADS] [TABLE]
 *
 * For each kernel table and weight format: with 1 row of inputs the packed bytes streamed per
 * second (matrices of 256 MB, so that no cache holds them), beside what plain reading reaches; with
 * more rows the multiply-adds per second (the matrices of a feed-forward layer, up and down). Each
 * number is the best of half a second: other processes only make it worse. */
#include "engine/kernels/kernels.h"
#include "engine/weights.h"
#include "engine/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    HIDDEN = 1152, /* as in Gemma 3 1B */
    INTERMEDIATE = 6912,
    FEW_ROWS = 4,
    MANY_ROWS = 512,
    STREAM_BYTES = 256 << 20,
    RUNS_LEAST = 5,
    TILES_PER_ITEM = 8,
    HUGE_PAGE_BYTES = 2 << 20,
};

static const double MEASURE_SECONDS = 0.5;

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
    const size_t outputs = p->matrix->tiles * TILE_ROWS;
    const size_t first = item * TILES_PER_ITEM;
    struct linear_task task = {
        .matrix = p->matrix,
        .first_tile = first,
        .end_tile =
            first + TILES_PER_ITEM < p->matrix->tiles ? first + TILES_PER_ITEM : p->matrix->tiles,
        .codes = p->quantized,
        .values = p->x,
        .x_stride = p->form->int8 ? p->matrix->columns / ACTIVATION_BLOCK : p->matrix->columns,
        .rows = p->rows,
        .y = p->y + first * TILE_ROWS,
        .y_stride = outputs,
    };
    if (p->form->int8) {
        p->kernels->linear_int8[p->form->format](&task);
    } else {
        p->kernels->linear_f32[p->form->format](&task);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds of the fastest of many runs. */
static double best_time(struct workers *workers, void (*work)(void *, size_t, size_t),
                        void *context, size_t items) {
    double best = 1e9;
    double begin = seconds();
    for (int run = 0; run < RUNS_LEAST || seconds() - begin < MEASURE_SECONDS; run++) {
        double start = seconds();
        workers_run(workers, work, context, items);
        double time = seconds() - start;
        best = time < best ? time : best;
    }
    return best;
}

/* ---- Plain reading ---- */

enum { READ_ITEMS = 64, READ_WORDS = STREAM_BYTES / READ_ITEMS / 8 };

struct reading {
    const uint64_t *words;
    uint64_t sums[READ_ITEMS];
};

/* One word of each line, in four streams: those keep more prefetchers busy than one does. */
static void read_item(void *context, size_t thread, size_t item) {
    (void)thread;
    struct reading *reading = context;
    const uint64_t *words = reading->words + item * READ_WORDS;
    uint64_t sums[4] = {0};
    for (size_t i = 0; i < READ_WORDS / 4; i += 8) {
        for (size_t stream = 0; stream < 4; stream++) {
            sums[stream] += words[stream * (READ_WORDS / 4) + i];
        }
    }
    reading->sums[item] = sums[0] + sums[1] + sums[2] + sums[3];
}

static void measure_reading(struct workers *workers) {
    uint64_t *words = aligned_alloc(HUGE_PAGE_BYTES, STREAM_BYTES);
    if (words == NULL) {
        fprintf(stderr, "quern-bench-kernels: out of memory\n");
        exit(EXIT_FAILURE);
    }
    madvise(words, STREAM_BYTES, MADV_HUGEPAGE);
    memset(words, 1, STREAM_BYTES);
    struct reading reading = {.words = words};
    double time = best_time(workers, read_item, &reading, READ_ITEMS);
    printf("plain reading       %7.1f GB/s\n", STREAM_BYTES / time * 1e-9);
    free(words);
}

/* ---- Products ---- */

/* Source bytes are what the allocator gives: every code is valid, and scales are 1. */
static struct plan_weight make_weight(const struct form *form, size_t outputs, size_t columns,
                                      uint8_t **data, uint8_t **scales) {
    struct plan_weight weight = {
        .name = form->name,
        .rows = outputs,
        .columns = columns,
        .bits = form->bits,
        .type = form->type,
        .scale_type = form->type,
        .block_size = form->bits != 0 ? ACTIVATION_BLOCK : 0,
    };
    size_t bits = form->bits != 0 ? form->bits : 8 * element_type_bytes(form->type);
    size_t scale_count = outputs * columns / ACTIVATION_BLOCK;
    size_t scale_bytes = element_type_bytes(form->type);
    *data = calloc(outputs * columns / 8, bits);
    *scales = calloc(scale_count, scale_bytes);
    for (size_t i = 0; *scales != NULL && i < scale_count; i++) {
        const uint16_t half = 0x3c00;
        const float number = 1.0f;
        memcpy(*scales + i * scale_bytes,
               form->type == ELEMENT_F16 ? (const void *)&half : (const void *)&number,
               scale_bytes);
    }
    weight.data = *data;
    weight.scales = *scales;
    return weight;
}

static void measure(const struct kernels *kernels, const struct form *form, struct workers *workers,
                    size_t outputs, size_t columns, size_t rows) {
    uint8_t *data;
    uint8_t *scales;
    struct plan_weight weight = make_weight(form, outputs, columns, &data, &scales);
    struct plan plan;
    plan_init(&plan);
    struct plan_instruction linear = {
        .kind = PLAN_LINEAR,
        .name = "linear",
        .linear = {.count = 1, .outputs = {{.weight = plan_add_weight(&plan, &weight)}}}};
    struct weights *weights = NULL;
    struct error err = {0};
    bool ready = weight.data != NULL && weight.scales != NULL && plan_append(&plan, &linear) &&
                 weights_open(&weights, &plan, &(struct weights_options){.exact = !form->int8},
                              workers, &err);
    size_t blocks = columns / ACTIVATION_BLOCK;
    float *x = aligned_alloc(64, rows * columns * sizeof *x);
    struct quantized_block *quantized = aligned_alloc(64, rows * blocks * sizeof *quantized);
    float *y = aligned_alloc(64, rows * (outputs + TILE_ROWS) * sizeof *y);
    if (!ready || x == NULL || quantized == NULL || y == NULL) {
        fprintf(stderr, "quern-bench-kernels: %s\n", ready ? "out of memory" : err.text);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        x[i] = (float)(i % 17) - 8.0f;
    }
    for (size_t r = 0; r < rows; r++) {
        kernels->quantize(x + r * columns, columns, quantized + r * blocks);
    }
    struct product product = {kernels, form, weights_matrix(weights, 0), x, quantized, rows, y};
    size_t items = (product.matrix->tiles + TILES_PER_ITEM - 1) / TILES_PER_ITEM;
    double time = best_time(workers, multiply_item, &product, items);
    if (rows == 1) {
        printf("  %7.1f     ", (double)weights_bytes(weights) / time * 1e-9);
    } else {
        printf("  %7.1f", (double)rows * (double)outputs * (double)columns / time * 1e-9);
    }
    weights_close(weights);
    plan_deinit(&plan);
    free(data);
    free(scales);
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
    measure_reading(workers);
    printf("                      GB/s      10^9 multiply-adds/s\n"
           "table   product      1 row      %d rows  %d up  %d down\n",
           FEW_ROWS, MANY_ROWS, MANY_ROWS);
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        const struct kernels *kernels = kernels_select(*name);
        if (argc > 2 ? strcmp(argv[2], *name) != 0 : strcmp(*name, "scalar") == 0) {
            continue; /* the scalar table is a specification: slow, and measured only if asked */
        }
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            size_t bits =
                forms[i].bits != 0 ? forms[i].bits + 1 : 8 * element_type_bytes(forms[i].type);
            printf("%-7s %-10s", *name, forms[i].name);
            measure(kernels, &forms[i], workers, STREAM_BYTES / bits * 8 / HIDDEN, HIDDEN, 1);
            measure(kernels, &forms[i], workers, INTERMEDIATE, HIDDEN, FEW_ROWS);
            measure(kernels, &forms[i], workers, INTERMEDIATE, HIDDEN, MANY_ROWS);
            measure(kernels, &forms[i], workers, HIDDEN, INTERMEDIATE, MANY_ROWS);
            printf("\n");
            fflush(stdout);
        }
    }
    workers_close(workers);
    return EXIT_SUCCESS;
}
