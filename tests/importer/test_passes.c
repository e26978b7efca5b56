#include "importer/passes/passes.h"

#include "engine/plan.h"
#include "small_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const int64_t one = 1;
static const int64_t two = 2;
static const float numbers[16] = {1, 2, 3, 4, 5, 6, 7, 8};

/* Finishes the graph, runs one pass and sweeps. How much it changed. */
static size_t run_pass(struct graph *graph, graph_pass *pass) {
    struct error err = {0};
    size_t changes = 0;
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    cr_assert(pass(graph, &changes, &err), "%s", err.text);
    graph_sweep(graph);
    return changes;
}

static const struct graph_node *producer_of_y(const struct graph *graph) {
    return graph_producer(graph, graph->outputs[0]);
}

Test(passes, a_reshaped_weight_keeps_its_bytes) {
    struct graph *graph = small_graph();
    int weight = add_floats(graph, "weight", 2, (const int64_t[]){2, 4}, numbers);
    add_integers(graph, "shape", 1, &two, (const int64_t[]){4, 2});
    add_node(graph, "", "Reshape", "weight,shape", "y");
    cr_assert_eq(run_pass(graph, pass_fold_constants), 1);
    const struct tensor *y = graph_constant(graph, graph->outputs[0]);
    cr_assert(y != NULL);
    cr_assert_eq(y->dims[0], 4);
    cr_assert_eq(y->bytes, graph->values[weight].constant->bytes, "nothing was copied");
    graph_close(graph);
}

Test(passes, shape_arithmetic_on_constants_folds_all_the_way) {
    struct graph *graph = small_graph();
    add_floats(graph, "x", 2, (const int64_t[]){2, 4}, numbers);
    add_integers(graph, "index", 0, NULL, &one);
    add_node(graph, "", "Shape", "x", "shape");
    add_node(graph, "", "Gather", "shape,index", "columns");
    add_node(graph, "", "Add", "columns,index", "y");
    cr_assert_eq(run_pass(graph, pass_fold_constants), 3);
    double y;
    cr_assert(graph_scalar(graph, graph->outputs[0], &y));
    cr_assert_eq((int)y, 5);
    graph_close(graph);
}

Test(passes, how_many_logits_to_keep_is_settled) {
    struct graph *graph = small_graph();
    add_input(graph, "num_logits_to_keep", TENSOR_I64, 0);
    add_node(graph, "", "Neg", "num_logits_to_keep", "y");
    cr_assert_eq(run_pass(graph, pass_optional_inputs), 1);
    struct error err = {0};
    size_t changes = 0;
    cr_assert(pass_fold_constants(graph, &changes, &err), "%s", err.text);
    graph_sweep(graph);
    double start;
    cr_assert(graph_scalar(graph, graph->outputs[0], &start));
    cr_assert_float_eq(start, 0, 0, "all positions have logits");
    graph_close(graph);
}

Test(passes, outputs_that_nobody_reads_go_with_what_computes_them) {
    static const int64_t dims[] = {-1, -1, 8};
    static const struct model_config config = {.logits = "logits"};
    struct graph *graph = small_graph();
    struct error err = {0};
    size_t changes = 0;
    add_input(graph, "x", TENSOR_F32, 3);
    add_node(graph, "", "Neg", "x", "logits");
    add_node(graph, "", "Concat", "x,x", "hidden_states");
    add_output(graph, "logits");
    add_output(graph, "hidden_states");
    graph->values[graph_find(graph, "hidden_states")].rank = 3;
    graph->values[graph_find(graph, "hidden_states")].dims = dims;
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    cr_assert(pass_unread_outputs(graph, &config, &changes, &err));
    graph_sweep(graph);
    cr_assert_eq(changes, 1);
    cr_assert(find_node(graph, "Concat") == NULL);
    cr_assert(find_node(graph, "Neg") != NULL);
    graph_close(graph);
}

Test(passes, codes_may_be_transposed_before_they_are_dequantized) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 3);
    int codes = add_elements(graph, "codes", TENSOR_U8, 2, (const int64_t[]){4, 8}, numbers);
    add_floats(graph, "scales", 1, (const int64_t[]){4}, numbers);
    add_node(graph, "", "Transpose", "codes", "t");
    add_node(graph, "", "DequantizeLinear", "t,scales", "weight"); /* along axis 1: outputs */
    add_node(graph, "", "MatMul", "x,weight", "y");
    cr_assert_eq(run_pass(graph, pass_linear), 1);
    const struct graph_node *linear = producer_of_y(graph);
    cr_assert_eq(graph_input(graph, linear, LINEAR_WEIGHT), codes);
    cr_assert_eq(graph_attribute_int(linear, "transposed", -1), 0, "rows are outputs");
    cr_assert_eq(graph_attribute_int(linear, "axis", -1), 0);
    graph_close(graph);
}

Test(passes, float_casts_go_and_integer_casts_stay) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F16, 2);
    add_input(graph, "mask", TENSOR_I64, 2);
    graph_set_int(add_node(graph, "", "Cast", "x", "a"), "to", TENSOR_F32);
    graph_set_int(add_node(graph, "", "Cast", "mask", "b"), "to", TENSOR_F32);
    add_node(graph, "", "Mul", "a,b", "y");
    cr_assert_eq(run_pass(graph, pass_drop_casts), 1);
    const struct graph_node *mul = producer_of_y(graph);
    cr_assert_eq(mul->inputs[0], graph_find(graph, "x"));
    cr_assert_eq(mul->inputs[1], graph_find(graph, "b"));
    graph_close(graph);
}

static bool find_embeddings(struct graph *graph, size_t *changes, struct error *err) {
    static const struct model_config config = {.position_ids = "position_ids"};
    return pass_embedding(graph, &config, changes, err);
}

Test(passes, a_gather_from_a_transposed_table_is_an_embedding_of_the_same_tensor) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    int table = add_floats(graph, "table", 2, (const int64_t[]){2, 4}, numbers);
    add_node(graph, "", "Transpose", "table", "t");
    add_node(graph, "", "Gather", "t,input_ids", "y");
    cr_assert_eq(run_pass(graph, find_embeddings), 1);
    const struct graph_node *embed = producer_of_y(graph);
    cr_assert(graph_node_is(embed, QUERN_DOMAIN, "Embed"));
    cr_assert_eq(embed->inputs[0], table);
    cr_assert_eq(graph_attribute_int(embed, "transposed", 0), 1);
    cr_assert(find_node(graph, "Transpose") == NULL);
    graph_close(graph);
}

Test(passes, rows_by_position_are_an_embedding_only_where_they_are_added) {
    struct graph *graph = small_graph();
    add_input(graph, "position_ids", TENSOR_I64, 2);
    add_input(graph, "x", TENSOR_F32, 3);
    add_floats(graph, "table", 2, (const int64_t[]){4, 2}, numbers);
    add_floats(graph, "angles", 2, (const int64_t[]){4, 2}, numbers);
    add_node(graph, "", "Gather", "table,position_ids", "learned");
    add_node(graph, "", "Gather", "angles,position_ids", "cosines");
    add_node(graph, "", "Add", "x,learned", "sum");
    add_node(graph, "", "Mul", "sum,cosines", "y");
    cr_assert_eq(run_pass(graph, find_embeddings), 1);
    const struct graph_node *learned = graph_producer(graph, graph_find(graph, "learned"));
    cr_assert_str_eq(learned->op, "Embed");
    cr_assert_eq(graph_attribute_int(learned, "by_position", 0), 1);
    cr_assert_str_eq(graph_producer(graph, graph_find(graph, "cosines"))->op, "Gather");
    graph_close(graph);
}

static struct graph *scaled_embedding(bool read_twice) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    add_floats(graph, "factor", 0, NULL, (const float[]){9.8f});
    add_floats(graph, "table", 2, (const int64_t[]){4, 2}, numbers);
    struct graph_node *embed = add_node(graph, QUERN_DOMAIN, "Embed", "table,input_ids", "e");
    graph_set_float(embed, "scale", 1);
    add_node(graph, "", "Mul", "factor,e", read_twice ? "scaled" : "y");
    if (read_twice) {
        add_node(graph, "", "Add", "scaled,e", "y");
    }
    return graph;
}

Test(passes, a_constant_factor_becomes_the_scale_of_the_embedding) {
    struct graph *graph = scaled_embedding(false);
    cr_assert_eq(run_pass(graph, pass_embedding_scale), 1);
    const struct graph_node *embed = producer_of_y(graph);
    cr_assert_str_eq(embed->op, "Embed");
    cr_assert_eq(graph_attribute_float(embed, "scale", 0), 9.8f);
    graph_close(graph);
}

Test(passes, a_factor_stays_where_unscaled_rows_are_read_too) {
    struct graph *graph = scaled_embedding(true);
    cr_assert_eq(run_pass(graph, pass_embedding_scale), 0);
    graph_close(graph);
}

Test(passes, an_added_vector_becomes_the_bias_of_a_linear) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 3);
    add_floats(graph, "w", 2, (const int64_t[]){2, 2}, numbers);
    int bias = add_floats(graph, "b", 1, &two, numbers);
    add_node(graph, QUERN_DOMAIN, "Linear", "x,w", "product");
    add_node(graph, "", "Add", "b,product", "y");
    cr_assert_eq(run_pass(graph, pass_bias), 1);
    const struct graph_node *linear = producer_of_y(graph);
    cr_assert_str_eq(linear->op, "Linear");
    cr_assert_eq(graph_input(graph, linear, 2), bias);
    graph_close(graph);
}

/* q and k of 2 and 1 heads of 4, each behind Reshape, norm, Reshape. */
static struct graph *normed_attention(float key_epsilon) {
    struct graph *graph = small_graph();
    const int64_t three = 3;
    const int64_t four = 4;
    add_input(graph, "q", TENSOR_F32, 3);
    add_input(graph, "k", TENSOR_F32, 3);
    add_input(graph, "v", TENSOR_F32, 3);
    add_floats(graph, "wq", 1, &four, numbers);
    add_floats(graph, "wk", 1, &four, numbers);
    add_integers(graph, "heads", 1, &three, (const int64_t[]){0, -1, 4});
    add_integers(graph, "q_rows", 1, &three, (const int64_t[]){0, -1, 8});
    add_integers(graph, "k_rows", 1, &three, (const int64_t[]){0, -1, 4});
    add_node(graph, "", "Reshape", "q,heads", "q1");
    add_node(graph, "", "Reshape", "k,heads", "k1");
    graph_set_float(add_node(graph, "", "SimplifiedLayerNormalization", "q1,wq", "q2"), "epsilon",
                    1e-6f);
    graph_set_float(add_node(graph, "", "SimplifiedLayerNormalization", "k1,wk", "k2"), "epsilon",
                    key_epsilon);
    add_node(graph, "", "Reshape", "q2,q_rows", "q3");
    add_node(graph, "", "Reshape", "k2,k_rows", "k3");
    struct graph_node *attention =
        add_node(graph, MICROSOFT_DOMAIN, "GroupQueryAttention", "q3,k3,v", "y");
    graph_set_int(attention, "num_heads", 2);
    graph_set_int(attention, "kv_num_heads", 1);
    return graph;
}

Test(passes, head_norms_move_into_attention) {
    struct graph *graph = normed_attention(1e-5f);
    cr_assert_eq(run_pass(graph, pass_qk_norm), 1);
    const struct graph_node *attention = producer_of_y(graph);
    cr_assert_eq(graph_input(graph, attention, 0), graph_find(graph, "q"));
    cr_assert_eq(graph_input(graph, attention, 1), graph_find(graph, "k"));
    cr_assert_eq(graph_input(graph, attention, 14), graph_find(graph, "wq"));
    cr_assert_eq(graph_input(graph, attention, 15), graph_find(graph, "wk"));
    cr_assert_eq(graph_attribute_float(attention, "q_norm_epsilon", 0), 1e-6f);
    cr_assert_eq(graph_attribute_float(attention, "k_norm_epsilon", 0), 1e-5f);
    cr_assert(find_node(graph, "SimplifiedLayerNormalization") == NULL);
    graph_close(graph);
}

/* y as written out in `nodes`, "Op:inputs:output" each, of x and scalars named by their digits. */
static struct graph *written_out(const char *const *nodes) {
    static const char *const scalars[] = {"2",         "3",         "1",    "0.5",    "0.044715",
                                          "0.7978846", "1.4142135", "-0.5", "0.00001"};
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 3);
    add_floats(graph, "weight", 1, &two, numbers);
    add_integers(graph, "last", 1, &one, (const int64_t[]){-1});
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        float number = strtof(scalars[i], NULL);
        add_floats(graph, scalars[i], 0, NULL, &number);
    }
    for (; *nodes != NULL; nodes++) {
        char *text = arena_allocate(graph->arena, strlen(*nodes) + 1, 1);
        strcpy(text, *nodes);
        char *inputs = strchr(text, ':');
        char *output = strchr(inputs + 1, ':');
        *inputs = *output = '\0';
        add_node(graph, "", text, inputs + 1, output + 1);
    }
    return graph;
}

Test(passes, activations_are_recognized_however_they_are_written) {
    static const struct {
        const char *nodes[10];
        const char *expected;
    } cases[] = {
        {{"Sigmoid:x:s", "Mul:s,x:y"}, "QuickGelu"},
        {{"Neg:x:n", "Exp:n:e", "Add:1,e:d", "Div:x,d:y"}, "QuickGelu"},
        {{"Div:x,1.4142135:d", "Erf:d:e", "Add:e,1:a", "Mul:x,a:m", "Mul:m,0.5:y"}, "Gelu"},
        {{"Mul:0.5,x:h", "Div:x,1.4142135:d", "Erf:d:e", "Add:e,1:a", "Mul:a,h:y"}, "Gelu"},
        {{"Pow:x,3:c", "Mul:c,0.044715:m", "Add:x,m:i", "Mul:i,0.7978846:j", "Tanh:j:t",
          "Add:1,t:u", "Mul:x,0.5:h", "Mul:h,u:y"},
         "FastGelu"},
        {{"Mul:x,x:q", "Mul:q,x:c", "Mul:c,0.044715:m", "Add:x,m:i", "Mul:i,0.7978846:j",
          "Tanh:j:t", "Add:1,t:u", "Mul:x,u:h", "Mul:h,0.5:y"},
         "FastGelu"},
        {{"Tanh:x:t", "Mul:x,t:y"}, NULL},
        {{"Sigmoid:x:s", "Mul:s,weight:y"}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = written_out(cases[i].nodes);
        size_t expected = cases[i].expected != NULL;
        cr_assert_eq(run_pass(graph, pass_activation), expected, "case %zu", i);
        const struct graph_node *last = producer_of_y(graph);
        cr_assert(cases[i].expected == NULL || strcmp(last->op, cases[i].expected) == 0,
                  "case %zu: %s", i, last->op);
        graph_close(graph);
    }
}

Test(passes, norms_are_recognized_however_they_are_written) {
    static const struct {
        const char *nodes[10];
        const char *expected;
    } cases[] = {
        {{"Pow:x,2:q", "ReduceMean:q,last:m", "Add:m,0.00001:v", "Sqrt:v:s", "Div:1,s:r",
          "Mul:x,r:n", "Mul:weight,n:y"},
         "SimplifiedLayerNormalization"},
        {{"Mul:x,x:q", "ReduceMean:q,last:m", "Add:0.00001,m:v", "Sqrt:v:s", "Reciprocal:s:r",
          "Mul:r,x:n", "Mul:n,weight:y"},
         "SimplifiedLayerNormalization"},
        {{"Pow:x,2:q", "ReduceMean:q,last:m", "Add:m,0.00001:v", "Pow:v,-0.5:r", "Mul:x,r:n",
          "Mul:n,weight:y"},
         "SimplifiedLayerNormalization"},
        {{"Pow:x,2:q", "ReduceMean:q,last:m", "Add:m,0.00001:v", "Sqrt:v:s", "Div:x,s:n",
          "Mul:n,weight:y"},
         "SimplifiedLayerNormalization"},
        {{"Pow:x,3:q", "ReduceMean:q,last:m", "Add:m,0.00001:v", "Sqrt:v:s", "Div:x,s:n",
          "Mul:n,weight:y"},
         NULL},
        {{"ReduceMean:x,last:a", "Sub:x,a:c", "Pow:c,2:q", "ReduceMean:q,last:m", "Add:m,0.00001:v",
          "Sqrt:v:s", "Div:c,s:n", "Mul:n,weight:y"},
         "LayerNormalization"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = written_out(cases[i].nodes);
        size_t expected = cases[i].expected != NULL;
        cr_assert_eq(run_pass(graph, pass_norm), expected, "case %zu", i);
        const struct graph_node *norm = producer_of_y(graph);
        if (expected == 1) {
            cr_assert_str_eq(norm->op, cases[i].expected, "case %zu", i);
            cr_assert_eq(norm->inputs[0], graph_find(graph, "x"), "case %zu", i);
            cr_assert_float_eq(graph_attribute_float(norm, "epsilon", 0), 1e-5f, 1e-9f);
        }
        graph_close(graph);
    }
}

Test(passes, a_residual_sum_goes_into_the_norm_that_reads_it_first) {
    for (size_t late = 0; late < 2; late++) {
        struct graph *graph = small_graph();
        add_input(graph, "a", TENSOR_F32, 3);
        add_input(graph, "b", TENSOR_F32, 3);
        add_floats(graph, "weight", 1, &two, numbers);
        add_node(graph, "", "Add", "a,b", "s");
        if (late == 1) {
            add_node(graph, "", "Neg", "s", "other");
        }
        graph_set_float(add_node(graph, "", "SimplifiedLayerNormalization", "s,weight", "n"),
                        "epsilon", 1e-6f);
        if (late == 0) {
            add_node(graph, "", "Neg", "s", "other");
        }
        add_node(graph, "", "Add", "n,other", "y");
        cr_assert_eq(run_pass(graph, pass_skip_norm), 1 - late);
        const struct graph_node *norm = find_node(graph, "SkipSimplifiedLayerNormalization");
        cr_assert_eq(norm != NULL, late == 0);
        if (norm != NULL) {
            cr_assert_eq(norm->outputs[3], graph_find(graph, "s"));
            cr_assert_float_eq(graph_attribute_float(norm, "epsilon", 0), 1e-6f, 1e-12f);
        }
        graph_close(graph);
    }
}

Test(passes, gates_are_recognized_whichever_way_round) {
    static const struct {
        const char *domain;
        const char *op;
        const char *product;
        enum plan_activation expected;
    } cases[] = {
        {"", "Gelu", "activated,u", PLAN_ACTIVATION_GELU_ERF},
        {"", "Gelu", "u,activated", PLAN_ACTIVATION_GELU_ERF},
        {MICROSOFT_DOMAIN, "FastGelu", "activated,u", PLAN_ACTIVATION_GELU_TANH},
        {MICROSOFT_DOMAIN, "QuickGelu", "activated,u", PLAN_ACTIVATION_SILU},
        {"", "Sigmoid", "activated,u", PLAN_ACTIVATION_SIGMOID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = small_graph();
        add_input(graph, "g", TENSOR_F32, 3);
        add_input(graph, "u", TENSOR_F32, 3);
        graph_set_float(add_node(graph, cases[i].domain, cases[i].op, "g", "activated"), "alpha",
                        1);
        add_node(graph, "", "Mul", cases[i].product, "y");
        cr_assert_eq(run_pass(graph, pass_gate), 2, "case %zu", i);
        const struct graph_node *gate = producer_of_y(graph);
        cr_assert_str_eq(gate->op, "Gate");
        cr_assert_eq(gate->inputs[0], graph_find(graph, "g"), "case %zu", i);
        cr_assert_eq(gate->inputs[1], graph_find(graph, "u"), "case %zu", i);
        cr_assert_eq(graph_attribute_int(gate, "activation", -1), (int64_t)cases[i].expected);
        graph_close(graph);
    }
}

Test(passes, an_activation_without_a_factor_is_a_gate_without_one) {
    static const struct {
        const char *op;
        enum plan_activation expected;
    } cases[] = {
        {"Gelu", PLAN_ACTIVATION_GELU_ERF},
        {"Relu", PLAN_ACTIVATION_RELU},
        {"Sigmoid", PLAN_ACTIVATION_SIGMOID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = small_graph();
        add_input(graph, "x", TENSOR_F32, 3);
        add_node(graph, "", cases[i].op, "x", "y");
        cr_assert_eq(run_pass(graph, pass_gate), 1, "%s", cases[i].op);
        const struct graph_node *gate = producer_of_y(graph);
        cr_assert_str_eq(gate->op, "Gate");
        cr_assert_eq(graph_input(graph, gate, GATE_UP), GRAPH_NONE);
        cr_assert_eq(graph_attribute_int(gate, "activation", -1), (int64_t)cases[i].expected);
        graph_close(graph);
    }
}

Test(passes, a_squared_relu_is_one_activation) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 3);
    add_integers(graph, "exponent", 1, &one, &two);
    add_node(graph, "", "Relu", "x", "r");
    add_node(graph, "", "Pow", "r,exponent", "y");
    cr_assert_eq(run_pass(graph, pass_gate), 2);
    const struct graph_node *gate = producer_of_y(graph);
    cr_assert_eq(graph_attribute_int(gate, "activation", -1), PLAN_ACTIVATION_RELU_SQUARED);
    cr_assert_eq(graph_input(graph, gate, GATE_GATE), graph_find(graph, "x"));
    cr_assert(find_node(graph, "Relu") == NULL);
    graph_close(graph);
}

/* Div or Mul by c1, Tanh, Mul by c2. */
Test(passes, a_tanh_between_factors_is_a_soft_cap) {
    static const struct {
        const char *op; /* before Tanh; NULL: none */
        float inner;
        float factor;
    } cases[] = {{"Div", 30, 1}, {"Mul", 0.05f, 1.5f}, {NULL, 0, 30}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = small_graph();
        add_input(graph, "x", TENSOR_F32, 3);
        add_floats(graph, "c1", 0, NULL, &cases[i].inner);
        add_floats(graph, "c2", 0, NULL, (const float[]){30});
        if (cases[i].op != NULL) {
            add_node(graph, "", cases[i].op, "x,c1", "a");
        }
        add_node(graph, "", "Tanh", cases[i].op != NULL ? "a" : "x", "t");
        add_node(graph, "", "Mul", "c2,t", "y");
        cr_assert_eq(run_pass(graph, pass_softcap), 1, "case %zu", i);
        const struct graph_node *scale = producer_of_y(graph);
        cr_assert_eq(graph_input(graph, scale, 0), graph_find(graph, "x"));
        cr_assert_float_eq(graph_attribute_float(scale, "factor", 0), cases[i].factor, 1e-6);
        cr_assert_eq(graph_attribute_float(scale, "softcap", 0), 30.0f);
        graph_close(graph);
    }
}

Test(passes, a_vector_that_an_activation_or_a_norm_adds_becomes_the_bias_of_a_linear) {
    static const struct {
        const char *domain;
        const char *op;
        const char *inputs;
        size_t bias; /* input slot */
    } cases[] = {
        {QUERN_DOMAIN, "Gate", "product,,b", GATE_BIAS},
        {MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", "x,product,w,b", 3},
        {MICROSOFT_DOMAIN, "SkipLayerNormalization", "product,x,w,w,b", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = small_graph();
        add_input(graph, "x", TENSOR_F32, 3);
        add_floats(graph, "w", 2, (const int64_t[]){2, 2}, numbers);
        int bias = add_floats(graph, "b", 1, &two, numbers);
        add_node(graph, QUERN_DOMAIN, "Linear", "x,w", "product");
        add_node(graph, cases[i].domain, cases[i].op, cases[i].inputs, "y");
        cr_assert_eq(run_pass(graph, pass_bias), 1, "%s", cases[i].op);
        cr_assert_eq(graph_input(graph, producer_of_y(graph), cases[i].bias), GRAPH_NONE);
        cr_assert_eq(graph_input(graph, find_node(graph, "Linear"), 2), bias);
        graph_close(graph);
    }
}

Test(passes, bytes_that_are_dequantized_behind_their_gather_are_an_embedding) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    int table = add_elements(graph, "table", TENSOR_U8, 2, (const int64_t[]){4, 2}, numbers);
    add_elements(graph, "zero", TENSOR_U8, 0, NULL, numbers);
    int scale = add_floats(graph, "scale", 0, NULL, numbers);
    add_node(graph, "", "Gather", "table,input_ids", "codes");
    add_node(graph, "", "DequantizeLinear", "codes,scale,zero", "y");
    cr_assert_eq(run_pass(graph, find_embeddings), 1);
    const struct graph_node *embed = producer_of_y(graph);
    cr_assert_str_eq(embed->op, "Embed");
    cr_assert_eq(graph_input(graph, embed, EMBED_TABLE), table);
    cr_assert_eq(graph_input(graph, embed, EMBED_SCALES), scale);
    graph_close(graph);
}

Test(passes, columns_that_are_sliced_off_a_packed_table_are_padding) {
    struct graph *graph = small_graph();
    add_input(graph, "input_ids", TENSOR_I64, 2);
    add_elements(graph, "table", TENSOR_U8, 2, (const int64_t[]){4, 8}, numbers);
    add_floats(graph, "scales", 2, (const int64_t[]){4, 1}, numbers);
    add_integers(graph, "start", 1, &one, (const int64_t[]){0});
    add_integers(graph, "end", 1, &one, (const int64_t[]){12});
    add_integers(graph, "axis", 1, &one, (const int64_t[]){-1});
    struct graph_node *gather = add_node(graph, MICROSOFT_DOMAIN, "GatherBlockQuantized",
                                         "table,input_ids,scales", "padded");
    graph_set_int(gather, "block_size", 16);
    add_node(graph, "", "Slice", "padded,start,end,axis", "y");
    cr_assert_eq(run_pass(graph, find_embeddings), 2);
    const struct graph_node *embed = producer_of_y(graph);
    cr_assert_str_eq(embed->op, "Embed");
    cr_assert_eq(graph_attribute_int(embed, "columns", 0), 12);
    graph_close(graph);
}
