/* What adapters (LoRA) add to linear layers, factor * up(down(x)), in two parts:
 *
 *     low rank     an operation before the linear one: down(x), a few numbers a row, go to memory;
 *                  where there are many inputs, of each chunk of them, so that one row is work for
 *                  several threads, too
 *     linear       each item, which has some outputs of some rows at hand, adds up(..) of the sums of
 *                  the chunks to them before anybody reads them
 *
 * Rows of different adapters follow each other as they come: the matrices are read once for a run of
 * rows of one adapter. A row's sum does not depend on what run it is in. */
#include "engine/executor_internal.h"

#include <string.h>

/* ---- Sizes ---- */

static size_t count_chunks(size_t inputs) {
    return (inputs + EXECUTOR_CHUNK_INPUTS - 1) / EXECUTOR_CHUNK_INPUTS;
}

void executor_measure_low_rank(struct executor *x) {
    const size_t rank = x->parts.adapters != NULL ? adapters_rank(x->parts.adapters) : 0;
    x->middle_stride = (rank + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (size_t i = 0; i < x->parts.plan->low_rank_count; i++) {
        const size_t chunks = count_chunks(x->parts.plan->low_ranks[i].columns);
        x->middle_chunks = chunks > x->middle_chunks ? chunks : x->middle_chunks;
    }
}

/* ---- Runs of rows ---- */

static void find_runs(const struct executor *x, bool selected, struct adapter_runs *runs) {
    const size_t rows = selected ? x->wanted_count : x->row_count;
    runs->count = 0;
    for (size_t r = 0; r < rows; r++) {
        const size_t adapter = x->rows[selected ? x->wanted[r] : r].adapter;
        struct adapter_run *run = runs->count > 0 ? &runs->list[runs->count - 1] : NULL;
        if (run != NULL && run->adapter == adapter && run->rows < EXECUTOR_RUN_ROWS) {
            run->rows++;
        } else {
            runs->list[runs->count++] =
                (struct adapter_run){.adapter = adapter, .first_row = r, .rows = 1};
        }
    }
}

void executor_find_adapter_runs(struct executor *x) {
    for (int selected = 0; x->middles != NULL && selected < 2; selected++) {
        find_runs(x, selected, &x->runs[selected]);
    }
}

/* The run that a row belongs to. */
static const struct adapter_run *run_of_row(const struct adapter_runs *runs, size_t row) {
    size_t low = 0;
    size_t high = runs->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (runs->list[middle].first_row <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &runs->list[low];
}

/* ---- down(x): an item is a chunk of inputs of a tile, of a run of rows and one of the outputs ---- */

/* down(x) of a row and the first chunk, for output `index` of its linear instruction. */
static float *middle(const struct executor *x, size_t index, size_t row) {
    return x->middles + (index * x->parts.rows_max + row) * x->middle_chunks * x->middle_stride;
}

bool executor_has_low_rank(const struct executor *x, const struct plan_linear *linear) {
    bool has = false;
    for (size_t i = 0; i < linear->count; i++) {
        has |= linear->outputs[i].low_rank != PLAN_NONE;
    }
    return has && x->middle_stride > 0;
}

static size_t input_width(const struct executor *x, const struct op *op) {
    return x->parts.plan->registers[op->instruction->linear.input].width;
}

/* As if all adapters had the greatest rank. */
size_t executor_low_rank_items(const struct executor *x, const struct op *op, size_t rows) {
    (void)rows;
    return x->runs[op->selected].count * op->instruction->linear.count *
           (x->middle_stride / TILE_ROWS) * count_chunks(input_width(x, op));
}

/* Inputs [first, first + count) of a matrix of numbers, whose tiles have input behind input. */
static struct packed_matrix chunk_of(const struct packed_matrix *matrix, size_t first,
                                     size_t count) {
    struct packed_matrix part = *matrix;
    part.columns = count;
    part.bytes +=
        first * TILE_ROWS * (matrix->format == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float));
    return part;
}

void executor_low_rank_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                            size_t item) {
    (void)rows;
    (void)thread;
    const struct plan_linear *linear = &op->instruction->linear;
    const size_t chunks = count_chunks(input_width(x, op));
    const size_t chunk = item % chunks;
    const size_t tiles = x->middle_stride / TILE_ROWS;
    const size_t tile = item / chunks % tiles;
    const size_t index = item / chunks / tiles % linear->count;
    const struct adapter_run *run =
        &x->runs[op->selected].list[item / chunks / tiles / linear->count];
    const int place = linear->outputs[index].low_rank;
    const struct packed_low_rank *adds =
        place != PLAN_NONE ? adapters_find(x->parts.adapters, run->adapter, place) : NULL;
    if (adds == NULL || tile >= adds->down.tiles) {
        return;
    }
    const struct register_place *input = &x->registers[linear->input];
    const size_t first = adds->down.columns * chunk / chunks;
    const struct packed_matrix part =
        chunk_of(&adds->down, first, adds->down.columns * (chunk + 1) / chunks - first);
    const size_t left = adds->down.rows - tile * TILE_ROWS;
    const struct linear_task task = {
        .matrix = &part,
        .first_tile = tile,
        .end_tile = tile + 1,
        .values = input->values + run->first_row * input->stride + first,
        .x_stride = input->stride,
        .rows = run->rows,
        .y = middle(x, index, run->first_row) + chunk * x->middle_stride + tile * TILE_ROWS,
        .y_stride = x->middle_chunks * x->middle_stride,
    };
    x->parts.kernels->linear_f32[part.format](&task);
    for (size_t r = 0; r < run->rows; r++) {
        float *sums = task.y + r * task.y_stride;
        x->parts.kernels->scale(sums, x->parts.plan->low_ranks[place].factor, 0,
                                left < TILE_ROWS ? left : TILE_ROWS, sums);
    }
}

/* ---- up(..) ---- */

/* The place where adapters add something to the outputs, if any do. */
static int place_of(const struct executor *x, const struct op *op,
                    const struct executor_outputs *outputs) {
    return x->middles != NULL ? op->instruction->linear.outputs[outputs->index].low_rank
                              : PLAN_NONE;
}

void executor_expect_low_rank(const struct executor *x, const struct op *op,
                              const struct executor_outputs *outputs) {
    const int place = place_of(x, op, outputs);
    if (place == PLAN_NONE) {
        return;
    }
    const struct adapter_run *run = run_of_row(&x->runs[op->selected], outputs->first_row);
    const size_t end = outputs->first_row + outputs->rows;
    size_t before = SIZE_MAX;
    for (size_t row = outputs->first_row; row < end; row = run->first_row + run->rows, run++) {
        const struct packed_low_rank *adds =
            run->adapter != before ? adapters_find(x->parts.adapters, run->adapter, place) : NULL;
        before = run->adapter;
        if (adds != NULL) {
            const uint8_t *tiles = adds->up.bytes + outputs->first_tile * adds->up.tile_bytes;
            const size_t count = outputs->end_tile - outputs->first_tile;
            for (size_t at = 0; at < count * adds->up.tile_bytes; at += CACHE_LINE_BYTES) {
                __builtin_prefetch(tiles + at, 0, 2);
            }
        }
    }
}

/* What up(..) is taken of, of some rows of a run: in scratch, where it was computed in chunks. */
static void set_inputs(const struct executor *x, const struct executor_outputs *outputs,
                       size_t chunks, size_t row, struct linear_task *task) {
    const size_t stride = x->middle_stride;
    task->values = middle(x, outputs->index, row);
    task->x_stride = x->middle_chunks * stride;
    if (chunks == 1) {
        return;
    }
    float *sums = x->scratch[outputs->thread].middles;
    for (size_t r = 0; r < task->rows; r++) {
        const float *parts = task->values + r * task->x_stride;
        memcpy(sums + r * stride, parts, task->matrix->columns * sizeof *sums);
        for (size_t chunk = 1; chunk < chunks; chunk++) {
            x->parts.kernels->add(sums + r * stride, parts + chunk * stride, task->matrix->columns,
                                  sums + r * stride);
        }
    }
    task->values = sums;
    task->x_stride = stride;
}

/* The sums of some rows of a run, added to y. */
static void add_run(const struct executor *x, const struct packed_low_rank *adds,
                    const struct executor_outputs *outputs, size_t row, size_t rows, float *y) {
    _Alignas(CACHE_LINE_BYTES) float sums[EXECUTOR_RUN_ROWS * EXECUTOR_ITEM_OUTPUTS];
    const size_t first = outputs->first_tile * TILE_ROWS;
    const size_t end = outputs->end_tile * TILE_ROWS;
    const size_t count = (end < adds->up.rows ? end : adds->up.rows) - first;
    struct linear_task task = {
        .matrix = &adds->up,
        .first_tile = outputs->first_tile,
        .end_tile = outputs->end_tile,
        .rows = rows,
        .y = sums,
        .y_stride = EXECUTOR_ITEM_OUTPUTS,
    };
    set_inputs(x, outputs, count_chunks(adds->down.columns), row, &task);
    x->parts.kernels->linear_f32[adds->up.format](&task);
    for (size_t r = 0; r < rows; r++) {
        float *sum = y + r * outputs->y_stride;
        x->parts.kernels->add(sum, sums + r * EXECUTOR_ITEM_OUTPUTS, count, sum);
    }
}

void executor_add_low_rank(const struct executor *x, const struct op *op,
                           const struct executor_outputs *outputs) {
    const int place = place_of(x, op, outputs);
    if (place == PLAN_NONE) {
        return;
    }
    const struct adapter_run *run = run_of_row(&x->runs[op->selected], outputs->first_row);
    const size_t end = outputs->first_row + outputs->rows;
    for (size_t row = outputs->first_row, next; row < end; row = next, run++) {
        next = run->first_row + run->rows < end ? run->first_row + run->rows : end;
        const struct packed_low_rank *adds = adapters_find(x->parts.adapters, run->adapter, place);
        if (adds != NULL) {
            add_run(x, adds, outputs, row, next - row,
                    outputs->y + (row - outputs->first_row) * outputs->y_stride);
        }
    }
}
