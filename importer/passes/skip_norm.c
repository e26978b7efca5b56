/* The residual stream: a norm of a sum, which also goes on as the sum.
 *
 *     a ─▶ Add ─▶ s ─▶ SimplifiedLayerNormalization ─▶ y
 *     b ────┘     └──▶ other readers
 *
 *     becomes        a ─▶ SkipSimplifiedLayerNormalization ─▶ y
 *                    b ───────┘                           └─▶ s
 *
 * LayerNormalization likewise. Only where the norm comes before all other readers of the sum, because
 * from now on it is the norm that makes it. */
#include "importer/passes/passes.h"

static const struct {
    const char *op;
    const char *skip;
} norms[] = {
    {"LayerNormalization", "SkipLayerNormalization"},
    {"RMSNormalization", "SkipSimplifiedLayerNormalization"},
    {"SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"},
};

enum { OUTPUT_SUM = 3 };

static const char *skip_form(const struct graph_node *node) {
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++) {
        if (graph_node_is(node, "", norms[i].op)) {
            return norms[i].skip;
        }
    }
    return NULL;
}

/* Is the node the first that reads the value? */
static bool reads_first(const struct graph *graph, const struct graph_node *node, int value) {
    size_t index = (size_t)(node - graph->nodes);
    for (size_t n = (size_t)graph->values[value].producer + 1; n < index; n++) {
        for (size_t i = 0; !graph->nodes[n].removed && i < graph->nodes[n].input_count; i++) {
            if (graph_input(graph, &graph->nodes[n], i) == value) {
                return false;
            }
        }
    }
    return true;
}

/* The Add of two values that are not constants whose sum the norm can make; else NULL. */
static struct graph_node *find_sum(const struct graph *graph, const struct graph_node *norm) {
    int sum = graph_input(graph, norm, 0);
    struct graph_node *add = graph_producer(graph, sum);
    if (add == NULL || !graph_node_is(add, "", "Add") || graph->values[sum].is_output ||
        graph_attribute_int(norm, "axis", -1) != -1 ||
        graph_constant(graph, graph_input(graph, add, 0)) != NULL ||
        graph_constant(graph, graph_input(graph, add, 1)) != NULL ||
        !reads_first(graph, norm, sum)) {
        return NULL;
    }
    return add;
}

/* SkipLayerNormalization(input, skip, gamma, beta): the norm's own inputs follow the two summands. */
static bool rewrite(struct graph *graph, struct graph_node *norm, const struct graph_node *add,
                    const char *skip) {
    int sum = add->outputs[0];
    int weight = graph_input(graph, norm, 1);
    int bias = graph_input(graph, norm, 2);
    float epsilon = graph_attribute_float(norm, "epsilon", 1e-5f);
    int *outputs = arena_allocate(graph->arena, OUTPUT_SUM + 1, sizeof *outputs);
    if (outputs == NULL || !graph_rewrite(graph, norm, MICROSOFT_DOMAIN, skip, 4, 1)) {
        return false;
    }
    norm->inputs[0] = graph_input(graph, add, 0);
    norm->inputs[1] = graph_input(graph, add, 1);
    norm->inputs[2] = weight;
    norm->inputs[3] = bias;
    graph_set_float(norm, "epsilon", epsilon);
    outputs[0] = norm->outputs[0];
    outputs[1] = outputs[2] = GRAPH_NONE;
    outputs[OUTPUT_SUM] = sum;
    norm->outputs = outputs;
    norm->output_count = OUTPUT_SUM + 1;
    graph->values[sum].producer = (int)(norm - graph->nodes);
    return true;
}

bool pass_skip_norm(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *norm = &graph->nodes[n];
        const char *skip = norm->removed ? NULL : skip_form(norm);
        struct graph_node *add = skip != NULL ? find_sum(graph, norm) : NULL;
        if (add == NULL) {
            continue;
        }
        if (!rewrite(graph, norm, add, skip)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
        add->removed = true;
        ++*changes;
    }
    return true;
}
