/* Lowering of forms that the fixtures do not have, on a decoder of one layer and two ids. */
#include "small_decoder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(lower, a_head_norm_outside_attention_is_a_norm_of_groups) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    constant_list(graph, "heads", 3, (const int64_t[]){0, -1, HEAD_DIM});
    constant_list(graph, "rows", 3, (const int64_t[]){0, -1, HIDDEN});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Reshape", "o,heads", "o1");
    add_node(graph, "", "SimplifiedLayerNormalization", "o1,head_norm", "o2");
    add_node(graph, "", "Reshape", "o2,rows", "o3");
    add_node(graph, "", "MatMul", "o3,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_instruction *norm = &plan.instructions[plan.instruction_count - 2];
    cr_assert_eq(norm->kind, PLAN_NORM);
    cr_assert_eq(norm->norm.group, HEAD_DIM);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, the_choice_of_the_last_row_is_left_to_the_engine) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    graph_set_int(add_node(graph, "", "Gather", "o,last", "o1"), "axis", 1);
    add_node(graph, "", "Unsqueeze", "o1,axis1", "o2");
    add_node(graph, "", "MatMul", "o2,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
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
    struct graph *graph = begin_decoder();
    struct plan plan;
    constant_matrix(graph, "w_1", HIDDEN, 12);
    constant_matrix(graph, "w_2", 12, HIDDEN);
    constant_vector(graph, "b_1", 12);
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "x,w_1", "h1");
    add_node(graph, "", "Add", "h1,b_1", "h2");
    add_node(graph, MICROSOFT_DOMAIN, "FastGelu", "h2", "h3");
    add_node(graph, "", "MatMul", "h3,w_2", "m");
    add_node(graph, "", "Add", "o,m", "branches");
    add_node(graph, MICROSOFT_DOMAIN, "SkipLayerNormalization", "e,branches,norm,norm", "y");
    add_node(graph, "", "MatMul", "y,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    expect_kinds(&plan, 3, 7,
                 (const enum plan_kind[]){PLAN_ATTENTION, PLAN_LINEAR, PLAN_GATE, PLAN_LINEAR,
                                          PLAN_ADD, PLAN_NORM, PLAN_LINEAR});
    cr_assert_eq(plan.instructions[2].linear.count, 2, "qkv and h1 share the rows of x");
    cr_assert_eq(plan.instructions[5].gate.up.reg, PLAN_NONE);
    cr_assert_eq(plan.instructions[8].norm.residual, plan.instructions[7].add.output);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, constant_factors_and_vectors_of_rows_have_instructions) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_floats(graph, "half", 0, NULL, (const float[]){0.5f});
    add_floats(graph, "four", 0, NULL, (const float[]){4});
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Mul", "half,o", "o1");
    add_node(graph, "", "Add", "norm,o1", "o2");
    add_node(graph, "", "Mul", "o2,e", "o3");
    add_node(graph, MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", "e,o3,norm,norm", "y");
    add_node(graph, "", "MatMul", "y,w_head", "l1");
    add_node(graph, "", "Div", "l1,four", "logits");
    char *reasons = finish_decoder(graph, &plan);
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

/* Gate and up are the halves of one matrix, cut by bounds that are computed from the rows' shape. */
Test(lower, halves_of_a_row_are_gated_where_they_are) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    const int64_t single = 1;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_integers(graph, "zero_list", 1, &single, (const int64_t[]){0});
    add_integers(graph, "two_list", 1, &single, (const int64_t[]){2});
    add_integers(graph, "half_list", 1, &single, (const int64_t[]){HIDDEN / 2});
    add_integers(graph, "greatest_list", 1, &single, (const int64_t[]){INT64_MAX});
    constant_matrix(graph, "w_half", HIDDEN / 2, HIDDEN);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "Shape", "o", "o_shape");
    add_node(graph, "", "Gather", "o_shape,two_list", "o_width");
    add_node(graph, "", "Div", "o_width,two_list", "middle");
    add_node(graph, "", "Slice", "o,zero_list,middle,two_list", "gate");
    add_node(graph, "", "Slice", "o,middle,greatest_list,two_list", "up");
    add_node(graph, "", "Sigmoid", "gate", "s");
    add_node(graph, "", "Mul", "gate,s", "activated");
    add_node(graph, "", "Mul", "activated,up", "product");
    add_node(graph, "", "MatMul", "product,w_half", "h");
    add_node(graph, "", "MatMul", "h,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_gate *gate = NULL;
    for (size_t i = 0; i < plan.instruction_count; i++) {
        gate = plan.instructions[i].kind == PLAN_GATE ? &plan.instructions[i].gate : gate;
    }
    cr_assert(gate != NULL);
    cr_assert_eq(gate->gate.reg, gate->up.reg);
    cr_assert_eq(gate->gate.first, 0);
    cr_assert_eq(gate->up.first, HIDDEN / 2);
    plan_deinit(&plan);
    graph_close(graph);
}

/* Rows of a table of positions are added to those of the ids: what the table is looked up by are the
 * ones of the mask, counted, plus a number, as OPT has it, and at most `limit`. */
static char *lower_learned_positions(int64_t offset, int64_t limit, struct plan *plan) {
    struct graph *graph = begin_decoder();
    constant_matrix(graph, "learned", POSITIONS, HIDDEN);
    add_integers(graph, "offset", 0, NULL, &offset);
    add_integers(graph, "limit", 0, NULL, &limit);
    constant_list(graph, "greatest", 1, (const int64_t[]){INT64_MAX});
    constant_list(graph, "third", 1, (const int64_t[]){2});
    add_node(graph, "", "Shape", "past.0.key", "past_shape");
    add_node(graph, "", "Gather", "past_shape,third", "past");
    add_node(graph, "", "CumSum", "attention_mask,one", "counted");
    add_node(graph, "", "Slice", "counted,past,greatest,axis1", "fresh");
    add_node(graph, "", "Add", "fresh,offset", "moved");
    add_node(graph, "", "Min", "moved,limit", "index");
    add_node(graph, "", "Gather", "learned,index", "p");
    add_node(graph, "", "Add", "e,p", "ep");
    add_node(graph, "", "SimplifiedLayerNormalization", "ep,norm", "n");
    add_node(graph, "", "MatMul", "n,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, plan);
    graph_close(graph);
    return reasons;
}

Test(lower, learned_positions_bound_the_context) {
    struct plan plan;
    char *reasons = lower_learned_positions(2, INT32_MAX, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_embed *learned = &plan.instructions[1].embed;
    cr_assert_eq(plan.instructions[1].kind, PLAN_EMBED);
    cr_assert(learned->by_position);
    cr_assert_eq(learned->first_position, 3, "the first one is counted as 1");
    cr_assert_eq(plan.context_length, POSITIONS - 3);
    plan_deinit(&plan);
}

Test(lower, a_table_is_looked_up_by_what_counts_from_one_of_its_rows_on) {
    static const struct {
        int64_t offset;
        int64_t limit;
        const char *why;
    } cases[] = {
        {-2, INT32_MAX, "positions begin at row -1 of a table that has 12"},
        {POSITIONS, INT32_MAX, "positions begin at row 13 of a table that has 12"},
        {-1, 6, "is not understood as positions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan plan;
        char *reasons = lower_learned_positions(cases[i].offset, cases[i].limit, &plan);
        cr_assert(reasons != NULL && strstr(reasons, cases[i].why) != NULL, "%s", reasons);
        free(reasons);
        plan_deinit(&plan);
    }
}

Test(lower, attention_behind_the_last_row_is_refused) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    graph_set_int(add_node(graph, "", "Gather", "x,last", "x1"), "axis", 1);
    add_node(graph, "", "Unsqueeze", "x1,axis1", "x2");
    add_node(graph, "", "MatMul", "x2,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons != NULL);
    cr_assert(strstr(reasons, "a last position that was chosen before") != NULL, "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

/* The model builder takes a layer of as many outputs as the vocabulary for the lm_head, wherever it is. */
Test(lower, logits_before_an_attention_are_refused) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_head", "logits");
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons != NULL);
    cr_assert(strstr(reasons, "an inner layer of 16 outputs, as many as the vocabulary") != NULL,
              "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

Test(lower, logits_that_do_not_come_from_ids_are_refused) {
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "Cast", "attention_mask", "logits");
    char *reasons = finish_decoder(graph, &plan);
    cr_assert(reasons != NULL);
    cr_assert(strstr(reasons, "\"logits\" is not computed from the rows") != NULL, "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}

/* The model builder reshapes the codes of a quantized lm_head into a shared embedding, also those that
 * are padded to whole blocks. */
Test(lower, a_table_that_cannot_be_reshaped_is_named) {
    static const uint8_t codes[VOCABULARY * 2 * HIDDEN];
    static const float scales[VOCABULARY * 2];
    struct graph *graph = begin_decoder();
    struct plan plan;
    add_elements(graph, "codes", TENSOR_U8, 3, (const int64_t[]){VOCABULARY, 2, HIDDEN}, codes);
    add_floats(graph, "scales", 2, (const int64_t[]){VOCABULARY, 2}, scales);
    constant_list(graph, "narrow", 2, (const int64_t[]){VOCABULARY, 12});
    add_node(graph, "", "Reshape", "codes,narrow", "padded");
    add_node(graph, MICROSOFT_DOMAIN, "GatherBlockQuantized", "padded,input_ids,scales", "x2");
    add_node(graph, "", "MatMul", "x2,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_node(graph, "", "MatMul", "o,w_head", "logits");
    char *reasons = finish_decoder(graph, &plan);
    expect_reason(reasons, "Reshape): 256 elements cannot be seen as 192");
    cr_assert(strstr(reasons, "GatherBlockQuantized") == NULL, "%s", reasons);
    cr_assert(strstr(strstr(reasons, "node ") + 1, "node ") == NULL, "%s", reasons);
    free(reasons);
    plan_deinit(&plan);
    graph_close(graph);
}
