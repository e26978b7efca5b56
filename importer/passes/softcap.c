/* Gemma 2 bounds its logits softly.
 *
 *     x ─▶ Div(c) ─▶ Tanh ─▶ Mul(c) ─▶ y        becomes        x ─▶ Scale(softcap c) ─▶ y
 *
 * Scale is softcap * tanh(factor * x / softcap): other factors before and behind Tanh fit, too. */
#include "importer/passes/passes.h"

/* Mul or Div of a computed value and a constant: the value, or GRAPH_NONE. */
static int behind_factor(const struct graph *graph, const struct graph_node *node, double *factor) {
    if (node == NULL) {
        return GRAPH_NONE;
    }
    bool divides = graph_node_is(node, "", "Div");
    for (size_t slot = 0; slot < (divides ? 1 : 2) && (divides || graph_node_is(node, "", "Mul"));
         slot++) {
        if (graph_scalar(graph, graph_input(graph, node, 1 - slot), factor) && *factor != 0) {
            *factor = divides ? 1 / *factor : *factor;
            return graph_input(graph, node, slot);
        }
    }
    return GRAPH_NONE;
}

static bool rewrite(struct graph *graph, struct graph_node *node, int input, double factor,
                    double softcap) {
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Scale", 1, 2)) {
        return false;
    }
    node->inputs[0] = input;
    node->input_count = 1;
    graph_set_float(node, "factor", (float)factor);
    graph_set_float(node, "softcap", (float)softcap);
    return true;
}

bool pass_softcap(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        double outer = 1;
        double inner = 1;
        const struct graph_node *tanh =
            node->removed ? NULL : graph_producer(graph, behind_factor(graph, node, &outer));
        if (tanh == NULL || !graph_node_is(tanh, "", "Tanh") || outer < 0) {
            continue;
        }
        int input = graph_input(graph, tanh, 0);
        int unscaled = behind_factor(graph, graph_producer(graph, input), &inner);
        if (!rewrite(graph, node, unscaled != GRAPH_NONE ? unscaled : input, inner * outer,
                     outer)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
        ++*changes;
    }
    return true;
}
