/* Lowering of forms that the fixtures do not have, on a decoder of one layer and two ids. */
#include "importer/lower.h"

#include "importer/passes/passes.h"
#include "small_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 8, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 4, VOCABULARY = 16, POSITIONS = 12 };
enum { QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM };

static const float numbers[256];

static const struct model_config configuration = {
    .source = "(none)",
    .input_ids = "input_ids",
    .attention_mask = "attention_mask",
    .position_ids = "position_ids",
    .past_key = "past.%d.key",
    .past_value = "past.%d.value",
    .present_key = "present.%d.key",
    .present_value = "present.%d.value",
    .logits = "logits",
};

static void add_matrix(struct graph *graph, const char *name, int64_t rows, int64_t columns) {
    add_floats(graph, name, 2, (const int64_t[]){rows, columns}, numbers);
}

static void add_vector(struct graph *graph, const char *name, int64_t length) {
    add_floats(graph, name, 1, &length, numbers);
}

static void add_list(struct graph *graph, const char *name, int64_t length, const int64_t *values) {
    add_integers(graph, name, 1, &length, values);
}

/* Inputs, constants, the embedding and its norm ("x"), and the lengths as exporters compute them. */
static struct graph *begin(void) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    add_input(graph, "attention_mask", TENSOR_I64, 2);
    add_input(graph, "past.0.key", TENSOR_F32, 4);
    add_input(graph, "past.0.value", TENSOR_F32, 4);
    add_matrix(graph, "table", VOCABULARY, HIDDEN);
    add_matrix(graph, "w_qkv", HIDDEN, QKV);
    add_matrix(graph, "w_o", HEADS * HEAD_DIM, HIDDEN);
    add_matrix(graph, "w_head", HIDDEN, VOCABULARY);
    add_vector(graph, "norm", HIDDEN);
    add_vector(graph, "head_norm", HEAD_DIM);
    add_matrix(graph, "cos", POSITIONS, HEAD_DIM / 2);
    add_matrix(graph, "sin", POSITIONS, HEAD_DIM / 2);
    add_integers(graph, "one", 0, NULL, (const int64_t[]){1});
    add_integers(graph, "last", 0, NULL, (const int64_t[]){-1});
    add_list(graph, "axis1", 1, (const int64_t[]){1});
    graph_set_int(add_node(graph, "", "ReduceSum", "attention_mask,axis1", "sum"), "keepdims", 0);
    add_node(graph, "", "Sub", "sum,one", "seqlens");
    add_node(graph, "", "Shape", "attention_mask", "shape");
    add_node(graph, "", "Gather", "shape,one", "total");
    add_node(graph, "", "Gather", "table,input_ids", "e");
    add_node(graph, "", "SimplifiedLayerNormalization", "e,norm", "x");
    return graph;
}

static struct graph_node *attend(struct graph *graph, const char *inputs) {
    struct graph_node *node = add_node(graph, MICROSOFT_DOMAIN, "GroupQueryAttention", inputs,
                                       "a,present.0.key,present.0.value");
    graph_set_int(node, "num_heads", HEADS);
    graph_set_int(node, "kv_num_heads", KV_HEADS);
    graph_set_int(node, "do_rotary", 1);
    return node;
}

#define PACKED "qkv,,,past.0.key,past.0.value,seqlens,total,cos,sin"

/* Finishes, rewrites and lowers; the reasons, which the caller frees, or NULL for a sound plan. */
static char *finish(struct graph *graph, struct plan *plan) {
    struct error err = {0};
    char *reasons = NULL;
    add_output(graph, "logits");
    add_output(graph, "present.0.key");
    add_output(graph, "present.0.value");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    cr_assert(passes_run(graph, &configuration, &err), "%s", err.text);
    plan_init(plan);
    if (!lower(plan, graph, &configuration, &reasons, &err)) {
        return reasons != NULL ? reasons : strdup(err.text);
    }
    cr_assert(plan_verify(plan, &err), "%s", err.text);
    return NULL;
}

static const struct plan_attention *attention_of(const struct plan *plan) {
    size_t i = 0;
    while (plan->instructions[i].kind != PLAN_ATTENTION) {
        i++;
        cr_assert_lt(i, plan->instruction_count, "no attention");
    }
    return &plan->instructions[i].attention;
}

Test(lower, packed_qkv_is_one_register_read_at_three_places) {
    struct graph *graph = begin();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish(graph, &plan);
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

Test(lower, smooth_softmax_is_a_sink_of_zero_for_every_head) {
    struct graph *graph = begin();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    graph_set_int(attend(graph, PACKED), "smooth_softmax", 1);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_vector *sinks = &plan.vectors[attention_of(&plan)->sinks];
    cr_assert_eq(sinks->length, HEADS);
    cr_assert(sinks->values[0] == 0 && sinks->values[1] == 0);
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
    struct graph_node *node = attend(graph, PACKED ",,,,k_scale,v_scale");
    set_text(node, "k_quant_type", k_type);
    set_text(node, "v_quant_type", "PER_TENSOR");
    graph_set_int(node, "kv_cache_bit_width", 4);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    for (size_t i = 0; i < 4; i++) {
        graph->values[graph_find(graph, caches[i])].type = type;
    }
    return finish(graph, plan);
}

Test(lower, a_quantized_cache_rounds_keys_and_values) {
    struct graph *graph = begin();
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

Test(lower, a_quantized_cache_that_is_none_is_refused) {
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
        struct graph *graph = begin();
        struct plan plan;
        char *reasons = lower_with_codes(graph, &plan, cases[i].k_type, cases[i].type);
        cr_expect(reasons != NULL && strstr(reasons, cases[i].expected) != NULL,
                  "\"%s\" does not say \"%s\"", reasons, cases[i].expected);
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
    attend(graph, "qkv,,,past.0.key,past.0.value,seqlens,total,chosen_cos,chosen_sin");
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    return finish(graph, plan);
}

Test(lower, an_if_on_the_length_chooses_between_two_ropes) {
    static const char *const conditions[][2] = {{"Greater", "total,six"}, {"Less", "six,total"}};
    for (size_t i = 0; i < 2; i++) {
        struct graph *graph = begin();
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

Test(lower, an_if_on_anything_else_is_refused_with_what_was_found) {
    static const char *const cases[][3] = {
        {"Equal", "total,six", "it is true at length 6 of which 4 are new, but changes at 12"},
        {"Greater", "e,six", "depends on activations"},
        {"Greater", "attention_mask,six", "elements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin();
        struct plan plan;
        char *reasons = lower_with_tables_by_length(graph, &plan, cases[i][0], cases[i][1]);
        cr_expect(reasons != NULL && strstr(reasons, cases[i][2]) != NULL,
                  "\"%s\" does not say \"%s\"", reasons, cases[i][2]);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower, split_columns_are_normed_within_attention) {
    struct graph *graph = begin();
    struct plan plan;
    add_list(graph, "sizes", 3, (const int64_t[]){8, 4, 4});
    add_list(graph, "heads", 3, (const int64_t[]){0, -1, HEAD_DIM});
    add_list(graph, "q_rows", 3, (const int64_t[]){0, -1, HEADS * HEAD_DIM});
    add_list(graph, "k_rows", 3, (const int64_t[]){0, -1, KV_HEADS * HEAD_DIM});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    graph_set_int(add_node(graph, "", "Split", "qkv,sizes", "q,k,v"), "axis", -1);
    add_node(graph, "", "Reshape", "q,heads", "q1");
    add_node(graph, "", "Reshape", "k,heads", "k1");
    add_node(graph, "", "SimplifiedLayerNormalization", "q1,head_norm", "q2");
    add_node(graph, "", "SimplifiedLayerNormalization", "k1,head_norm", "k2");
    add_node(graph, "", "Reshape", "q2,q_rows", "q3");
    add_node(graph, "", "Reshape", "k2,k_rows", "k3");
    attend(graph, "q3,k3,v,past.0.key,past.0.value,seqlens,total,cos,sin");
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_attention *attention = attention_of(&plan);
    cr_assert_eq(attention->key.first, 8);
    cr_assert_eq(attention->value.first, 12);
    cr_assert_neq(attention->q_norm, PLAN_NONE);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, a_head_norm_outside_attention_is_a_norm_of_groups) {
    struct graph *graph = begin();
    struct plan plan;
    add_list(graph, "heads", 3, (const int64_t[]){0, -1, HEAD_DIM});
    add_list(graph, "rows", 3, (const int64_t[]){0, -1, HIDDEN});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Reshape", "o,heads", "o1");
    add_node(graph, "", "SimplifiedLayerNormalization", "o1,head_norm", "o2");
    add_node(graph, "", "Reshape", "o2,rows", "o3");
    add_node(graph, "", "MatMul", "o3,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_instruction *norm = &plan.instructions[plan.instruction_count - 2];
    cr_assert_eq(norm->kind, PLAN_NORM);
    cr_assert_eq(norm->norm.group, HEAD_DIM);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, the_choice_of_the_last_row_is_left_to_the_engine) {
    struct graph *graph = begin();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    graph_set_int(add_node(graph, "", "Gather", "o,last", "o1"), "axis", 1);
    add_node(graph, "", "Unsqueeze", "o1,axis1", "o2");
    add_node(graph, "", "MatMul", "o2,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_eq(plan.instruction_count, 6);
    plan_deinit(&plan);
    graph_close(graph);
}

/* The kinds of the plan's instructions from `first` on, to its end. */
static void expect_kinds(const struct plan *plan, size_t first, size_t count,
                         const enum plan_kind *kinds) {
    cr_assert_eq(plan->instruction_count, first + count, "%zu instructions",
                 plan->instruction_count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(plan->instructions[first + i].kind, kinds[i], "instruction %zu is a %d",
                     first + i, (int)plan->instructions[first + i].kind);
    }
}

/* Phi-2: attention and MLP read the same norm, and a later norm has the sum of both. */
Test(lower, parallel_branches_are_added) {
    struct graph *graph = begin();
    struct plan plan;
    add_matrix(graph, "w_1", HIDDEN, 12);
    add_matrix(graph, "w_2", 12, HIDDEN);
    add_vector(graph, "b_1", 12);
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "x,w_1", "h1");
    add_node(graph, "", "Add", "h1,b_1", "h2");
    add_node(graph, MICROSOFT_DOMAIN, "FastGelu", "h2", "h3");
    add_node(graph, "", "MatMul", "h3,w_2", "m");
    add_node(graph, "", "Add", "o,m", "branches");
    add_node(graph, MICROSOFT_DOMAIN, "SkipLayerNormalization", "e,branches,norm,norm", "y");
    add_node(graph, "", "MatMul", "y,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    expect_kinds(&plan, 3, 7,
                 (const enum plan_kind[]){PLAN_ATTENTION, PLAN_LINEAR, PLAN_GATE, PLAN_LINEAR,
                                          PLAN_ADD, PLAN_NORM, PLAN_LINEAR});
    cr_assert_eq(plan.instructions[2].linear.count, 2, "qkv and h1 share the rows of x");
    cr_assert_eq(plan.instructions[5].gate.up, PLAN_NONE);
    cr_assert_eq(plan.instructions[8].norm.residual, plan.instructions[7].add.output);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, constant_factors_and_vectors_of_rows_have_instructions) {
    struct graph *graph = begin();
    struct plan plan;
    add_floats(graph, "half", 0, NULL, (const float[]){0.5f});
    add_floats(graph, "four", 0, NULL, (const float[]){4});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Mul", "half,o", "o1");
    add_node(graph, "", "Add", "norm,o1", "o2");
    add_node(graph, "", "Mul", "o2,e", "o3");
    add_node(graph, MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", "e,o3,norm,norm", "y");
    add_node(graph, "", "MatMul", "y,w_head", "l1");
    add_node(graph, "", "Div", "l1,four", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    expect_kinds(&plan, 4, 8,
                 (const enum plan_kind[]){PLAN_LINEAR, PLAN_SCALE, PLAN_ADD, PLAN_GATE, PLAN_ADD,
                                          PLAN_NORM, PLAN_LINEAR, PLAN_SCALE});
    cr_assert_eq(plan.instructions[5].scale.factor, 0.5f);
    cr_assert_neq(plan.instructions[6].add.vector, PLAN_NONE);
    cr_assert_eq(plan.instructions[7].gate.activation, PLAN_ACTIVATION_IDENTITY);
    cr_assert_eq(plan.instructions[8].add.first, plan.instructions[7].gate.output,
                 "a norm's bias is added to what it skips");
    cr_assert_eq(plan.instructions[11].scale.factor, 0.25f);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, attention_behind_the_last_row_is_refused) {
    struct graph *graph = begin();
    struct plan plan;
    graph_set_int(add_node(graph, "", "Gather", "x,last", "x1"), "axis", 1);
    add_node(graph, "", "Unsqueeze", "x1,axis1", "x2");
    add_node(graph, "", "MatMul", "x2,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons != NULL);
    cr_assert(strstr(reasons, "a last position that was chosen before") != NULL, "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, logits_that_do_not_come_from_ids_are_refused) {
    struct graph *graph = begin();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    attend(graph, PACKED);
    add_node(graph, "", "Cast", "attention_mask", "logits");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons != NULL);
    cr_assert(strstr(reasons, "\"logits\" is not computed from the rows") != NULL, "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

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

Test(lower, attention_names_what_it_cannot_do) {
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
        struct graph *graph = begin();
        struct plan plan;
        add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
        cases[i].spoil(graph, attend(graph, PACKED));
        add_node(graph, "", "MatMul", "a,w_o", "o");
        add_node(graph, "", "MatMul", "o,w_head", "logits");
        char *reasons = finish(graph, &plan);
        cr_expect(reasons != NULL && strstr(reasons, cases[i].expected) != NULL,
                  "\"%s\" does not say \"%s\"", reasons, cases[i].expected);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}
