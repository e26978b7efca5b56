/* Activations, and the gated MLP: an activated value times another.
 *
 *     g ─▶ Gelu ─▶ y                 becomes      g ─▶ Gate(gelu) ─▶ y
 *
 *     g ─▶ Gelu ─▶ Mul ─▶ y                       g ─▶ Gate(gelu) ─▶ y
 *     u ────────────┘                becomes      u ─────┘
 *
 *     g ─▶ Relu ─▶ Pow(2) ─▶ y       becomes      g ─▶ Gate(relu squared) ─▶ y
 *
 * QuickGelu with alpha 1 is SiLU. */
#include "engine/plan.h"
#include "importer/passes/passes.h"

#include <string.h>

static const struct {
    const char *domain;
    const char *op;
    enum plan_activation activation; /* of Gelu and QuickGelu an attribute decides */
} operators[] = {
    {"", "Gelu", PLAN_ACTIVATION_GELU_ERF},
    {"", "Relu", PLAN_ACTIVATION_RELU},
    {"", "Sigmoid", PLAN_ACTIVATION_SIGMOID},
    {MICROSOFT_DOMAIN, "BiasGelu", PLAN_ACTIVATION_GELU_ERF},
    {MICROSOFT_DOMAIN, "FastGelu", PLAN_ACTIVATION_GELU_TANH},
    {MICROSOFT_DOMAIN, "Gelu", PLAN_ACTIVATION_GELU_ERF},
    {MICROSOFT_DOMAIN, "QuickGelu", PLAN_ACTIVATION_QUICK_GELU},
};

/* x * sigmoid(alpha x) has a kernel for two values of alpha. */
static bool read_alpha(const struct graph_node *node, enum plan_activation *activation) {
    float alpha = graph_attribute_float(node, "alpha", 1.702f);
    if (alpha == 1.0f) {
        *activation = PLAN_ACTIVATION_SILU;
    }
    return alpha == 1.0f || alpha == 1.702f;
}

/* Is it an operator of one activated input? */
static bool read_activation(const struct graph_node *node, enum plan_activation *activation) {
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!graph_node_is(node, operators[i].domain, operators[i].op)) {
            continue;
        }
        *activation = operators[i].activation;
        if (strcmp(graph_attribute_text(node, "approximate", "none"), "tanh") == 0) {
            *activation = PLAN_ACTIVATION_GELU_TANH;
        }
        return strcmp(node->op, "QuickGelu") != 0 || read_alpha(node, activation);
    }
    return false;
}

/* The node that activates the value and does nothing else, or NULL. */
static const struct graph_node *activation_of(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    bool activates = node != NULL && graph_node_is(node, QUERN_DOMAIN, "Gate") &&
                     graph_input(graph, node, GATE_UP) == GRAPH_NONE;
    return activates ? node : NULL;
}

static enum plan_activation which(const struct graph_node *gate) {
    return (enum plan_activation)graph_attribute_int(gate, "activation", 0);
}

static bool set_gate(struct graph *graph, struct graph_node *node, enum plan_activation activation,
                     int gate, int up, int bias) {
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Gate", GATE_INPUTS, 1)) {
        return false;
    }
    node->inputs[GATE_GATE] = gate;
    node->inputs[GATE_UP] = up;
    node->inputs[GATE_BIAS] = bias;
    graph_set_int(node, "activation", (int64_t)activation);
    return true;
}

/* Relu, then Pow with exponent 2. */
static bool is_relu_squared(const struct graph *graph, const struct graph_node *node,
                            const struct graph_node *activated) {
    double exponent;
    return graph_node_is(node, "", "Pow") && activated != NULL &&
           which(activated) == PLAN_ACTIVATION_RELU &&
           graph_scalar(graph, graph_input(graph, node, 1), &exponent) && exponent == 2.0;
}

static bool rewrite(struct graph *graph, struct graph_node *node, size_t *changes) {
    enum plan_activation activation;
    if (read_activation(node, &activation)) {
        bool adds_bias = graph_node_is(node, MICROSOFT_DOMAIN, "BiasGelu") ||
                         graph_node_is(node, MICROSOFT_DOMAIN, "FastGelu");
        ++*changes;
        return set_gate(graph, node, activation, graph_input(graph, node, 0), GRAPH_NONE,
                        adds_bias ? graph_input(graph, node, 1) : GRAPH_NONE);
    }
    const struct graph_node *base = activation_of(graph, graph_input(graph, node, 0));
    if (is_relu_squared(graph, node, base)) {
        ++*changes;
        return set_gate(graph, node, PLAN_ACTIVATION_RELU_SQUARED,
                        graph_input(graph, base, GATE_GATE), GRAPH_NONE, GRAPH_NONE);
    }
    for (size_t slot = 0; slot < 2 && graph_node_is(node, "", "Mul"); slot++) {
        const struct graph_node *activated = activation_of(graph, graph_input(graph, node, slot));
        if (activated != NULL &&
            graph_constant(graph, graph_input(graph, node, 1 - slot)) == NULL) {
            ++*changes;
            return set_gate(graph, node, which(activated), graph_input(graph, activated, GATE_GATE),
                            graph_input(graph, node, 1 - slot),
                            graph_input(graph, activated, GATE_BIAS));
        }
    }
    return true;
}

bool pass_gate(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (!node->removed && !rewrite(graph, node, changes)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
    }
    return true;
}
