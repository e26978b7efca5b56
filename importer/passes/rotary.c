/* Rotary embeddings right before an attention that could rotate by itself.
 *
 *     q ─▶ RotaryEmbedding(positions, cos, sin) ─▶ Attention           q ─▶ Attention
 *     k ─▶ RotaryEmbedding(positions, cos, sin) ────┘         becomes  k ────┘
 *                                                                      cos, sin, positions ┘
 *
 * for com.microsoft GroupQueryAttention without do_rotary and for quern Attention. One that
 * normalizes query and key by now rotates them before that, as HunYuan does. com.microsoft
 * RotaryEmbedding reads (x, positions, cos, sin), that of the standard (x, cos, sin, positions). */
#include "importer/passes/passes.h"

enum {
    INPUT_QUERY = 0,
    INPUT_KEY = 1,
    INPUT_VALUE = 2,
    INPUT_COSINES = 7,
    INPUT_SINES = 8,
    INPUT_POSITIONS = 9,
    INPUT_Q_NORM = 14,
};

struct rotation {
    int input;
    int cosines;
    int sines;
    int positions;
    bool interleaved;
    bool whole_heads; /* the tables say how wide a head is: all of it is rotated */
};

static bool is_rotary(const struct graph_node *node) {
    return node != NULL && graph_node_is(node, MICROSOFT_DOMAIN, "RotaryEmbedding");
}

/* The model builder 0.12 writes rotary embeddings without an input for layers of SmolLM3 that have none,
 * and reads them as key of an attention with packed query, key and value, in layers behind them, too,
 * and by further rotary embeddings. */
static bool rotates_nothing(const struct graph *graph, int value) {
    const struct graph_node *node = graph_producer(graph, value);
    return is_rotary(node) && graph_input(graph, node, 0) == GRAPH_NONE;
}

/* The attention takes its packed input as it is. */
static void take_packed(const struct graph *graph, struct graph_node *node) {
    const struct graph_node *query = graph_producer(graph, node->inputs[INPUT_QUERY]);
    if (is_rotary(query)) {
        node->inputs[INPUT_QUERY] = graph_input(graph, query, 0);
    }
    node->inputs[INPUT_KEY] = GRAPH_NONE;
}

/* Does the node rotate `heads` heads? */
static bool match(const struct graph *graph, int value, int64_t heads, struct rotation *found) {
    const struct graph_node *node = graph_producer(graph, value);
    bool microsoft = node != NULL && graph_node_is(node, MICROSOFT_DOMAIN, "RotaryEmbedding");
    if (node == NULL || (!microsoft && !graph_node_is(node, "", "RotaryEmbedding"))) {
        return false;
    }
    *found = (struct rotation){
        .input = graph_input(graph, node, 0),
        .cosines = graph_input(graph, node, microsoft ? 2 : 1),
        .sines = graph_input(graph, node, microsoft ? 3 : 2),
        .positions = graph_input(graph, node, microsoft ? 1 : 3),
        .interleaved = graph_attribute_int(node, "interleaved", 0) != 0,
    };
    int64_t said = graph_attribute_int(node, "num_heads", 0);
    int64_t rotated = graph_attribute_int(node, "rotary_embedding_dim", 0);
    found->whole_heads = rotated == 0;
    /* com.microsoft takes the head's width from the tables unless it is told the heads; positions are
     * what makes tables of the standard's two dimensional. */
    return (said == heads || (microsoft && said == 0 && rotated == 0)) &&
           graph_attribute_int(node, "is_packed_batching", 0) == 0 && found->input != GRAPH_NONE &&
           found->positions != GRAPH_NONE;
}

static bool rotates_itself(const struct graph *graph, const struct graph_node *node) {
    return graph_attribute_int(node, "do_rotary", 0) != 0 ||
           graph_input(graph, node, INPUT_COSINES) != GRAPH_NONE;
}

static bool same_rotation(const struct rotation *a, const struct rotation *b) {
    return a->cosines == b->cosines && a->sines == b->sines && a->positions == b->positions &&
           a->interleaved == b->interleaved && a->whole_heads == b->whole_heads;
}

bool pass_rotary(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        struct rotation query;
        struct rotation key;
        bool is_attention = graph_node_is(node, MICROSOFT_DOMAIN, "GroupQueryAttention") ||
                            graph_node_is(node, QUERN_DOMAIN, "Attention");
        if (is_rotary(node) && rotates_nothing(graph, graph_input(graph, node, 0))) {
            node->inputs[0] = GRAPH_NONE;
        }
        if (node->removed || !is_attention) {
            continue;
        }
        if (graph_input(graph, node, INPUT_VALUE) == GRAPH_NONE &&
            rotates_nothing(graph, graph_input(graph, node, INPUT_KEY))) {
            take_packed(graph, node);
            ++*changes;
            continue;
        }
        if (rotates_itself(graph, node) ||
            !match(graph, graph_input(graph, node, INPUT_QUERY),
                   graph_attribute_int(node, "num_heads", 0), &query) ||
            !match(graph, graph_input(graph, node, INPUT_KEY),
                   graph_attribute_int(node, "kv_num_heads", 0), &key) ||
            !same_rotation(&query, &key)) {
            continue;
        }
        bool before_norms = graph_input(graph, node, INPUT_Q_NORM) != GRAPH_NONE;
        if (!graph_rewrite(graph, node, node->domain, node->op, INPUT_POSITIONS + 1, 4)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
        node->inputs[INPUT_QUERY] = query.input;
        node->inputs[INPUT_KEY] = key.input;
        node->inputs[INPUT_COSINES] = query.cosines;
        node->inputs[INPUT_SINES] = query.sines;
        node->inputs[INPUT_POSITIONS] = query.positions;
        graph_set_int(node, "do_rotary", 1);
        graph_set_int(node, "rotary_interleaved", query.interleaved);
        graph_set_int(node, "rotary_whole_heads", query.whole_heads);
        graph_set_int(node, "rotary_first", before_norms);
        ++*changes;
    }
    return true;
}
