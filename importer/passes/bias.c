/* A vector added to a linear layer's output is its bias.
 *
 *     x ─▶ Linear ─▶ Add ─▶ y        becomes        x ─▶ Linear ─▶ y
 *            vector b ┘                             b ─────┘
 *
 * MatMulNBits takes it as input 5. Only if nothing else reads the sum's first term. */
#include "importer/passes/passes.h"

/* The input slot of a linear layer that is its bias, or 0 if the node is none. */
static size_t bias_slot(const struct graph_node *node) {
    if (graph_node_is(node, QUERN_DOMAIN, "Linear")) {
        return 2;
    }
    return graph_node_is(node, MICROSOFT_DOMAIN, "MatMulNBits") ? 5 : 0;
}

bool pass_bias(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *add = &graph->nodes[n];
        for (size_t slot = 0; !add->removed && slot < 2 && graph_node_is(add, "", "Add"); slot++) {
            int product = graph_input(graph, add, slot);
            int bias = graph_input(graph, add, 1 - slot);
            struct graph_node *linear = graph_producer(graph, product);
            const struct tensor *vector = graph_constant(graph, bias);
            size_t to = linear != NULL ? bias_slot(linear) : 0;
            if (to == 0 || graph->values[product].uses != 1 || vector == NULL ||
                vector->rank != 1 || graph_input(graph, linear, to) != GRAPH_NONE) {
                continue;
            }
            if (!graph_rewrite(graph, linear, linear->domain, linear->op, to + 1, 0)) {
                return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
            }
            linear->inputs[to] = bias;
            graph_replace(graph, add->outputs[0], product);
            ++*changes;
        }
    }
    return true;
}
