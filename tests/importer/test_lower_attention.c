/* Attention operators with what the fixtures do not have, on a decoder of one layer. */
#include "small_decoder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const float numbers[256];

Test(lower_attention, packed_qkv_is_one_register_read_at_three_places) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_attention *attention = attention_of(&plan);
    cr_assert_eq(attention->query.reg, attention->value.reg);
    cr_assert_eq(attention->query.first, 0);
    cr_assert_eq(attention->key.first, HEADS * HEAD_DIM);
    cr_assert_eq(attention->value.first, (HEADS + KV_HEADS) * HEAD_DIM);
    cr_assert_float_eq(attention->scale, 0.5f, 1e-7, "1 / sqrt(head_dim) unless given");
    cr_assert_eq(plan.context_length, POSITIONS, "the RoPE table is the only limit");
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, smooth_softmax_is_a_sink_of_zero_for_every_head) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    graph_set_int(add_attention(graph, PACKED), "smooth_softmax", 1);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_vector *sinks = &plan.vectors[attention_of(&plan)->sinks];
    cr_assert_eq(sinks->length, HEADS);
    cr_assert(sinks->values[0] == 0 && sinks->values[1] == 0);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, caches_that_are_cast_on_their_way_out_keep_their_names) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    struct graph_node *node =
        add_node(graph, MICROSOFT_DOMAIN, "GroupQueryAttention", PACKED, "a,cast_0,cast_1");
    graph_set_int(node, "num_heads", HEADS);
    graph_set_int(node, "kv_num_heads", KV_HEADS);
    graph_set_int(node, "do_rotary", 1);
    graph_set_int(add_node(graph, "", "Cast", "cast_0", "present.0.key"), "to", TENSOR_F16);
    graph_set_int(add_node(graph, "", "Cast", "cast_1", "present.0.value"), "to", TENSOR_F16);
    graph_set_int(add_node(graph, "", "Cast", "x", "y"), "to", TENSOR_F32);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    graph->values[graph_find(graph, "past.0.key")].type = TENSOR_F16;
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

/* Caches of 4 bits, of keys scaled by channel and values scaled alike. */
static char *lower_with_codes(struct graph *graph, struct plan *plan, const char *k_type,
                              enum tensor_type type) {
    static const char *const caches[] = {"past.0.key", "past.0.value", "present.0.key",
                                         "present.0.value"};
    add_floats(graph, "k_scale", 1, (const int64_t[]){HEAD_DIM},
               (const float[]){0.5f, 0.25f, 0.125f, 1});
    add_floats(graph, "v_scale", 1, (const int64_t[]){1}, (const float[]){0.75f});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    struct graph_node *node = add_attention(graph, PACKED ",,,,k_scale,v_scale");
    set_text(node, "k_quant_type", k_type);
    set_text(node, "v_quant_type", "PER_TENSOR");
    graph_set_int(node, "kv_cache_bit_width", 4);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    for (size_t i = 0; i < 4; i++) {
        graph->values[graph_find(graph, caches[i])].type = type;
    }
    return finish_decoder(graph, plan);
}

Test(lower_attention, a_quantized_cache_rounds_keys_and_values) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    char *reasons = lower_with_codes(graph, &plan, "PER_CHANNEL", TENSOR_U8);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_attention *attention = attention_of(&plan);
    cr_assert_eq(attention->cache_bits, 4);
    cr_assert_eq(plan.vectors[attention->k_scales].values[1], 0.25f);
    cr_assert_eq(plan.vectors[attention->v_scales].length, HEAD_DIM);
    cr_assert_eq(plan.vectors[attention->v_scales].values[3], 0.75f);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, a_quantized_cache_that_is_none_is_refused) {
    static const struct {
        const char *k_type;
        enum tensor_type type;
        const char *expected;
    } cases[] = {
        {"PER_TENSOR", TENSOR_U8, "input 12 must be 1 constant scales"},
        {"NONE", TENSOR_U8, "k_quant_type is \"NONE\""},
        {"PER_CHANNEL", TENSOR_F32, "\"past.0.key\" is a cache of f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        char *reasons = lower_with_codes(graph, &plan, cases[i].k_type, cases[i].type);
        expect_reason(reasons, cases[i].expected);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

/* RoPE tables of 6 positions where the condition does not hold, of all where it does. */
static char *lower_with_tables_by_length(struct graph *graph, struct plan *plan, const char *op,
                                         const char *inputs) {
    add_integers(graph, "six", 0, NULL, (const int64_t[]){6});
    add_node(graph, "", op, inputs, "condition");
    struct graph_node *branching = add_node(graph, "", "If", "condition", "chosen_cos,chosen_sin");
    add_branch(graph, branching, 0, "then_branch", 2, POSITIONS, HEAD_DIM / 2, numbers);
    add_branch(graph, branching, 1, "else_branch", 2, 6, HEAD_DIM / 2, numbers);
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, "qkv,,,past.0.key,past.0.value,seqlens,total,chosen_cos,chosen_sin");
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    return finish_decoder(graph, plan);
}

Test(lower_attention, an_if_on_the_length_chooses_between_two_ropes) {
    static const char *const conditions[][2] = {{"Greater", "total,six"}, {"Less", "six,total"}};
    for (size_t i = 0; i < 2; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        char *reasons =
            lower_with_tables_by_length(graph, &plan, conditions[i][0], conditions[i][1]);
        cr_assert(reasons == NULL, "%s", reasons);
        cr_assert_eq(plan.rope_count, 1);
        cr_assert_eq(plan.short_rope_length, 6, "%s: %zu", conditions[i][0],
                     plan.short_rope_length);
        cr_assert_eq(plan.ropes[0].angles.positions, 6);
        cr_assert_eq(plan.ropes[0].long_angles.positions, POSITIONS);
        cr_assert_eq(plan.context_length, POSITIONS);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_attention, an_if_on_anything_else_is_refused_with_what_was_found) {
    static const char *const cases[][3] = {
        {"Equal", "total,six", "it is 1, not 0, at length 6 where 4 tokens are new"},
        {"Greater", "e,six", "depends on activations"},
        {"Greater", "attention_mask,six", "elements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        char *reasons = lower_with_tables_by_length(graph, &plan, cases[i][0], cases[i][1]);
        expect_reason(reasons, cases[i][2]);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_attention, split_columns_are_normed_within_attention) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    constant_list(graph, "sizes", 3, (const int64_t[]){8, 4, 4});
    constant_list(graph, "heads", 3, (const int64_t[]){0, -1, HEAD_DIM});
    constant_list(graph, "q_rows", 3, (const int64_t[]){0, -1, HEADS * HEAD_DIM});
    constant_list(graph, "k_rows", 3, (const int64_t[]){0, -1, KV_HEADS * HEAD_DIM});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    graph_set_int(add_node(graph, "", "Split", "qkv,sizes", "q,k,v"), "axis", -1);
    add_node(graph, "", "Reshape", "q,heads", "q1");
    add_node(graph, "", "Reshape", "k,heads", "k1");
    add_node(graph, "", "SimplifiedLayerNormalization", "q1,head_norm", "q2");
    add_node(graph, "", "SimplifiedLayerNormalization", "k1,head_norm", "k2");
    add_node(graph, "", "Reshape", "q2,q_rows", "q3");
    add_node(graph, "", "Reshape", "k2,k_rows", "k3");
    add_attention(graph, "q3,k3,v,past.0.key,past.0.value,seqlens,total,cos,sin");
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_attention *attention = attention_of(&plan);
    cr_assert_eq(attention->key.first, 8);
    cr_assert_eq(attention->value.first, 12);
    cr_assert_neq(attention->q_norm, PLAN_NONE);
    cr_assert_not(attention->rope_first);
    plan_deinit(&plan);
    graph_close(graph);
}

/* ---- Arithmetic that is run to see what it means ---- */

/* Nodes as "Op:inputs:output Op:inputs:output ...", of the standard. */
static void add_nodes(struct graph *graph, const char *text) {
    while (*text != '\0') {
        char parts[3][96];
        for (size_t i = 0; i < 3; i++) {
            size_t length = strcspn(text, ": ");
            memcpy(parts[i], text, length);
            parts[i][length] = '\0';
            text += length + (text[length] != '\0');
        }
        char *op = arena_allocate(graph->arena, strlen(parts[0]) + 1, 1);
        strcpy(op, parts[0]);
        add_node(graph, "", op, parts[1], parts[2]);
    }
}

/* A decoder with what masks and positions are made of: "past" (tokens before this step), "rows" (their
 * positions, a column) and "columns" (all positions). */
static struct graph *begin_arithmetic(void) {
    struct graph *graph = begin_decoder();
    const float hidden = -1e30f;
    const float none = 0;
    add_input(graph, "position_ids", TENSOR_I64, 2);
    add_integers(graph, "two", 0, NULL, (const int64_t[]){2});
    add_integers(graph, "six", 0, NULL, (const int64_t[]){6});
    add_integers(graph, "zero", 0, NULL, (const int64_t[]){0});
    add_floats(graph, "hidden", 0, NULL, &hidden);
    add_floats(graph, "none", 0, NULL, &none);
    constant_list(graph, "axes01", 2, (const int64_t[]){0, 1});
    add_nodes(graph,
              "Shape:input_ids:ids_shape Gather:ids_shape,one:fresh Sub:total,fresh:past "
              "Range:past,total,one:row Unsqueeze:row,axis1:rows Range:zero,total,one:columns "
              "LessOrEqual:columns,rows:causal");
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    return graph;
}

static char *finish_arithmetic(struct graph *graph, struct plan *plan) {
    add_nodes(graph, "MatMul:a,w_o:o MatMul:o,w_head:logits");
    return finish_decoder(graph, plan);
}

Test(lower_attention, positions_are_proven_and_may_be_ahead) {
    static const struct {
        const char *nodes; /* that compute "p" */
        size_t positions;
        size_t short_length;
    } cases[] = {
        {"Identity:position_ids:p", POSITIONS, 0},
        {"Add:position_ids,two:p", POSITIONS - 2, 0},
        {"Greater:total,six:g Cast:g:h Mul:h,six:j Add:position_ids,j:p", POSITIONS, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_arithmetic();
        struct plan plan;
        add_nodes(graph, cases[i].nodes);
        for (size_t n = 0; n < graph->node_count; n++) {
            if (strcmp(graph->nodes[n].op, "Cast") == 0) {
                graph_set_int(&graph->nodes[n], "to", TENSOR_I64);
            }
        }
        add_attention(graph, PACKED ",p");
        char *reasons = finish_arithmetic(graph, &plan);
        cr_assert(reasons == NULL, "case %zu: %s", i, reasons);
        cr_assert_eq(plan.ropes[0].angles.positions, cases[i].positions, "case %zu", i);
        cr_assert_eq(plan.short_rope_length, cases[i].short_length, "case %zu", i);
        cr_assert_eq(plan.context_length,
                     POSITIONS - (cases[i].positions != POSITIONS ? 2 : cases[i].short_length));
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_attention, positions_of_another_meaning_are_refused_with_what_was_found) {
    static const char *const cases[][2] = {
        {"Mul:position_ids,two:p", "it is 1, not 11, at length 2 where 1 tokens are new"},
        {"Sub:position_ids,one:p", "positions begin at row -1 of cos_cache"},
        {"Mul:row,zero:p", "it is -1, not -11, at length 2 where 1 tokens are new"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_arithmetic();
        struct plan plan;
        add_nodes(graph, cases[i][0]);
        add_attention(graph, PACKED ",p");
        char *reasons = finish_arithmetic(graph, &plan);
        expect_reason(reasons, cases[i][1]);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

#define TO_FOUR " Unsqueeze:m,axes01:bias"

Test(lower_attention, a_bias_that_is_a_mask_becomes_a_window) {
    static const struct {
        const char *nodes; /* that compute "bias" */
        int64_t own_window;
        size_t window;
    } cases[] = {
        {"Where:causal,none,hidden:m" TO_FOUR, -1, 0},
        {"Where:causal,none,none:m" TO_FOUR, 5, 5},
        {"Sub:rows,six:s Greater:columns,s:w And:w,causal:v Where:v,none,hidden:m" TO_FOUR, -1, 6},
        {"Sub:rows,six:s Greater:columns,s:w Where:w,none,hidden:m" TO_FOUR, 5, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_arithmetic();
        struct plan plan;
        add_nodes(graph, cases[i].nodes);
        struct graph_node *node = add_attention(graph, PACKED ",,bias");
        graph_set_int(node, "local_window_size", cases[i].own_window);
        char *reasons = finish_arithmetic(graph, &plan);
        cr_assert(reasons == NULL, "case %zu: %s", i, reasons);
        cr_assert_eq(plan.kv_layers[0].window, cases[i].window, "case %zu: window %zu", i,
                     plan.kv_layers[0].window);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_attention, a_bias_that_is_no_mask_is_refused_with_what_was_found) {
    static const char *const cases[][2] = {
        {"Cast:columns:f Where:causal,f,hidden:m" TO_FOUR,
         "attention_bias has no instruction: its mask adds 1 to the score of position 1"},
        {"Where:causal,hidden,none:m" TO_FOUR, "its mask adds -1e+30 to the score"},
        {"Where:causal,none,hidden:bias", "its mask has unexpected dimensions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_arithmetic();
        struct plan plan;
        add_nodes(graph, cases[i][0]);
        for (size_t n = 0; n < graph->node_count; n++) {
            if (strcmp(graph->nodes[n].op, "Cast") == 0) {
                graph_set_int(&graph->nodes[n], "to", TENSOR_F32);
            }
        }
        add_attention(graph, PACKED ",,bias");
        char *reasons = finish_arithmetic(graph, &plan);
        expect_reason(reasons, cases[i][1]);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

/* ---- Rotary embeddings before attention ---- */

/* Query and key behind RotaryEmbedding of those inputs, in attention that does not rotate. */
static char *lower_rotated(struct graph *graph, struct plan *plan, const char *query,
                           const char *key, int64_t rotated) {
    constant_list(graph, "sizes", 3, (const int64_t[]){8, 4, 4});
    graph_set_int(add_node(graph, "", "Split", "qkv,sizes", "q,k,v"), "axis", -1);
    struct graph_node *nodes[] = {add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", query, "q1"),
                                  NULL};
    graph_set_int(nodes[0], "num_heads", rotated > 0 ? HEADS : 0);
    graph_set_int(nodes[0], "rotary_embedding_dim", rotated);
    nodes[1] = add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", key, "k1");
    graph_set_int(nodes[1], "num_heads", rotated > 0 ? KV_HEADS : 0);
    graph_set_int(nodes[1], "rotary_embedding_dim", rotated);
    graph_set_int(nodes[1], "interleaved", 0);
    struct graph_node *attention =
        add_attention(graph, "q1,k1,v,past.0.key,past.0.value,seqlens,total");
    graph_set_int(attention, "do_rotary", 0);
    return finish_arithmetic(graph, plan);
}

Test(lower_attention, rotary_embeddings_become_part_of_attention) {
    for (int64_t rotated = 0; rotated <= 2; rotated += 2) {
        struct graph *graph = begin_arithmetic();
        struct plan plan;
        constant_matrix(graph, "cos1", POSITIONS, 1);
        char *reasons = lower_rotated(
            graph, &plan, rotated > 0 ? "q,position_ids,cos1,cos1" : "q,position_ids,cos,sin",
            rotated > 0 ? "k,position_ids,cos1,cos1" : "k,position_ids,cos,sin", rotated);
        cr_assert(reasons == NULL, "%s", reasons);
        const struct plan_attention *attention = attention_of(&plan);
        cr_assert_eq(plan.ropes[attention->rope].half, rotated > 0 ? 1 : 2);
        cr_assert_eq(attention->key.first, 8);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_attention, rotary_embeddings_may_come_before_the_norms) {
    struct graph *graph = begin_arithmetic();
    struct plan plan;
    constant_list(graph, "sizes", 3, (const int64_t[]){8, 4, 4});
    constant_list(graph, "heads", 3, (const int64_t[]){0, -1, HEAD_DIM});
    constant_list(graph, "q_rows", 3, (const int64_t[]){0, -1, HEADS * HEAD_DIM});
    constant_list(graph, "k_rows", 3, (const int64_t[]){0, -1, KV_HEADS * HEAD_DIM});
    graph_set_int(add_node(graph, "", "Split", "qkv,sizes", "q,k,v"), "axis", -1);
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "q,position_ids,cos,sin", "q0");
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "k,position_ids,cos,sin", "k0");
    add_node(graph, "", "Reshape", "q0,heads", "q1");
    add_node(graph, "", "Reshape", "k0,heads", "k1");
    add_node(graph, "", "SimplifiedLayerNormalization", "q1,head_norm", "q2");
    add_node(graph, "", "SimplifiedLayerNormalization", "k1,head_norm", "k2");
    add_node(graph, "", "Reshape", "q2,q_rows", "q3");
    add_node(graph, "", "Reshape", "k2,k_rows", "k3");
    struct graph_node *node = add_attention(graph, "q3,k3,v,past.0.key,past.0.value,seqlens,total");
    graph_set_int(node, "do_rotary", 0);
    char *reasons = finish_arithmetic(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_attention *attention = attention_of(&plan);
    cr_assert_neq(attention->rope, PLAN_NONE);
    cr_assert_neq(attention->q_norm, PLAN_NONE);
    cr_assert(attention->rope_first);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, rotary_embeddings_without_a_key_mean_nothing) {
    struct graph *graph = begin_arithmetic();
    struct plan plan;
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "qkv,position_ids,cos,sin", "q1");
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", ",position_ids,cos,sin", "k1");
    struct graph_node *attention =
        add_attention(graph, "q1,k1,,past.0.key,past.0.value,seqlens,total");
    graph_set_int(attention, "do_rotary", 0);
    char *reasons = finish_arithmetic(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_eq(attention_of(&plan)->rope, PLAN_NONE);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, and_neither_do_rotary_embeddings_of_those) {
    struct graph *graph = begin_arithmetic();
    struct plan plan;
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", ",position_ids,cos,sin", "k0");
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "k0,position_ids,cos,sin", "k1");
    add_attention(graph, "qkv,k1,,past.0.key,past.0.value,seqlens,total,cos,sin");
    char *reasons = finish_arithmetic(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_neq(attention_of(&plan)->rope, PLAN_NONE);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, rotary_embeddings_that_differ_stay_and_have_no_instruction) {
    struct graph *graph = begin_arithmetic();
    struct plan plan;
    char *reasons =
        lower_rotated(graph, &plan, "q,position_ids,cos,sin", "k,position_ids,sin,cos", 0);
    expect_reason(reasons, "RotaryEmbedding): this operator has no instruction");
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, tables_that_do_not_rotate_whole_heads_are_refused) {
    struct graph *graph = begin_arithmetic();
    struct plan plan;
    constant_matrix(graph, "cos1", POSITIONS, 1);
    char *reasons =
        lower_rotated(graph, &plan, "q,position_ids,cos1,cos1", "k,position_ids,cos1,cos1", 0);
    expect_reason(reasons, "tables of 1 columns rotate heads of 2, but it has 4");
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

/* ---- Attention operators that are written out ---- */

#define SPLIT_THREE "MatMul:x,w_q:q0 MatMul:x,w_q:k0 MatMul:x,w_q:v "

static struct graph *begin_heads(void) {
    struct graph *graph = begin_arithmetic();
    constant_matrix(graph, "w_q", HIDDEN, HEADS * HEAD_DIM);
    constant_matrix(graph, "w_k", HIDDEN, KV_HEADS * HEAD_DIM);
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "q0,position_ids,cos,sin", "q");
    add_node(graph, MICROSOFT_DOMAIN, "RotaryEmbedding", "k0,position_ids,cos,sin", "k");
    return graph;
}

Test(lower_attention, multi_head_attention_is_recognized_with_its_mask) {
    struct graph *graph = begin_heads();
    struct plan plan;
    add_nodes(graph, SPLIT_THREE "Sub:rows,six:s Greater:columns,s:w And:w,causal:y "
                                 "Where:y,none,hidden:m" TO_FOUR);
    graph_set_int(add_node(graph, MICROSOFT_DOMAIN, "MultiHeadAttention",
                           "q,k,v,,,bias,past.0.key,past.0.value",
                           "a,present.0.key,present.0.value"),
                  "num_heads", HEADS);
    graph->values[graph_find(graph, "past.0.key")].dims =
        graph->values[graph_find(graph, "past.0.value")].dims =
            (const int64_t[]){GRAPH_DIM_SYMBOLIC, HEADS, GRAPH_DIM_SYMBOLIC, HEAD_DIM};
    char *reasons = finish_arithmetic(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_eq(attention_of(&plan)->heads, HEADS);
    cr_assert_eq(plan.kv_layers[0].kv_heads, HEADS);
    cr_assert_eq(plan.kv_layers[0].window, 6);
    cr_assert_float_eq(attention_of(&plan)->scale, 0.5f, 1e-6, "1 / sqrt(head_dim)");
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, attention_of_the_standard_is_recognized_with_its_groups_and_cap) {
    struct graph *graph = begin_heads();
    struct plan plan;
    add_nodes(graph, "MatMul:x,w_q:q0 MatMul:x,w_k:k0 MatMul:x,w_k:v Unsqueeze:causal,axes01:bias");
    struct graph_node *node = add_node(graph, "", "Attention", "q,k,v,bias,past.0.key,past.0.value",
                                       "a,present.0.key,present.0.value");
    graph_set_int(node, "q_num_heads", HEADS);
    graph_set_int(node, "kv_num_heads", KV_HEADS);
    graph_set_int(node, "is_causal", 1);
    graph_set_float(node, "scale", 0.75f);
    graph_set_float(node, "softcap", 3);
    graph->values[graph_find(graph, "past.0.key")].dims =
        graph->values[graph_find(graph, "past.0.value")].dims =
            (const int64_t[]){GRAPH_DIM_SYMBOLIC, KV_HEADS, GRAPH_DIM_SYMBOLIC, HEAD_DIM};
    char *reasons = finish_arithmetic(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_eq(plan.kv_layers[0].kv_heads, KV_HEADS);
    cr_assert_eq(plan.kv_layers[0].window, 0);
    cr_assert_float_eq(attention_of(&plan)->scale, 0.75f, 1e-6);
    cr_assert_float_eq(attention_of(&plan)->softcap, 3, 1e-5);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_attention, multi_head_attention_with_more_than_that_is_refused_by_name) {
    static const char *const cases[][2] = {
        {"q,k,v,norm,,bias,past.0.key,past.0.value", "a bias of query, key and value"},
        {"q,k,v,,attention_mask,bias,past.0.key,past.0.value", "key_padding_mask"},
        {"qkv,,,,,bias,past.0.key,past.0.value", "packed query, key and value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_heads();
        struct plan plan;
        add_nodes(graph, SPLIT_THREE "Where:causal,none,hidden:m" TO_FOUR);
        graph_set_int(add_node(graph, MICROSOFT_DOMAIN, "MultiHeadAttention", cases[i][0],
                               "a,present.0.key,present.0.value"),
                      "num_heads", HEADS);
        char *reasons = finish_arithmetic(graph, &plan);
        expect_reason(reasons, cases[i][1]);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

/* ---- What has no instruction ---- */

/* Each spoils the attention of a sound graph in one way. */
static void with_short_sinks(struct graph *graph, struct graph_node *node) {
    graph_rewrite(graph, node, node->domain, node->op, 12, 0);
    node->inputs[11] = graph_find(graph, "norm");
}
static void with_bias(struct graph *graph, struct graph_node *node) {
    graph_rewrite(graph, node, node->domain, node->op, 11, 0);
    node->inputs[10] = graph_find(graph, "norm");
}
static void with_too_many_heads(struct graph *graph, struct graph_node *node) {
    (void)graph;
    graph_set_int(node, "num_heads", 5);
}
static void with_empty_window(struct graph *graph, struct graph_node *node) {
    (void)graph;
    graph_set_int(node, "local_window_size", 0);
}
static void with_computed_table(struct graph *graph, struct graph_node *node) {
    node->inputs[7] = graph_find(graph, "e");
}
static void without_cache(struct graph *graph, struct graph_node *node) {
    (void)graph;
    node->inputs[3] = GRAPH_NONE;
}
static void with_swapped_cache(struct graph *graph, struct graph_node *node) {
    node->inputs[3] = graph_find(graph, "past.0.value");
}

Test(lower_attention, attention_names_what_it_cannot_do) {
    static const struct {
        void (*spoil)(struct graph *graph, struct graph_node *node);
        const char *expected;
    } cases[] = {
        {with_short_sinks, "input 11 has 8 elements, expected 2"},
        {with_bias, "attention_bias has no instruction"},
        {with_too_many_heads, "a query of 16 columns does not split into 7 heads"},
        {with_empty_window, "local_window_size 0 sees nothing"},
        {with_computed_table, "tables that change at run time"},
        {without_cache, "\"past.%d.key\" is not a graph input"},
        {with_swapped_cache, "expected a name like \"past.%d.key\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
        cases[i].spoil(graph, add_attention(graph, PACKED));
        add_node(graph, "", "MatMul", "a,w_o", "o");
        add_node(graph, "", "MatMul", "o,w_head", "logits");
        char *reasons = finish_decoder(graph, &plan);
        expect_reason(reasons, cases[i].expected);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}
