/* How fast are the kernels on this machine, and how near to what it allows?
 *
 *     quern-bench-kernels [THREADS] [TABLE]
 *
 * The limits are measured first: plain reading of memory, and what the instruction set multiplies
 * in registers (peaks.h). Then, for each kernel table and number format, one line a case:
 *
 *     1 row      decoding: 256 MB of weights, or of keys and values, so that no cache holds them
 *     8 rows     eight sequences, or the rows of a prompt that share a pass over keys and values
 *     512 rows   prompts: the matrices of a feed-forward layer, up and down
 *
 * Each number is the best of half a second: other processes only make it worse. */
#include "bench/peaks.h"
#include "engine/clock.h"
#include "engine/kernels/kernels.h"
#include "engine/weights.h"
#include "engine/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HIDDEN = 1152, /* as in Gemma 3 1B */
    INTERMEDIATE = 6912,
    QUERY_HEADS = 4, /* of its one KV head */
    HEAD_DIM = 256,
    FEW_ROWS = 8,
    MANY_ROWS = 512,
    STREAM_BYTES = 256 << 20,
    PEAK_ROUNDS = 1000000,
    RUNS_LEAST = 5,
    TILES_PER_ITEM = 8,
    HUGE_PAGE_BYTES = 2 << 20,
};

static const double MEASURE_SECONDS = 0.5;

/* What the machine allows, on all threads: bytes and multiply-adds per second; 0: not known. */
struct limits {
    double reading;
    double int8;
    double f32;
};

struct form {
    const char *name;
    unsigned bits; /* 0: numbers of `type` */
    enum element_type type;
    enum weight_format format;
    bool int8;
    size_t block; /* of codes */
};

static const struct form forms[] = {
    {"q4 x int8", 4, ELEMENT_F16, WEIGHT_Q4, true, 32},
    {"q4/16 x int8", 4, ELEMENT_F16, WEIGHT_Q4, true, 16},
    {"q8 x int8", 8, ELEMENT_F16, WEIGHT_Q8, true, 32},
    {"q4 x f32", 4, ELEMENT_F32, WEIGHT_Q4, false, 32},
    {"q8 x f32", 8, ELEMENT_F32, WEIGHT_Q8, false, 32},
    {"f16 x f32", 0, ELEMENT_F16, WEIGHT_F16, false, 0},
    {"f32 x f32", 0, ELEMENT_F32, WEIGHT_F32, false, 0},
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
        .halves = p->form->block == 16,
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

/* Seconds of the fastest of many runs. */
static double best_time(struct workers *workers, void (*work)(void *, size_t, size_t),
                        void *context, size_t items) {
    double best = 1e9;
    double begin = clock_seconds();
    for (int run = 0; run < RUNS_LEAST || clock_seconds() - begin < MEASURE_SECONDS; run++) {
        double start = clock_seconds();
        workers_run(workers, work, context, items);
        double time = clock_seconds() - start;
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

static void *take_memory(size_t bytes) {
    void *memory = aligned_alloc(HUGE_PAGE_BYTES, bytes);
    if (memory == NULL) {
        fprintf(stderr, "quern-bench-kernels: out of memory\n");
        exit(EXIT_FAILURE);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static double measure_reading(struct workers *workers) {
    uint64_t *words = take_memory(STREAM_BYTES);
    memset(words, 1, STREAM_BYTES);
    struct reading reading = {.words = words};
    double time = best_time(workers, read_item, &reading, READ_ITEMS);
    free(words);
    return STREAM_BYTES / time;
}

/* ---- Multiplying in registers ---- */

static void peak_item(void *context, size_t thread, size_t item) {
    (void)thread;
    (void)item;
    const struct peak_loop *loop = context;
    loop->run(PEAK_ROUNDS);
}

static double measure_peak(struct workers *workers, const struct peak_loop *loop) {
    struct peak_loop copy = *loop;
    double time = best_time(workers, peak_item, &copy, workers_count(workers));
    return (double)workers_count(workers) * PEAK_ROUNDS * (double)loop->products / time;
}

/* ---- One line ---- */

/* A number of billions per second, and its share of a limit; 0: there is no such number. */
static void print_rate(double rate, double limit) {
    if (rate > 0) {
        printf(" %10.1f", rate * 1e-9);
    } else {
        printf(" %10s", "-");
    }
    if (rate > 0 && limit > 0) {
        printf(" %4.0f %%", 100 * rate / limit);
    } else {
        printf(" %6s", "-");
    }
}

static void print_case(const char *table, const char *kernel, const char *rows, double bytes,
                       double products, double seconds, double reading, double peak) {
    printf("%-8s %-15s %-14s", table, kernel, rows);
    print_rate(bytes / seconds, reading);
    print_rate(products / seconds, peak);
    printf("\n");
    fflush(stdout);
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
        .block_size = form->block,
    };
    size_t bits = form->bits != 0 ? form->bits : 8 * element_type_bytes(form->type);
    size_t scale_count = form->bits != 0 ? outputs * columns / form->block : 0;
    size_t scale_bytes = element_type_bytes(form->type);
    *data = calloc(outputs * columns / 8, bits);
    *scales = calloc(scale_count + 1, scale_bytes);
    for (size_t i = 0; *scales != NULL && i < scale_count; i++) {
        const uint16_t half = 0x3c00;
        const float number = 1.0f;
        memcpy(*scales + i * scale_bytes,
               form->type == ELEMENT_F16 ? (const void *)&half : (const void *)&number,
               scale_bytes);
    }
    weight.data = (struct plan_part){.bytes = *data, .row = columns, .step = 1};
    if (form->bits != 0) {
        weight.scales =
            (struct plan_part){.bytes = *scales, .row = columns / form->block, .step = 1};
        weight.zero_point = 1 << (form->bits - 1);
    }
    return weight;
}

static void measure_linear(const struct kernels *kernels, const struct form *form,
                           struct workers *workers, const struct limits *limits,
                           const char *case_name, size_t outputs, size_t columns, size_t rows) {
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
    bool ready = data != NULL && scales != NULL && plan_append(&plan, &linear) &&
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
        kernels->quantize(x + r * columns, columns, form->block == 16, quantized + r * blocks);
    }
    struct product product = {kernels, form, weights_matrix(weights, 0), x, quantized, rows, y};
    size_t items = (product.matrix->tiles + TILES_PER_ITEM - 1) / TILES_PER_ITEM;
    double time = best_time(workers, multiply_item, &product, items);
    /* Many rows read the tiles from memory once, which is nothing beside the multiplications. */
    double bytes = rows < MANY_ROWS ? (double)weights_bytes(weights) : 0;
    print_case(kernels->name, form->name, case_name, bytes,
               (double)rows * (double)outputs * (double)columns, time, limits->reading,
               form->int8 ? limits->int8 : limits->f32);
    weights_close(weights);
    plan_deinit(&plan);
    free(data);
    free(scales);
    free(x);
    free(quantized);
    free(y);
}

static void measure_form(const struct kernels *kernels, const struct form *form,
                         struct workers *workers, const struct limits *limits) {
    size_t bits = form->bits != 0 ? form->bits + 1 : 8 * element_type_bytes(form->type);
    size_t outputs = STREAM_BYTES / bits * 8 / HIDDEN; /* a scale is half a bit a weight */
    measure_linear(kernels, form, workers, limits, "1 row", outputs, HIDDEN, 1);
    measure_linear(kernels, form, workers, limits, "8 rows", outputs, HIDDEN, FEW_ROWS);
    measure_linear(kernels, form, workers, limits, "512 rows up", INTERMEDIATE, HIDDEN, MANY_ROWS);
    measure_linear(kernels, form, workers, limits, "512 rows down", HIDDEN, INTERMEDIATE,
                   MANY_ROWS);
}

/* ---- Attention ---- */

static const char *const kv_names[KV_TYPE_COUNT] = {
    [KV_F32] = "attention f32", [KV_F16] = "attention f16", [KV_INT8] = "attention int8"};

/* Chunks of positions that lie one behind the other; an item is one of them. */
struct scoring {
    const struct kernels *kernels;
    enum kv_type type;
    const uint8_t *pages;
    size_t rows;
    const float *queries; /* (rows, QUERY_HEADS, HEAD_DIM) */
    float *states;        /* (threads, state_floats) */
    size_t state_floats;
};

static void score_item(void *context, size_t thread, size_t item) {
    const struct scoring *s = context;
    const uint8_t *pages[KV_CHUNK_PAGES];
    struct attention_task task = {
        .queries = s->queries,
        .query_stride = (size_t)QUERY_HEADS * HEAD_DIM,
        .rows = s->rows,
        .group = QUERY_HEADS,
        .head_dim = HEAD_DIM,
        .scale = 0.0625f,
        .kv_type = s->type,
        .pages = pages,
        .states = s->states + thread * s->state_floats,
    };
    for (size_t i = 0; i < KV_CHUNK_PAGES; i++) {
        pages[i] = s->pages + (item * KV_CHUNK_PAGES + i) * kv_head_bytes(s->type, HEAD_DIM);
    }
    for (size_t r = 0; r < s->rows; r++) {
        task.end_visible[r] = (size_t)KV_CHUNK_PAGES * KV_PAGE_POSITIONS;
    }
    s->kernels->attention_chunk(&task);
}

static void measure_attention(const struct kernels *kernels, enum kv_type type,
                              struct workers *workers, const struct limits *limits, size_t rows) {
    size_t chunk_bytes = KV_CHUNK_PAGES * kv_head_bytes(type, HEAD_DIM);
    size_t chunks = STREAM_BYTES / chunk_bytes;
    size_t query_floats = rows * QUERY_HEADS * HEAD_DIM;
    size_t state_floats = rows * QUERY_HEADS * attention_state_floats(HEAD_DIM);
    uint8_t *pages = take_memory(STREAM_BYTES);
    float *queries = take_memory(HUGE_PAGE_BYTES);
    float *states = aligned_alloc(64, workers_count(workers) * state_floats * sizeof *states);
    if (states == NULL) {
        fprintf(stderr, "quern-bench-kernels: out of memory\n");
        exit(EXIT_FAILURE);
    }
    memset(pages, 0, STREAM_BYTES); /* zero in every type, and it makes the pages present */
    for (size_t i = 0; i < query_floats; i++) {
        queries[i] = (float)(i % 17) - 8.0f;
    }
    struct scoring scoring = {kernels, type, pages, rows, queries, states, state_floats};
    double time = best_time(workers, score_item, &scoring, chunks);
    double products = 2.0 * (double)(chunks * KV_CHUNK_PAGES * KV_PAGE_POSITIONS) *
                      (double)query_floats; /* with keys, and with values */
    print_case(kernels->name, kv_names[type], rows == 1 ? "1 row" : "8 rows",
               (double)(chunks * chunk_bytes), products, time, limits->reading, limits->f32);
    free(pages);
    free(queries);
    free(states);
}

static void measure_table(const struct kernels *kernels, struct workers *workers,
                          struct limits *limits) {
    const struct peak *peak = peak_of(kernels->name);
    limits->int8 = peak != NULL ? measure_peak(workers, &peak->int8) : 0;
    limits->f32 = peak != NULL ? measure_peak(workers, &peak->f32) : 0;
    printf("%-8s in registers: %.0f int8, %.0f f32, in 10^9 multiply-adds/s (m-a/s)\n",
           kernels->name, limits->int8 * 1e-9, limits->f32 * 1e-9);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        measure_form(kernels, &forms[i], workers, limits);
    }
    for (enum kv_type type = 0; type < KV_TYPE_COUNT; type++) {
        measure_attention(kernels, type, workers, limits, 1);
        measure_attention(kernels, type, workers, limits, ATTENTION_ROWS_MAX);
    }
}

int main(int argc, char **argv) {
    size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    struct workers *workers;
    struct error err;
    if (!workers_open(&workers, threads, true, &err)) {
        fprintf(stderr, "quern-bench-kernels: %s\n", err.text);
        return EXIT_FAILURE;
    }
    struct limits limits = {.reading = measure_reading(workers)};
    printf("%zu threads, reading memory at %.1f GB/s\n%40s %17s %17s\n", workers_count(workers),
           limits.reading * 1e-9, "", "GB/s, of reading", "G m-a/s, of peak");
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        /* The scalar table is a specification: slow, and measured only if asked. */
        if (argc > 2 ? strcmp(argv[2], *name) == 0 : strcmp(*name, "scalar") != 0) {
            measure_table(kernels_select(*name), workers, &limits);
        }
    }
    workers_close(workers);
    return EXIT_SUCCESS;
}
