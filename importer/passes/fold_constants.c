/* What depends on no input is computed now.
 *
 *     constant ─▶ Reshape ─▶ value        becomes        constant' ─▶ value
 *     constant ──────┘
 *
 * A reshaped weight keeps its bytes where they are in the mapped file, so a tied embedding stays one
 * tensor. Operators that would copy a large one are left to the passes that know what it is. */
#include "importer/interpret.h"
#include "importer/passes/passes.h"

#include <string.h>

enum {
    FOLD_ELEMENTS_MAX = 4096,  /* of an input that has to be copied: shapes, scalars, norms */
    FOLD_BYTES_MAX = 64 << 20, /* in all: bounds what a hostile file can make us compute */
    FOLD_INPUTS_MAX = 16,
};

/* Operators whose output has the very bytes of their first input. */
static bool keeps_bytes(const struct graph_node *node) {
    static const char *const ops[] = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(node->op, ops[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_foldable(const struct graph *graph, const struct graph_node *node,
                        const struct tensor **inputs) {
    if (node->removed || !interpret_knows(node) || node->input_count > FOLD_INPUTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(graph, node, i);
        inputs[i] = graph_constant(graph, input);
        bool computed = input != GRAPH_NONE && inputs[i] == NULL;
        bool large = inputs[i] != NULL && inputs[i]->count > FOLD_ELEMENTS_MAX;
        if (computed || (large && !(i == 0 && keeps_bytes(node)))) {
            return false;
        }
    }
    return true;
}

/* Replaces the value by a constant, which is called like value `named`. */
static bool hold(struct graph *graph, int value, int named, const struct tensor *tensor,
                 struct error *err) {
    int constant = graph_add_constant(graph, graph_value_name(graph, named), tensor);
    if (constant == GRAPH_NONE) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a constant");
    }
    graph_replace(graph, value, constant);
    return true;
}

/* A node that cannot be computed stays; if it matters, lowering will say why. */
static bool compute(struct graph *graph, struct graph_node *node,
                    const struct tensor *const *inputs, struct tensor *folded) {
    struct error why = {0};
    if (interpret_node(node, inputs, folded, graph->arena, &why)) {
        return true;
    }
    char description[GRAPH_DESCRIPTION_BYTES]; /* which the error begins with, and a reason, too */
    graph_node_describe(node, description);
    size_t begin = strlen(description) + strlen(": ");
    if (why.code == ERROR_BAD_FILE && node->note == NULL && begin < strlen(why.text)) {
        node->note = arena_copy_text(graph->arena, why.text + begin, strlen(why.text + begin));
    }
    return false;
}

bool pass_fold_constants(struct graph *graph, size_t *changes, struct error *err) {
    size_t limit = graph->arena->total + FOLD_BYTES_MAX;
    for (size_t n = 0; n < graph->node_count && graph->arena->total < limit; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (node->output_count != 1 || node->outputs[0] == GRAPH_NONE) {
            continue;
        }
        const struct tensor *inputs[FOLD_INPUTS_MAX];
        struct tensor folded;
        const struct tensor *result = NULL;
        int named = node->outputs[0];
        const struct graph_attribute *value = graph_attribute(node, "value");
        if (graph_node_is(node, "", "Constant")) {
            result = value != NULL ? value->tensor : NULL;
        } else if (is_foldable(graph, node, inputs) && compute(graph, node, inputs, &folded)) {
            result = &folded;
            named = keeps_bytes(node) ? graph_input(graph, node, 0) : named;
        }
        if (result == NULL) {
            continue;
        }
        if (!hold(graph, node->outputs[0], named, result, err)) {
            return false;
        }
        ++*changes;
    }
    return true;
}
