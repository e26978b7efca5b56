/* A MatMul or Gemm with a constant matrix, which may be quantized, is a linear layer, with room for a
 * bias.
 *
 *     x ─▶ MatMul ─▶ y                            becomes        x ─▶ Linear ─▶ y
 *     W (in, out) ┘                                              W ─────┘
 *
 *     codes ─▶ DequantizeLinear ─▶ MatMul ─▶ y    becomes        x ─▶ Linear ─▶ y
 *     scales, zero points ─┘     x ─┘                            codes, scales, zero points ┘ */
#include "importer/passes/constant_weight.h"
#include "importer/passes/passes.h"

static bool set_linear(struct graph *graph, struct graph_node *node,
                       const struct constant_weight *weight, bool transposed, int bias) {
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Linear", LINEAR_INPUTS, 5)) {
        return false;
    }
    node->inputs[LINEAR_BIAS] = bias;
    constant_weight_set(node, weight, LINEAR_WEIGHT, LINEAR_SCALES, transposed);
    return true;
}

static bool rewrite_gemm(struct graph *graph, struct graph_node *node,
                         const struct constant_weight *weight, size_t *changes) {
    float alpha = graph_attribute_float(node, "alpha", 1);
    float beta = graph_attribute_float(node, "beta", 1);
    bool turned = graph_attribute_int(node, "transB", 0) != 0;
    if (graph_attribute_int(node, "transA", 0) != 0 || alpha == 0) {
        return true;
    }
    /* The matrix is (in, out) unless turned: then outputs are columns of it. */
    if (!set_linear(graph, node, weight, turned == weight->transposed,
                    graph_input(graph, node, 2))) {
        return false;
    }
    graph_set_float(node, "factor", alpha);
    graph_set_float(node, "bias_factor", beta / alpha);
    ++*changes;
    return true;
}

bool pass_linear(struct graph *graph, size_t *changes, struct error *err) {
    bool ok = true;
    for (size_t n = 0; ok && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        struct constant_weight weight;
        bool product = graph_node_is(node, "", "MatMul");
        if (node->removed || (!product && !graph_node_is(node, "", "Gemm")) ||
            !constant_weight_find(graph, graph_input(graph, node, 1), &weight)) {
            continue;
        }
        if (product) {
            ok = set_linear(graph, node, &weight, !weight.transposed, GRAPH_NONE);
            ++*changes;
        } else {
            ok = rewrite_gemm(graph, node, &weight, changes);
        }
    }
    return ok || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
}
