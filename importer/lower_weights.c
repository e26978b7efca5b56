/* Constants of the graph as weights, vectors and tables of the plan. */
#include "importer/lowering.h"

#include "engine/checked.h"

#include <assert.h>
#include <string.h>

bool lower_float_element(enum tensor_type type, enum element_type *element) {
    switch (type) {
    case TENSOR_F32:
        *element = ELEMENT_F32;
        return true;
    case TENSOR_F16:
        *element = ELEMENT_F16;
        return true;
    case TENSOR_BF16:
        *element = ELEMENT_BF16;
        return true;
    default:
        return false;
    }
}

const struct tensor *constant_input(const struct lowering *lowering, const struct graph_node *node,
                                    size_t slot) {
    return graph_constant(lowering->graph, graph_input(lowering->graph, node, slot));
}

const char *input_name(const struct lowering *lowering, const struct graph_node *node,
                       size_t slot) {
    return graph_value_name(lowering->graph, graph_input(lowering->graph, node, slot));
}

enum lower_result lower_vector(struct lowering *lowering, const struct graph_node *node,
                               size_t slot, size_t length, int *vector) {
    *vector = PLAN_NONE;
    if (graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    const struct tensor *tensor = constant_input(lowering, node, slot);
    enum element_type unused;
    if (tensor == NULL || !lower_float_element(tensor->type, &unused)) {
        return refuse(lowering, node, "input %zu must be a constant vector of floats", slot);
    }
    if (tensor->count != length) {
        return refuse(lowering, node, "input %zu has %zu elements, expected %zu", slot,
                      tensor->count, length);
    }
    float *values;
    *vector = plan_add_vector(lowering->plan, input_name(lowering, node, slot), length, &values);
    if (*vector == PLAN_NONE) {
        return out_of_memory(lowering);
    }
    for (size_t i = 0; i < length; i++) {
        values[i] = (float)tensor_number(tensor, i);
    }
    return LOWER_DONE;
}

/* Tied weights are the same bytes of the file under the same reading of them. */
static bool same_weight(const struct plan_weight *a, const struct plan_weight *b) {
    return a->data == b->data && a->scales == b->scales && a->zero_points == b->zero_points &&
           a->rows == b->rows && a->columns == b->columns && a->bits == b->bits &&
           a->type == b->type && a->transposed == b->transposed && a->block_size == b->block_size &&
           a->scale_type == b->scale_type;
}

static enum lower_result share_or_add(struct lowering *lowering, const struct plan_weight *weight,
                                      int *index) {
    for (size_t i = 0; i < lowering->plan->weight_count; i++) {
        if (same_weight(&lowering->plan->weights[i], weight)) {
            *index = (int)i;
            return LOWER_DONE;
        }
    }
    *index = plan_add_weight(lowering->plan, weight);
    return *index != PLAN_NONE ? LOWER_DONE : out_of_memory(lowering);
}

enum lower_result lower_matrix(struct lowering *lowering, const struct graph_node *node,
                               size_t slot, bool transposed, int *weight) {
    const struct tensor *tensor = constant_input(lowering, node, slot);
    struct plan_weight matrix = {.transposed = transposed};
    if (tensor == NULL || tensor->rank != 2 || tensor->count == 0 ||
        !lower_float_element(tensor->type, &matrix.type)) {
        return refuse(lowering, node, "input %zu must be a constant matrix of floats", slot);
    }
    matrix.name = input_name(lowering, node, slot);
    matrix.rows = tensor->dims[transposed ? 1 : 0];
    matrix.columns = tensor->dims[transposed ? 0 : 1];
    matrix.data = tensor->bytes;
    return share_or_add(lowering, &matrix, weight);
}

/* The block layout of the node's attributes, as far as the engine has it. */
static enum lower_result read_blocks(struct lowering *lowering, const struct graph_node *node,
                                     struct plan_weight *weight) {
    int64_t bits = graph_attribute_int(node, "bits", 4);
    int64_t block_size = graph_attribute_int(node, "block_size", 0);
    if (bits != 4 && bits != 8) {
        return refuse(lowering, node, "weights of %lld bits (only 4 and 8 have kernels)",
                      (long long)bits);
    }
    if (block_size < 16 || block_size > 1 << 20 || (block_size & (block_size - 1)) != 0) {
        return refuse(lowering, node, "block_size %lld is not a power of two from 16",
                      (long long)block_size);
    }
    weight->bits = (unsigned)bits;
    weight->block_size = (size_t)block_size;
    return LOWER_DONE;
}

static enum lower_result read_zero_points(struct lowering *lowering, const struct graph_node *node,
                                          size_t slot, size_t blocks, struct plan_weight *weight) {
    if (graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    const struct tensor *tensor = constant_input(lowering, node, slot);
    size_t expected = weight->rows * ((blocks * weight->bits + 7) / 8);
    if (tensor == NULL || tensor->type != TENSOR_U8) {
        return refuse(lowering, node, "zero points must be constant packed u8%s",
                      tensor != NULL && tensor_type_is_float(tensor->type)
                          ? "; zero points that are floats have no kernel"
                          : "");
    }
    if (tensor->size != expected) {
        return refuse(lowering, node, "has %zu bytes of zero points, expected %zu", tensor->size,
                      expected);
    }
    weight->zero_points = tensor->bytes;
    return LOWER_DONE;
}

enum lower_result lower_quantized(struct lowering *lowering, const struct graph_node *node,
                                  const struct quantized_slots *slots, size_t rows, size_t columns,
                                  int *index) {
    const struct tensor *data = constant_input(lowering, node, slots->data);
    const struct tensor *scales = constant_input(lowering, node, slots->scales);
    struct plan_weight weight = {
        .name = input_name(lowering, node, slots->data), .rows = rows, .columns = columns};
    enum lower_result result = read_blocks(lowering, node, &weight);
    if (result != LOWER_DONE) {
        return result;
    }
    if (data == NULL || data->type != TENSOR_U8 || scales == NULL ||
        !lower_float_element(scales->type, &weight.scale_type)) {
        return refuse(lowering, node, "codes must be constant u8 and scales constant floats");
    }
    assert(weight.block_size > 0); /* read_blocks has seen to it */
    size_t blocks = (columns + weight.block_size - 1) / weight.block_size;
    size_t scale_count;
    size_t bytes;
    if (!checked_multiply(rows, blocks, &scale_count) ||
        !checked_multiply(scale_count, weight.block_size * weight.bits / 8, &bytes) ||
        data->size != bytes || scales->count != scale_count || bytes == 0) {
        return refuse(lowering, node,
                      "%zu bytes of codes and %zu scales do not make %zu x %zu in blocks of %zu",
                      data->size, scales->count, rows, columns, weight.block_size);
    }
    weight.data = data->bytes;
    weight.scales = scales->bytes;
    result = read_zero_points(lowering, node, slots->zero_points, blocks, &weight);
    return result != LOWER_DONE ? result : share_or_add(lowering, &weight, index);
}
