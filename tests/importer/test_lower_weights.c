/* Lowering of weights in the forms that exports have them, as the last matrix of a small decoder. */
#include "small_decoder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[1024]; /* codes and zero points whose values do not matter */

/* A sound layer whose last matrix the case makes, from "o"; the plan's weight of it. */
static struct plan_weight head_weight(struct graph *graph, struct plan *plan) {
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    char *reasons = finish_decoder(graph, plan);
    cr_assert(reasons == NULL, "%s", reasons);
    size_t i = plan->instruction_count;
    while (plan->instructions[--i].kind != PLAN_LINEAR) {
    }
    return plan->weights[plan->instructions[i].linear.outputs[0].weight];
}

static void expect_part(const char *what, struct plan_part part, size_t row, size_t step) {
    cr_expect(part.row == row && part.step == step, "%s: rows %zu, steps %zu, expected %zu, %zu",
              what, part.row, part.step, row, step);
}

/* Codes (inputs, outputs) in blocks of 4 inputs, as the model builder writes them with use_qdq. */
Test(lower_weights, dequantized_blocks_are_a_weight_of_codes) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_elements(graph, "codes", TENSOR_I4, 2, (const int64_t[]){HIDDEN, VOCABULARY}, zeros);
    constant_matrix(graph, "scales", HIDDEN / 4, VOCABULARY);
    struct graph_node *node = add_node(graph, "", "DequantizeLinear", "codes,scales", "w");
    graph_set_int(node, "axis", 0);
    graph_set_int(node, "block_size", 4);
    add_node(graph, "", "MatMul", "o,w", "logits");
    struct plan_weight weight = head_weight(graph, &plan);
    cr_assert_eq(weight.bits, 4);
    cr_assert(weight.is_signed);
    cr_assert_eq(weight.rows, VOCABULARY);
    cr_assert_eq(weight.block_size, 4);
    cr_assert_eq(weight.zero_point, 0);
    expect_part("data", weight.data, 1, VOCABULARY);
    expect_part("scales", weight.scales, 1, VOCABULARY);
    plan_deinit(&plan);
    graph_close(graph);
}

/* (outputs, inputs) behind a Transpose, one scale and zero point for each output. */
Test(lower_weights, a_transposed_matrix_of_bytes_has_a_scale_for_each_output) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_elements(graph, "codes", TENSOR_U8, 2, (const int64_t[]){VOCABULARY, HIDDEN}, zeros);
    add_elements(graph, "zeros", TENSOR_U8, 1, (const int64_t[]){VOCABULARY}, zeros);
    constant_vector(graph, "scales", VOCABULARY);
    struct graph_node *node = add_node(graph, "", "DequantizeLinear", "codes,scales,zeros", "w");
    graph_set_int(node, "axis", 0);
    add_node(graph, "", "Transpose", "w", "t");
    add_node(graph, "", "MatMul", "o,t", "logits");
    struct plan_weight weight = head_weight(graph, &plan);
    cr_assert_eq(weight.bits, 8);
    cr_assert_eq(weight.block_size, HIDDEN, "one block a row");
    expect_part("data", weight.data, HIDDEN, 1);
    expect_part("scales", weight.scales, 1, 0);
    expect_part("zero points", weight.zero_points, 1, 0);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_weights, matmul_of_quantized_activations_is_a_weight_with_one_scale) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_elements(graph, "codes", TENSOR_I8, 2, (const int64_t[]){HIDDEN, VOCABULARY}, zeros);
    add_elements(graph, "zero", TENSOR_I8, 0, NULL, zeros);
    add_floats(graph, "scale", 0, NULL, (const float[]){0.5f});
    add_node(graph, "", "DynamicQuantizeLinear", "o,", "q,s,z");
    add_node(graph, "", "MatMulInteger", "q,codes,z,zero", "i");
    graph_set_int(add_node(graph, "", "Cast", "i", "f"), "to", TENSOR_F32);
    add_node(graph, "", "Mul", "s,scale", "both");
    add_node(graph, "", "Mul", "f,both", "logits");
    struct plan_weight weight = head_weight(graph, &plan);
    cr_assert_eq(weight.bits, 8);
    cr_assert(weight.is_signed);
    expect_part("data", weight.data, 1, VOCABULARY);
    expect_part("scales", weight.scales, 0, 0);
    expect_part("zero points", weight.zero_points, 0, 0);
    plan_deinit(&plan);
    graph_close(graph);
}

/* Exports that quantize the embedding, of models whose first layer has no norm before it. */
Test(lower_weights, rows_of_a_quantized_embedding_are_multiplied_as_they_are) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_elements(graph, "rows", TENSOR_U8, 2, (const int64_t[]){VOCABULARY, HIDDEN}, zeros);
    add_elements(graph, "row_zero", TENSOR_U8, 0, NULL, zeros);
    add_floats(graph, "row_scale", 0, NULL, (const float[]){0.25f});
    add_elements(graph, "codes", TENSOR_I8, 2, (const int64_t[]){HIDDEN, QKV}, zeros);
    add_elements(graph, "zero", TENSOR_I8, 0, NULL, zeros);
    add_floats(graph, "scale", 0, NULL, (const float[]){0.5f});
    add_node(graph, "", "Gather", "rows,input_ids", "g");
    add_node(graph, "", "MatMulInteger", "g,codes,row_zero,zero", "i");
    graph_set_int(add_node(graph, "", "Cast", "i", "f"), "to", TENSOR_F32);
    add_node(graph, "", "Mul", "row_scale,scale", "both");
    add_node(graph, "", "Mul", "f,both", "qkv");
    add_node(graph, "", "DequantizeLinear", "g,row_scale,row_zero", "d");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Add", "o,d", "r");
    add_node(graph, "", "MatMul", "r,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_assert_eq(plan.instructions[0].kind, PLAN_EMBED);
    cr_assert_eq(plan.instructions[1].kind, PLAN_LINEAR);
    cr_assert_eq(plan.instructions[1].linear.input, plan.instructions[0].embed.output);
    const struct plan_weight *weight = &plan.weights[plan.instructions[1].linear.outputs[0].weight];
    float scale;
    memcpy(&scale, weight->scales.bytes, sizeof scale);
    cr_assert_eq(scale, 0.5f, "that of the rows is theirs");
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_weights, gemm_has_its_factors_and_either_order_of_its_matrix) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    float ones[VOCABULARY];
    for (size_t i = 0; i < VOCABULARY; i++) {
        ones[i] = 1;
    }
    constant_matrix(graph, "turned", VOCABULARY, HIDDEN);
    add_floats(graph, "c", 1, (const int64_t[]){VOCABULARY}, ones);
    struct graph_node *node = add_node(graph, "", "Gemm", "o,turned,c", "logits");
    graph_set_int(node, "transB", 1);
    graph_set_float(node, "alpha", 2);
    graph_set_float(node, "beta", 6);
    struct plan_weight weight = head_weight(graph, &plan);
    expect_part("data", weight.data, HIDDEN, 1);
    const struct plan_instruction *last = &plan.instructions[plan.instruction_count - 1];
    cr_assert_eq(last->kind, PLAN_SCALE);
    cr_assert_eq(last->scale.factor, 2.0f);
    int bias = plan.instructions[plan.instruction_count - 2].linear.outputs[0].bias;
    cr_assert_eq(plan.vectors[bias].values[0], 3.0f, "alpha multiplies it, too");
    plan_deinit(&plan);
    graph_close(graph);
}

/* MatMulNBits (K = 8 in a block of 16) with whatever zero points and group index. */
static struct graph_node *add_nbits(struct graph *graph, int64_t bits, const char *inputs) {
    add_elements(graph, "codes", TENSOR_U8, 3, (const int64_t[]){VOCABULARY, 1, 2 * bits}, zeros);
    constant_matrix(graph, "scales", VOCABULARY, 1);
    struct graph_node *node = add_node(graph, MICROSOFT_DOMAIN, "MatMulNBits", inputs, "logits");
    graph_set_int(node, "bits", bits);
    graph_set_int(node, "block_size", 16);
    graph_set_int(node, "N", VOCABULARY);
    graph_set_int(node, "K", HIDDEN);
    return node;
}

Test(lower_weights, matmul_nbits_has_2_bits_too_and_numbers_as_zero_points) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    constant_matrix(graph, "zeros", VOCABULARY, 1);
    add_nbits(graph, 2, "o,codes,scales,zeros");
    struct plan_weight weight = head_weight(graph, &plan);
    cr_assert_eq(weight.bits, 2);
    cr_assert(weight.zero_points_are_numbers);
    expect_part("data", weight.data, 16, 1);
    expect_part("zero points", weight.zero_points, 1, 1);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower_weights, accuracy_level_says_how_finely_inputs_may_be_quantized) {
    for (int64_t level = 0; level <= 4; level++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        graph_set_int(add_nbits(graph, 4, "o,codes,scales"), "accuracy_level", level);
        struct plan_weight weight = head_weight(graph, &plan);
        cr_assert_eq(weight.fine_inputs, level != 4, "level %d", (int)level);
        cr_assert_eq(plan.full_precision, level == 1, "level %d", (int)level);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_weights, a_group_index_counts_only_where_it_reorders) {
    for (int reorders = 0; reorders < 2; reorders++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        const int32_t groups[2 * 16] = {[7] = reorders};
        add_elements(graph, "groups", TENSOR_I32, 1, (const int64_t[]){32}, groups);
        add_elements(graph, "wide", TENSOR_U8, 3, (const int64_t[]){VOCABULARY, 2, 8}, zeros);
        constant_matrix(graph, "pairs", VOCABULARY, 2);
        constant_matrix(graph, "w_up", HIDDEN, 32);
        add_node(graph, "", "MatMul", "o,w_up", "h");
        const int32_t in_order[32] = {[16] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        add_elements(graph, "in_order", TENSOR_I32, 1, (const int64_t[]){32}, in_order);
        struct graph_node *node =
            add_node(graph, MICROSOFT_DOMAIN, "MatMulNBits",
                     reorders ? "h,wide,pairs,,groups" : "h,wide,pairs,,in_order", "logits");
        graph_set_int(node, "block_size", 16);
        graph_set_int(node, "N", VOCABULARY);
        graph_set_int(node, "K", 32);
        struct plan_weight weight = head_weight(graph, &plan);
        cr_assert_eq(weight.group_index != NULL, reorders == 1);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

/* MatMulBnb4 of K = 8: each block of 16 is two rows. */
static struct graph_node *add_bnb4(struct graph *graph, int64_t scales, const char *output) {
    add_elements(graph, "codes", TENSOR_U8, 1, (const int64_t[]){VOCABULARY * HIDDEN / 2}, zeros);
    constant_vector(graph, "absmax", scales);
    struct graph_node *node =
        add_node(graph, MICROSOFT_DOMAIN, "MatMulBnb4", "o,codes,absmax", output);
    graph_set_int(node, "block_size", 16);
    graph_set_int(node, "N", VOCABULARY);
    graph_set_int(node, "K", HIDDEN);
    return node;
}

Test(lower_weights, matmul_bnb4_is_a_weight_with_a_code_book) {
    for (int64_t type = 0; type < 2; type++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        graph_set_int(add_bnb4(graph, VOCABULARY / 2, "h"), "quant_type", type);
        constant_vector(graph, "b", VOCABULARY);
        add_node(graph, "", "Add", "h,b", "logits");
        struct plan_weight weight = head_weight(graph, &plan);
        cr_assert_eq(weight.bits, 4);
        cr_assert_eq(weight.code_book, type == 0 ? &code_book_fp4 : &code_book_nf4);
        cr_assert_eq(weight.block_size, HIDDEN);
        expect_part("data", weight.data, HIDDEN, 1);
        expect_part("scales", weight.scales, 1, 1);
        cr_assert_eq(weight.scales.shared, 2);
        const struct plan_instruction *last = &plan.instructions[plan.instruction_count - 1];
        cr_assert_eq(last->kind, PLAN_LINEAR);
        cr_assert_neq(last->linear.outputs[0].bias, PLAN_NONE);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

Test(lower_weights, matmul_bnb4_that_does_not_add_up_is_refused) {
    static const struct {
        int64_t scales;
        const char *attribute;
        int64_t value;
        const char *expected;
    } cases[] = {
        {VOCABULARY / 2, "quant_type", 2, "quant_type 2 is neither 0 (FP4) nor 1 (NF4)"},
        {VOCABULARY / 2, "transB", 0, "transB is 0"},
        {VOCABULARY / 2, "block_size", 24, "block_size 24 is not a power of two"},
        {VOCABULARY / 2, "K", HIDDEN + 1, "64 bytes of codes and 8 scales do not make 16 x 9"},
        {VOCABULARY, "quant_type", 1, "64 bytes of codes and 16 scales do not make 16 x 8"},
        {VOCABULARY / 2, "N", 0, "N is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        graph_set_int(add_bnb4(graph, cases[i].scales, "logits"), cases[i].attribute,
                      cases[i].value);
        add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
        add_attention(graph, PACKED);
        add_node(graph, "", "MatMul", "a,w_o", "o");
        char *reasons = finish_decoder(graph, &plan);
        expect_reason(reasons, cases[i].expected);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}

/* Each spoils a quantized matrix in one way. */
Test(lower_weights, quantized_matrices_that_do_not_add_up_are_refused) {
    static const struct {
        enum tensor_type type;
        int64_t scales[2];
        int64_t axis;
        int64_t block_size;
        const char *expected;
    } cases[] = {
        {TENSOR_I4, {2, VOCABULARY}, 0, 3, "do not spread over 8 x 16"},
        {TENSOR_I4, {HIDDEN, 4}, 1, 4, "or not over the inputs"},
        {TENSOR_I4, {2, VOCABULARY}, 5, 4, "along axis 5"},
        {TENSOR_I4, {2, VOCABULARY}, 0, -4, "in blocks of -4"},
        {TENSOR_I16, {2, VOCABULARY}, 0, 4, "a constant matrix of small integers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct graph *graph = begin_decoder();
        struct plan plan;
        add_elements(graph, "codes", cases[i].type, 2, (const int64_t[]){HIDDEN, VOCABULARY},
                     zeros);
        constant_matrix(graph, "scales", cases[i].scales[0], cases[i].scales[1]);
        struct graph_node *node = add_node(graph, "", "DequantizeLinear", "codes,scales", "w");
        graph_set_int(node, "axis", cases[i].axis);
        graph_set_int(node, "block_size", cases[i].block_size);
        add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
        add_attention(graph, PACKED);
        add_node(graph, "", "MatMul", "a,w_o", "o");
        add_node(graph, "", "MatMul", "o,w", "logits");
        char *reasons = finish_decoder(graph, &plan);
        expect_reason(reasons, cases[i].expected);
        free(reasons);
        plan_deinit(&plan);
        graph_close(graph);
    }
}
