/* Gates, sums and factors of rows. */
#include "importer/lowering.h"
#include "importer/passes/passes.h"

#include <string.h>

/* The whole row that input `slot` is, or NULL. */
static const struct row_value *whole_input(const struct lowering *lowering,
                                           const struct graph_node *node, size_t slot) {
    const struct row_value *row = row_input(lowering, node, slot);
    return row != NULL && is_whole(lowering, row) ? row : NULL;
}

enum { NO_OUTPUT = -1 };

/* Appends the instruction, whose *output is a new register as wide as `input` and, unless NO_OUTPUT,
 * that output of the node. */
static enum lower_result append_like(struct lowering *lowering, const struct graph_node *node,
                                     int slot, int input, struct plan_instruction *instruction,
                                     int *output) {
    size_t width = lowering->plan->registers[input].width;
    enum lower_result result = new_row(lowering, node, (size_t)slot, width, width, output);
    instruction->name = node->name;
    return result != LOWER_DONE ? result : append(lowering, instruction);
}

static enum lower_result append_vector(struct lowering *lowering, const struct graph_node *node,
                                       int slot, int reg, size_t vector_slot, int *sum) {
    struct plan_instruction instruction = {.kind = PLAN_ADD,
                                           .add = {.first = reg, .second = PLAN_NONE}};
    struct plan_add *add = &instruction.add;
    size_t width = lowering->plan->registers[reg].width;
    enum lower_result result = lower_vector(lowering, node, vector_slot, width, &add->vector);
    if (result == LOWER_DONE && add->vector != PLAN_NONE) {
        result = append_like(lowering, node, slot, reg, &instruction, &add->output);
        *sum = add->output;
    }
    return result;
}

enum lower_result add_vector(struct lowering *lowering, const struct graph_node *node, int reg,
                             size_t slot, int *sum) {
    *sum = reg;
    return append_vector(lowering, node, NO_OUTPUT, reg, slot, sum);
}

/* ---- Gates ---- */

static enum lower_result append_gate(struct lowering *lowering, const struct graph_node *node,
                                     enum plan_activation activation, struct plan_operand gate,
                                     struct plan_operand up, size_t width) {
    struct plan_instruction instruction = {
        .kind = PLAN_GATE,
        .name = node->name,
        .gate = {.activation = activation, .gate = gate, .up = up}};
    enum lower_result result = new_row(lowering, node, 0, width, width, &instruction.gate.output);
    return result != LOWER_DONE ? result : append(lowering, &instruction);
}

/* Columns of rows, seen as they are. */
static const struct row_value *columns_input(const struct lowering *lowering,
                                             const struct graph_node *node, size_t slot) {
    const struct row_value *row = row_input(lowering, node, slot);
    return row != NULL && row->view == row->width ? row : NULL;
}

enum lower_result lower_gate(struct lowering *lowering, const struct graph_node *node) {
    bool has_up = graph_input(lowering->graph, node, GATE_UP) != GRAPH_NONE;
    bool has_bias = graph_input(lowering->graph, node, GATE_BIAS) != GRAPH_NONE;
    const struct row_value *gate = columns_input(lowering, node, GATE_GATE);
    const struct row_value *up = columns_input(lowering, node, GATE_UP);
    if (gate == NULL || (has_up && (up == NULL || gate->width != up->width)) ||
        (has_bias && !is_whole(lowering, gate))) {
        return refuse_rows(lowering, node, "its inputs are not rows of one width");
    }
    struct plan_operand columns = {.reg = gate->reg, .first = gate->first};
    struct plan_operand factor = {.reg = up != NULL ? up->reg : PLAN_NONE,
                                  .first = up != NULL ? up->first : 0};
    size_t width = gate->width;
    enum plan_activation activation =
        (enum plan_activation)graph_attribute_int(node, "activation", 0);
    enum lower_result result = add_vector(lowering, node, gate->reg, GATE_BIAS, &columns.reg);
    return result != LOWER_DONE ? result
                                : append_gate(lowering, node, activation, columns, factor, width);
}

/* ---- Sums ---- */

enum lower_result lower_add(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *first = whole_input(lowering, node, 0);
    const struct row_value *second = whole_input(lowering, node, 1);
    size_t constant = first != NULL ? 1 : 0; /* the slot of what may be a vector */
    const struct row_value *row = first != NULL ? first : second;
    int other = graph_input(lowering->graph, node, constant);
    int sum;
    if (row != NULL && graph_constant(lowering->graph, other) != NULL) {
        return append_vector(lowering, node, 0, row->reg, constant, &sum);
    }
    if (first == NULL || second == NULL || first->width != second->width) {
        return refuse_rows(lowering, node, "adds neither two rows of one width nor a vector");
    }
    struct plan_instruction instruction = {
        .kind = PLAN_ADD, .add = {.first = first->reg, .second = second->reg, .vector = PLAN_NONE}};
    return append_like(lowering, node, 0, first->reg, &instruction, &instruction.add.output);
}

/* ---- Factors ---- */

static enum lower_result append_scale(struct lowering *lowering, const struct graph_node *node,
                                      int input, float factor, float softcap) {
    struct plan_instruction instruction = {
        .kind = PLAN_SCALE, .scale = {.input = input, .factor = factor, .softcap = softcap}};
    return append_like(lowering, node, 0, input, &instruction, &instruction.scale.output);
}

enum lower_result scale_output(struct lowering *lowering, const struct graph_node *node, int reg,
                               float factor) {
    return append_scale(lowering, node, reg, factor, 0);
}

/* Mul and Div: by a constant, or the product of two rows. */
enum lower_result lower_factor(struct lowering *lowering, const struct graph_node *node) {
    bool divides = strcmp(node->op, "Div") == 0;
    const struct row_value *first = whole_input(lowering, node, 0);
    const struct row_value *second = whole_input(lowering, node, 1);
    double factor;
    for (size_t slot = 0; slot < (divides ? 1 : 2); slot++) {
        const struct row_value *row = slot == 0 ? first : second;
        if (row != NULL &&
            graph_scalar(lowering->graph, graph_input(lowering->graph, node, 1 - slot), &factor)) {
            return append_scale(lowering, node, row->reg, (float)(divides ? 1 / factor : factor),
                                0);
        }
    }
    if (divides || first == NULL || second == NULL || first->width != second->width) {
        return refuse_rows(lowering, node, "rows have a factor that is no constant number%s",
                           divides ? "" : " and no other row of their width");
    }
    return append_gate(lowering, node, PLAN_ACTIVATION_IDENTITY,
                       (struct plan_operand){.reg = first->reg},
                       (struct plan_operand){.reg = second->reg}, first->width);
}

enum lower_result lower_scale(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = whole_input(lowering, node, 0);
    if (row == NULL) {
        return refuse_rows(lowering, node, "its input is not a whole row of activations");
    }
    return append_scale(lowering, node, row->reg, graph_attribute_float(node, "factor", 1),
                        graph_attribute_float(node, "softcap", 0));
}
