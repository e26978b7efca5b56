/* The gated MLP: an activated value times another.
 *
 *     g ─▶ Gelu ─▶ Mul ─▶ y        becomes        g ─▶ Gate(gelu) ─▶ y
 *     u ────────────┘                             u ─────┘
 *
 * QuickGelu with alpha 1 is SiLU. */
#include "engine/plan.h"
#include "importer/passes/passes.h"

#include <string.h>

static bool match_function(const struct graph_node *node, enum plan_activation *activation) {
    const struct graph_attribute *form = graph_attribute(node, "approximate");
    bool tanh_form =
        form != NULL && form->kind == ATTRIBUTE_STRING && strcmp(form->text, "tanh") == 0;
    *activation = tanh_form ? PLAN_ACTIVATION_GELU_TANH : PLAN_ACTIVATION_GELU_ERF;
    if (graph_node_is(node, "", "Gelu")) {
        return true;
    }
    if (graph_node_is(node, MICROSOFT_DOMAIN, "FastGelu") && node->input_count == 1) {
        *activation = PLAN_ACTIVATION_GELU_TANH;
        return true;
    }
    if (graph_node_is(node, MICROSOFT_DOMAIN, "QuickGelu") &&
        graph_attribute_float(node, "alpha", 1.702f) == 1.0f) {
        *activation = PLAN_ACTIVATION_SILU;
        return true;
    }
    *activation = PLAN_ACTIVATION_GELU_ERF;
    return graph_node_is(node, MICROSOFT_DOMAIN, "Gelu");
}

static bool match_activation(const struct graph *graph, int value, int *gate,
                             enum plan_activation *activation) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL) {
        return false;
    }
    *gate = graph_input(graph, node, 0);
    return match_function(node, activation);
}

bool pass_gate(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *mul = &graph->nodes[n];
        for (size_t slot = 0; !mul->removed && slot < 2 && graph_node_is(mul, "", "Mul"); slot++) {
            int gate;
            int up = graph_input(graph, mul, 1 - slot);
            enum plan_activation activation;
            int activated = graph_input(graph, mul, slot);
            if (graph_constant(graph, up) != NULL ||
                !match_activation(graph, activated, &gate, &activation)) {
                continue;
            }
            if (!graph_rewrite(graph, mul, QUERN_DOMAIN, "Gate", 2, 1)) {
                return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
            }
            mul->inputs[0] = gate;
            mul->inputs[1] = up;
            graph_set_int(mul, "activation", (int64_t)activation);
            ++*changes;
        }
    }
    return true;
}
