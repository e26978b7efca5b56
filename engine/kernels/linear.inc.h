/* Linear kernels, written once over lanes and dots: each instruction set's file includes its
 * lanes_*.h and dots_*.h, then this.
 *
 * A tile is 16 outputs, the lanes. A pass takes one tile and a few rows of inputs, so that what is
 * loaded, unpacked or decoded of the tile serves all of them:
 *
 *     for each block of the tile:            scales, zero points     (16 outputs)
 *         for each unit of it:               32 inputs, or 16 where those are quantized by 16
 *             for each group of codes:       4 or 8 inputs of 16 outputs
 *                 for each row:              sums[row] += codes . inputs[row]
 *             for each row:                  y[row] += sums[row] * (row's scale * scales)
 *
 * The tiles of a call are taken in runs that fit into a core's second cache. All rows pass over a
 * run before the next, so a tile is read from memory once; and the rows of a pass stay in the first
 * cache while the tiles of the run go by. One row alone is bound by that one reading.
 *
 * A row's numbers do not depend on the rows that pass with it. */

#include "engine/kernels/expanded.h"
#include "engine/kernels/kernels.h"

enum {
    LINEAR_ROWS_MAX = 8,
    /* Each row of a pass has a float sum and an integer sum, and they must leave registers for the
     * codes. */
    PASS_ROWS_MAX = LANES_REGISTERS / 4 < LINEAR_ROWS_MAX ? LANES_REGISTERS / 4 : LINEAR_ROWS_MAX,
    LINEAR_UNIT = 32, /* inputs that share a scale, if not halves do: their sum is one number */
    DOT_INPUTS = 16,  /* of a row, taken together; see dots_scalar.h */
    LINEAR_RUN_BYTES = 256 * 1024, /* a quarter of the second cache of a server's core */
    LINEAR_AHEAD_BYTES = 4096,     /* how far ahead memory is asked for what the sums will need */
};

/* Which row of the inputs is row `row` of the task. */
static inline size_t input_row(const struct linear_task *task, size_t row) {
    return task->order != NULL ? task->order[row] : row;
}

/* ---- Order ---- */

/* Rows of the next pass: as few passes as there can be, and those as even as they can be. */
static inline size_t rows_of_pass(size_t rows_left) {
    const size_t passes = (rows_left + PASS_ROWS_MAX - 1) / PASS_ROWS_MAX;
    return (rows_left + passes - 1) / passes;
}

struct tile_run {
    size_t first;
    size_t end;
    size_t length;
};

static inline struct tile_run next_run(struct tile_run run, size_t end_tile) {
    size_t length = end_tile - run.end < run.length ? end_tile - run.end : run.length;
    return (struct tile_run){run.end, run.end + length, run.length};
}

static inline struct tile_run first_run(const struct linear_task *task) {
    size_t length = LINEAR_RUN_BYTES / task->matrix->tile_bytes;
    struct tile_run before = {task->first_tile, task->first_tile, length > 0 ? length : 1};
    return next_run(before, task->end_tile);
}

/* ---- Reading tiles ---- */

struct block_head {
    lanes scales;
    int_lanes zero_points;
    const uint8_t *codes;
};

EXPANDED struct block_head read_block_head(const struct packed_matrix *matrix, const uint8_t *at,
                                           const enum weight_format format) {
    struct block_head head;
    if (matrix->wide_scales) {
        head.scales = lanes_load((const float *)(const void *)at);
        at += TILE_ROWS * sizeof(float);
    } else {
        head.scales = lanes_load_f16(at);
        at += TILE_ROWS * sizeof(uint16_t);
    }
    if (matrix->has_zero_points) {
        head.zero_points = int_lanes_load_uint8(at);
        at += TILE_ROWS;
    } else {
        head.zero_points = int_lanes_set(format == WEIGHT_Q8 ? 128 : 8);
    }
    head.codes = at;
    return head;
}

/* Asks for what lies LINEAR_AHEAD_BYTES behind the next `bytes` at `at`. Tiles follow each other in
 * memory, and so do the streams of a run; the processor's own prefetchers stop at the end of each
 * page and start anew behind each barrier, which costs a fifth of the bandwidth. Only the first rows
 * over a run need it: they are the ones that read it from memory. */
EXPANDED void prefetch_ahead(const uint8_t *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i += CACHE_LINE_BYTES) {
        __builtin_prefetch((const void *)((uintptr_t)at + LINEAR_AHEAD_BYTES + i));
    }
}

/* Does a tile hold codes? Else it holds numbers. */
EXPANDED bool has_codes(const enum weight_format format) {
    return format != WEIGHT_F32 && format != WEIGHT_F16;
}

/* Bytes of the codes of n inputs. */
EXPANDED size_t code_bytes(const enum weight_format format, size_t n) {
    return format == WEIGHT_Q8 ? n * TILE_ROWS : n * TILE_ROWS / 2;
}

EXPANDED void store_outputs(const struct linear_task *task, size_t tile, size_t row, lanes sum) {
    const size_t first = tile * TILE_ROWS;
    const size_t count = task->matrix->rows - first;
    const float *bias = task->bias;
    float *y = task->y + row * task->y_stride + (tile - task->first_tile) * TILE_ROWS;
    if (count >= TILE_ROWS) {
        sum = bias != NULL ? lanes_add(sum, lanes_load(bias + first)) : sum;
        lanes_store(y, sum);
    } else {
        sum = bias != NULL ? lanes_add(sum, lanes_load_first(bias + first, count)) : sum;
        lanes_store_first(y, sum, count);
    }
}

/* ---- int8 inputs ---- */

/* What the integer sum of a row begins with, for its zero points: see struct quantized_block. Bytes
 * are summed less BYTE_SUMS_ORIGIN, as if their zero points were that much lower. */
EXPANDED int_lanes zero_point_offset(const struct packed_matrix *matrix, int_lanes zero_points,
                                     int32_t offset, const enum weight_format format) {
    int_lanes start = int_lanes_set(offset);
    if (format == WEIGHT_Q4 && !matrix->has_zero_points) {
        return start;
    }
    if (format == WEIGHT_Q8 && BYTE_SUMS_ORIGIN != 0) {
        zero_points = int_lanes_sub(zero_points, int_lanes_set(BYTE_SUMS_ORIGIN));
    }
    return int_lanes_shift_right(int_lanes_mul(start, zero_points), 3);
}

/* sums[r] += codes * inputs of one unit, which begins at `input` of the rows' blocks. */
EXPANDED void add_nibbles(const uint8_t *at, const struct quantized_block *const *inputs,
                          size_t input, const size_t unit, const size_t rows, int_lanes *sums) {
    nibble_sums running[LINEAR_ROWS_MAX];
    dot_inputs sixteen[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        running[r] = nibble_sums_begin(sums[r]);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < unit; k += 8) {
        if (k % DOT_INPUTS == 0) {
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                sixteen[r] = dot_inputs_load(inputs[r]->codes + input + k);
            }
        }
        codes both = codes_load(at + code_bytes(WEIGHT_Q4, k));
        codes low = codes_low_nibbles(both);
        codes high = codes_high_nibbles(both);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            running[r] = nibble_sums_add(running[r], low, sixteen[r], k % DOT_INPUTS);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            running[r] = nibble_sums_add(running[r], high, sixteen[r], k % DOT_INPUTS + 4);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        sums[r] = nibble_sums_end(running[r]);
    }
}

EXPANDED void add_bytes(const uint8_t *at, const struct quantized_block *const *inputs,
                        size_t input, const size_t unit, const size_t rows, int_lanes *sums) {
    byte_sums running[LINEAR_ROWS_MAX];
    dot_inputs sixteen[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        running[r] = byte_sums_begin(sums[r]);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < unit; k += 4) {
        if (k % DOT_INPUTS == 0) {
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                sixteen[r] = dot_inputs_load(inputs[r]->codes + input + k);
            }
        }
        codes four = codes_load(at + code_bytes(WEIGHT_Q8, k));
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            running[r] = byte_sums_add(running[r], four, sixteen[r], k % DOT_INPUTS);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        sums[r] = byte_sums_end(running[r]);
    }
}

/* Rows [row, row + rows) of one tile. */
EXPANDED void int8_pass(const struct linear_task *task, size_t tile, size_t row,
                        const enum weight_format format, const size_t unit, const size_t rows) {
    const struct packed_matrix *matrix = task->matrix;
    const uint8_t *at = matrix->bytes + tile * matrix->tile_bytes;
    const struct quantized_block *inputs[LINEAR_ROWS_MAX];
    lanes totals[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        inputs[r] = task->codes + input_row(task, row + r) * task->x_stride;
        totals[r] = lanes_zero();
    }
    for (size_t k = 0; k < matrix->columns;) {
        const struct block_head head = read_block_head(matrix, at, format);
        const size_t end = k + matrix->block;
        at = head.codes + code_bytes(format, matrix->block);
        for (const uint8_t *from = head.codes; k < end && k < matrix->columns; k += unit) {
            const size_t input = unit == ACTIVATION_BLOCK ? 0 : k % ACTIVATION_BLOCK;
            if (row == 0) { /* one line more: the next block's scales */
                prefetch_ahead(from, code_bytes(format, unit) + CACHE_LINE_BYTES);
            }
            int_lanes sums[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                sums[r] = zero_point_offset(matrix, head.zero_points,
                                            inputs[r]->offsets[input / unit], format);
            }
            if (format == WEIGHT_Q4) {
                add_nibbles(from, inputs, input, unit, rows, sums);
            } else {
                add_bytes(from, inputs, input, unit, rows, sums);
            }
            from += code_bytes(format, unit);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                lanes scale = lanes_mul(lanes_set(inputs[r]->scales[input / unit]), head.scales);
                totals[r] = lanes_fma(lanes_from_int(sums[r]), scale, totals[r]);
                inputs[r] += (input + unit) / ACTIVATION_BLOCK;
            }
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        store_outputs(task, tile, row + r, totals[r]);
    }
}

/* ---- f32 inputs ---- */

/* sums[r] += weights * inputs[r][k]. */
EXPANDED void add_products(lanes weights, const float *const *inputs, size_t k, const size_t rows,
                           lanes *sums) {
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        sums[r] = lanes_fma(weights, lanes_set(inputs[r][k]), sums[r]);
    }
}

/* What the codes of a block stand for. */
struct block_codes {
    enum weight_format format;
    struct block_head head;
    lanes values; /* of a code book */
};

/* Input i of a group of four: weights (code - zero point) * scale, or value of the code * scale. */
EXPANDED lanes decode_input(codes four, const struct block_codes *block, size_t i) {
    const int_lanes code = codes_input(four, (int)i);
    const lanes number = block->format == WEIGHT_CODE_BOOK
                             ? lanes_lookup(block->values, code)
                             : lanes_from_int(int_lanes_sub(code, block->head.zero_points));
    return lanes_mul(number, block->head.scales);
}

/* Four inputs from k on, or as many as there are. */
EXPANDED void add_coded_products(codes four, const struct block_codes *block,
                                 const float *const *inputs, size_t k, size_t columns,
                                 const size_t rows, lanes *sums) {
    if (k + 4 <= columns) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            add_products(decode_input(four, block, i), inputs, k + i, rows, sums);
        }
    } else {
        for (size_t i = 0; k + i < columns; i++) {
            add_products(decode_input(four, block, i), inputs, k + i, rows, sums);
        }
    }
}

/* sums += products of the unit that begins at input k. */
EXPANDED void add_quantized_unit(const struct packed_matrix *matrix,
                                 const struct block_codes *block, const uint8_t *from,
                                 const float *const *inputs, size_t k, const size_t unit,
                                 const size_t rows, lanes *sums) {
    for (size_t end = k + unit; k < end; from += sizeof(codes)) {
        codes group = codes_load(from);
        if (block->format != WEIGHT_Q8) {
            add_coded_products(codes_low_nibbles(group), block, inputs, k, matrix->columns, rows,
                               sums);
            group = codes_high_nibbles(group);
            k += 4;
        }
        add_coded_products(group, block, inputs, k, matrix->columns, rows, sums);
        k += 4;
    }
}

EXPANDED void add_number_unit(const struct packed_matrix *matrix, const uint8_t *tile,
                              const float *const *inputs, size_t k, const bool first_rows,
                              const enum weight_format format, const size_t rows, lanes *sums) {
    const size_t number_bytes = format == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float);
    if (first_rows) {
        prefetch_ahead(tile + k * TILE_ROWS * number_bytes, number_bytes * LINEAR_UNIT * TILE_ROWS);
    }
    const size_t end = k + LINEAR_UNIT < matrix->columns ? k + LINEAR_UNIT : matrix->columns;
    const uint16_t *halves = (const uint16_t *)(const void *)tile;
    const float *numbers = (const float *)(const void *)tile;
    for (; k < end; k++) {
        lanes weights = format == WEIGHT_F16 ? lanes_load_f16(halves + k * TILE_ROWS)
                                             : lanes_load(numbers + k * TILE_ROWS);
        add_products(weights, inputs, k, rows, sums);
    }
}

/* Rows [row, row + rows) of one tile. */
EXPANDED void f32_pass(const struct linear_task *task, size_t tile, size_t row,
                       const enum weight_format format, const size_t unit, const size_t rows) {
    const struct packed_matrix *matrix = task->matrix;
    const uint8_t *at = matrix->bytes + tile * matrix->tile_bytes;
    const float *inputs[LINEAR_ROWS_MAX];
    lanes totals[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        inputs[r] = task->values + input_row(task, row + r) * task->x_stride;
        totals[r] = lanes_zero();
    }
    struct block_codes block = {.format = format};
    if (format == WEIGHT_CODE_BOOK) {
        block.values = lanes_load(matrix->values);
    }
    const uint8_t *from = at;
    for (size_t k = 0; k < matrix->columns; k += unit) {
        lanes sums[LINEAR_ROWS_MAX];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            sums[r] = lanes_zero();
        }
        if (has_codes(format)) {
            if (k % matrix->block == 0) {
                block.head = read_block_head(matrix, from, format);
                from = block.head.codes;
            }
            add_quantized_unit(matrix, &block, from, inputs, k, unit, rows, sums);
            from += code_bytes(format, unit);
        } else {
            add_number_unit(matrix, at, inputs, k, row == 0, format, rows, sums);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            totals[r] = lanes_add(totals[r], sums[r]);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        store_outputs(task, tile, row + r, totals[r]);
    }
}

/* ---- The kernels ---- */

EXPANDED void linear_pass(const struct linear_task *task, size_t tile, size_t row,
                          const enum weight_format format, const bool int8, const size_t unit,
                          const size_t rows) {
    if (int8) {
        int8_pass(task, tile, row, format, unit, rows);
    } else {
        f32_pass(task, tile, row, format, unit, rows);
    }
}

/* One row count of linear_run, as a loop of its own. Counts that no pass has are no code. */
#define PASSES_OF(count)                                                                           \
    case count:                                                                                    \
        for (size_t tile = run.first; (count) <= PASS_ROWS_MAX && tile < run.end; tile++) {        \
            linear_pass(task, tile, row, format, int8, unit, count);                               \
        }                                                                                          \
        break

/* All rows of one run of tiles. */
EXPANDED void linear_run(const struct linear_task *task, struct tile_run run,
                         const enum weight_format format, const bool int8, const size_t unit) {
    for (size_t row = 0, pass; row < task->rows; row += pass) {
        pass = rows_of_pass(task->rows - row);
        switch (pass) {
            PASSES_OF(1);
            PASSES_OF(2);
            PASSES_OF(3);
            PASSES_OF(4);
            PASSES_OF(5);
            PASSES_OF(6);
            PASSES_OF(7);
            PASSES_OF(8);
        }
    }
}

EXPANDED void linear(const struct linear_task *task, const enum weight_format format,
                     const bool int8) {
    const bool halves =
        int8 ? task->halves : has_codes(format) && task->matrix->block < LINEAR_UNIT;
    for (struct tile_run run = first_run(task); run.first < task->end_tile;
         run = next_run(run, task->end_tile)) {
        if (halves) {
            linear_run(task, run, format, int8, LINEAR_UNIT / 2);
        } else {
            linear_run(task, run, format, int8, LINEAR_UNIT);
        }
    }
}

static void linear_int8_q4(const struct linear_task *task) {
    linear(task, WEIGHT_Q4, true);
}

static void linear_int8_q8(const struct linear_task *task) {
    linear(task, WEIGHT_Q8, true);
}

static void linear_f32_q4(const struct linear_task *task) {
    linear(task, WEIGHT_Q4, false);
}

static void linear_f32_q8(const struct linear_task *task) {
    linear(task, WEIGHT_Q8, false);
}

static void linear_f32_code_book(const struct linear_task *task) {
    linear(task, WEIGHT_CODE_BOOK, false);
}

static void linear_f32_f16(const struct linear_task *task) {
    linear(task, WEIGHT_F16, false);
}

static void linear_f32_f32(const struct linear_task *task) {
    linear(task, WEIGHT_F32, false);
}

#define LINEAR_KERNELS                                                                             \
    .linear_int8 = {[WEIGHT_Q4] = linear_int8_q4, [WEIGHT_Q8] = linear_int8_q8},                   \
    .linear_f32 = {[WEIGHT_Q4] = linear_f32_q4,                                                    \
                   [WEIGHT_Q8] = linear_f32_q8,                                                    \
                   [WEIGHT_CODE_BOOK] = linear_f32_code_book,                                      \
                   [WEIGHT_F16] = linear_f32_f16,                                                  \
                   [WEIGHT_F32] = linear_f32_f32}
