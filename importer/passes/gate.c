/* The gated MLP: an activated value times another.
 *
 *     g ─▶ Gelu ─▶ Mul ─▶ y                       g ─▶ Gate(gelu) ─▶ y
 *     u ────────────┘                becomes      u ─────┘
 *
 *     g ─▶ Sigmoid ─▶ Mul ─▶ Mul ─▶ y             g ─▶ Gate(silu) ─▶ y
 *     └────────────────┘      │      becomes      u ─────┘
 *     u ──────────────────────┘ */
#include "engine/plan.h"
#include "importer/passes/passes.h"

#include <string.h>

/* x * sigmoid(x), whichever way round. */
static bool match_silu(const struct graph *graph, const struct graph_node *node, int *gate) {
    for (size_t slot = 0; slot < 2; slot++) {
        const struct graph_node *sigmoid = graph_producer(graph, graph_input(graph, node, slot));
        int x = graph_input(graph, node, 1 - slot);
        if (sigmoid != NULL && graph_node_is(sigmoid, "", "Sigmoid") &&
            graph_input(graph, sigmoid, 0) == x) {
            *gate = x;
            return true;
        }
    }
    return false;
}

static bool match_gelu(const struct graph_node *node, enum plan_activation *activation) {
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
    *activation = PLAN_ACTIVATION_GELU_ERF;
    return graph_node_is(node, MICROSOFT_DOMAIN, "Gelu");
}

static bool match_activation(const struct graph *graph, int value, int *gate,
                             enum plan_activation *activation) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL) {
        return false;
    }
    if (graph_node_is(node, "", "Mul") && match_silu(graph, node, gate)) {
        *activation = PLAN_ACTIVATION_SILU;
        return true;
    }
    *gate = graph_input(graph, node, 0);
    return match_gelu(node, activation);
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
