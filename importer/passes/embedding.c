/* The embedding, in the three forms in which exports have it.
 *
 *     table ─▶ Gather(axis 0) ─▶ y                      table ─▶ Embed ─▶ y
 *     ids ───────┘                                      ids ──────┘
 *
 *     table ─▶ Transpose ─▶ Gather ─▶ y      becomes    table ─▶ Embed(transposed) ─▶ y
 *     ids ────────────────────┘                         ids ──────┘
 *
 *     table ─▶ GatherBlockQuantized ─▶ y                table ─▶ Embed(bits, block_size) ─▶ y
 *     ids ───────┘  scales, zero points                 ids ──────┘  scales, zero points
 *
 * where ids is an input of the graph. A transposed table is the weight of the lm_head as MatMul has it, a quantized one (after constant
 * folding has taken its Reshape away) the weight of MatMulNBits: the same bytes, hence one tensor in
 * the plan. */
#include "importer/passes/passes.h"

/* Is it a constant matrix, perhaps behind a Transpose? */
static bool find_table(const struct graph *graph, int value, int *table, bool *transposed) {
    const struct graph_node *node = graph_producer(graph, value);
    *transposed = node != NULL && graph_node_is(node, "", "Transpose");
    *table = *transposed ? graph_input(graph, node, 0) : value;
    const struct tensor *tensor = graph_constant(graph, *table);
    return tensor != NULL && tensor->rank == 2; /* of two dimensions every Transpose swaps both */
}

static bool embed_numbers(struct graph *graph, struct graph_node *node, size_t *changes) {
    int table;
    bool transposed;
    if (!graph_node_is(node, "", "Gather") || graph_attribute_int(node, "axis", 0) != 0 ||
        !find_table(graph, graph_input(graph, node, 0), &table, &transposed)) {
        return true;
    }
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Embed", 4, 4)) {
        return false;
    }
    node->inputs[0] = table;
    graph_set_int(node, "transposed", transposed);
    graph_set_int(node, "bits", 0);
    graph_set_float(node, "scale", 1);
    ++*changes;
    return true;
}

static bool embed_quantized(struct graph *graph, struct graph_node *node, size_t *changes) {
    const struct tensor *table = graph_constant(graph, graph_input(graph, node, 0));
    if (!graph_node_is(node, MICROSOFT_DOMAIN, "GatherBlockQuantized") || table == NULL ||
        table->rank != 2 || table->type != TENSOR_U8 ||
        graph_attribute_int(node, "gather_axis", 0) != 0) {
        return true;
    }
    int64_t axis = graph_attribute_int(node, "quantize_axis", 1);
    int64_t bits = graph_attribute_int(node, "bits", 4);
    int64_t block_size = graph_attribute_int(node, "block_size", 128);
    if (axis != 1 && axis != -1) {
        return true;
    }
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Embed", 4, 4)) {
        return false;
    }
    graph_set_int(node, "transposed", 0);
    graph_set_int(node, "bits", bits);
    graph_set_int(node, "block_size", block_size);
    graph_set_float(node, "scale", 1);
    ++*changes;
    return true;
}

bool pass_embedding(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        int ids = graph_input(graph, node, 1);
        if (node->removed || ids == GRAPH_NONE || !graph->values[ids].is_input) {
            continue;
        }
        if (!embed_numbers(graph, node, changes) || !embed_quantized(graph, node, changes)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
    }
    return true;
}
