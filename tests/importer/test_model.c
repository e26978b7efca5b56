#include "importer/model.h"

#include "importer/graph.h"
#include "importer/lower.h"
#include "importer/model_config.h"
#include "importer/model_dir.h"
#include "importer/onnx_file.h"
#include "importer/passes/passes.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct model *open_model(const char *path) {
    struct model *model;
    char *reasons;
    struct error err = {0};
    cr_assert(model_open(&model, path, &reasons, &err), "%s\n%s", err.text, reasons);
    return model;
}

static size_t count_kind(const struct plan *plan, enum plan_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        count += plan->instructions[i].kind == kind ? 1 : 0;
    }
    return count;
}

/* Per layer: 4 norms, 4 linears (qkv, o, gate and up, down), attention, gate. */
static void expect_gemma3(const struct plan *plan) {
    cr_expect_eq(count_kind(plan, PLAN_EMBED), 1);
    cr_expect_eq(count_kind(plan, PLAN_NORM), 6 * 4 + 1);
    cr_expect_eq(count_kind(plan, PLAN_LINEAR), 6 * 4 + 1);
    cr_expect_eq(count_kind(plan, PLAN_ATTENTION), 6);
    cr_expect_eq(count_kind(plan, PLAN_GATE), 6);
    cr_expect_eq(count_kind(plan, PLAN_SELECT_ROWS), 1);
    cr_expect_eq(plan->rope_count, 2, "a global and a local table, each once");
}

static const struct plan_attention *attention_of(const struct plan *plan, size_t layer) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        if (instruction->kind == PLAN_ATTENTION && instruction->attention.layer == layer) {
            return &instruction->attention;
        }
    }
    return NULL;
}

Test(model, gemma3_int4_becomes_a_plan_with_a_tied_embedding) {
    struct model *model = open_model("models/gemma3-int4");
    const struct plan *plan = &model->plan;
    expect_gemma3(plan);
    cr_assert_str_eq(model->id, "gemma3-int4");
    cr_assert_str_eq(model->type, "gemma3_text");
    cr_assert_eq(model->stop_token_count, 1);
    cr_assert_eq(model->stop_tokens[0], 1);
    cr_assert_eq(plan->vocabulary_size, 512);
    cr_assert_eq(plan->context_length, 256);
    cr_assert_not(plan->full_precision);
    const struct plan_instruction *head = &plan->instructions[plan->instruction_count - 1];
    cr_assert_eq(plan->instructions[0].embed.table, head->linear.outputs[0].weight,
                 "embedding and lm_head are one weight");
    cr_assert_float_eq(plan->instructions[0].embed.scale, 9.8f, 1e-6);
    const struct plan_weight *table = &plan->weights[plan->instructions[0].embed.table];
    cr_assert_eq(table->rows, 512);
    cr_assert_eq(table->columns, 96);
    cr_assert_eq(table->bits, 4);
    cr_assert_eq(table->block_size, 32);
    model_close(model);
}

Test(model, gemma3_attention_has_its_window_scale_norms_and_tables) {
    struct model *model = open_model("models/gemma3-int4");
    const struct plan *plan = &model->plan;
    const struct plan_attention *local = attention_of(plan, 0);
    const struct plan_attention *global = attention_of(plan, 5);
    cr_assert_eq(local->heads, 4);
    cr_assert_eq(plan->kv_layers[0].kv_heads, 1);
    cr_assert_eq(plan->kv_layers[0].head_dim, 32);
    cr_assert_gt(plan->kv_layers[0].window, 0);
    cr_assert_eq(plan->kv_layers[5].window, 0);
    cr_assert_neq(local->rope, global->rope);
    cr_assert_neq(local->q_norm, PLAN_NONE);
    cr_assert_neq(local->k_norm, PLAN_NONE);
    cr_assert_float_eq(local->q_norm_epsilon, 1e-6f, 1e-12);
    cr_assert_eq(plan->ropes[local->rope].half, 16);
    model_close(model);
}

Test(model, an_untied_embedding_is_a_weight_of_its_own) {
    struct model *model = open_model("models/gemma3-int4-untied");
    const struct plan *plan = &model->plan;
    expect_gemma3(plan);
    const struct plan_weight *table = &plan->weights[plan->instructions[0].embed.table];
    cr_assert_eq(table->bits, 0);
    cr_assert_eq(table->type, ELEMENT_F32);
    cr_assert_eq(table->data.step, 1);
    model_close(model);
}

Test(model, a_transposed_float_embedding_is_tied_too) {
    struct model *model = open_model("models/gemma3-fp32");
    const struct plan *plan = &model->plan;
    expect_gemma3(plan);
    const struct plan_instruction *head = &plan->instructions[plan->instruction_count - 1];
    cr_assert_eq(plan->instructions[0].embed.table, head->linear.outputs[0].weight);
    const struct plan_weight *table = &plan->weights[plan->instructions[0].embed.table];
    cr_assert_eq(table->data.row, 1, "its rows are columns of the file's matrix");
    cr_assert_eq(table->rows, 512);
    cr_assert_eq(table->columns, 96);
    model_close(model);
}

Test(model, the_embedded_demo_needs_nothing_on_disk) {
    struct model *model = open_model(NULL);
    cr_assert_str_eq(model->id, "demo");
    cr_assert_eq(model->plan.vocabulary_size, 2048);
    model_close(model);
}

Test(model, inspect_shows_every_part) {
    static const char *const parts[] = {
        "model.onnx.data",
        "operators after passes",
        "input_ids",
        "GroupQueryAttention",
        "recognize embeddings",
        "lm_head.MatMul.weight",
        "select_rows",
        "Gemma 3: 6 layers, 5 with a window of 16, 4 heads over 1 KV head of 32",
        "q4 in blocks of 32",
        "43 matrices",
        "kv cache per token",
        "  context                                          256",
    };
    struct model *model = open_model("models/gemma3-int4");
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert(model_inspect(model, false, out));
    fclose(out);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        cr_expect(strstr(text, parts[i]) != NULL, "\"%s\" is missing", parts[i]);
    }
    free(text);
    model_close(model);
}

/* ---- What cannot be lowered: the sound fixture, spoiled after it was read ---- */

struct spoiled {
    struct model_dir *dir;
    struct graph *graph;
    struct model_config config;
};

static void read_fixture(struct spoiled *spoiled) {
    struct error err = {0};
    cr_assert(model_dir_open(&spoiled->dir, "models/gemma3-int4", &err), "%s", err.text);
    cr_assert(model_config_read(&spoiled->config, spoiled->dir, &err), "%s", err.text);
    cr_assert(onnx_file_read(&spoiled->graph, spoiled->dir, "model.onnx", &err), "%s", err.text);
}

/* Lowers and expects every one of the sentences among the reasons. */
static void expect_reasons(struct spoiled *spoiled, const char *const *sentences) {
    struct plan plan;
    struct error err = {0};
    char *reasons = NULL;
    plan_init(&plan);
    cr_assert(passes_run(spoiled->graph, &spoiled->config, &err), "%s", err.text);
    cr_assert_not(lower(&plan, spoiled->graph, &spoiled->config, &reasons, &err));
    for (; *sentences != NULL; sentences++) {
        cr_expect(strstr(reasons != NULL ? reasons : err.text, *sentences) != NULL,
                  "\"%s\" is not among:\n%s%s", *sentences, err.text, reasons);
    }
    free(reasons);
    plan_deinit(&plan);
    graph_close(spoiled->graph);
    model_config_deinit(&spoiled->config);
    model_dir_close(spoiled->dir);
}

static struct graph_node *first_node(struct graph *graph, const char *op) {
    for (size_t n = 0; n < graph->node_count; n++) {
        if (strcmp(graph->nodes[n].op, op) == 0) {
            return &graph->nodes[n];
        }
    }
    return NULL;
}

static void set_int(struct graph *graph, struct graph_node *node, const char *name, int64_t value) {
    cr_assert(graph_rewrite(graph, node, node->domain, node->op, 0, 1));
    graph_set_int(node, name, value);
}

Test(model, all_reasons_are_collected_each_with_its_node) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    set_int(spoiled.graph, first_node(spoiled.graph, "GroupQueryAttention"), "causal", 0);
    set_int(spoiled.graph, first_node(spoiled.graph, "MatMulNBits"), "bits", 3);
    first_node(spoiled.graph, "Gelu")->op = "Swish";
    expect_reasons(&spoiled, (const char *const[]){
                                 "q_proj/MatMul_Q4 (com.microsoft::MatMulNBits): weights of 3 bits",
                                 "act_fn/FastGelu (Swish): this operator has no instruction",
                                 "causal = 0 has no instruction",
                                 NULL,
                             });
}

Test(model, nodes_refused_for_the_same_reason_share_a_line) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    for (size_t n = 0; n < spoiled.graph->node_count; n++) {
        struct graph_node *node = &spoiled.graph->nodes[n];
        node->op = strcmp(node->op, "Gelu") == 0 ? "Swish" : node->op;
    }
    expect_reasons(&spoiled, (const char *const[]){"(and 5 more nodes like it)", NULL});
}

Test(model, a_mask_that_means_something_else_is_refused) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    first_node(spoiled.graph, "Sub")->op = "Add"; /* seqlens_k = total + 1 */
    expect_reasons(&spoiled, (const char *const[]){
                                 "seqlens_k is 6 where an ordinary causal decoder has 4", NULL});
}

Test(model, weights_of_the_wrong_size_are_refused) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    set_int(spoiled.graph, first_node(spoiled.graph, "MatMulNBits"), "N", 129);
    expect_reasons(&spoiled, (const char *const[]){"do not make 129 x 96 in blocks of 32", NULL});
}

Test(model, a_contradiction_with_the_configuration_names_both_numbers) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    spoiled.config.vocabulary_size = 513;
    expect_reasons(
        &spoiled,
        (const char *const[]){
            "genai_config.json says the vocabulary size is 513, but the graph has 512", NULL});
}

Test(model, a_cache_of_another_name_is_refused) {
    struct spoiled spoiled;
    read_fixture(&spoiled);
    spoiled.config.past_key = "past.%d.k";
    expect_reasons(&spoiled,
                   (const char *const[]){
                       "\"past_key_values.0.key\", expected a name like \"past.%d.k\"", NULL});
}

/* ---- Folders ---- */

static char folder[] = "/tmp/quern-test-XXXXXX";

static void make_folder(void) {
    strcpy(folder, "/tmp/quern-test-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
}

static void path_of(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", folder, name);
}

/* The first `limit` bytes of a fixture's file. */
static void copy_file(const char *name, size_t limit) {
    char from[256];
    char to[256];
    snprintf(from, sizeof from, "models/gemma3-int4/%s", name);
    path_of(to, sizeof to, name);
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    cr_assert(in != NULL && out != NULL);
    for (int byte; limit > 0 && (byte = fgetc(in)) != EOF; limit--) {
        fputc(byte, out);
    }
    fclose(in);
    fclose(out);
}

static void write_file(const char *name, const char *text) {
    char path[256];
    path_of(path, sizeof path, name);
    FILE *out = fopen(path, "wb");
    cr_assert(out != NULL);
    fputs(text, out);
    fclose(out);
}

static void remove_folder(void) {
    static const char *const names[] = {"model.onnx", "model.onnx.data", "genai_config.json",
                                        "config.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        path_of(path, sizeof path, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void expect_unopened(const char *path, const char *expected) {
    struct model *model;
    char *reasons;
    struct error err = {0};
    cr_assert_not(model_open(&model, path, &reasons, &err), "opened: %s", expected);
    cr_expect(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    free(reasons);
}

Test(model_folder, what_is_missing_or_cut_short_is_named) {
    make_folder();
    expect_unopened("/nonexistent", "model folder /nonexistent: No such file");
    expect_unopened(folder, "has no ONNX file");
    copy_file("model.onnx", SIZE_MAX);
    expect_unopened(folder, "model.onnx: initializer \"");
    copy_file("model.onnx.data", 1000);
    expect_unopened(folder, "which has only 1000 bytes");
    copy_file("model.onnx", 5000);
    expect_unopened(folder, "model.onnx: not an ONNX file, or a corrupt or truncated one");
    write_file("model.onnx", "");
    expect_unopened(folder, "model.onnx: holds no graph");
    remove_folder();
}

Test(model_folder, a_link_that_leads_out_is_refused) {
    char link[256];
    char target[512];
    make_folder();
    copy_file("model.onnx", SIZE_MAX);
    path_of(link, sizeof link, "model.onnx.data");
    cr_assert(realpath("models/gemma3-int4/model.onnx.data", target) != NULL);
    cr_assert_eq(symlink(target, link), 0);
    expect_unopened(folder, "leads out of the model folder");
    remove_folder();
}

Test(model_folder, a_link_that_leads_nowhere_is_not_taken_for_no_file) {
    char link[256];
    make_folder();
    path_of(link, sizeof link, "genai_config.json");
    cr_assert_eq(symlink("nowhere", link), 0);
    expect_unopened(folder, "genai_config.json: a link to a file that does not exist");
    remove_folder();
}

Test(model_folder, a_configuration_without_end_is_not_read) {
    char path[256];
    make_folder();
    write_file("genai_config.json", "{");
    path_of(path, sizeof path, "genai_config.json");
    cr_assert_eq(truncate(path, 1 << 30), 0); /* a hole: it takes no room */
    expect_unopened(folder, "genai_config.json has 1073741824 bytes; at most 4194304 are read");
    remove_folder();
}

Test(model_folder, a_hugging_face_configuration_gives_ids) {
    make_folder();
    copy_file("model.onnx", SIZE_MAX);
    copy_file("model.onnx.data", SIZE_MAX);
    write_file("config.json", "{\"model_type\": \"gemma3\", \"eos_token_id\": [1, 106],"
                              " \"text_config\": {\"max_position_embeddings\": 100}}");
    struct model *model = open_model(folder);
    cr_assert_str_eq(model->type, "gemma3");
    cr_assert_eq(model->stop_token_count, 2);
    cr_assert_eq(model->stop_tokens[1], 106);
    cr_assert_eq(model->plan.context_length, 100);
    model_close(model);
    remove_folder();
}

Test(model_folder, a_configuration_that_is_wrong_is_named) {
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"{", "genai_config.json: is not a JSON object"},
        {"{}", "genai_config.json: has no \"model\" with a \"decoder\""},
        {"{\"model\": {\"vocab_size\": \"many\", \"decoder\": {}}}", "\"vocab_size\" must be"},
        {"{\"model\": {\"eos_token_id\": [1, -2], \"decoder\": {}}}", "\"eos_token_id\" must be"},
        {"{\"model\": {\"decoder\": {\"filename\": \"../model.onnx\"}}}", "No such file"},
        {"{\"model\": {\"decoder\": {\"filename\": \"/etc/passwd\"}}}", "not a relative name"},
    };
    make_folder();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file("genai_config.json", cases[i].text);
        expect_unopened(folder, cases[i].expected);
    }
    remove_folder();
}

Test(model_config, layer_names_follow_their_pattern) {
    size_t layer = 0;
    cr_assert(model_config_layer("past.%d.key", "past.17.key", &layer));
    cr_assert_eq(layer, 17);
    cr_assert_not(model_config_layer("past.%d.key", "past.17.value", &layer));
    cr_assert_not(model_config_layer("past.%d.key", "past..key", &layer));
    cr_assert_not(model_config_layer("past.%s.key", "past.17.key", &layer));
    cr_assert_not(model_config_layer("past.%d.key", "past.99999999999.key", &layer));
}
