/* Linear layers whose activations are quantized.
 *
 *     x ─▶ DynamicQuantizeLinear ─▶ MatMulInteger ─▶ Cast ─▶ Mul ─▶ y
 *                     │             W, its zero point        Mul of both scales
 *                     └──────────────────────────────────────┘
 *
 *     becomes        x ─▶ Linear ─▶ y
 *                    W, its scale and zero point ┘
 *
 * and so do what onnxruntime fuses that into, DynamicQuantizeMatMul and MatMulIntegerToFloat. The one
 * scale for all of x would make a row depend on the others of its batch: how activations are quantized
 * is left to the engine, which does it row by row.
 *
 * Rows of a quantized embedding need no quantizing. A layer that reads them becomes one of the rows that
 * others read dequantized:
 *
 *     codes ─▶ Gather ─┬─▶ DequantizeLinear ─▶ x
 *                      └─▶ MatMulInteger ─▶ Cast ─▶ Mul ─▶ y     becomes     x ─▶ Linear ─▶ y
 *
 * That is seen before constants are folded only: then both scales are one number. */
#include "importer/passes/constant_weight.h"
#include "importer/passes/passes.h"

#include <stdlib.h>

enum { QUANTIZED = 0, SCALE = 1, ZERO_POINT = 2 }; /* outputs of DynamicQuantizeLinear */

/* What the pass works on: the node that dequantizes a value, the last one, or GRAPH_NONE. */
struct layers {
    struct graph *graph;
    int *dequantizers; /* of each value */
};

static bool find_dequantizers(struct layers *layers) {
    const struct graph *graph = layers->graph;
    layers->dequantizers = malloc((graph->value_count + 1) * sizeof *layers->dequantizers);
    if (layers->dequantizers == NULL) {
        return false;
    }
    for (size_t v = 0; v < graph->value_count; v++) {
        layers->dequantizers[v] = GRAPH_NONE;
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        int value = graph_input(graph, node, 0);
        if (!node->removed && graph_node_is(node, "", "DequantizeLinear") && value != GRAPH_NONE) {
            layers->dequantizers[value] = (int)n;
        }
    }
    return true;
}

/* The rows that these are, quantized, with their scale and zero point; or GRAPH_NONE. */
static int rows_before(const struct layers *layers, int quantized, int scale, int zero_point) {
    const struct graph *graph = layers->graph;
    const struct graph_node *node = graph_producer(graph, quantized);
    if (node == NULL) {
        return GRAPH_NONE;
    }
    if (graph_node_is(node, "", "DynamicQuantizeLinear")) {
        bool fits = node->output_count == 3 && node->outputs[QUANTIZED] == quantized &&
                    node->outputs[SCALE] == scale && node->outputs[ZERO_POINT] == zero_point;
        return fits ? graph_input(graph, node, 0) : GRAPH_NONE;
    }
    const struct tensor *number = graph_constant(graph, scale);
    if (layers->dequantizers[quantized] == GRAPH_NONE || number == NULL || number->count != 1) {
        return GRAPH_NONE;
    }
    node = &graph->nodes[layers->dequantizers[quantized]];
    bool fits = graph_input(graph, node, 1) == scale && graph_input(graph, node, 2) == zero_point;
    return fits ? node->outputs[0] : GRAPH_NONE;
}

/* A product of two, of which the first is made by MatMulInteger and Cast. */
struct product {
    const struct graph_node *matmul;
    int scale;
};

static bool find_product(const struct graph *graph, const struct graph_node *mul,
                         struct product *product) {
    for (size_t slot = 0; slot < 2 && graph_node_is(mul, "", "Mul"); slot++) {
        const struct graph_node *cast = graph_producer(graph, graph_input(graph, mul, slot));
        if (cast == NULL || !graph_node_is(cast, "", "Cast")) {
            continue;
        }
        product->matmul = graph_producer(graph, graph_input(graph, cast, 0));
        product->scale = graph_input(graph, mul, 1 - slot);
        if (product->matmul != NULL && graph_node_is(product->matmul, "", "MatMulInteger")) {
            return true;
        }
    }
    return false;
}

static bool set_linear(struct graph *graph, struct graph_node *node, int x, int data, int scale,
                       int zero_point, int bias, size_t *changes) {
    const struct tensor *matrix = graph_constant(graph, data);
    struct constant_weight weight = {
        .data = data, .scales = scale, .zero_points = zero_point, .axis = 1};
    if (matrix == NULL || matrix->rank != 2) {
        return true;
    }
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Linear", LINEAR_INPUTS, 3)) {
        return false;
    }
    node->inputs[LINEAR_X] = x;
    node->inputs[LINEAR_BIAS] = bias;
    constant_weight_set(node, &weight, LINEAR_WEIGHT, LINEAR_SCALES, true);
    ++*changes;
    return true;
}

static bool rewrite_product(const struct layers *layers, struct graph_node *node,
                            const struct product *product, size_t *changes) {
    struct graph *graph = layers->graph;
    const struct graph_node *scales = graph_producer(graph, product->scale);
    if (scales == NULL || !graph_node_is(scales, "", "Mul")) {
        return true;
    }
    for (size_t slot = 0; slot < 2; slot++) {
        int rows =
            rows_before(layers, graph_input(graph, product->matmul, 0),
                        graph_input(graph, scales, slot), graph_input(graph, product->matmul, 2));
        if (rows != GRAPH_NONE) {
            return set_linear(graph, node, rows, graph_input(graph, product->matmul, 1),
                              graph_input(graph, scales, 1 - slot),
                              graph_input(graph, product->matmul, 3), GRAPH_NONE, changes);
        }
    }
    return true;
}

static bool rewrite(const struct layers *layers, struct graph_node *node, size_t *changes) {
    struct graph *graph = layers->graph;
    struct product product;
    int in[7];
    for (size_t i = 0; i < 7; i++) {
        in[i] = graph_input(graph, node, i);
    }
    if (find_product(graph, node, &product)) {
        return rewrite_product(layers, node, &product, changes);
    }
    if (graph_node_is(node, MICROSOFT_DOMAIN, "DynamicQuantizeMatMul")) {
        return set_linear(graph, node, in[0], in[1], in[2], in[3], in[4], changes);
    }
    if (graph_node_is(node, MICROSOFT_DOMAIN, "MatMulIntegerToFloat")) {
        int rows = rows_before(layers, in[0], in[2], in[4]);
        return rows == GRAPH_NONE ||
               set_linear(graph, node, rows, in[1], in[3], in[5], in[6], changes);
    }
    return true;
}

bool pass_dynamic_int8(struct graph *graph, size_t *changes, struct error *err) {
    struct layers layers = {.graph = graph};
    bool sound = find_dequantizers(&layers);
    for (size_t n = 0; sound && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        sound = node->removed || rewrite(&layers, node, changes);
    }
    free(layers.dequantizers);
    if (!sound) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
    }
    return *changes == 0 || graph_sort(graph, err);
}
