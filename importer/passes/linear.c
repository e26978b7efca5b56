/* A MatMul with a constant matrix is a linear layer, with room for a bias.
 *
 *     x ─▶ MatMul ─▶ y        becomes        x ─▶ Linear ─▶ y
 *     W (in, out) ┘                          W ─────┘ */
#include "importer/passes/passes.h"

bool pass_linear(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (node->removed || !graph_node_is(node, "", "MatMul")) {
            continue;
        }
        const struct tensor *weight = graph_constant(graph, graph_input(graph, node, 1));
        if (weight == NULL || weight->rank != 2 || !tensor_type_is_float(weight->type)) {
            continue;
        }
        if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Linear", 3, 0)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
        ++*changes;
    }
    return true;
}
