/* Attention that is written out: a sound export is recognized, and what was spoiled in it is named. */
#include "importer/lower.h"
#include "importer/onnx_file.h"
#include "importer/passes/passes.h"
#include "small_graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct export {
    struct model_dir *dir;
    struct graph *graph;
    struct model_config config;
    struct plan plan;
    char *reasons;
};

static struct export read_export(const char *path) {
    struct export export = {0};
    struct error err = {0};
    cr_assert(model_dir_open(&export.dir, path, &err), "%s", err.text);
    cr_assert(model_config_read(&export.config, export.dir, &err), "%s", err.text);
    cr_assert(onnx_file_read(&export.graph, export.dir, "model.onnx", &err), "%s", err.text);
    return export;
}

/* Is there a sound plan? */
static bool finish(struct export *export) {
    struct error err = {0};
    plan_init(&export->plan);
    cr_assert(passes_run(export->graph, &export->config, &err), "%s", err.text);
    return lower(&export->plan, export->graph, &export->config, &export->reasons, &err) &&
           plan_verify(&export->plan, &err);
}

static void close_export(struct export *export) {
    plan_deinit(&export->plan);
    model_config_deinit(&export->config);
    graph_close(export->graph);
    model_dir_close(export->dir);
    free(export->reasons);
}

/* The node whose name ends so. */
static struct graph_node *node_named(const struct export *export, const char *end) {
    for (size_t n = 0; n < export->graph->node_count; n++) {
        struct graph_node *node = &export->graph->nodes[n];
        size_t length = strlen(node->name);
        if (length >= strlen(end) && strcmp(node->name + length - strlen(end), end) == 0) {
            return node;
        }
    }
    cr_assert_fail("no node is called ..%s", end);
    return NULL;
}

static const struct plan_attention *attention_of_layer(const struct plan *plan, size_t layer) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        if (instruction->kind == PLAN_ATTENTION && instruction->attention.layer == layer) {
            return &instruction->attention;
        }
    }
    return NULL;
}

Test(attention_pass, heads_windows_norms_and_rotations_are_found_by_trying) {
    struct export export = read_export("models/optimum-gemma3-q4");
    cr_assert(finish(&export), "%s", export.reasons);
    const struct plan *plan = &export.plan;
    cr_assert_eq(plan->kv_layer_count, 6);
    cr_assert_eq(plan->rope_count, 2, "a local and a global rotation");
    for (size_t layer = 0; layer < 6; layer++) {
        const struct plan_attention *attention = attention_of_layer(plan, layer);
        cr_assert_eq(attention->heads, 4);
        cr_assert_eq(plan->kv_layers[layer].kv_heads, 1);
        cr_assert_eq(plan->kv_layers[layer].head_dim, 32);
        cr_assert_eq(plan->kv_layers[layer].window, layer == 5 ? 0u : 16u, "layer %zu", layer);
        cr_assert_float_eq(attention->scale, 0.1767767f, 1e-6f);
        cr_assert_neq(attention->q_norm, PLAN_NONE);
        const struct plan_rope *rope = &plan->ropes[attention->rope];
        cr_assert_eq(rope->half, 16);
        float base = layer == 5 ? 1e6f : 1e4f;
        float second = plan->vectors[rope->angles.frequencies].values[1];
        cr_assert_float_eq(second * powf(base, 1.0f / 16), 1, 1e-6f, "layer %zu", layer);
    }
    close_export(&export);
}

Test(attention_pass, biases_and_groups_are_found_by_trying) {
    struct export export = read_export("models/optimum-qwen2-q4");
    cr_assert(finish(&export), "%s", export.reasons);
    const struct plan_attention *attention = attention_of_layer(&export.plan, 2);
    cr_assert_eq(attention->heads, 6);
    cr_assert_eq(export.plan.kv_layers[2].kv_heads, 2);
    cr_assert_eq(attention->q_norm, PLAN_NONE);
    close_export(&export);
}

/* ---- What is not as in a decoder ---- */

static void see_the_future(struct export *export) {
    node_named(export, "/model/LessOrEqual")->op = "GreaterOrEqual";
}
static void see_not_itself(struct export *export) {
    node_named(export, "/model/LessOrEqual")->op = "Less";
}
static void mix_heads(struct export *export) {
    struct graph_node *transpose = node_named(export, "layers.0/self_attn/Transpose_4");
    static const int64_t as_it_was[] = {0, 1, 2, 3};
    transpose->attributes[0].integers = as_it_was;
}
static void turn_by_something_else(struct export *export) {
    node_named(export, "/model/rotary_emb/Sin")->op = "Tanh";
}
/* As many heads of values as tokens, without three: in the prompt of five these are the right two. */
static void change_heads(struct export *export) {
    struct graph_node *heads = node_named(export, "layers.0/self_attn/Unsqueeze_5");
    struct graph_node *shape = node_named(export, "layers.0/self_attn/Concat_2");
    const int64_t length = 1;
    heads->op = "Add";
    heads->inputs[1] = add_integers(export->graph, "fewer", 1, &length, (const int64_t[]){-3});
    shape->inputs[1] = add_integers(export->graph, "as it is", 1, &length, (const int64_t[]){0});
    shape->inputs[2] = heads->outputs[0];
    shape->inputs[3] = add_integers(export->graph, "the rest", 1, &length, (const int64_t[]){-1});
}
static void soften_another_dimension(struct export *export) {
    graph_set_int(node_named(export, "layers.0/self_attn/Softmax"), "axis", 2);
}
static void square_scores(struct export *export) {
    struct graph_node *add = node_named(export, "layers.0/self_attn/Add_2");
    add->op = "Mul";
}
static void attend_to_nothing(struct export *export) {
    node_named(export, "layers.0/self_attn/Softmax")->inputs[0] =
        graph_find(export->graph, "input_ids");
}

Test(attention_pass, what_is_not_as_in_a_decoder_is_named) {
    static const struct {
        void (*spoil)(struct export *export);
        const char *expected;
    } cases[] = {
        {see_the_future, "its mask adds"},
        {see_not_itself, "its mask adds"},
        {mix_heads, "does not put its heads side by side"},
        {turn_by_something_else, "rotates heads by something else"},
        {change_heads, "its heads are not the same in every step"},
        {soften_another_dimension, "not over the last"},
        {square_scores, "its mask adds"},
        {attend_to_nothing, "between two products"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct export export = read_export("models/optimum-qwen2-q4");
        cases[i].spoil(&export);
        cr_assert_not(finish(&export), "case %zu was accepted", i);
        cr_expect(export.reasons != NULL && strstr(export.reasons, cases[i].expected) != NULL,
                  "case %zu: \"%s\" is not among:\n%s", i, cases[i].expected, export.reasons);
        cr_expect(export.reasons == NULL || strstr(export.reasons, "(Shape)") == NULL,
                  "case %zu: arithmetic is listed node by node:\n%s", i, export.reasons);
        close_export(&export);
    }
}
