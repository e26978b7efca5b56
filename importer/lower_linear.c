/* Linear layers. Those that read one register become one instruction, so that they share its
 * quantized rows: query, key and value; gate and up. */
#include "importer/lowering.h"

#include <string.h>

/* The latest linear instruction that reads the register and has room, or NULL. */
static struct plan_linear *with_room(struct lowering *lowering, int reg) {
    if ((size_t)reg >= lowering->linear_capacity) {
        return NULL;
    }
    int index = lowering->linear_of_register[reg];
    struct plan_linear *linear =
        index != PLAN_NONE ? &lowering->plan->instructions[index].linear : NULL;
    return linear != NULL && linear->count < PLAN_LINEAR_OUTPUTS_MAX ? linear : NULL;
}

static enum lower_result append_linear(struct lowering *lowering, const struct graph_node *node,
                                       int input, int weight, int bias) {
    size_t rows = lowering->plan->weights[weight].rows;
    int output;
    enum lower_result result = new_row(lowering, node, 0, rows, rows, &output);
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
        lowering->linear_of_register[input] = (int)index;
        linear = &lowering->plan->instructions[index].linear;
    }
    linear->outputs[linear->count].weight = weight;
    linear->outputs[linear->count].bias = bias;
    linear->outputs[linear->count].output = output;
    linear->count++;
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
    int bias;
    enum lower_result result = lower_vector(lowering, node, bias_slot, matrix->rows, &bias);
    return result != LOWER_DONE ? result : append_linear(lowering, node, row->reg, weight, bias);
}

enum lower_result lower_linear(struct lowering *lowering, const struct graph_node *node) {
    int weight;
    enum lower_result result = lower_matrix(lowering, node, 1, true, &weight);
    return result != LOWER_DONE ? result : lower_with_weight(lowering, node, weight, 2);
}

enum lower_result lower_matmul_nbits(struct lowering *lowering, const struct graph_node *node) {
    enum { SLOT_GROUP_INDEX = 4, SLOT_BIAS = 5 };
    static const struct quantized_slots slots = {.data = 1, .scales = 2, .zero_points = 3};
    int64_t outputs = graph_attribute_int(node, "N", 0);
    int64_t inputs = graph_attribute_int(node, "K", 0);
    if (outputs < 1 || inputs < 1 || outputs > INT32_MAX || inputs > INT32_MAX) {
        return refuse(lowering, node, "N is %lld and K is %lld", (long long)outputs,
                      (long long)inputs);
    }
    if (graph_input(lowering->graph, node, SLOT_GROUP_INDEX) != GRAPH_NONE) {
        return refuse(lowering, node, "g_idx (reordered groups) has no kernel");
    }
    if (graph_attribute_int(node, "weight_prepacked", 0) != 0) {
        return refuse(lowering, node, "weights that are packed for another runtime");
    }
    int weight;
    enum lower_result result =
        lower_quantized(lowering, node, &slots, (size_t)outputs, (size_t)inputs, &weight);
    if (result != LOWER_DONE) {
        return result;
    }
    if (graph_attribute_int(node, "accuracy_level", 0) == 1) {
        lowering->plan->full_precision = true;
    }
    return lower_with_weight(lowering, node, weight, SLOT_BIAS);
}
