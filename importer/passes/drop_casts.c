/* Every activation is f32 here, so a cast between float types says nothing.
 *
 *     x (f32) ─▶ Cast(f16) ─▶ y        becomes        x
 *
 * (A model of f16 activations is thereby computed more precisely than it asks for.) Casts between
 * integers and floats, as in masks and positions, stay for the interpreter. */
#include "importer/passes/passes.h"

#include <stdlib.h>
#include <string.h>

/* Most operators yield the type of their first input. These do not: a type, or the type of another
 * input. */
static const struct {
    const char *op;
    enum tensor_type type;
    size_t input;
} typings[] = {
    {"And", TENSOR_BOOL, 0},
    {"ArgMax", TENSOR_I64, 0},
    {"DequantizeLinear", TENSOR_NONE, 1},
    {"Equal", TENSOR_BOOL, 0},
    {"GatherBlockQuantized", TENSOR_NONE, 2},
    {"Greater", TENSOR_BOOL, 0},
    {"GreaterOrEqual", TENSOR_BOOL, 0},
    {"IsNaN", TENSOR_BOOL, 0},
    {"Less", TENSOR_BOOL, 0},
    {"LessOrEqual", TENSOR_BOOL, 0},
    {"MatMulInteger", TENSOR_I32, 0},
    {"Not", TENSOR_BOOL, 0},
    {"Or", TENSOR_BOOL, 0},
    {"Shape", TENSOR_I64, 0},
    {"Size", TENSOR_I64, 0},
    {"Where", TENSOR_NONE, 1},
};

static enum tensor_type type_of(const struct graph *graph, const enum tensor_type *types,
                                int value) {
    const struct tensor *constant = graph_constant(graph, value);
    return value == GRAPH_NONE ? TENSOR_NONE : constant != NULL ? constant->type : types[value];
}

static enum tensor_type cast_target(const struct graph_node *node) {
    int64_t to = graph_attribute_int(node, "to", TENSOR_NONE);
    return to > 0 && to < 64 ? tensor_type_of((int)to) : TENSOR_NONE;
}

static enum tensor_type infer(const struct graph *graph, const enum tensor_type *types,
                              const struct graph_node *node) {
    const struct graph_attribute *value = graph_attribute(node, "value");
    if (graph_node_is(node, "", "Cast")) {
        return cast_target(node);
    }
    if (graph_node_is(node, "", "ConstantOfShape")) {
        return value != NULL && value->tensor != NULL ? value->tensor->type : TENSOR_F32;
    }
    for (size_t i = 0; i < sizeof typings / sizeof typings[0]; i++) {
        if (strcmp(typings[i].op, node->op) == 0) {
            return typings[i].type != TENSOR_NONE
                       ? typings[i].type
                       : type_of(graph, types, graph_input(graph, node, typings[i].input));
        }
    }
    return type_of(graph, types, graph_input(graph, node, 0));
}

static bool is_needless(const struct graph *graph, const enum tensor_type *types,
                        const struct graph_node *node) {
    int input = graph_input(graph, node, 0);
    if (node->removed || node->output_count != 1 || input == GRAPH_NONE) {
        return false;
    }
    enum tensor_type from = type_of(graph, types, input);
    enum tensor_type to = cast_target(node);
    bool is_cast = graph_node_is(node, "", "Cast") && from != TENSOR_NONE &&
                   (from == to || (tensor_type_is_float(from) && tensor_type_is_float(to)));
    return is_cast || graph_node_is(node, "", "Identity");
}

bool pass_drop_casts(struct graph *graph, size_t *changes, struct error *err) {
    enum tensor_type *types = calloc(graph->value_count + 1, sizeof *types);
    if (types == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for types");
    }
    for (size_t i = 0; i < graph->input_count; i++) {
        types[graph->inputs[i]] = graph->values[graph->inputs[i]].type;
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        enum tensor_type type = infer(graph, types, node);
        for (size_t i = 0; i < node->output_count; i++) {
            if (node->outputs[i] != GRAPH_NONE) {
                types[node->outputs[i]] = type;
            }
        }
        if (is_needless(graph, types, node)) {
            graph_replace(graph, node->outputs[0], graph_input(graph, node, 0));
            ++*changes;
        }
    }
    free(types);
    return true;
}
