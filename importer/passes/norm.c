/* RMS norm and layer norm, as exporters without operators for them write them out.
 *
 *     x ─▶ Pow(2) ─▶ ReduceMean(last) ─▶ Add(epsilon) ─▶ Sqrt ─▶ 1 / ─▶ Mul ─▶ Mul ─▶ y
 *     └────────────────────────────────────────────────────────────────┘   weight ┘
 *
 *     becomes        x ─▶ SimplifiedLayerNormalization(weight) ─▶ y
 *
 * The square may be a Mul, the inverse root a Reciprocal, a Div of x or a Pow(-0.5), factors may stand
 * either way round. With Sub(z, ReduceMean(z)) for x it is LayerNormalization of z, whose bias stays an
 * Add. */
#include "importer/passes/passes.h"

#include <math.h>

/* The other factor, where one of a node's two inputs is `value`; else GRAPH_NONE. */
static int other_input(const struct graph *graph, const struct graph_node *node, int value) {
    for (size_t slot = 0; slot < 2; slot++) {
        if (graph_input(graph, node, slot) == value) {
            return graph_input(graph, node, 1 - slot);
        }
    }
    return GRAPH_NONE;
}

static bool is_scalar(const struct graph *graph, int value, double expected) {
    double number;
    return graph_scalar(graph, value, &number) && number == expected;
}

/* The value whose square this is, or GRAPH_NONE. */
static int squared(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL) {
        return GRAPH_NONE;
    }
    int x = graph_input(graph, node, 0);
    int y = graph_input(graph, node, 1);
    bool is_square = (graph_node_is(node, "", "Mul") && x == y) ||
                     (graph_node_is(node, "", "Pow") && is_scalar(graph, y, 2));
    return is_square ? x : GRAPH_NONE;
}

/* The value whose mean over the last dimension, which stays as 1, this is. */
static int mean_of(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL || !graph_node_is(node, "", "ReduceMean") ||
        graph_attribute_int(node, "keepdims", 1) != 1) {
        return GRAPH_NONE;
    }
    const struct tensor *axes = graph_constant(graph, graph_input(graph, node, 1));
    const struct graph_attribute *attribute = graph_attribute(node, "axes");
    bool given = attribute != NULL && attribute->kind == ATTRIBUTE_INTS && attribute->count == 1;
    bool is_last = axes != NULL ? axes->count == 1 && tensor_integer(axes, 0) == -1
                                : given && attribute->integers[0] == -1;
    return is_last ? graph_input(graph, node, 0) : GRAPH_NONE;
}

/* The value of which this is mean(x^2) + epsilon. */
static int mean_square(const struct graph *graph, int value, double *epsilon) {
    const struct graph_node *add = graph_producer(graph, value);
    if (add == NULL || !graph_node_is(add, "", "Add")) {
        return GRAPH_NONE;
    }
    for (size_t slot = 0; slot < 2; slot++) {
        if (graph_scalar(graph, graph_input(graph, add, slot), epsilon)) {
            int mean = mean_of(graph, graph_input(graph, add, 1 - slot));
            return mean != GRAPH_NONE ? squared(graph, mean) : GRAPH_NONE;
        }
    }
    return GRAPH_NONE;
}

static int root_of(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    return node != NULL && graph_node_is(node, "", "Sqrt") ? graph_input(graph, node, 0)
                                                           : GRAPH_NONE;
}

/* What 1 / sqrt(..) this is of. */
static int inverse_root(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL) {
        return GRAPH_NONE;
    }
    if (graph_node_is(node, "", "Pow") && is_scalar(graph, graph_input(graph, node, 1), -0.5)) {
        return graph_input(graph, node, 0);
    }
    bool inverts =
        graph_node_is(node, "", "Div") && is_scalar(graph, graph_input(graph, node, 0), 1);
    if (inverts) {
        return root_of(graph, graph_input(graph, node, 1));
    }
    return graph_node_is(node, "", "Reciprocal") ? root_of(graph, graph_input(graph, node, 0))
                                                 : GRAPH_NONE;
}

/* x, if the value is x / sqrt(mean(x^2) + epsilon); else GRAPH_NONE. */
static int normalized(const struct graph *graph, int value, double *epsilon) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL) {
        return GRAPH_NONE;
    }
    if (graph_node_is(node, "", "Div")) {
        int inner = root_of(graph, graph_input(graph, node, 1));
        int x = inner != GRAPH_NONE ? mean_square(graph, inner, epsilon) : GRAPH_NONE;
        return x == graph_input(graph, node, 0) ? x : GRAPH_NONE;
    }
    for (size_t slot = 0; slot < 2 && graph_node_is(node, "", "Mul"); slot++) {
        int inner = inverse_root(graph, graph_input(graph, node, slot));
        int x = inner != GRAPH_NONE ? mean_square(graph, inner, epsilon) : GRAPH_NONE;
        if (x != GRAPH_NONE && x == other_input(graph, node, graph_input(graph, node, slot))) {
            return x;
        }
    }
    return GRAPH_NONE;
}

/* z, if the value is z - mean(z); else GRAPH_NONE. */
static int centred(const struct graph *graph, int value) {
    const struct graph_node *sub = graph_producer(graph, value);
    int z = sub != NULL && graph_node_is(sub, "", "Sub") ? graph_input(graph, sub, 0) : GRAPH_NONE;
    return z != GRAPH_NONE && mean_of(graph, graph_input(graph, sub, 1)) == z ? z : GRAPH_NONE;
}

bool pass_norm(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *mul = &graph->nodes[n];
        for (size_t slot = 0; !mul->removed && slot < 2 && graph_node_is(mul, "", "Mul"); slot++) {
            int weight = graph_input(graph, mul, slot);
            double epsilon;
            int x =
                graph_constant(graph, weight) == NULL || graph_constant(graph, weight)->rank != 1
                    ? GRAPH_NONE
                    : normalized(graph, graph_input(graph, mul, 1 - slot), &epsilon);
            if (x == GRAPH_NONE) {
                continue;
            }
            int z = centred(graph, x);
            const char *op =
                z != GRAPH_NONE ? "LayerNormalization" : "SimplifiedLayerNormalization";
            if (!graph_rewrite(graph, mul, "", op, 2, 2)) {
                return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
            }
            mul->inputs[0] = z != GRAPH_NONE ? z : x;
            mul->inputs[1] = weight;
            graph_set_int(mul, "axis", -1);
            graph_set_float(mul, "epsilon", (float)epsilon);
            ++*changes;
        }
    }
    return true;
}
