#include "importer/passes/constant_weight.h"

#include "importer/passes/passes.h"

/* A Transpose of a matrix; without `perm` it reverses the dimensions. */
static bool swaps(const struct graph_node *node) {
    const struct graph_attribute *order = graph_attribute(node, "perm");
    return graph_node_is(node, "", "Transpose") &&
           (order == NULL || order->kind != ATTRIBUTE_INTS ||
            (order->count == 2 && order->integers[0] == 1));
}

bool constant_weight_find(const struct graph *graph, int value, struct constant_weight *weight) {
    *weight = (struct constant_weight){
        .scales = GRAPH_NONE, .zero_points = GRAPH_NONE, .axis = 1, .block_size = 0};
    const struct graph_node *node = graph_producer(graph, value);
    if (node != NULL && swaps(node)) {
        weight->transposed = true;
        value = graph_input(graph, node, 0);
        node = graph_producer(graph, value);
    }
    if (node != NULL && (graph_node_is(node, "", "DequantizeLinear") ||
                         graph_node_is(node, MICROSOFT_DOMAIN, "DequantizeLinear"))) {
        value = graph_input(graph, node, 0);
        weight->scales = graph_input(graph, node, 1);
        weight->zero_points = graph_input(graph, node, 2);
        weight->axis = graph_attribute_int(node, "axis", 1);
        weight->block_size = graph_attribute_int(node, "block_size", 0);
        node = graph_producer(graph, value);
        const struct tensor *scales = graph_constant(graph, weight->scales);
        /* Codes may be transposed as well; one scale, or a vector of them, is no matrix to follow. */
        if (node != NULL && swaps(node) && scales != NULL && scales->rank <= 1) {
            value = graph_input(graph, node, 0);
            weight->transposed = !weight->transposed;
            weight->axis = weight->axis == 0 || weight->axis == -2 ? 1 : 0;
        }
    }
    weight->data = value;
    const struct tensor *tensor = graph_constant(graph, value);
    return tensor != NULL && tensor->rank == 2 &&
           tensor_type_is_float(tensor->type) == (weight->scales == GRAPH_NONE);
}

void constant_weight_set(struct graph_node *node, const struct constant_weight *weight, int data,
                         int scales, bool transposed) {
    node->inputs[data] = weight->data;
    node->inputs[scales] = weight->scales;
    node->inputs[scales + 1] = weight->zero_points;
    graph_set_int(node, "transposed", transposed);
    graph_set_int(node, "axis", weight->axis);
    graph_set_int(node, "block_size", weight->block_size);
}
