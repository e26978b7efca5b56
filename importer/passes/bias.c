/* A vector added to a linear layer's output is its bias, whether by a node of its own or by an
 * activation or a norm that adds a vector first.
 *
 *     x ─▶ Linear ─▶ Add ─▶ y                    x ─▶ Linear ─▶ y
 *            vector b ┘              becomes     b ─────┘
 *
 *     x ─▶ Linear ─▶ Gate(bias b) ─▶ y           x ─▶ Linear ─▶ Gate ─▶ y
 *                                    becomes     b ─────┘
 *
 * MatMulNBits takes it as input 5, MatMulBnb4 behind the inputs that it has. Only if nothing else reads the sum's first term. */
#include "importer/passes/passes.h"

/* The input slot of a linear layer that is its bias, or 0 if the node is none or multiplies its sum. */
static size_t bias_slot(const struct graph_node *node) {
    if (graph_node_is(node, QUERN_DOMAIN, "Linear")) {
        bool multiplies = graph_attribute_float(node, "factor", 1) != 1 ||
                          graph_attribute_float(node, "bias_factor", 1) != 1;
        return multiplies ? 0 : LINEAR_BIAS;
    }
    return graph_node_is(node, MICROSOFT_DOMAIN, "MatMulNBits")  ? 5
           : graph_node_is(node, MICROSOFT_DOMAIN, "MatMulBnb4") ? 3
                                                                 : 0;
}

/* Operators that add a vector, input `bias`, to any of inputs [first, end). */
static const struct adder {
    const char *domain;
    const char *op;
    size_t first;
    size_t end;
    size_t bias;
} adders[] = {
    {QUERN_DOMAIN, "Gate", GATE_GATE, GATE_GATE + 1, GATE_BIAS},
    {MICROSOFT_DOMAIN, "SkipLayerNormalization", 0, 2, 4},
    {MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", 0, 2, 3},
};

/* Makes the vector the bias of the linear layer that gives `product`, if there is one that has none
 * yet and nothing but the sum reads it. */
static bool give_bias(struct graph *graph, int product, int bias, bool *given) {
    struct graph_node *linear = graph_producer(graph, product);
    const struct tensor *vector = graph_constant(graph, bias);
    size_t slot = linear != NULL ? bias_slot(linear) : 0;
    *given = slot != 0 && graph->values[product].uses == 1 && vector != NULL && vector->rank == 1 &&
             graph_input(graph, linear, slot) == GRAPH_NONE;
    if (!*given) {
        return true;
    }
    if (!graph_rewrite(graph, linear, linear->domain, linear->op, slot + 1, 0)) {
        return false;
    }
    linear->inputs[slot] = bias;
    return true;
}

static bool fold_add(struct graph *graph, struct graph_node *add, size_t *changes) {
    for (size_t slot = 0; slot < 2; slot++) {
        int product = graph_input(graph, add, slot);
        bool given;
        if (!give_bias(graph, product, graph_input(graph, add, 1 - slot), &given)) {
            return false;
        }
        if (given) {
            graph_replace(graph, add->outputs[0], product);
            ++*changes;
            return true;
        }
    }
    return true;
}

static bool fold_adder(struct graph *graph, struct graph_node *node, const struct adder *adder,
                       size_t *changes) {
    for (size_t slot = adder->first; slot < adder->end; slot++) {
        bool given;
        if (!give_bias(graph, graph_input(graph, node, slot), graph_input(graph, node, adder->bias),
                       &given)) {
            return false;
        }
        if (given) {
            node->inputs[adder->bias] = GRAPH_NONE;
            ++*changes;
            return true;
        }
    }
    return true;
}

bool pass_bias(struct graph *graph, size_t *changes, struct error *err) {
    bool ok = true;
    for (size_t n = 0; ok && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (node->removed) {
            continue;
        }
        ok = !graph_node_is(node, "", "Add") || fold_add(graph, node, changes);
        for (size_t i = 0; ok && i < sizeof adders / sizeof adders[0]; i++) {
            ok = !graph_node_is(node, adders[i].domain, adders[i].op) ||
                 fold_adder(graph, node, &adders[i], changes);
        }
    }
    return ok || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
}
