#include "importer/model.h"

#include "importer/graph.h"
#include "importer/lower.h"
#include "importer/model_config.h"
#include "importer/model_dir.h"
#include "importer/onnx_file.h"
#include "importer/passes/passes.h"
#include "importer/tokenizer_file.h"

#include <stdlib.h>
#include <string.h>

/* The files that weights may lie in. */
static bool list_mappings(struct plan *plan, const struct model_dir *directory, struct error *err) {
    const struct model_file *file;
    for (size_t i = 0; (file = model_dir_file(directory, i)) != NULL; i++) {
        struct plan_mapping mapping = {file->bytes, file->size, file->identity};
        if (!plan_add_mapping(plan, &mapping)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a plan");
        }
    }
    return true;
}

/* The graph, rewritten and lowered to a verified plan. */
static bool build_plan(struct model *model, const struct model_config *config, struct error *err) {
    if (!lower(&model->plan, model->graph, config, &model->reasons, err)) {
        return false;
    }
    if (!plan_insert_select_rows(&model->plan)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a plan");
    }
    return list_mappings(&model->plan, model->directory, err) && plan_verify(&model->plan, err);
}

/* A graph that cannot be run is no error here: plan_error says why. */
static bool read_graph(struct model *model, const struct model_config *config, struct error *err) {
    const char *name = model_dir_onnx_file(model->directory, config->onnx_file, err);
    if (name == NULL || !onnx_file_read(&model->graph, model->directory, name, err)) {
        return false;
    }
    if (!passes_run(model->graph, config, err)) {
        return error_prefix(err, "%s", name);
    }
    if (!build_plan(model, config, &model->plan_error)) {
        error_prefix(&model->plan_error, "%s", name);
    }
    return model->plan_error.code != ERROR_OUT_OF_MEMORY ||
           error_set(err, ERROR_OUT_OF_MEMORY, "%s", model->plan_error.text);
}

static bool keep_configuration(struct model *model, const struct model_config *config,
                               struct error *err) {
    size_t bytes = config->stop_token_count * sizeof *model->stop_tokens;
    model->id = strdup(model_dir_name(model->directory));
    model->type = strdup(config->type);
    model->stop_tokens = malloc(bytes > 0 ? bytes : 1);
    if (model->id == NULL || model->type == NULL || model->stop_tokens == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a model");
    }
    if (bytes > 0) {
        memcpy(model->stop_tokens, config->stop_tokens, bytes);
    }
    model->stop_token_count = config->stop_token_count;
    return true;
}

/* Without a tokenizer a model can still be inspected and run on token ids. */
static bool open_tokenizer(struct model *model, struct error *err) {
    static const char name[] = "tokenizer.json";
    if (!model_dir_has(model->directory, name)) {
        error_set(&model->tokenizer_error, ERROR_UNSUPPORTED, "the folder has no %s", name);
        return true;
    }
    const struct model_file *file = model_dir_map(model->directory, name, err);
    if (file == NULL) {
        return false; /* the message names the file */
    }
    struct error failure = {0};
    if (!tokenizer_file_load(&model->tokenizer, file->bytes, file->size, &failure)) {
        error_prefix(&failure, "%s", name);
    }
    model_dir_release_pages(file); /* nothing of it is kept, and it may have tens of megabytes */
    model->tokenizer_error = failure;
    return failure.code == ERROR_NONE || failure.code == ERROR_UNSUPPORTED ||
           error_set(err, failure.code, "%s", failure.text);
}

/* Without a chat template a model can still do everything but chat. */
static bool open_chat_template(struct model *model, struct error *err) {
    struct error *failure = &model->chat_template_error;
    return chat_template_open(&model->chat_template, model->directory, failure) ||
           failure->code != ERROR_OUT_OF_MEMORY ||
           error_set(err, failure->code, "%s", failure->text);
}

bool model_examine(struct model **out, const char *path, struct error *err) {
    struct model_config config;
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a model");
    }
    plan_init(&model->plan);
    if (!model_dir_open(&model->directory, path, err) ||
        !model_config_read(&config, model->directory, err)) {
        model_close(model);
        return false;
    }
    bool sound = keep_configuration(model, &config, err) && read_graph(model, &config, err) &&
                 open_tokenizer(model, err) && open_chat_template(model, err);
    model_config_deinit(&config);
    if (!sound) {
        model_close(model);
        return false;
    }
    *out = model;
    return true;
}

bool model_open(struct model **out, const char *path, char **reasons, struct error *err) {
    struct model *model;
    if (reasons != NULL) {
        *reasons = NULL;
    }
    if (!model_examine(&model, path, err)) {
        return false;
    }
    if (model->plan_error.code != ERROR_NONE) {
        if (reasons != NULL) {
            *reasons = model->reasons;
            model->reasons = NULL;
        }
        error_set(err, model->plan_error.code, "%s", model->plan_error.text);
        model_close(model);
        return false;
    }
    *out = model;
    return true;
}

void model_close(struct model *model) {
    if (model == NULL) {
        return;
    }
    plan_deinit(&model->plan);
    graph_close(model->graph);
    tokenizer_close(model->tokenizer);
    chat_template_close(model->chat_template);
    model_dir_close(model->directory);
    free(model->reasons);
    free(model->stop_tokens);
    free(model->type);
    free(model->id);
    free(model);
}
