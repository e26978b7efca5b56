/* A product with two matrices that the graph takes as inputs, added to another value, is what an
 * adapter (LoRA) adds to a linear layer.
 *
 *     x ─▶ .. ─▶ base ───────────────────────┐                           base ─▶ LowRank ─▶ y
 *     x ─▶ MatMul ─▶ MatMul ─▶ Mul(number) ─▶ Add ─▶ y     becomes       x ──────┘│
 *     down ──┘        up ┘                                               down, up ┘
 *
 * The number may be missing, or be anywhere in between, and either matrix may come out of a
 * Transpose. An input with an initializer counts as one: exporters give it an empty matrix, so that
 * it can be left out. */
#include "importer/passes/passes.h"

enum { STEPS_MAX = 4 }; /* casts, or products with numbers, one behind the other */

struct low_rank {
    int x;
    int down;
    int up;
    bool down_turned;
    bool up_turned;
    float factor;
};

static bool is_float_cast(const struct graph_node *node) {
    int64_t to = graph_attribute_int(node, "to", TENSOR_NONE);
    return graph_node_is(node, "", "Identity") ||
           (graph_node_is(node, "", "Cast") && to > 0 && to < 64 &&
            tensor_type_is_float(tensor_type_of((int)to)));
}

static int before_casts(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    for (int i = 0; i < STEPS_MAX && node != NULL && is_float_cast(node); i++) {
        value = graph_input(graph, node, 0);
        node = graph_producer(graph, value);
    }
    return value;
}

/* Constants have not been folded yet. */
static bool read_number(const struct graph *graph, int value, double *number) {
    value = before_casts(graph, value);
    const struct graph_node *node = graph_producer(graph, value);
    const struct graph_attribute *attribute =
        node != NULL && graph_node_is(node, "", "Constant") ? graph_attribute(node, "value") : NULL;
    if (attribute != NULL && attribute->tensor != NULL && attribute->tensor->count == 1) {
        *number = tensor_number(attribute->tensor, 0);
        return true;
    }
    return graph_scalar(graph, value, number);
}

/* The value before casts and products with numbers, which *factor takes in. */
static int before_factors(const struct graph *graph, int value, float *factor) {
    for (int i = 0; i < STEPS_MAX; i++) {
        value = before_casts(graph, value);
        const struct graph_node *node = graph_producer(graph, value);
        double number;
        if (node == NULL || !graph_node_is(node, "", "Mul")) {
            return value;
        }
        if (read_number(graph, graph_input(graph, node, 1), &number)) {
            value = graph_input(graph, node, 0);
        } else if (read_number(graph, graph_input(graph, node, 0), &number)) {
            value = graph_input(graph, node, 1);
        } else {
            return value;
        }
        *factor *= (float)number;
    }
    return before_casts(graph, value);
}

static bool turns_matrix(const struct graph_node *node) {
    const struct graph_attribute *order = graph_attribute(node, "perm");
    return graph_node_is(node, "", "Transpose") &&
           (order == NULL || (order->kind == ATTRIBUTE_INTS && order->count == 2 &&
                              order->integers[0] == 1 && order->integers[1] == 0));
}

/* The input of the graph that the value is, turned or not; GRAPH_NONE if it is no matrix. */
static int find_matrix(const struct graph *graph, int value, bool *turned) {
    value = before_casts(graph, value);
    const struct graph_node *node = graph_producer(graph, value);
    *turned = node != NULL && turns_matrix(node);
    value = *turned ? before_casts(graph, graph_input(graph, node, 0)) : value;
    if (value == GRAPH_NONE) {
        return GRAPH_NONE;
    }
    const struct graph_value *input = &graph->values[value];
    bool is_matrix = (input->is_input || input->is_default) && input->rank == 2 &&
                     tensor_type_is_float(input->type);
    return is_matrix ? value : GRAPH_NONE;
}

static const struct graph_node *product(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    return node != NULL && graph_node_is(node, "", "MatMul") ? node : NULL;
}

static bool find_low_rank(const struct graph *graph, int value, struct low_rank *found) {
    *found = (struct low_rank){.factor = 1};
    const struct graph_node *second = product(graph, before_factors(graph, value, &found->factor));
    if (second == NULL) {
        return false;
    }
    found->up = find_matrix(graph, graph_input(graph, second, 1), &found->up_turned);
    int middle = before_factors(graph, graph_input(graph, second, 0), &found->factor);
    const struct graph_node *first = product(graph, middle);
    if (found->up == GRAPH_NONE || first == NULL) {
        return false;
    }
    found->down = find_matrix(graph, graph_input(graph, first, 1), &found->down_turned);
    found->x = graph_input(graph, first, 0);
    return found->down != GRAPH_NONE;
}

static bool rewrite(struct graph *graph, struct graph_node *add, int base,
                    const struct low_rank *found) {
    if (!graph_rewrite(graph, add, QUERN_DOMAIN, "LowRank", LOW_RANK_INPUTS, 3)) {
        return false;
    }
    add->inputs[LOW_RANK_BASE] = base;
    add->inputs[LOW_RANK_X] = found->x;
    add->inputs[LOW_RANK_DOWN] = found->down;
    add->inputs[LOW_RANK_UP] = found->up;
    graph_set_int(add, "down_turned", found->down_turned);
    graph_set_int(add, "up_turned", found->up_turned);
    graph_set_float(add, "factor", found->factor);
    return true;
}

bool pass_low_rank(struct graph *graph, size_t *changes, struct error *err) {
    bool ok = true;
    for (size_t n = 0; ok && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        for (size_t slot = 0; ok && slot < 2 && graph_node_is(node, "", "Add"); slot++) {
            struct low_rank found;
            if (!node->removed && find_low_rank(graph, graph_input(graph, node, slot), &found)) {
                ok = rewrite(graph, node, graph_input(graph, node, 1 - slot), &found);
                ++*changes;
            }
        }
    }
    return ok || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
}
