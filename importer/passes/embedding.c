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
 * where ids is an input of the graph, perhaps reshaped; DequantizeLinear may also come first. A
 * transposed table is the weight of the lm_head as MatMul has it, a quantized one (after constant
 * folding has taken its Reshape away) the weight of MatMulNBits: the same bytes, hence one tensor in
 * the plan.
 *
 * Learned positions are a table of the same forms, whose rows are added to those of the embedding
 * (GPT-2, OPT). Only of such a sum it is assumed that what it looks up are positions, which lower.h
 * proves; other tables, of angles or masks, are left to those who evaluate them. */
#include "importer/passes/constant_weight.h"
#include "importer/passes/passes.h"

#include <string.h>

/* Which lookups are to be rewritten: those of ids, or those of positions. */
struct lookups {
    struct graph *graph;
    const struct model_config *config;
    bool by_position;
    size_t *changes;
};

static bool set_embed(const struct lookups *lookups, struct graph_node *node,
                      const struct constant_weight *table, int index, int64_t bits) {
    if (!graph_rewrite(lookups->graph, node, QUERN_DOMAIN, "Embed", EMBED_INPUTS, 7)) {
        return false;
    }
    node->inputs[EMBED_IDS] = index;
    constant_weight_set(node, table, EMBED_TABLE, EMBED_SCALES, table->transposed);
    graph_set_int(node, "bits", bits);
    graph_set_int(node, "by_position", lookups->by_position);
    graph_set_float(node, "scale", 1);
    ++*lookups->changes;
    return true;
}

static bool is_wanted(const struct lookups *lookups, int index) {
    const struct graph *graph = lookups->graph;
    int input = graph_reshaped(graph, index);
    bool is_ids = input != GRAPH_NONE && graph->values[input].is_input &&
                  strcmp(graph->values[input].name, lookups->config->position_ids) != 0;
    return input != GRAPH_NONE && graph_constant(graph, input) == NULL &&
           is_ids != lookups->by_position;
}

/* What a Gather (axis 0) of rows looks up, or GRAPH_NONE. */
static int gathered_index(const struct lookups *lookups, const struct graph_node *node) {
    bool gathers = node != NULL && graph_node_is(node, "", "Gather") &&
                   graph_attribute_int(node, "axis", 0) == 0;
    int index = gathers ? graph_input(lookups->graph, node, 1) : GRAPH_NONE;
    return is_wanted(lookups, index) ? index : GRAPH_NONE;
}

static bool embed_gathered(const struct lookups *lookups, struct graph_node *node) {
    struct constant_weight table;
    int index = gathered_index(lookups, node);
    return index == GRAPH_NONE ||
           !constant_weight_find(lookups->graph, graph_input(lookups->graph, node, 0), &table) ||
           set_embed(lookups, node, &table, index, 0);
}

/* DequantizeLinear behind the Gather: its scales are one, or one for each column. */
static bool embed_dequantized(const struct lookups *lookups, struct graph_node *node) {
    const struct graph *graph = lookups->graph;
    const struct graph_node *gather = graph_producer(graph, graph_input(graph, node, 0));
    int index = gathered_index(lookups, gather);
    if (index == GRAPH_NONE || !graph_node_is(node, "", "DequantizeLinear")) {
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
    enum { LAST_AXIS = 2 }; /* of (batch, sequence, columns) */
    bool fits = codes != NULL && codes->rank == 2 && scales != NULL &&
                (scales->count == 1 || axis == -1 || axis == LAST_AXIS);
    return !fits || set_embed(lookups, node, &table, index, 0);
}

/* Tensors of less than a byte an element are quantized as for DequantizeLinear; those of bytes are
 * packed as for MatMulNBits. */
static bool embed_blocks(const struct lookups *lookups, struct graph_node *node) {
    const struct graph *graph = lookups->graph;
    struct constant_weight table = {
        .data = graph_input(graph, node, 0),
        .scales = graph_input(graph, node, 2),
        .zero_points = graph_input(graph, node, 3),
        .axis = graph_attribute_int(node, "quantize_axis", 1),
        .block_size = graph_attribute_int(node, "block_size", 128),
    };
    const struct tensor *codes = graph_constant(graph, table.data);
    int index = graph_input(graph, node, 1);
    if (!graph_node_is(node, MICROSOFT_DOMAIN, "GatherBlockQuantized") ||
        !is_wanted(lookups, index) || codes == NULL || codes->rank != 2 ||
        graph_attribute_int(node, "gather_axis", 0) != 0 || (table.axis != 1 && table.axis != -1)) {
        return true;
    }
    bool packed = codes->type == TENSOR_U8;
    return set_embed(lookups, node, &table, index,
                     packed ? graph_attribute_int(node, "bits", 4) : 0);
}

static bool embed(const struct lookups *lookups, struct graph_node *node) {
    return embed_gathered(lookups, node) && embed_dequantized(lookups, node) &&
           embed_blocks(lookups, node);
}

/* The rows that are added to others and that nothing else reads, if they are those of a table. */
static bool embed_added(const struct lookups *lookups, const struct graph_node *add, size_t slot) {
    const struct graph *graph = lookups->graph;
    int rows = graph_input(graph, add, slot);
    struct graph_node *node = graph_producer(graph, rows);
    if (node != NULL && graph_node_is(node, "", "Slice")) { /* of padded blocks */
        node = graph_producer(graph, graph_input(graph, node, 0));
    }
    return node == NULL || graph->values[rows].uses != 1 || embed(lookups, node);
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

bool pass_embedding(struct graph *graph, const struct model_config *config, size_t *changes,
                    struct error *err) {
    const struct lookups of_ids = {graph, config, false, changes};
    const struct lookups of_positions = {graph, config, true, changes};
    bool sound = true;
    for (size_t n = 0; sound && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        if (node->removed) {
            continue;
        }
        bool adds = graph_node_is(node, "", "Add");
        sound = adds ? embed_added(&of_positions, node, 0) && embed_added(&of_positions, node, 1)
                     : embed(&of_ids, node);
    }
    for (size_t n = 0; sound && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        sound = node->removed || drop_padding(graph, node, changes);
    }
    return sound || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
}
