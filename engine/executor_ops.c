#include "engine/executor_internal.h"

#include "engine/sizes.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { CHUNK_POSITIONS = KV_CHUNK_PAGES * KV_PAGE_POSITIONS };

/* ---- Registers ---- */

/* Where the f32 form of a row is written: its place, or scratch if only its codes are wanted. */
static float *row_to_write(struct executor *x, int reg, size_t thread, size_t row) {
    const struct register_place *place = &x->registers[reg];
    return place->wants_values ? place->values + row * place->stride : x->scratch[thread].row;
}

static const float *row_to_read(const struct executor *x, int reg, size_t row) {
    const struct register_place *place = &x->registers[reg];
    return place->values + row * place->stride;
}

static const float *operand(const struct executor *x, const struct plan_operand *o, size_t row) {
    return row_to_read(x, o->reg, row) + o->first;
}

static void quantize_row(const struct executor *x, int reg, const float *values, size_t row) {
    const struct register_place *place = &x->registers[reg];
    x->parts.kernels->quantize(values, x->parts.plan->registers[reg].width, place->codes_by_halves,
                               place->codes + row * place->blocks);
}

/* To be called once a row's f32 form is complete. */
static void row_written(const struct executor *x, int reg, const float *values, size_t row) {
    if (x->registers[reg].wants_codes) {
        quantize_row(x, reg, values, row);
    }
}

const float *executor_vector(const struct executor *x, int vector) {
    return vector == PLAN_NONE ? NULL : x->parts.plan->vectors[vector].values;
}

/* ---- Angles ---- */

size_t executor_angle_floats(size_t half) {
    return (half + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
}

/* The cosines of a row's position; the sines lie executor_angle_floats behind them. */
static float *row_angles(const struct executor *x, int rope, size_t row) {
    float *angles = x->angles + row * x->angles_stride;
    for (int i = 0; i < rope; i++) {
        angles += 2 * executor_angle_floats(x->parts.plan->ropes[i].half);
    }
    return angles;
}

/* In f32 from the first operation on, as the exports that have no table compute it. */
static void compute_angles(size_t half, float amplitude, const float *frequencies, size_t position,
                           float *cosines, float *sines) {
    for (size_t i = 0; i < half; i++) {
        float angle = (float)position * frequencies[i];
        cosines[i] = amplitude * cosf(angle);
        sines[i] = amplitude * sinf(angle);
    }
}

static void angles_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    (void)op;
    (void)thread;
    size_t position = x->rows[row].position;
    for (size_t i = 0; i < x->parts.plan->rope_count; i++) {
        const struct plan_rope *rope = &x->parts.plan->ropes[i];
        const struct plan_angles *angles =
            x->rows[row].long_rope ? &rope->long_angles : &rope->angles;
        float *cosines = row_angles(x, (int)i, row);
        float *sines = cosines + executor_angle_floats(rope->half);
        if (angles->frequencies != PLAN_NONE) {
            compute_angles(rope->half, angles->amplitude, executor_vector(x, angles->frequencies),
                           position, cosines, sines);
            continue;
        }
        size_t at = position * rope->half * element_type_bytes(angles->type);
        element_type_to_f32(angles->type, angles->cosines + at, rope->half, cosines);
        element_type_to_f32(angles->type, angles->sines + at, rope->half, sines);
    }
}

/* ---- Row by row ---- */

static void embed_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    const struct plan_embed *embed = &op->instruction->embed;
    float *output = row_to_write(x, embed->output, thread, row);
    size_t entry = embed->by_position ? embed->first_position + x->rows[row].position
                                      : (size_t)x->rows[row].token;
    weights_embed_row(x->parts.weights, embed->table, entry, embed->scale, output);
    row_written(x, embed->output, output, row);
}

static void norm_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    const struct plan_norm *norm = &op->instruction->norm;
    const struct kernels *kernels = x->parts.kernels;
    size_t width = x->parts.plan->registers[norm->output].width;
    const float *input = row_to_read(x, norm->input, row);
    const float *residual =
        norm->residual == PLAN_NONE ? NULL : row_to_read(x, norm->residual, row);
    float *sum = norm->sum == PLAN_NONE ? NULL : row_to_write(x, norm->sum, thread, row);
    const float *weight = executor_vector(x, norm->weight);
    const float *bias = executor_vector(x, norm->bias);
    float *output = row_to_write(x, norm->output, thread, row);
    for (size_t first = 0; first < width; first += norm->group) {
        const float *group_residual = residual == NULL ? NULL : residual + first;
        float *group_sum = sum == NULL ? NULL : sum + first;
        if (norm->kind == PLAN_NORM_RMS) {
            kernels->rms_norm(input + first, group_residual, group_sum, weight, norm->epsilon,
                              norm->group, output + first);
        } else {
            kernels->layer_norm(input + first, group_residual, group_sum, weight, bias,
                                norm->epsilon, norm->group, output + first);
        }
    }
    if (sum != NULL) {
        row_written(x, norm->sum, sum, row);
    }
    row_written(x, norm->output, output, row);
}

static void gate_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    const struct plan_gate *gate = &op->instruction->gate;
    float *output = row_to_write(x, gate->output, thread, row);
    const float *up = gate->up.reg == PLAN_NONE ? NULL : operand(x, &gate->up, row);
    x->parts.kernels->gate[gate->activation](operand(x, &gate->gate, row), up,
                                             x->parts.plan->registers[gate->output].width, output);
    row_written(x, gate->output, output, row);
}

static void add_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    const struct plan_add *add = &op->instruction->add;
    float *output = row_to_write(x, add->output, thread, row);
    const float *second = add->second == PLAN_NONE ? executor_vector(x, add->vector)
                                                   : row_to_read(x, add->second, row);
    x->parts.kernels->add(row_to_read(x, add->first, row), second,
                          x->parts.plan->registers[add->output].width, output);
    row_written(x, add->output, output, row);
}

static void scale_row(struct executor *x, const struct op *op, size_t thread, size_t row) {
    const struct plan_scale *scale = &op->instruction->scale;
    float *output = row_to_write(x, scale->output, thread, row);
    x->parts.kernels->scale(row_to_read(x, scale->input, row), scale->factor, scale->softcap,
                            x->parts.plan->registers[scale->output].width, output);
    row_written(x, scale->output, output, row);
}

static void quantize_register_row(struct executor *x, const struct op *op, size_t thread,
                                  size_t row) {
    (void)thread;
    quantize_row(x, op->reg, row_to_read(x, op->reg, row), row);
}

/* ---- Linear: items are runs of tiles ---- */

size_t executor_matrix_items(const struct packed_matrix *matrix) {
    return (matrix->tiles + EXECUTOR_ITEM_TILES - 1) / EXECUTOR_ITEM_TILES;
}

static size_t linear_items(const struct executor *x, const struct op *op, size_t rows) {
    const struct plan_linear *linear = &op->instruction->linear;
    size_t items = 0;
    for (size_t i = 0; i < linear->count && rows > 0; i++) {
        items += executor_matrix_items(weights_matrix(x->parts.weights, linear->outputs[i].weight));
    }
    return items;
}

void executor_multiply(const struct executor *x, struct linear_task *task,
                       const struct register_place *input, size_t first_row) {
    const struct kernels *kernels = x->parts.kernels;
    if (executor_quantizes(x, task->matrix)) {
        task->codes = input->codes + first_row * input->blocks;
        task->halves = input->codes_by_halves;
        task->x_stride = input->blocks;
        kernels->linear_int8[task->matrix->format](task);
    } else {
        task->values = input->values + first_row * input->stride;
        task->x_stride = input->stride;
        kernels->linear_f32[task->matrix->format](task);
    }
}

/* Computes outputs of a linear instruction, with what adapters add. */
static void multiply_tiles(const struct executor *x, const struct op *op,
                           const struct executor_outputs *outputs) {
    const struct plan_linear *linear = &op->instruction->linear;
    struct linear_task task = {
        .matrix = weights_matrix(x->parts.weights, linear->outputs[outputs->index].weight),
        .first_tile = outputs->first_tile,
        .end_tile = outputs->end_tile,
        .rows = outputs->rows,
        .bias = executor_vector(x, linear->outputs[outputs->index].bias),
        .y = outputs->y,
        .y_stride = outputs->y_stride,
    };
    executor_expect_low_rank(x, op, outputs);
    executor_multiply(x, &task, &x->registers[linear->input], outputs->first_row);
    executor_add_low_rank(x, op, outputs);
}

static void linear_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                        size_t item) {
    const struct plan_linear *linear = &op->instruction->linear;
    size_t i = 0;
    const struct packed_matrix *matrix =
        weights_matrix(x->parts.weights, linear->outputs[0].weight);
    while (item >= executor_matrix_items(matrix)) {
        item -= executor_matrix_items(matrix);
        matrix = weights_matrix(x->parts.weights, linear->outputs[++i].weight);
    }
    size_t first = item * EXECUTOR_ITEM_TILES;
    size_t end = smaller(first + EXECUTOR_ITEM_TILES, matrix->tiles);
    const struct register_place *output = &x->registers[linear->outputs[i].output];
    const struct executor_outputs outputs = {
        .index = i,
        .first_tile = first,
        .end_tile = end,
        .rows = rows,
        .thread = thread,
        .y = output->values + first * TILE_ROWS,
        .y_stride = output->stride,
    };
    multiply_tiles(x, op, &outputs);
}

/* ---- Linear and gate in one: items are runs of tiles of both matrices, or halves of one ----
 *
 *     gate tiles  ->  scratch \
 *                               activation(gate) * up  ->  output, its codes
 *     up tiles    ->  scratch /      (or without up)
 *
 * What they give is consumed while the first cache holds it, and never written to
 * memory; an item's outputs are whole activation blocks, so that it can quantize them, too. */

/* Tiles that the output of the gate has. */
static size_t gated_tiles(const struct executor *x, const struct op *op) {
    size_t width = x->parts.plan->registers[op->instruction[1].gate.output].width;
    return (width + TILE_ROWS - 1) / TILE_ROWS;
}

static size_t gated_items(const struct executor *x, const struct op *op, size_t rows) {
    return rows > 0 ? (gated_tiles(x, op) + EXECUTOR_ITEM_TILES - 1) / EXECUTOR_ITEM_TILES : 0;
}

/* Tiles [first, end) of the gate's output, as the linear's output that `operand` is part of has
 * them. */
static void multiply_operand(const struct executor *x, const struct op *op,
                             const struct plan_operand *operand, size_t first, size_t end,
                             size_t first_row, size_t rows, size_t thread, float *y) {
    const struct plan_linear *linear = &op->instruction[0].linear;
    size_t skip = operand->first / TILE_ROWS;
    const struct executor_outputs outputs = {
        .index = linear->outputs[0].output == operand->reg ? 0 : 1,
        .first_tile = skip + first,
        .end_tile = skip + end,
        .first_row = first_row,
        .rows = rows,
        .thread = thread,
        .y = y,
        .y_stride = EXECUTOR_ITEM_OUTPUTS,
    };
    multiply_tiles(x, op, &outputs);
}

/* Outputs [first, first + count) of one row, from what the matrices gave; ups may be NULL. */
static void gate_outputs(struct executor *x, const struct plan_gate *gate, size_t row, size_t first,
                         size_t count, const float *gates, const float *ups) {
    const struct kernels *kernels = x->parts.kernels;
    const struct register_place *place = &x->registers[gate->output];
    _Alignas(64) float products[EXECUTOR_ITEM_OUTPUTS];
    float *output = place->wants_values ? place->values + row * place->stride + first : products;
    kernels->gate[gate->activation](gates, ups, count, output);
    if (place->wants_codes) {
        kernels->quantize(output, count, place->codes_by_halves,
                          place->codes + row * place->blocks + first / ACTIVATION_BLOCK);
    }
}

static void gated_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                       size_t item) {
    const struct plan_gate *gate = &op->instruction[1].gate;
    size_t width = x->parts.plan->registers[gate->output].width;
    size_t first_tile = item * EXECUTOR_ITEM_TILES;
    size_t end_tile = smaller(first_tile + EXECUTOR_ITEM_TILES, gated_tiles(x, op));
    size_t first = first_tile * TILE_ROWS;
    size_t count = smaller(EXECUTOR_ITEM_OUTPUTS, width - first);
    float *gates = x->scratch[thread].gated;
    float *ups = gates + (size_t)EXECUTOR_GATED_ROWS * EXECUTOR_ITEM_OUTPUTS;
    const bool gated = gate->up.reg != PLAN_NONE;
    for (size_t row = 0; row < rows; row += EXECUTOR_GATED_ROWS) {
        size_t some = smaller(EXECUTOR_GATED_ROWS, rows - row);
        multiply_operand(x, op, &gate->gate, first_tile, end_tile, row, some, thread, gates);
        if (gated) {
            multiply_operand(x, op, &gate->up, first_tile, end_tile, row, some, thread, ups);
        }
        for (size_t r = 0; r < some; r++) {
            gate_outputs(x, gate, row + r, first, count, gates + r * EXECUTOR_ITEM_OUTPUTS,
                         gated ? ups + r * EXECUTOR_ITEM_OUTPUTS : NULL);
        }
    }
}

/* ---- Attention ---- */

struct visible_range {
    size_t first;
    size_t end;
};

static struct visible_range visible_positions(const struct plan_kv_layer *layer, size_t position) {
    bool cut = layer->window > 0 && position + 1 > layer->window;
    return (struct visible_range){cut ? position + 1 - layer->window : 0, position + 1};
}

/* Chunks of positions that any row of a block looks at. */
struct chunk_range {
    size_t first;
    size_t end;
};

/* Rows ascend, so the first row begins and the last one ends them. */
static struct chunk_range block_chunks(const struct executor *x,
                                       const struct plan_attention *attention,
                                       const struct row_block *block) {
    const struct plan_kv_layer *layer = &x->parts.plan->kv_layers[attention->layer];
    const struct executor_row *rows = x->rows + block->first_row;
    size_t first = visible_positions(layer, rows[0].position).first;
    size_t end = visible_positions(layer, rows[block->rows - 1].position).end;
    return (struct chunk_range){first / CHUNK_POSITIONS, (end - 1) / CHUNK_POSITIONS + 1};
}

/* A step of few rows has less attention items than threads: then each chunk is an item of its own,
 * and the chunks are merged when the row is finished, in the order in which one thread would have
 * merged them. */
static bool splits_chunks(const struct executor *x, const struct plan_attention *attention) {
    size_t whole_items = x->block_count * x->parts.plan->kv_layers[attention->layer].kv_heads;
    return x->row_count <= x->split_rows_max && whole_items < 2 * workers_count(x->parts.workers);
}

static float *state_at(const struct executor *x, const struct plan_attention *attention, bool split,
                       size_t row, size_t head, size_t chunk_index) {
    size_t floats = attention_state_floats(x->parts.plan->kv_layers[attention->layer].head_dim);
    size_t index = row * attention->heads + head;
    return x->states + (split ? index * x->chunks_max + chunk_index : index) * floats;
}

/* Head `head` of an attention's operand. */
static const float *operand_head(const struct executor *x, const struct plan_operand *from,
                                 size_t head, size_t head_dim, size_t row) {
    return operand(x, from, row) + head * (from->step > 0 ? from->step : head_dim);
}

/* Copies heads from `from` to `to`, each normalized and rotated as the instruction says. */
static void prepare_heads(const struct executor *x, const struct plan_attention *attention,
                          const struct plan_operand *from, float *to, size_t heads, size_t head_dim,
                          int norm, float epsilon, size_t row) {
    const struct kernels *kernels = x->parts.kernels;
    const float *weight = executor_vector(x, norm);
    bool rotates = attention->rope != PLAN_NONE;
    size_t half = rotates ? x->parts.plan->ropes[attention->rope].half : 0;
    const float *cosines = rotates ? row_angles(x, attention->rope, row) : NULL;
    for (size_t h = 0; h < heads; h++) {
        float *head = to + h * head_dim;
        memcpy(head, operand_head(x, from, h, head_dim, row), head_dim * sizeof *head);
        if (weight != NULL && !attention->rope_first) {
            kernels->rms_norm(head, NULL, NULL, weight, epsilon, head_dim, head);
        }
        if (rotates) {
            kernels->rope(head, cosines, cosines + executor_angle_floats(half), half,
                          attention->rope_interleaved);
        }
        if (weight != NULL && attention->rope_first) {
            kernels->rms_norm(head, NULL, NULL, weight, epsilon, head_dim, head);
        }
    }
}

/* A head of the row's values, as the cache is to keep it; `room` is for one that changes on its way. */
static const float *prepare_value(const struct executor *x, const struct plan_attention *attention,
                                  size_t head, size_t head_dim, float *room, size_t row) {
    const float *value = operand_head(x, &attention->value, head, head_dim, row);
    if (attention->v_scales == PLAN_NONE) {
        return value;
    }
    const float *scales = executor_vector(x, attention->v_scales) + head * head_dim;
    x->parts.kernels->round_to_codes(value, scales, attention->cache_bits, head_dim, room);
    return room;
}

/* Normalises and rotates the row's queries and keys, and stores keys and values in its page. */
static void attention_prepare_row(struct executor *x, const struct op *op, size_t thread,
                                  size_t row) {
    const struct plan_attention *attention = &op->instruction->attention;
    const struct plan_kv_layer *layer = &x->parts.plan->kv_layers[attention->layer];
    const struct kernels *kernels = x->parts.kernels;
    size_t position = x->rows[row].position;
    size_t width = layer->kv_heads * layer->head_dim;
    float *keys = x->scratch[thread].keys;
    prepare_heads(x, attention, &attention->query, x->queries + row * x->queries_stride,
                  attention->heads, layer->head_dim, attention->q_norm, attention->q_norm_epsilon,
                  row);
    prepare_heads(x, attention, &attention->key, keys, layer->kv_heads, layer->head_dim,
                  attention->k_norm, attention->k_norm_epsilon, row);
    if (attention->k_scales != PLAN_NONE) {
        kernels->round_to_codes(keys, executor_vector(x, attention->k_scales),
                                attention->cache_bits, width, keys);
    }
    for (size_t h = 0; h < layer->kv_heads; h++) {
        uint8_t *page = kv_sequence_head(x->rows[row].sequence, x->parts.cache, attention->layer, h,
                                         position / KV_PAGE_POSITIONS);
        kernels->kv_store[x->parts.kv_type](
            page, layer->head_dim, position % KV_PAGE_POSITIONS, keys + h * layer->head_dim,
            prepare_value(x, attention, h, layer->head_dim, x->scratch[thread].values, row));
    }
}

/* One block of rows, one KV head, one chunk of positions, into `states`. */
static void score_chunk(const struct executor *x, const struct plan_attention *attention,
                        const struct row_block *block, size_t kv_head, size_t chunk,
                        float *states) {
    const struct plan_kv_layer *layer = &x->parts.plan->kv_layers[attention->layer];
    const struct executor_row *rows = x->rows + block->first_row;
    size_t group = attention->heads / layer->kv_heads;
    const uint8_t *pages[KV_CHUNK_PAGES] = {NULL};
    struct attention_task task = {
        .queries =
            x->queries + block->first_row * x->queries_stride + kv_head * group * layer->head_dim,
        .query_stride = x->queries_stride,
        .rows = block->rows,
        .group = group,
        .head_dim = layer->head_dim,
        .scale = attention->scale,
        .softcap = attention->softcap,
        .kv_type = x->parts.kv_type,
        .pages = pages,
        .chunk_begin = chunk * CHUNK_POSITIONS,
        .states = states,
    };
    size_t first = SIZE_MAX;
    size_t end = 0;
    for (size_t r = 0; r < block->rows; r++) {
        struct visible_range visible = visible_positions(layer, rows[r].position);
        task.first_visible[r] = visible.first;
        task.end_visible[r] = visible.end;
        first = visible.first < first ? visible.first : first;
        end = visible.end > end ? visible.end : end;
    }
    first = first > task.chunk_begin ? first : task.chunk_begin;
    end = end < task.chunk_begin + CHUNK_POSITIONS ? end : task.chunk_begin + CHUNK_POSITIONS;
    for (size_t page = first / KV_PAGE_POSITIONS; page * KV_PAGE_POSITIONS < end; page++) {
        pages[page % KV_CHUNK_PAGES] =
            kv_sequence_head(rows[0].sequence, x->parts.cache, attention->layer, kv_head, page);
    }
    x->parts.kernels->attention_chunk(&task);
}

static size_t attention_items(const struct executor *x, const struct op *op, size_t rows) {
    (void)rows;
    const struct plan_attention *attention = &op->instruction->attention;
    size_t items = x->block_count * x->parts.plan->kv_layers[attention->layer].kv_heads;
    if (!splits_chunks(x, attention)) {
        return items;
    }
    size_t chunks = 0;
    for (size_t b = 0; b < x->block_count; b++) {
        struct chunk_range range = block_chunks(x, attention, &x->blocks[b]);
        chunks = range.end - range.first > chunks ? range.end - range.first : chunks;
    }
    return items * chunks;
}

static void attention_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                           size_t item) {
    (void)rows;
    const struct plan_attention *attention = &op->instruction->attention;
    const struct plan_kv_layer *layer = &x->parts.plan->kv_layers[attention->layer];
    bool split = splits_chunks(x, attention);
    size_t group = attention->heads / layer->kv_heads;
    size_t floats = attention_state_floats(layer->head_dim);
    size_t whole_items = x->block_count * layer->kv_heads;
    size_t kv_head = item % layer->kv_heads;
    const struct row_block *block = &x->blocks[item % whole_items / layer->kv_heads];
    struct chunk_range chunks = block_chunks(x, attention, block);
    size_t first =
        chunks.first + item / whole_items; /* item / whole_items is 0 unless chunks are split */
    size_t end = split ? first + 1 : chunks.end;
    float *states = x->scratch[thread].states;
    for (size_t chunk = first; chunk < end && chunk < chunks.end; chunk++) {
        score_chunk(x, attention, block, kv_head, chunk, states);
        for (size_t r = 0; r < block->rows; r++) {
            for (size_t g = 0; g < group; g++) {
                float *state = state_at(x, attention, split, block->first_row + r,
                                        kv_head * group + g, chunk - chunks.first);
                const float *next = states + (r * group + g) * floats;
                if (split || chunk == first) {
                    memcpy(state, next, floats * sizeof *state);
                } else {
                    x->parts.kernels->attention_merge(state, next, layer->head_dim);
                }
            }
        }
    }
}

/* Which block a row belongs to. */
static const struct row_block *block_of_row(const struct executor *x, size_t row) {
    size_t low = 0;
    size_t high = x->block_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (x->blocks[middle].first_row <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &x->blocks[low];
}

/* Merges a row's chunks where they were split, and divides by the sum of the softmax. */
static void attention_finish_row(struct executor *x, const struct op *op, size_t thread,
                                 size_t row) {
    const struct plan_attention *attention = &op->instruction->attention;
    size_t head_dim = x->parts.plan->kv_layers[attention->layer].head_dim;
    bool split = splits_chunks(x, attention);
    struct chunk_range chunks = block_chunks(x, attention, block_of_row(x, row));
    const float *sinks = executor_vector(x, attention->sinks);
    float *output = row_to_write(x, attention->output, thread, row);
    for (size_t h = 0; h < attention->heads; h++) {
        float *state = state_at(x, attention, split, row, h, 0);
        for (size_t i = 1; split && i < chunks.end - chunks.first; i++) {
            x->parts.kernels->attention_merge(state, state_at(x, attention, split, row, h, i),
                                              head_dim);
        }
        x->parts.kernels->attention_finish(state, head_dim, sinks != NULL ? sinks[h] : -INFINITY,
                                           output + h * head_dim);
    }
    row_written(x, attention->output, output, row);
}

/* ---- Selection: items are registers ---- */

static size_t select_items(const struct executor *x, const struct op *op, size_t rows) {
    (void)op;
    return rows > 0 && x->wanted_count < x->row_count ? x->parts.plan->register_count : 0;
}

/* Moves the wanted rows of one register to the front, in their order. Row i comes from row
 * wanted[i] >= i, so no row is overwritten before it has moved. */
static void select_register(struct executor *x, const struct op *op, size_t rows, size_t thread,
                            size_t item) {
    (void)op;
    (void)rows;
    (void)thread;
    struct register_place *place = &x->registers[item];
    for (size_t to = 0; place->crosses_selection && to < x->wanted_count; to++) {
        size_t from = x->wanted[to];
        if (from == to) {
            continue;
        }
        if (place->wants_values) {
            memcpy(place->values + to * place->stride, place->values + from * place->stride,
                   x->parts.plan->registers[item].width * sizeof(float));
        }
        if (place->wants_codes) {
            memcpy(place->codes + to * place->blocks, place->codes + from * place->blocks,
                   place->blocks * sizeof *place->codes);
        }
    }
}

const struct op_type executor_op_types[OP_KIND_COUNT] = {
    [OP_ANGLES] = {.name = "angles", .row = angles_row},
    [OP_EMBED] = {.name = "embed", .row = embed_row},
    [OP_NORM] = {.name = "norm", .row = norm_row},
    [OP_GATE] = {.name = "gate", .row = gate_row},
    [OP_ADD] = {.name = "add", .row = add_row},
    [OP_SCALE] = {.name = "scale", .row = scale_row},
    [OP_QUANTIZE] = {.name = "quantize", .row = quantize_register_row},
    [OP_LOW_RANK] = {.name = "low rank",
                     .items = executor_low_rank_items,
                     .item = executor_low_rank_item},
    [OP_LINEAR] = {.name = "linear", .items = linear_items, .item = linear_item},
    [OP_GATED_LINEAR] = {.name = "gated linear", .items = gated_items, .item = gated_item},
    [OP_EXPERTS_ROUTE] = {.name = "experts route",
                          .items = executor_route_items,
                          .item = executor_route_item},
    [OP_EXPERTS_HIDDEN] = {.name = "experts hidden",
                           .items = executor_hidden_items,
                           .item = executor_hidden_item},
    [OP_EXPERTS_OUTPUT] = {.name = "experts output",
                           .items = executor_output_items,
                           .item = executor_output_item},
    [OP_ATTENTION_PREPARE] = {.name = "attention prepare", .row = attention_prepare_row},
    [OP_ATTENTION_SCORE] = {.name = "attention", .items = attention_items, .item = attention_item},
    [OP_ATTENTION_FINISH] = {.name = "attention finish", .row = attention_finish_row},
    [OP_SELECT_ROWS] = {.name = "select rows", .items = select_items, .item = select_register},
};
