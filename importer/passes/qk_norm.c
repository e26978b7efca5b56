/* Gemma 3 and Qwen 3 normalize each query and key head before attention rotates it.
 *
 *     q ─▶ Reshape(.., H) ─▶ RMS norm(w) ─▶ Reshape(.., N H) ─▶ GroupQueryAttention
 *
 *     becomes        q ─▶ GroupQueryAttention, with w as q_norm_weight
 *
 * and the same for k. Both or neither, as the operator defines it. */
#include "importer/passes/passes.h"

enum { INPUT_QUERY = 0, INPUT_KEY = 1, INPUT_Q_NORM = 14, INPUT_K_NORM = 15 };

struct head_norm {
    int input;  /* before the first Reshape */
    int weight; /* H elements */
    float epsilon;
};

/* A Reshape whose constant shape ends with `columns`, whatever is before it: rows stay where they
 * are. Its input, or GRAPH_NONE. */
static int behind_reshape(const struct graph *graph, int value, size_t columns) {
    const struct graph_node *node = graph_producer(graph, value);
    if (node == NULL || !graph_node_is(node, "", "Reshape")) {
        return GRAPH_NONE;
    }
    const struct tensor *shape = graph_constant(graph, graph_input(graph, node, 1));
    bool fits = shape != NULL && shape->count > 0 &&
                tensor_integer(shape, shape->count - 1) == (int64_t)columns;
    return fits ? graph_input(graph, node, 0) : GRAPH_NONE;
}

static bool match(const struct graph *graph, int value, size_t heads, struct head_norm *found) {
    const struct graph_node *outer = graph_producer(graph, value);
    const struct graph_node *norm =
        outer != NULL ? graph_producer(graph, graph_input(graph, outer, 0)) : NULL;
    if (norm == NULL || (!graph_node_is(norm, "", "SimplifiedLayerNormalization") &&
                         !graph_node_is(norm, "", "RMSNormalization"))) {
        return false;
    }
    found->weight = graph_input(graph, norm, 1);
    found->epsilon = graph_attribute_float(norm, "epsilon", 1e-5f);
    const struct tensor *weight = graph_constant(graph, found->weight);
    if (weight == NULL || weight->rank != 1 || graph_attribute_int(norm, "axis", -1) != -1) {
        return false;
    }
    size_t head_dim = weight->count;
    found->input = behind_reshape(graph, graph_input(graph, norm, 0), head_dim);
    return found->input != GRAPH_NONE &&
           behind_reshape(graph, value, heads * head_dim) != GRAPH_NONE;
}

/* Heads of quern Attention begin where its attributes say, which a norm of whole heads must not move. */
static bool is_attention(const struct graph_node *node) {
    return graph_node_is(node, MICROSOFT_DOMAIN, "GroupQueryAttention") ||
           (graph_node_is(node, QUERN_DOMAIN, "Attention") &&
            graph_attribute_int(node, "query_first", 0) == 0 &&
            graph_attribute_int(node, "key_first", 0) == 0);
}

bool pass_qk_norm(struct graph *graph, size_t *changes, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        int64_t heads = graph_attribute_int(node, "num_heads", 0);
        int64_t kv_heads = graph_attribute_int(node, "kv_num_heads", 0);
        struct head_norm query;
        struct head_norm key;
        if (node->removed || !is_attention(node) || heads < 1 || kv_heads < 1 ||
            heads > INT32_MAX || kv_heads > INT32_MAX ||
            graph_input(graph, node, INPUT_Q_NORM) != GRAPH_NONE ||
            !match(graph, graph_input(graph, node, INPUT_QUERY), (size_t)heads, &query) ||
            !match(graph, graph_input(graph, node, INPUT_KEY), (size_t)kv_heads, &key)) {
            continue;
        }
        if (!graph_rewrite(graph, node, node->domain, node->op, INPUT_K_NORM + 1, 2)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
        }
        node->inputs[INPUT_QUERY] = query.input;
        node->inputs[INPUT_KEY] = key.input;
        node->inputs[INPUT_Q_NORM] = query.weight;
        node->inputs[INPUT_K_NORM] = key.weight;
        graph_set_float(node, "q_norm_epsilon", query.epsilon);
        graph_set_float(node, "k_norm_epsilon", key.epsilon);
        ++*changes;
    }
    return true;
}
