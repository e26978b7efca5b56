#include "small_decoder.h"

#include <criterion/criterion.h>

static const float numbers[256];

void constant_matrix(struct graph *graph, const char *name, int64_t rows, int64_t columns) {
    add_floats(graph, name, 2, (const int64_t[]){rows, columns}, numbers);
}

void constant_vector(struct graph *graph, const char *name, int64_t length) {
    add_floats(graph, name, 1, &length, numbers);
}

void constant_list(struct graph *graph, const char *name, int64_t length, const int64_t *values) {
    add_integers(graph, name, 1, &length, values);
}

struct graph *begin_decoder(void) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    add_input(graph, "attention_mask", TENSOR_I64, 2);
    add_input(graph, "past.0.key", TENSOR_F32, 4);
    add_input(graph, "past.0.value", TENSOR_F32, 4);
    constant_matrix(graph, "table", VOCABULARY, HIDDEN);
    constant_matrix(graph, "w_qkv", HIDDEN, QKV);
    constant_matrix(graph, "w_o", (int64_t)HEADS * HEAD_DIM, HIDDEN);
    constant_matrix(graph, "w_head", HIDDEN, VOCABULARY);
    constant_vector(graph, "norm", HIDDEN);
    constant_vector(graph, "head_norm", HEAD_DIM);
    constant_matrix(graph, "cos", POSITIONS, HEAD_DIM / 2);
    constant_matrix(graph, "sin", POSITIONS, HEAD_DIM / 2);
    add_integers(graph, "one", 0, NULL, (const int64_t[]){1});
    add_integers(graph, "last", 0, NULL, (const int64_t[]){-1});
    constant_list(graph, "axis1", 1, (const int64_t[]){1});
    graph_set_int(add_node(graph, "", "ReduceSum", "attention_mask,axis1", "sum"), "keepdims", 0);
    add_node(graph, "", "Sub", "sum,one", "seqlens");
    add_node(graph, "", "Shape", "attention_mask", "shape");
    add_node(graph, "", "Gather", "shape,one", "total");
    add_node(graph, "", "Gather", "table,input_ids", "e");
    add_node(graph, "", "SimplifiedLayerNormalization", "e,norm", "x");
    return graph;
}

struct graph_node *add_attention(struct graph *graph, const char *inputs) {
    struct graph_node *node = add_node(graph, MICROSOFT_DOMAIN, "GroupQueryAttention", inputs,
                                       "a,present.0.key,present.0.value");
    graph_set_int(node, "num_heads", HEADS);
    graph_set_int(node, "kv_num_heads", KV_HEADS);
    graph_set_int(node, "do_rotary", 1);
    return node;
}

char *finish_decoder(struct graph *graph, struct plan *plan) {
    add_output(graph, "present.0.key");
    add_output(graph, "present.0.value");
    return lower_small_graph(graph, plan);
}

const struct plan_attention *attention_of(const struct plan *plan) {
    size_t i = 0;
    while (plan->instructions[i].kind != PLAN_ATTENTION) {
        i++;
        cr_assert_lt(i, plan->instruction_count, "no attention");
    }
    return &plan->instructions[i].attention;
}
