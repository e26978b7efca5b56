/* Linear layers. Those that read one register become one instruction, so that they share its
 * quantized rows: query, key and value; gate and up. */
#include "importer/lowering.h"
#include "importer/passes/passes.h"

#include <string.h>

/* The latest linear instruction that reads the register and has room, or NULL. */
static struct plan_linear *with_room(struct lowering *lowering, int reg) {
    if ((size_t)reg >= lowering->linear_capacity) {
        return NULL;
    }
    int index = lowering->linears[reg].reads;
    struct plan_linear *linear =
        index != PLAN_NONE ? &lowering->plan->instructions[index].linear : NULL;
    return linear != NULL && linear->count < PLAN_LINEAR_OUTPUTS_MAX ? linear : NULL;
}

static enum lower_result append_linear(struct lowering *lowering, const struct graph_node *node,
                                       int input, int weight, int bias, int *output) {
    size_t rows = lowering->plan->weights[weight].rows;
    enum lower_result result = new_row(lowering, node, 0, rows, rows, output);
    if (result != LOWER_DONE) {
        return result;
    }
    struct plan_linear *linear = with_room(lowering, input);
    if (linear == NULL) {
        struct plan_instruction instruction = {.kind = PLAN_LINEAR, .name = node->name};
        instruction.linear.input = input;
        if (append(lowering, &instruction) != LOWER_DONE) {
            return LOWER_FAILED;
        }
        size_t index = lowering->plan->instruction_count - 1;
        lowering->linears[input].reads = (int)index;
        linear = &lowering->plan->instructions[index].linear;
    }
    linear->outputs[linear->count].weight = weight;
    linear->outputs[linear->count].bias = bias;
    linear->outputs[linear->count].low_rank = PLAN_NONE;
    linear->outputs[linear->count].output = *output;
    linear->count++;
    lowering->linears[*output].writes = lowering->linears[input].reads;
    return LOWER_DONE;
}

static enum lower_result lower_with_weight(struct lowering *lowering, const struct graph_node *node,
                                           int weight, size_t bias_slot) {
    const struct row_value *row = row_input(lowering, node, 0);
    const struct plan_weight *matrix = &lowering->plan->weights[weight];
    if (row == NULL || !is_whole(lowering, row)) {
        return refuse_rows(lowering, node, "its input is not a row of activations");
    }
    if (row->width != matrix->columns) {
        return refuse_rows(lowering, node, "a weight of %zu inputs meets a row of %zu",
                           matrix->columns, row->width);
    }
    const int input = row->reg;
    int bias;
    int output;
    float bias_factor = graph_attribute_float(node, "bias_factor", 1);
    enum lower_result result =
        lower_scaled_vector(lowering, node, bias_slot, matrix->rows, bias_factor, &bias);
    result =
        result != LOWER_DONE ? result : append_linear(lowering, node, input, weight, bias, &output);
    float factor = graph_attribute_float(node, "factor", 1);
    return result != LOWER_DONE || factor == 1 ? result
                                               : scale_output(lowering, node, output, factor);
}

enum lower_result lower_linear(struct lowering *lowering, const struct graph_node *node) {
    static const struct quantized_slots slots = {
        .data = LINEAR_WEIGHT, .scales = LINEAR_SCALES, .zero_points = LINEAR_ZERO_POINTS};
    bool transposed = graph_attribute_int(node, "transposed", 0) != 0;
    int weight;
    enum lower_result result =
        graph_input(lowering->graph, node, LINEAR_SCALES) == GRAPH_NONE
            ? lower_matrix(lowering, node, LINEAR_WEIGHT, transposed, &weight)
            : lower_dequantized(lowering, node, &slots, &weight);
    return result != LOWER_DONE ? result : lower_with_weight(lowering, node, weight, LINEAR_BIAS);
}

/* The outputs and inputs of a packed matrix, whose shape does not say them. */
static enum lower_result read_sizes(struct lowering *lowering, const struct graph_node *node,
                                    size_t *outputs, size_t *inputs) {
    int64_t n = graph_attribute_int(node, "N", 0);
    int64_t k = graph_attribute_int(node, "K", 0);
    if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX) {
        return refuse(lowering, node, "N is %lld and K is %lld", (long long)n, (long long)k);
    }
    *outputs = (size_t)n;
    *inputs = (size_t)k;
    return LOWER_DONE;
}

enum lower_result lower_matmul_nbits(struct lowering *lowering, const struct graph_node *node) {
    enum { SLOT_BIAS = 5 };
    static const struct quantized_slots slots = {
        .data = 1, .scales = 2, .zero_points = 3, .group_index = 4};
    size_t outputs = 0;
    size_t inputs = 0;
    enum lower_result result = read_sizes(lowering, node, &outputs, &inputs);
    if (result != LOWER_DONE) {
        return result;
    }
    if (graph_attribute_int(node, "weight_prepacked", 0) != 0) {
        return refuse(lowering, node, "weights that are packed for another runtime");
    }
    int weight;
    result = lower_quantized(lowering, node, &slots, outputs, inputs, 0, &weight);
    if (result != LOWER_DONE) {
        return result;
    }
    lower_accuracy(lowering, node, &lowering->plan->weights[weight]);
    return lower_with_weight(lowering, node, weight, SLOT_BIAS);
}

enum lower_result lower_matmul_bnb4(struct lowering *lowering, const struct graph_node *node) {
    enum { SLOT_BIAS = 3 }; /* given by a pass */
    static const struct quantized_slots slots = {.data = 1, .scales = 2};
    size_t outputs = 0;
    size_t inputs = 0;
    enum lower_result result = read_sizes(lowering, node, &outputs, &inputs);
    if (result != LOWER_DONE) {
        return result;
    }
    if (graph_attribute_int(node, "transB", 1) == 0) {
        return refuse(lowering, node, "transB is 0, as in training");
    }
    int weight;
    result = lower_code_book(lowering, node, &slots, outputs, inputs, &weight);
    if (result != LOWER_DONE) {
        return result;
    }
    return lower_with_weight(lowering, node, weight, SLOT_BIAS);
}
