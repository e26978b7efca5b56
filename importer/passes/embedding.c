/* The embedding, in the forms in which exports have it.
 *
 *     table ─▶ Gather(axis 0) ─▶ y                      table ─▶ Embed ─▶ y
 *     ids ───────┘                                      ids ──────┘
 *
 *     table ─▶ Transpose ─▶ Gather ─▶ y      becomes    table ─▶ Embed(transposed) ─▶ y
 *     ids ────────────────────┘                         ids ──────┘
 *
 *     codes ─▶ Gather ─▶ DequantizeLinear ─▶ y          codes ─▶ Embed(axis, block_size) ─▶ y
 *     ids ───────┘        scales, zero points           ids ──────┘  scales, zero points
 *
 *     codes ─▶ GatherBlockQuantized [─▶ Slice] ─▶ y     codes ─▶ Embed(bits, block_size) ─▶ y
 *     ids ───────┘  scales, zero points                 ids ──────┘  scales, zero points
 *
 * where ids is an input of the graph; DequantizeLinear may also come first. A transposed table is the
 * weight of the lm_head as MatMul has it, a quantized one (after constant folding has taken its Reshape
 * away) the weight of MatMulNBits: the same bytes, hence one tensor in the plan. */
#include "importer/passes/constant_weight.h"
#include "importer/passes/passes.h"

static bool set_embed(struct graph *graph, struct graph_node *node,
                      const struct constant_weight *table, int ids, int64_t bits, size_t *changes) {
    if (!graph_rewrite(graph, node, QUERN_DOMAIN, "Embed", EMBED_INPUTS, 6)) {
        return false;
    }
    node->inputs[EMBED_IDS] = ids;
    constant_weight_set(node, table, EMBED_TABLE, EMBED_SCALES, table->transposed);
    graph_set_int(node, "bits", bits);
    graph_set_float(node, "scale", 1);
    ++*changes;
    return true;
}

/* The ids that a Gather (axis 0) of rows looks up, if they are an input of the graph. */
static int gathered_ids(const struct graph *graph, const struct graph_node *node) {
    bool gathers = node != NULL && graph_node_is(node, "", "Gather") &&
                   graph_attribute_int(node, "axis", 0) == 0;
    int ids = gathers ? graph_input(graph, node, 1) : GRAPH_NONE;
    return ids != GRAPH_NONE && graph->values[ids].is_input ? ids : GRAPH_NONE;
}

static bool embed_gathered(struct graph *graph, struct graph_node *node, size_t *changes) {
    struct constant_weight table;
    int ids = gathered_ids(graph, node);
    return ids == GRAPH_NONE || !constant_weight_find(graph, graph_input(graph, node, 0), &table) ||
           set_embed(graph, node, &table, ids, 0, changes);
}

/* DequantizeLinear behind the Gather: its scales are one, or one for each column. */
static bool embed_dequantized(struct graph *graph, struct graph_node *node, size_t *changes) {
    const struct graph_node *gather = graph_producer(graph, graph_input(graph, node, 0));
    int ids = gathered_ids(graph, gather);
    if (ids == GRAPH_NONE || !graph_node_is(node, "", "DequantizeLinear")) {
        return true;
    }
    const struct constant_weight table = {
        .data = graph_input(graph, gather, 0),
        .scales = graph_input(graph, node, 1),
        .zero_points = graph_input(graph, node, 2),
        .axis = 1,
    };
    const struct tensor *codes = graph_constant(graph, table.data);
    const struct tensor *scales = graph_constant(graph, table.scales);
    int64_t axis = graph_attribute_int(node, "axis", 1);
    int64_t last = (int64_t)graph->values[ids].rank;
    bool fits = codes != NULL && codes->rank == 2 && scales != NULL &&
                (scales->count == 1 || axis == -1 || axis == last);
    return !fits || set_embed(graph, node, &table, ids, 0, changes);
}

/* Tensors of less than a byte an element are quantized as for DequantizeLinear; those of bytes are
 * packed as for MatMulNBits. */
static bool embed_blocks(struct graph *graph, struct graph_node *node, size_t *changes) {
    struct constant_weight table = {
        .data = graph_input(graph, node, 0),
        .scales = graph_input(graph, node, 2),
        .zero_points = graph_input(graph, node, 3),
        .axis = graph_attribute_int(node, "quantize_axis", 1),
        .block_size = graph_attribute_int(node, "block_size", 128),
    };
    const struct tensor *codes = graph_constant(graph, table.data);
    int ids = graph_input(graph, node, 1);
    if (!graph_node_is(node, MICROSOFT_DOMAIN, "GatherBlockQuantized") || ids == GRAPH_NONE ||
        !graph->values[ids].is_input || codes == NULL || codes->rank != 2 ||
        graph_attribute_int(node, "gather_axis", 0) != 0 || (table.axis != 1 && table.axis != -1)) {
        return true;
    }
    bool packed = codes->type == TENSOR_U8;
    return set_embed(graph, node, &table, ids, packed ? graph_attribute_int(node, "bits", 4) : 0,
                     changes);
}

/* A Slice of the first columns: the codes of a row are padded to whole blocks. */
static bool drop_padding(struct graph *graph, const struct graph_node *slice, size_t *changes) {
    int rows = graph_input(graph, slice, 0);
    struct graph_node *embed = graph_producer(graph, rows);
    double start;
    double end;
    double axis;
    double step = 1;
    int steps = graph_input(graph, slice, 4);
    if (!graph_node_is(slice, "", "Slice") || embed == NULL || graph->values[rows].uses != 1 ||
        !graph_node_is(embed, QUERN_DOMAIN, "Embed") ||
        graph_attribute_int(embed, "bits", 0) == 0 ||
        !graph_scalar(graph, graph_input(graph, slice, 1), &start) || start != 0 ||
        !graph_scalar(graph, graph_input(graph, slice, 2), &end) || end < 1 || end > INT32_MAX ||
        !graph_scalar(graph, graph_input(graph, slice, 3), &axis) || (axis != -1 && axis != 2) ||
        (steps != GRAPH_NONE && (!graph_scalar(graph, steps, &step) || step != 1))) {
        return true;
    }
    if (!graph_rewrite(graph, embed, embed->domain, embed->op, EMBED_INPUTS, 1)) {
        return false;
    }
    graph_set_int(embed, "columns", (int64_t)end);
    graph_replace(graph, slice->outputs[0], rows);
    ++*changes;
    return true;
}

bool pass_embedding(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (!node->removed &&
            (!embed_gathered(graph, node, changes) || !embed_dequantized(graph, node, changes) ||
             !embed_blocks(graph, node, changes) || !drop_padding(graph, node, changes))) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
    }
    return true;
}
