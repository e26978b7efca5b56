/* What exporters make of LoRA, on a decoder of one layer. */
#include "small_decoder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A decoder whose output projection, "o", something is to be added to. */
static struct graph *begin(void) {
    struct graph *graph = begin_decoder();
    add_node(graph, "", "MatMul", "x,w_qkv", "qkv");
    add_attention(graph, PACKED);
    add_node(graph, "", "MatMul", "a,w_o", "o");
    add_input(graph, "down", TENSOR_F32, 2);
    add_input(graph, "up", TENSOR_F32, 2);
    add_floats(graph, "half", 0, NULL, (const float[]){0.5f});
    return graph;
}

/* The reasons, if "y" cannot be lowered as the rows that the logits are made of. */
static char *finish(struct graph *graph, struct plan *plan) {
    add_node(graph, "", "MatMul", "y,w_head", "logits");
    return finish_decoder(graph, plan);
}

/* The place for adapters at the output projection. */
static const struct plan_low_rank *place_of(const struct plan *plan) {
    cr_assert_eq(plan->low_rank_count, 1, "%zu places", plan->low_rank_count);
    const struct plan_linear *linear = NULL;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        bool is_linear = plan->instructions[i].kind == PLAN_LINEAR;
        cr_assert_neq(plan->instructions[i].kind, PLAN_ADD);
        linear = is_linear && plan->instructions[i].linear.outputs[0].low_rank != PLAN_NONE
                     ? &plan->instructions[i].linear
                     : linear;
    }
    cr_assert(linear != NULL, "no linear instruction has a place");
    cr_assert_eq(plan->low_ranks[0].columns, HEADS * HEAD_DIM);
    cr_assert_eq(plan->low_ranks[0].rows, HIDDEN);
    return &plan->low_ranks[0];
}

static void end(struct graph *graph, struct plan *plan, char *reasons) {
    free(reasons);
    plan_deinit(plan);
    graph_close(graph);
}

Test(low_rank, two_products_with_inputs_are_a_place_for_adapters) {
    struct graph *graph = begin();
    struct plan plan;
    add_node(graph, "", "MatMul", "a,down", "d");
    add_node(graph, "", "MatMul", "d,up", "u");
    add_node(graph, "", "Add", "o,u", "y");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_low_rank *place = place_of(&plan);
    cr_expect_eq(place->factor, 1);
    cr_expect_eq(place->own.down.rows, 0);
    cr_expect_str_eq(place->name, "down");
    end(graph, &plan, reasons);
}

/* As torch exports what PEFT computes, with casts and a factor. */
Test(low_rank, factors_casts_and_turned_matrices_belong_to_it) {
    struct graph *graph = begin();
    struct plan plan;
    graph_set_int(add_node(graph, "", "Cast", "a", "a32"), "to", TENSOR_F32);
    add_node(graph, "", "Transpose", "down", "down_t");
    add_node(graph, "", "Transpose", "up", "up_t");
    add_node(graph, "", "MatMul", "a32,down_t", "d");
    add_node(graph, "", "Mul", "half,d", "d_half");
    add_node(graph, "", "MatMul", "d_half,up_t", "u");
    add_node(graph, "", "Mul", "u,half", "u_half");
    graph_set_int(add_node(graph, "", "Cast", "u_half", "u16"), "to", TENSOR_F32);
    add_node(graph, "", "Add", "u16,o", "y");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_expect_eq(place_of(&plan)->factor, 0.25f);
    const struct graph_node *node = find_node(graph, "LowRank");
    cr_expect_eq(graph_attribute_int(node, "down_turned", 0), 1);
    cr_expect_eq(graph_attribute_int(node, "up_turned", 0), 1);
    end(graph, &plan, reasons);
}

static void make_default(struct graph *graph, const char *name, int64_t rows, int64_t columns) {
    static const float numbers[64];
    int value = add_floats(graph, name, 2, (const int64_t[]){rows, columns}, numbers);
    graph->values[value].is_default = true;
    graph->values[value].type = TENSOR_F32;
    graph->values[value].rank = 2;
}

static char *finish_with_defaults(struct graph *graph, struct plan *plan, int64_t down_columns,
                                  int64_t up_rows) {
    make_default(graph, "own_down", HEADS * HEAD_DIM, down_columns);
    make_default(graph, "own_up", up_rows, HIDDEN);
    add_node(graph, "", "MatMul", "a,own_down", "d");
    add_node(graph, "", "MatMul", "d,own_up", "u");
    add_node(graph, "", "Add", "o,u", "y");
    return finish(graph, plan);
}

Test(low_rank, inputs_that_may_be_left_out_have_matrices_of_their_own) {
    struct plan plan;
    struct graph *graph = begin();
    char *reasons = finish_with_defaults(graph, &plan, 0, 0);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_expect_eq(place_of(&plan)->own.down.rows, 0, "empty ones add nothing");
    end(graph, &plan, reasons);
    graph = begin();
    reasons = finish_with_defaults(graph, &plan, 3, 3);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_expect_eq(place_of(&plan)->own.down.rows, 3);
    cr_expect_eq(place_of(&plan)->own.up.columns, 3);
    end(graph, &plan, reasons);
}

Test(low_rank, constant_matrices_are_linear_layers_as_any) {
    struct graph *graph = begin();
    struct plan plan;
    constant_matrix(graph, "a_down", HEADS * HEAD_DIM, 2);
    constant_matrix(graph, "a_up", 2, HIDDEN);
    add_node(graph, "", "MatMul", "a,a_down", "d");
    add_node(graph, "", "MatMul", "d,a_up", "u");
    add_node(graph, "", "Add", "o,u", "y");
    char *reasons = finish(graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    cr_expect_eq(plan.low_rank_count, 0);
    end(graph, &plan, reasons);
}

static void expect_refused(struct graph *graph, const char *expected) {
    struct plan plan;
    char *reasons = finish(graph, &plan);
    cr_assert(reasons != NULL);
    cr_expect(strstr(reasons, expected) != NULL, "%s", reasons);
    end(graph, &plan, reasons);
}

Test(low_rank, what_is_added_to_anything_else_is_refused) {
    static const char elsewhere[] = "an adapter adds to what is no linear layer of its input";
    struct graph *graph = begin();
    add_node(graph, "", "MatMul", "x,down", "d"); /* not what "o" is made of */
    add_node(graph, "", "MatMul", "d,up", "u");
    add_node(graph, "", "Add", "o,u", "y");
    expect_refused(graph, elsewhere);
    graph = begin();
    add_node(graph, "", "MatMul", "a,down", "d");
    add_node(graph, "", "MatMul", "d,up", "u");
    add_node(graph, "", "Add", "a,u", "y");
    expect_refused(graph, "an adapter adds to what is no row of its own");
    graph = begin();
    add_node(graph, "", "MatMul", "a,down", "d");
    add_node(graph, "", "MatMul", "d,up", "u");
    add_node(graph, "", "Add", "o,u", "y1");
    add_node(graph, "", "Add", "y1,o", "y"); /* without the adapter, too */
    expect_refused(graph, "an adapter adds to what is no row of its own");
    graph = begin();
    add_node(graph, "", "MatMul", "a,down", "d");
    add_node(graph, "", "MatMul", "d,up", "u");
    add_node(graph, "", "Add", "o,u", "y1");
    add_node(graph, "", "Add", "y1,u", "y");
    expect_refused(graph, elsewhere);
}
