/* What adapters (LoRA) add to linear layers, factor * up(down(x)), in two parts:
 *
 *     low rank     an operation before the linear one: an item is some rows of one of its outputs,
 *                  whose down(x), a few numbers a row, go to memory
 *     linear       each item, which has some outputs of some rows at hand, adds up(..) to them
 *                  before anybody reads them
 *
 * Rows of different adapters follow each other as they come: the weights are read once for a run of
 * rows of one adapter. A row's sum does not depend on what run it is in. */
#include "engine/executor_internal.h"

#include <string.h>

enum {
    ROWS_PER_ITEM = 16, /* of down(x) */
    ROWS_PER_SUM = 8,   /* of up(..), which stay in the first cache: 2 KB */
};

/* The adapter of a row of the operation, which may run on the wanted rows only. */
static size_t adapter_of(const struct executor *x, const struct op *op, size_t row) {
    return x->rows[op->selected ? x->wanted[row] : row].adapter;
}

/* Where the rows from `row` on that have its adapter end; at most `end`. */
static size_t end_of_run(const struct executor *x, const struct op *op, size_t row, size_t end) {
    const size_t adapter = adapter_of(x, op, row);
    do {
        row++;
    } while (row < end && adapter_of(x, op, row) == adapter);
    return row;
}

/* down(x) of a row for output `index` of its linear instruction. */
static float *middle(const struct executor *x, size_t index, size_t row) {
    return x->middles + (index * x->parts.rows_max + row) * x->middle_stride;
}

bool executor_has_low_rank(const struct executor *x, const struct plan_linear *linear) {
    bool has = false;
    for (size_t i = 0; i < linear->count; i++) {
        has |= linear->outputs[i].low_rank != PLAN_NONE;
    }
    return has && x->middle_stride > 0;
}

size_t executor_low_rank_items(const struct executor *x, const struct op *op, size_t rows) {
    (void)x;
    return (rows + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM * op->instruction->linear.count;
}

void executor_low_rank_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                            size_t item) {
    (void)thread;
    const struct plan_linear *linear = &op->instruction->linear;
    const size_t index = item % linear->count;
    const size_t first = item / linear->count * ROWS_PER_ITEM;
    const size_t end = first + ROWS_PER_ITEM < rows ? first + ROWS_PER_ITEM : rows;
    const int place = linear->outputs[index].low_rank;
    const struct register_place *input = &x->registers[linear->input];
    for (size_t row = first, next; place != PLAN_NONE && row < end; row = next) {
        next = end_of_run(x, op, row, end);
        const struct packed_low_rank *adds =
            adapters_find(x->parts.adapters, adapter_of(x, op, row), place);
        if (adds == NULL) {
            continue;
        }
        const struct linear_task task = {
            .matrix = &adds->down,
            .end_tile = adds->down.tiles,
            .values = input->values + row * input->stride,
            .x_stride = input->stride,
            .rows = next - row,
            .y = middle(x, index, row),
            .y_stride = x->middle_stride,
        };
        x->parts.kernels->linear_f32[adds->down.format](&task);
        for (size_t r = row; r < next; r++) {
            x->parts.kernels->scale(middle(x, index, r), x->parts.plan->low_ranks[place].factor, 0,
                                    adds->down.rows, middle(x, index, r));
        }
    }
}

/* The sums of one run of rows, added to y. */
static void add_run(const struct executor *x, const struct packed_low_rank *adds,
                    const struct executor_outputs *outputs, size_t row, size_t rows, float *y) {
    _Alignas(CACHE_LINE_BYTES) float sums[ROWS_PER_SUM * EXECUTOR_ITEM_OUTPUTS];
    const size_t first = outputs->first_tile * TILE_ROWS;
    const size_t end = outputs->end_tile * TILE_ROWS;
    const size_t count = (end < adds->up.rows ? end : adds->up.rows) - first;
    for (size_t done = 0, some; done < rows; done += some) {
        some = rows - done < ROWS_PER_SUM ? rows - done : ROWS_PER_SUM;
        const struct linear_task task = {
            .matrix = &adds->up,
            .first_tile = outputs->first_tile,
            .end_tile = outputs->end_tile,
            .values = middle(x, outputs->index, row + done),
            .x_stride = x->middle_stride,
            .rows = some,
            .y = sums,
            .y_stride = EXECUTOR_ITEM_OUTPUTS,
        };
        x->parts.kernels->linear_f32[adds->up.format](&task);
        for (size_t r = 0; r < some; r++) {
            float *sum = y + (done + r) * outputs->y_stride;
            x->parts.kernels->add(sum, sums + r * EXECUTOR_ITEM_OUTPUTS, count, sum);
        }
    }
}

void executor_add_low_rank(const struct executor *x, const struct op *op,
                           const struct executor_outputs *outputs) {
    const int place = op->instruction->linear.outputs[outputs->index].low_rank;
    if (place == PLAN_NONE || x->middles == NULL) {
        return;
    }
    const size_t end = outputs->first_row + outputs->rows;
    for (size_t row = outputs->first_row, next; row < end; row = next) {
        next = end_of_run(x, op, row, end);
        const struct packed_low_rank *adds =
            adapters_find(x->parts.adapters, adapter_of(x, op, row), place);
        if (adds != NULL) {
            add_run(x, adds, outputs, row, next - row,
                    outputs->y + (row - outputs->first_row) * outputs->y_stride);
        }
    }
}
