/* A mixture of experts, in three operations:
 *
 *     route     one item: each row chooses its experts, and the choices are sorted into pairs
 *     hidden    an item is one expert and a run of tiles of its gate and up projections, times the
 *               rows that chose it, straight from where they are
 *     output    an item is a run of tiles of the down projections, expert after expert; each adds to
 *               the outputs of its rows, which belong to this item alone
 *
 * So the weights of an expert are read once for all rows of the step that chose it, and those of
 * the others not at all. A row's sum has the order of its own experts, whoever else is in the
 * step. */
#include "engine/executor_internal.h"

#include "engine/checked.h"
#include "engine/sizes.h"

#include <math.h>
#include <string.h>

/* ---- Routing ---- */

/* The `count` greatest logits, of equal ones the last; NaN counts as less than everything. Their
 * indices in ascending order. */
static void choose_experts(const float *logits, size_t experts, size_t count, uint32_t *chosen) {
    float greatest[PLAN_CHOSEN_MAX]; /* descending, those found so far */
    size_t found = 0;
    for (uint32_t e = 0; e < experts; e++) {
        float logit = isnan(logits[e]) ? -INFINITY : logits[e];
        size_t at = found;
        while (at > 0 && greatest[at - 1] <= logit) {
            at--;
        }
        if (at == count) {
            continue;
        }
        found += found < count;
        memmove(greatest + at + 1, greatest + at, (found - at - 1) * sizeof *greatest);
        memmove(chosen + at + 1, chosen + at, (found - at - 1) * sizeof *chosen);
        greatest[at] = logit;
        chosen[at] = e;
    }
    for (size_t i = 1; i < count; i++) {
        uint32_t e = chosen[i];
        size_t at = i;
        for (; at > 0 && chosen[at - 1] > e; at--) {
            chosen[at] = chosen[at - 1];
        }
        chosen[at] = e;
    }
}

/* The weights of a row's chosen experts; zeros where the logits are no numbers. `scratch` has room
 * for all experts. */
static void weigh_experts(const struct executor *x, const struct plan_experts *experts,
                          const float *logits, const uint32_t *chosen, float *weights,
                          float *scratch) {
    const struct kernels *kernels = x->parts.kernels;
    const float greatest = kernels->greatest(logits, experts->experts);
    float sum = 0;
    if (experts->softmax_over_all) {
        kernels->exponentials(logits, experts->experts, greatest, 1.0f, scratch);
        sum = kernels->sum(scratch, experts->experts);
        for (size_t i = 0; i < experts->chosen; i++) {
            weights[i] = scratch[chosen[i]];
        }
    } else {
        for (size_t i = 0; i < experts->chosen; i++) {
            scratch[i] = logits[chosen[i]];
        }
        kernels->exponentials(scratch, experts->chosen, greatest, 1.0f, weights);
        sum = kernels->sum(weights, experts->chosen);
    }
    for (size_t i = 0; i < experts->chosen; i++) {
        weights[i] = sum > 0 ? weights[i] / sum : 0;
    }
}

/* Sorts what the rows chose into pairs. `ends` counts first, then says where the next pair of an
 * expert goes, which at last is the end of its pairs. */
static void sort_pairs(struct expert_routing *routing, size_t rows, size_t chosen, size_t experts) {
    memset(routing->ends, 0, experts * sizeof *routing->ends);
    for (size_t i = 0; i < rows * chosen; i++) {
        routing->ends[routing->row_experts[i]]++;
    }
    routing->used_count = 0;
    uint32_t begin = 0;
    for (uint32_t e = 0; e < experts; e++) {
        uint32_t count = routing->ends[e];
        routing->ends[e] = begin;
        begin += count;
        if (count > 0) {
            routing->used[routing->used_count++] = e;
        }
    }
    for (size_t i = 0; i < rows * chosen; i++) {
        uint32_t pair = routing->ends[routing->row_experts[i]]++;
        routing->pair_rows[pair] = (uint32_t)(i / chosen);
        routing->pair_weights[pair] = routing->row_weights[i];
    }
}

/* ---- An expert's matrices ---- */

static const struct packed_matrix *expert_matrix(const struct executor *x,
                                                 const struct plan_expert_matrix *projection,
                                                 size_t expert) {
    return weights_matrix(x->parts.weights, projection->weights + (int)expert);
}

static size_t matrix_bytes(const struct executor *x, const struct plan_expert_matrix *projection,
                           size_t expert) {
    if (projection->weights == PLAN_NONE) {
        return 0;
    }
    const struct packed_matrix *matrix = expert_matrix(x, projection, expert);
    return matrix->tiles * matrix->tile_bytes;
}

static size_t expert_bytes(const struct executor *x, const struct plan_experts *experts,
                           size_t expert) {
    return matrix_bytes(x, &experts->gate, expert) + matrix_bytes(x, &experts->up, expert) +
           matrix_bytes(x, &experts->down, expert);
}

/* A run of tiles of one projection, and a run of the pairs of one expert. */
struct expert_task {
    size_t expert;
    size_t first_tile;
    size_t end_tile;
    size_t first_pair;
    size_t pairs;
};

/* All pairs of an expert, and tiles of its matrices. */
static struct expert_task begin_task(const struct executor *x, size_t expert, size_t first_tile,
                                     size_t tiles) {
    const uint32_t *ends = x->routing.ends;
    size_t first_pair = expert > 0 ? ends[expert - 1] : 0;
    return (struct expert_task){
        .expert = expert,
        .first_tile = first_tile,
        .end_tile = smaller(first_tile + EXECUTOR_ITEM_TILES, tiles),
        .first_pair = first_pair,
        .pairs = ends[expert] - first_pair,
    };
}

/* The next pairs of an expert that share the scratch: `task` is cut to them. */
static struct expert_task take_pairs(struct expert_task *rest) {
    struct expert_task task = *rest;
    task.pairs = smaller(rest->pairs, EXECUTOR_GATED_ROWS);
    rest->first_pair += task.pairs;
    rest->pairs -= task.pairs;
    return task;
}

/* y, (pairs, EXECUTOR_ITEM_OUTPUTS), of the task's tiles. Rows of the input are those of the pairs
 * in `order`, or without it the pairs themselves. */
static void multiply(const struct executor *x, const struct plan_expert_matrix *projection,
                     const struct expert_task *task, const struct register_place *input,
                     const uint32_t *order, float *y) {
    const struct packed_matrix *matrix = expert_matrix(x, projection, task->expert);
    const float *bias = executor_vector(x, projection->bias);
    struct linear_task product = {
        .matrix = matrix,
        .first_tile = task->first_tile,
        .end_tile = task->end_tile,
        .order = order != NULL ? order + task->first_pair : NULL,
        .rows = task->pairs,
        .bias = bias != NULL ? bias + task->expert * matrix->rows : NULL,
        .y = y,
        .y_stride = EXECUTOR_ITEM_OUTPUTS,
    };
    executor_multiply(x, &product, input, order != NULL ? 0 : task->first_pair);
}

/* ---- Memory ---- */

static void mark_experts_input(const struct executor *x, struct register_place *place,
                               const struct plan_expert_matrix *projection, size_t experts) {
    for (size_t e = 0; e < experts && projection->weights != PLAN_NONE; e++) {
        executor_mark_input(x, place, expert_matrix(x, projection, e));
    }
}

void executor_mark_experts(struct executor *x, const struct plan_experts *experts) {
    struct register_place *input = &x->registers[experts->input];
    mark_experts_input(x, input, &experts->gate, experts->experts);
    mark_experts_input(x, input, &experts->up, experts->experts);
    mark_experts_input(x, &x->routing.hidden, &experts->down, experts->experts);
}

/* The largest of the plan's experts instructions. */
struct experts_extent {
    size_t experts;
    size_t chosen;
    size_t values; /* floats of a hidden row */
    size_t blocks; /* of a hidden row's codes */
};

static struct experts_extent measure(const struct executor *x) {
    const struct plan *plan = x->parts.plan;
    struct experts_extent extent = {0};
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (plan->instructions[i].kind != PLAN_EXPERTS) {
            continue;
        }
        const struct plan_experts *experts = &plan->instructions[i].experts;
        size_t width = plan->weights[experts->down.weights].columns;
        extent.experts = larger(extent.experts, experts->experts);
        extent.chosen = larger(extent.chosen, experts->chosen);
        if (x->routing.hidden.wants_codes) {
            extent.blocks =
                larger(extent.blocks, (width + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK);
        }
        if (x->routing.hidden.wants_values) {
            extent.values = larger(extent.values, round_up(width, TILE_ROWS));
        }
    }
    return extent;
}

/* Room for `count` things of `size` bytes: their place, once there is memory. */
static void *take(uint8_t *memory, size_t *bytes, size_t count, size_t size) {
    size_t offset = *bytes;
    size_t more;
    if (offset == SIZE_MAX || !checked_multiply(count, size, &more) ||
        !checked_round_up(more, CACHE_LINE_BYTES, &more) || !checked_add(offset, more, bytes)) {
        *bytes = SIZE_MAX;
    }
    return memory != NULL ? memory + offset : NULL;
}

void executor_place_experts(struct executor *x, uint8_t *memory) {
    struct experts_extent extent = measure(x);
    struct expert_routing *routing = &x->routing;
    const size_t rows = x->parts.rows_max;
    const size_t chosen = extent.chosen;
    size_t bytes = 0;
    size_t pairs;
    if (!checked_multiply(rows, chosen, &pairs) || pairs > UINT32_MAX) {
        bytes = SIZE_MAX;
    }
    routing->used = take(memory, &bytes, extent.experts, sizeof *routing->used);
    routing->ends = take(memory, &bytes, extent.experts, sizeof *routing->ends);
    routing->pair_rows = take(memory, &bytes, pairs, sizeof *routing->pair_rows);
    routing->pair_weights = take(memory, &bytes, pairs, sizeof *routing->pair_weights);
    routing->row_experts = take(memory, &bytes, pairs, sizeof *routing->row_experts);
    routing->row_weights = take(memory, &bytes, pairs, sizeof *routing->row_weights);
    routing->hidden.stride = extent.values;
    routing->hidden.blocks = extent.blocks;
    routing->hidden.values = take(memory, &bytes, pairs, extent.values * sizeof(float));
    routing->hidden.codes =
        take(memory, &bytes, pairs, extent.blocks * sizeof(struct quantized_block));
    routing->bytes = bytes;
}

void executor_measure_experts(struct executor *x) {
    const struct plan *plan = x->parts.plan;
    executor_place_experts(x, NULL);
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_experts *experts = &plan->instructions[i].experts;
        for (size_t e = 0; plan->instructions[i].kind == PLAN_EXPERTS && e < experts->experts;
             e++) {
            x->routing.weight_bytes_all += expert_bytes(x, experts, e);
        }
    }
}

/* ---- Route ---- */

size_t executor_route_items(const struct executor *x, const struct op *op, size_t rows) {
    (void)x;
    (void)op;
    return rows > 0 ? 1 : 0;
}

void executor_route_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                         size_t item) {
    (void)item;
    const struct plan_experts *experts = &op->instruction->experts;
    struct expert_routing *routing = &x->routing;
    const struct register_place *router = &x->registers[experts->router];
    for (size_t row = 0; row < rows; row++) {
        const float *logits = router->values + row * router->stride;
        uint32_t *chosen = routing->row_experts + row * experts->chosen;
        choose_experts(logits, experts->experts, experts->chosen, chosen);
        weigh_experts(x, experts, logits, chosen, routing->row_weights + row * experts->chosen,
                      x->scratch[thread].row);
    }
    sort_pairs(routing, rows, experts->chosen, experts->experts);
    for (size_t i = 0; i < routing->used_count; i++) {
        routing->weight_bytes_read += expert_bytes(x, experts, routing->used[i]);
    }
}

/* ---- Hidden ---- */

static size_t hidden_runs(const struct executor *x, const struct plan_experts *experts) {
    return executor_matrix_items(expert_matrix(x, &experts->gate, 0));
}

size_t executor_hidden_items(const struct executor *x, const struct op *op, size_t rows) {
    return rows > 0 ? x->routing.used_count * hidden_runs(x, &op->instruction->experts) : 0;
}

/* Hidden numbers [first, first + count) of one pair, from what gate and up gave. */
static void activate(struct executor *x, const struct plan_experts *experts, size_t pair,
                     size_t first, size_t count, const float *gates, const float *ups) {
    const struct kernels *kernels = x->parts.kernels;
    const struct register_place *place = &x->routing.hidden;
    _Alignas(64) float numbers[EXECUTOR_ITEM_OUTPUTS];
    float *hidden = place->wants_values ? place->values + pair * place->stride + first : numbers;
    if (experts->swiglu) {
        kernels->swiglu(gates, ups, count, experts->alpha, experts->beta, experts->limit, hidden);
    } else {
        kernels->gate[experts->activation](gates, ups, count, hidden);
    }
    if (place->wants_codes) {
        kernels->quantize(hidden, count, place->codes_by_halves,
                          place->codes + pair * place->blocks + first / ACTIVATION_BLOCK);
    }
}

void executor_hidden_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                          size_t item) {
    (void)rows;
    const struct plan_experts *experts = &op->instruction->experts;
    const struct register_place *input = &x->registers[experts->input];
    const uint32_t *order = x->routing.pair_rows;
    const size_t runs = hidden_runs(x, experts);
    const size_t expert = x->routing.used[item / runs];
    const struct packed_matrix *matrix = expert_matrix(x, &experts->gate, expert);
    const size_t first_tile = item % runs * EXECUTOR_ITEM_TILES;
    const size_t first = first_tile * TILE_ROWS;
    const size_t count = smaller(EXECUTOR_ITEM_OUTPUTS, matrix->rows - first);
    float *gates = x->scratch[thread].gated;
    float *ups = NULL;
    struct expert_task rest = begin_task(x, expert, first_tile, matrix->tiles);
    while (rest.pairs > 0) {
        struct expert_task task = take_pairs(&rest);
        multiply(x, &experts->gate, &task, input, order, gates);
        if (experts->up.weights != PLAN_NONE) {
            ups = gates + EXECUTOR_GATED_FLOATS / 2;
            multiply(x, &experts->up, &task, input, order, ups);
        }
        for (size_t p = 0; p < task.pairs; p++) {
            size_t at = p * EXECUTOR_ITEM_OUTPUTS;
            activate(x, experts, task.first_pair + p, first, count, gates + at,
                     ups != NULL ? ups + at : NULL);
        }
    }
}

/* ---- Output ---- */

size_t executor_output_items(const struct executor *x, const struct op *op, size_t rows) {
    const struct plan_experts *experts = &op->instruction->experts;
    return rows > 0 ? executor_matrix_items(expert_matrix(x, &experts->down, 0)) : 0;
}

/* Adds one pair's down projection to its row's output. */
static void add_weighted(float *output, const float *product, size_t count, float weight) {
    for (size_t i = 0; i < count; i++) {
        output[i] += weight * product[i];
    }
}

void executor_output_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                          size_t item) {
    const struct plan_experts *experts = &op->instruction->experts;
    const struct expert_routing *routing = &x->routing;
    const struct register_place *place = &x->registers[experts->output];
    const struct packed_matrix *matrix = expert_matrix(x, &experts->down, 0);
    const size_t first_tile = item * EXECUTOR_ITEM_TILES;
    const size_t first = first_tile * TILE_ROWS;
    const size_t count = smaller(EXECUTOR_ITEM_OUTPUTS, matrix->rows - first);
    float *products = x->scratch[thread].gated;
    float *output = place->values + first;
    for (size_t row = 0; row < rows; row++) {
        memset(output + row * place->stride, 0, count * sizeof *output);
    }
    for (size_t i = 0; i < routing->used_count; i++) {
        struct expert_task rest = begin_task(x, routing->used[i], first_tile, matrix->tiles);
        while (rest.pairs > 0) {
            struct expert_task task = take_pairs(&rest);
            multiply(x, &experts->down, &task, &routing->hidden, NULL, products);
            for (size_t p = 0; p < task.pairs; p++) {
                size_t pair = task.first_pair + p;
                add_weighted(output + routing->pair_rows[pair] * place->stride,
                             products + p * EXECUTOR_ITEM_OUTPUTS, count,
                             routing->pair_weights[pair]);
            }
        }
    }
}
