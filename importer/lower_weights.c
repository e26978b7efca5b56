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
    return lower_scaled_vector(lowering, node, slot, length, 1, vector);
}

enum lower_result lower_scaled_vector(struct lowering *lowering, const struct graph_node *node,
                                      size_t slot, size_t length, float factor, int *vector) {
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
        values[i] = (float)tensor_number(tensor, i) * factor;
    }
    return LOWER_DONE;
}

static bool same_part(const struct plan_part *a, const struct plan_part *b) {
    return a->bytes == b->bytes && a->row == b->row && a->step == b->step && a->shared == b->shared;
}

/* Tied weights are the same bytes of the file under the same reading of them. */
static bool same_weight(const struct plan_weight *a, const struct plan_weight *b) {
    return a->rows == b->rows && a->columns == b->columns && a->bits == b->bits &&
           a->type == b->type && same_part(&a->data, &b->data) && a->is_signed == b->is_signed &&
           a->block_size == b->block_size && a->group_index == b->group_index &&
           a->code_book == b->code_book && same_part(&a->scales, &b->scales) &&
           a->scale_type == b->scale_type && same_part(&a->zero_points, &b->zero_points) &&
           a->zero_points_are_numbers == b->zero_points_are_numbers &&
           a->zero_point == b->zero_point;
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
    struct plan_weight matrix = {0};
    if (tensor == NULL || tensor->rank != 2 || tensor->count == 0 ||
        !lower_float_element(tensor->type, &matrix.type)) {
        return refuse(lowering, node, "input %zu must be a constant matrix of floats", slot);
    }
    matrix.name = input_name(lowering, node, slot);
    matrix.rows = tensor->dims[transposed ? 1 : 0];
    matrix.columns = tensor->dims[transposed ? 0 : 1];
    matrix.data = (struct plan_part){.bytes = tensor->bytes,
                                     .row = transposed ? 1 : tensor->dims[1],
                                     .step = transposed ? tensor->dims[1] : 1};
    return share_or_add(lowering, &matrix, weight);
}

/* ---- Codes in blocks, as MatMulNBits packs them ---- */

/* The block layout of the node's attributes, as far as the engine has it. */
static enum lower_result read_blocks(struct lowering *lowering, const struct graph_node *node,
                                     struct plan_weight *weight) {
    int64_t bits = graph_attribute_int(node, "bits", 4);
    int64_t block_size = graph_attribute_int(node, "block_size", 0);
    if (bits != 2 && bits != 4 && bits != 8) {
        return refuse(lowering, node, "weights of %lld bits (only 2, 4 and 8 have kernels)",
                      (long long)bits);
    }
    if (block_size < 16 || block_size > 1 << 20 || (block_size & (block_size - 1)) != 0) {
        return refuse(lowering, node, "block_size %lld is not a power of two from 16",
                      (long long)block_size);
    }
    weight->bits = (unsigned)bits;
    weight->block_size = (size_t)block_size;
    weight->zero_point = 1 << (bits - 1);
    return LOWER_DONE;
}

/* Rows of so many bits, padded to whole bytes: elements of `bits` bits from one to the next. */
static size_t padded_row(size_t elements, unsigned bits) {
    return (elements * bits + 7) / 8 * (8 / bits);
}

/* Packed like the codes, each row to whole bytes, or numbers like the scales. */
static enum lower_result read_zero_points(struct lowering *lowering, const struct graph_node *node,
                                          size_t slot, struct plan_weight *weight) {
    if (graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    const struct tensor *tensor = constant_input(lowering, node, slot);
    enum element_type type = ELEMENT_U8;
    bool numbers = tensor != NULL && lower_float_element(tensor->type, &type);
    if (tensor == NULL || (numbers ? type != weight->scale_type : tensor->type != TENSOR_U8)) {
        return refuse(lowering, node,
                      "zero points must be constant, of the scales' type or packed u8");
    }
    size_t blocks = weight->scales.row;
    size_t row = numbers ? blocks : padded_row(blocks, weight->bits);
    size_t expected = weight->rows * (numbers ? row : row / (8 / weight->bits));
    if (tensor->count != expected) {
        return refuse(lowering, node, "has %zu zero points, expected %zu", tensor->count, expected);
    }
    weight->zero_points = (struct plan_part){.bytes = tensor->bytes, .row = row, .step = 1};
    weight->zero_points_are_numbers = numbers;
    return LOWER_DONE;
}

/* The block of each column, if it is not simply the next one after every block_size columns. */
static enum lower_result read_group_index(struct lowering *lowering, const struct graph_node *node,
                                          size_t slot, struct plan_weight *weight) {
    if (slot == 0 || graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    const struct tensor *tensor = constant_input(lowering, node, slot);
    if (tensor == NULL || tensor->type != TENSOR_I32 || tensor->count < weight->columns) {
        return refuse(lowering, node, "g_idx must be a constant with an i32 for each of %zu inputs",
                      weight->columns);
    }
    for (size_t k = 0; k < weight->columns; k++) {
        int64_t block = tensor_integer(tensor, k);
        if (block < 0 || (uint64_t)block >= weight->scales.row) {
            return refuse(lowering, node, "g_idx has block %lld; there are %zu", (long long)block,
                          weight->scales.row);
        }
        if ((size_t)block != k / weight->block_size) {
            weight->group_index = tensor->bytes;
        }
    }
    return LOWER_DONE;
}

enum lower_result lower_quantized(struct lowering *lowering, const struct graph_node *node,
                                  const struct quantized_slots *slots, size_t rows, size_t columns,
                                  size_t codes, int *index) {
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
    size_t row = codes != 0 ? codes : blocks * weight.block_size;
    size_t scale_count;
    size_t code_count;
    if (!checked_multiply(rows, blocks, &scale_count) ||
        !checked_multiply(rows, row, &code_count) || code_count > SIZE_MAX / 8 ||
        row * weight.bits % 8 != 0 || row < columns || data->size != code_count * weight.bits / 8 ||
        scales->count != scale_count || data->size == 0) {
        return refuse(lowering, node,
                      "%zu bytes of codes and %zu scales do not make %zu x %zu in blocks of %zu",
                      data->size, scales->count, rows, columns, weight.block_size);
    }
    weight.data = (struct plan_part){.bytes = data->bytes, .row = row, .step = 1};
    weight.scales = (struct plan_part){.bytes = scales->bytes, .row = blocks, .step = 1};
    result = read_zero_points(lowering, node, slots->zero_points, &weight);
    result = result != LOWER_DONE ? result
                                  : read_group_index(lowering, node, slots->group_index, &weight);
    return result != LOWER_DONE ? result : share_or_add(lowering, &weight, index);
}

/* ---- Codes of number formats in blocks of the matrix as one row, as MatMulBnb4 packs them ---- */

/* The greatest number of columns that no end of a block or of a row parts, if both are multiples of it. */
static size_t common_divisor(size_t columns, size_t block_size) {
    while (block_size != 0) {
        const size_t rest = columns % block_size;
        columns = block_size;
        block_size = rest;
    }
    return columns;
}

enum lower_result lower_code_book(struct lowering *lowering, const struct graph_node *node,
                                  const struct quantized_slots *slots, size_t rows, size_t columns,
                                  int *index) {
    const struct code_book *const books[] = {&code_book_fp4, &code_book_nf4};
    const struct tensor *data = constant_input(lowering, node, slots->data);
    const struct tensor *scales = constant_input(lowering, node, slots->scales);
    const int64_t type = graph_attribute_int(node, "quant_type", 0);
    struct plan_weight weight = {
        .name = input_name(lowering, node, slots->data), .rows = rows, .columns = columns};
    enum lower_result result = read_blocks(lowering, node, &weight);
    if (result != LOWER_DONE) {
        return result;
    }
    if (type != 0 && type != 1) {
        return refuse(lowering, node, "quant_type %lld is neither 0 (FP4) nor 1 (NF4)",
                      (long long)type);
    }
    if (data == NULL || data->type != TENSOR_U8 || scales == NULL ||
        !lower_float_element(scales->type, &weight.scale_type)) {
        return refuse(lowering, node, "codes must be constant u8 and absmax constant floats");
    }
    assert(weight.block_size > 0); /* read_blocks has seen to it */
    size_t count;
    if (!checked_multiply(rows, columns, &count) || count > SIZE_MAX / 8 || data->size == 0 ||
        data->size != (count + 1) / 2 || scales->count != (count - 1) / weight.block_size + 1) {
        return refuse(lowering, node,
                      "%zu bytes of codes and %zu scales do not make %zu x %zu in blocks of %zu",
                      data->size, scales->count, rows, columns, weight.block_size);
    }
    const size_t run = common_divisor(columns, weight.block_size);
    weight.bits = 4;
    weight.zero_point = 0;
    weight.code_book = books[type];
    weight.data = (struct plan_part){.bytes = data->bytes, .row = columns, .step = 1};
    weight.scales = (struct plan_part){
        .bytes = scales->bytes, .row = columns / run, .step = 1, .shared = weight.block_size / run};
    weight.block_size = run;
    return share_or_add(lowering, &weight, index);
}

void lower_accuracy(struct lowering *lowering, const struct graph_node *node,
                    struct plan_weight *weight) {
    enum { FULL_PRECISION = 1, INT8 = 4 };
    int64_t level = graph_attribute_int(node, "accuracy_level", 0);
    lowering->plan->full_precision |= level == FULL_PRECISION;
    weight->fine_inputs |= level != INT8;
}

/* ---- Codes with scales along an axis or in blocks of one, as DequantizeLinear reads them ---- */

static bool read_code_type(enum tensor_type type, struct plan_weight *weight) {
    static const struct {
        enum tensor_type type;
        unsigned bits;
        bool is_signed;
    } kinds[] = {
        {TENSOR_I8, 8, true},  {TENSOR_U8, 8, false}, {TENSOR_I4, 4, true},
        {TENSOR_U4, 4, false}, {TENSOR_I2, 2, true},  {TENSOR_U2, 2, false},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].type == type) {
            weight->bits = kinds[i].bits;
            weight->is_signed = kinds[i].is_signed;
            return true;
        }
    }
    return false;
}

/* How the scales, or zero points, of a matrix of `dims` lie: one for all, one for each index of the
 * axis, or one for each block of the axis. *block_size becomes the number of columns that share one. */
static bool read_spread(const struct tensor *tensor, const size_t *dims, bool transposed,
                        size_t axis, size_t block_size, struct plan_part *part,
                        size_t *shared_columns) {
    const size_t columns_axis = transposed ? 0 : 1;
    const size_t columns = dims[columns_axis];
    *part = (struct plan_part){.bytes = tensor->bytes};
    *shared_columns = columns;
    if (tensor->count == 1) {
        return true;
    }
    if (tensor->rank <= 1) {
        part->row = axis == columns_axis ? 0 : 1;
        part->step = axis == columns_axis ? 1 : 0;
        *shared_columns = axis == columns_axis ? 1 : columns;
        return tensor->count == dims[axis];
    }
    part->row = transposed ? 1 : tensor->dims[1];
    part->step = transposed ? tensor->dims[1] : 1;
    *shared_columns = block_size;
    return tensor->rank == 2 && axis == columns_axis && block_size > 0 &&
           tensor->dims[axis] == (columns - 1) / block_size + 1 &&
           tensor->dims[1 - axis] == dims[1 - axis];
}

enum lower_result lower_dequantized(struct lowering *lowering, const struct graph_node *node,
                                    const struct quantized_slots *slots, int *index) {
    const struct tensor *data = constant_input(lowering, node, slots->data);
    const struct tensor *scales = constant_input(lowering, node, slots->scales);
    const struct tensor *zeros = constant_input(lowering, node, slots->zero_points);
    const bool has_zeros = graph_input(lowering->graph, node, slots->zero_points) != GRAPH_NONE;
    struct plan_weight weight = {.name = input_name(lowering, node, slots->data)};
    if (data == NULL || data->rank != 2 || data->count == 0 ||
        !read_code_type(data->type, &weight) || scales == NULL ||
        !lower_float_element(scales->type, &weight.scale_type) ||
        (has_zeros && (zeros == NULL || zeros->type != data->type))) {
        return refuse(lowering, node,
                      "must have a constant matrix of small integers, constant scales and, of the "
                      "integers' type, zero points");
    }
    const bool transposed = graph_attribute_int(node, "transposed", 0) != 0;
    int64_t axis = graph_attribute_int(node, "axis", 1);
    const int64_t block_size = graph_attribute_int(node, "block_size", 0);
    axis += axis < 0 ? 2 : 0;
    size_t shared;
    bool fits = (axis == 0 || axis == 1) && block_size >= 0 && block_size <= INT32_MAX &&
                read_spread(scales, data->dims, transposed, (size_t)axis, (size_t)block_size,
                            &weight.scales, &weight.block_size);
    if (fits && has_zeros) {
        fits = (scales->count == 1 || zeros->count == 1 || scales->rank == zeros->rank) &&
               read_spread(zeros, data->dims, transposed, (size_t)axis, (size_t)block_size,
                           &weight.zero_points, &shared);
    }
    if (!fits) {
        return refuse(lowering, node,
                      "%zu scales along axis %lld in blocks of %lld do not spread over %zu x %zu, "
                      "or not over the inputs of the matrix",
                      scales->count, (long long)axis, (long long)block_size, data->dims[0],
                      data->dims[1]);
    }
    weight.block_size = has_zeros && shared < weight.block_size ? shared : weight.block_size;
    weight.rows = data->dims[transposed ? 1 : 0];
    weight.columns = data->dims[transposed ? 0 : 1];
    weight.data = (struct plan_part){.bytes = data->bytes,
                                     .row = transposed ? 1 : data->dims[1],
                                     .step = transposed ? data->dims[1] : 1};
    return share_or_add(lowering, &weight, index);
}
