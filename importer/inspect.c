/* What `quern inspect` says of a model: one description, as JSON, which is printed as it is for
 * programs and laid out for people. Members are in the order of the importer's work. */
#include "importer/graph.h"
#include "importer/model.h"
#include "importer/model_dir.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- Small parts ---- */

/* "com.microsoft::MatMulNBits" */
static void add_operators(cJSON *parent, const char *key, const struct graph_census *census) {
    cJSON *object = cJSON_AddObjectToObject(parent, key);
    for (size_t i = 0; i < census->count; i++) {
        const struct graph_operator_count *count = &census->operators[i];
        char name[GRAPH_DESCRIPTION_BYTES];
        snprintf(name, sizeof name, "%s%s%s", count->domain, count->domain[0] != '\0' ? "::" : "",
                 count->op);
        cJSON_AddNumberToObject(object, name, (double)count->count);
    }
    if (census->others > 0) {
        cJSON_AddNumberToObject(object, "(others)", (double)census->others);
    }
}

static void add_size(cJSON *parent, const char *key, size_t size) {
    cJSON_AddNumberToObject(parent, key, (double)size);
}

/* The lines of a text, without the last line's end. */
static void add_lines(cJSON *parent, const char *key, const char *text) {
    cJSON *array = cJSON_AddArrayToObject(parent, key);
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        char *line = strndup(text, length);
        cJSON_AddItemToArray(array, cJSON_CreateString(line != NULL ? line : ""));
        free(line);
        text += length + (text[length] == '\n');
    }
}

/* ---- The graph ---- */

static void add_files(cJSON *root, const struct model *model) {
    cJSON *files = cJSON_AddArrayToObject(root, "files");
    const struct model_file *file;
    for (size_t i = 0; (file = model_dir_file(model->directory, i)) != NULL; i++) {
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", file->name);
        add_size(entry, "bytes", file->size);
        cJSON_AddItemToArray(files, entry);
    }
}

static void add_boundary(cJSON *root, const char *key, const struct graph *graph, const int *ids,
                         size_t count) {
    cJSON *array = cJSON_AddArrayToObject(root, key);
    for (size_t i = 0; i < count; i++) {
        const struct graph_value *value = &graph->values[ids[i]];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", value->name);
        cJSON_AddStringToObject(entry, "type", tensor_type_name(value->type));
        cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
        for (size_t d = 0; d < value->rank; d++) {
            bool symbolic = value->dims[d] == GRAPH_DIM_SYMBOLIC;
            cJSON_AddItemToArray(shape, symbolic ? cJSON_CreateString("?")
                                                 : cJSON_CreateNumber((double)value->dims[d]));
        }
        cJSON_AddItemToArray(array, entry);
    }
}

static bool add_graph(cJSON *root, const struct graph *graph) {
    struct graph_census census;
    if (!graph_take_census(graph, &census)) {
        return false;
    }
    cJSON_AddStringToObject(root, "producer", graph->producer);
    cJSON *opsets = cJSON_AddObjectToObject(root, "operator_sets");
    for (size_t i = 0; i < graph->opset_count; i++) {
        const char *domain = graph->opsets[i].domain;
        cJSON_AddNumberToObject(opsets, domain[0] != '\0' ? domain : "ai.onnx",
                                (double)graph->opsets[i].version);
    }
    add_boundary(root, "inputs", graph, graph->inputs, graph->input_count);
    add_boundary(root, "outputs", graph, graph->outputs, graph->output_count);
    add_operators(root, "operators", &graph->census);
    cJSON *passes = cJSON_AddObjectToObject(root, "changes_of_passes");
    for (size_t i = 0; i < graph->pass_count; i++) {
        add_size(passes, graph->passes[i].name, graph->passes[i].changes);
    }
    add_operators(root, "operators_after_passes", &census);
    return true;
}

/* ---- The plan ---- */

static bool add_plan(cJSON *root, const struct plan *plan) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return false;
    }
    plan_print(plan, out);
    fclose(out);
    add_lines(root, "plan", text);
    free(text);
    return true;
}

/* "q4 in blocks of 32 with zero points", "q8 in rows", "f16". */
static void weight_kind(const struct plan_weight *weight, char *text, size_t size) {
    const char *zero_points = weight->zero_points.bytes != NULL ? " with zero points" : "";
    if (weight->bits == 0) {
        snprintf(text, size, "%s", element_type_name(weight->type));
    } else if (weight->block_size < weight->columns) {
        snprintf(text, size, "%s in blocks of %zu%s", plan_weight_code_name(weight),
                 weight->block_size, zero_points);
    } else {
        snprintf(text, size, "%s in rows%s", plan_weight_code_name(weight), zero_points);
    }
}

static void add_weights(cJSON *root, const struct plan *plan) {
    cJSON *kinds = cJSON_AddObjectToObject(root, "weights");
    for (size_t i = 0; i < plan->weight_count; i++) {
        char kind[80];
        weight_kind(&plan->weights[i], kind, sizeof kind);
        cJSON *entry = cJSON_GetObjectItemCaseSensitive(kinds, kind);
        if (entry == NULL) {
            entry = cJSON_AddObjectToObject(kinds, kind);
            add_size(entry, "matrices", 0);
            add_size(entry, "bytes", 0);
        }
        cJSON *matrices = cJSON_GetObjectItemCaseSensitive(entry, "matrices");
        cJSON *bytes = cJSON_GetObjectItemCaseSensitive(entry, "bytes");
        cJSON_SetNumberValue(matrices, cJSON_GetNumberValue(matrices) + 1);
        cJSON_SetNumberValue(bytes, cJSON_GetNumberValue(bytes) +
                                        (double)plan_weight_size(&plan->weights[i]));
    }
}

/* Registers that live at the same time, at most: bytes of one row of a step in f32. */
struct lifetimes {
    size_t *last_read; /* the last instruction that reads it, of each register */
    size_t instruction;
};

static void note_read(void *context, int reg, bool written) {
    struct lifetimes *lifetimes = context;
    lifetimes->last_read[reg] = written ? lifetimes->last_read[reg] : lifetimes->instruction;
}

struct liveness {
    const struct plan *plan;
    const struct lifetimes *lifetimes;
    size_t columns;
    size_t instruction;
    bool ending;
};

static void count_columns(void *context, int reg, bool written) {
    struct liveness *live = context;
    size_t width = live->plan->registers[reg].width;
    if (!live->ending && written) {
        live->columns += width;
    }
    if (live->ending && !written && live->lifetimes->last_read[reg] == live->instruction) {
        live->columns -= live->columns < width ? live->columns : width;
    }
}

static size_t activation_bytes(const struct plan *plan) {
    struct lifetimes lifetimes = {
        .last_read = calloc(plan->register_count + 1, sizeof *lifetimes.last_read)};
    struct liveness live = {.plan = plan, .lifetimes = &lifetimes};
    size_t most = 0;
    for (size_t i = 0; lifetimes.last_read != NULL && i < plan->instruction_count; i++) {
        lifetimes.instruction = i;
        plan_instruction_registers(&plan->instructions[i], note_read, &lifetimes);
    }
    for (size_t i = 0; lifetimes.last_read != NULL && i < plan->instruction_count; i++) {
        live.instruction = i;
        live.ending = false;
        plan_instruction_registers(&plan->instructions[i], count_columns, &live);
        most = live.columns > most ? live.columns : most;
        live.ending = true;
        plan_instruction_registers(&plan->instructions[i], count_columns, &live);
    }
    free(lifetimes.last_read);
    return most * sizeof(float);
}

static void add_memory(cJSON *root, const struct plan *plan) {
    enum { HALF_BYTES = 2 };
    size_t full = 0;     /* numbers that a position costs for good */
    size_t windowed = 0; /* and until it is behind the window */
    double longest = 0;
    for (size_t i = 0; i < plan->kv_layer_count; i++) {
        const struct plan_kv_layer *layer = &plan->kv_layers[i];
        size_t numbers = 2 * layer->kv_heads * layer->head_dim;
        size_t positions = layer->window > 0 && layer->window < plan->context_length
                               ? layer->window
                               : plan->context_length;
        full += layer->window == 0 ? numbers : 0;
        windowed += layer->window == 0 ? 0 : numbers;
        longest += (double)numbers * (double)positions;
    }
    cJSON *memory = cJSON_AddObjectToObject(root, "memory_bytes");
    double weights = 0;
    for (size_t i = 0; i < plan->weight_count; i++) {
        weights += (double)plan_weight_size(&plan->weights[i]);
    }
    cJSON_AddNumberToObject(memory, "weights", weights);
    add_size(memory, "kv_cache_per_token_f16", full * HALF_BYTES);
    add_size(memory, "and_while_within_a_window", windowed * HALF_BYTES);
    cJSON_AddNumberToObject(memory, "kv_cache_of_longest_context", longest * HALF_BYTES);
    add_size(memory, "activations_per_row_of_a_step", activation_bytes(plan));
}

/* ---- In words ---- */

/* What people call the types of genai_config.json and config.json. */
static const struct {
    const char *type;
    const char *family;
} families[] = {
    {"chatglm", "ChatGLM"},    {"ernie4_5", "ERNIE 4.5"},
    {"gemma", "Gemma"},        {"gemma2", "Gemma 2"},
    {"gemma3", "Gemma 3"},     {"gemma3_text", "Gemma 3"},
    {"gpt_oss", "gpt-oss"},    {"gptoss", "gpt-oss"},
    {"granite", "Granite"},    {"internlm2", "InternLM 2"},
    {"llama", "Llama"},        {"mistral", "Mistral"},
    {"nemotron", "Nemotron"},  {"olmo", "OLMo"},
    {"olmo2", "OLMo 2"},       {"phi", "Phi"},
    {"phi3", "Phi-3"},         {"phi3small", "Phi-3 small"},
    {"phimoe", "Phi-3.5 MoE"}, {"qwen2", "Qwen 2"},
    {"qwen3", "Qwen 3"},       {"smollm3", "SmolLM3"},
};

static const char *family_of(const char *type) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(families[i].type, type) == 0) {
            return families[i].family;
        }
    }
    return type[0] != '\0' ? type : "of an unknown family";
}

/* "Gemma 3: 26 layers (22 with a window of 512) of 4 heads over 1 KV head of 256" */
static void add_summary(cJSON *root, const struct model *model) {
    const struct plan *plan = &model->plan;
    char text[320];
    size_t used = (size_t)snprintf(text, sizeof text, "%.60s", family_of(model->type));
    size_t windowed = 0;
    size_t window = 0;
    for (size_t i = 0; i < plan->kv_layer_count; i++) {
        windowed += plan->kv_layers[i].window > 0;
        window = plan->kv_layers[i].window > 0 ? plan->kv_layers[i].window : window;
    }
    const struct plan_attention *attention = NULL;
    for (size_t i = 0; i < plan->instruction_count && attention == NULL; i++) {
        attention =
            plan->instructions[i].kind == PLAN_ATTENTION ? &plan->instructions[i].attention : NULL;
    }
    if (attention != NULL) {
        const struct plan_kv_layer *layer = &plan->kv_layers[attention->layer];
        used +=
            (size_t)snprintf(text + used, sizeof text - used, ": %zu layers", plan->kv_layer_count);
        if (windowed > 0) {
            used += (size_t)snprintf(text + used, sizeof text - used, ", %zu with a window of %zu",
                                     windowed, window);
        }
        snprintf(text + used, sizeof text - used, ", %zu heads over %zu KV head%s of %zu",
                 attention->heads, layer->kv_heads, layer->kv_heads == 1 ? "" : "s",
                 layer->head_dim);
    }
    cJSON_AddStringToObject(root, "summary", text);
}

static void add_runs(cJSON *root, const struct model *model) {
    const struct plan *plan = &model->plan;
    add_weights(root, plan);
    add_memory(root, plan);
    cJSON *limits = cJSON_AddObjectToObject(root, "limits");
    add_size(limits, "vocabulary", plan->vocabulary_size);
    add_size(limits, "context", plan->context_length);
    add_size(limits, "places for adapters", plan->low_rank_count);
    cJSON_AddStringToObject(limits, "activations",
                            plan->full_precision ? "in full precision, as the file asks"
                                                 : "may be quantized");
}

static void add_tokenizer(cJSON *root, const struct model *model) {
    char text[320];
    if (model->tokenizer != NULL) {
        snprintf(text, sizeof text, "%zu tokens", tokenizer_vocabulary_size(model->tokenizer));
    } else {
        snprintf(text, sizeof text, "none: %.250s", model->tokenizer_error.text);
    }
    cJSON_AddStringToObject(root, "tokenizer", text);
}

static void add_chat_template(cJSON *root, const struct model *model) {
    char text[320];
    if (model->chat_template == NULL) {
        snprintf(text, sizeof text, "none: %.250s", model->chat_template_error.text);
    } else {
        snprintf(text, sizeof text, "one%s",
                 model->chat_template->with_tools != NULL ? ", and another one for tools" : "");
    }
    cJSON_AddStringToObject(root, "chat_template", text);
}

/* ---- For people ---- */

static void print_scalar(const cJSON *item, FILE *out) {
    if (cJSON_IsString(item)) {
        fprintf(out, "%s", item->valuestring);
    } else if (cJSON_IsNumber(item)) {
        fprintf(out, "%.0f", item->valuedouble);
    } else if (cJSON_IsBool(item)) {
        fprintf(out, "%s", cJSON_IsTrue(item) ? "yes" : "no");
    }
}

/* One line of an entry: a list as (a, b), the members of an object one behind the other. */
static void print_entry(const cJSON *item, FILE *out) {
    const cJSON *part;
    const char *separator = "";
    bool is_list = cJSON_IsArray(item);
    if (!is_list && !cJSON_IsObject(item)) {
        print_scalar(item, out);
        return;
    }
    fprintf(out, is_list ? "(" : "");
    cJSON_ArrayForEach(part, item) {
        bool is_name = part->string != NULL && strcmp(part->string, "name") == 0;
        fprintf(out, "%s", separator);
        if (is_name) {
            fprintf(out, "%-32s", part->valuestring);
        } else {
            print_entry(part, out);
            bool has_unit = cJSON_IsNumber(part) && part->string != NULL;
            fprintf(out, "%s%s", has_unit ? " " : "", has_unit ? part->string : "");
        }
        separator = is_list ? ", " : " ";
    }
    fprintf(out, is_list ? ")" : "");
}

/* A key as words, in a column of that width. */
static void print_key(const char *key, size_t width, FILE *out) {
    size_t length = strlen(key);
    for (size_t i = 0; i < length || i < width; i++) {
        fputc(i >= length || key[i] == '_' ? ' ' : key[i], out);
    }
}

static void print_section(const cJSON *section, FILE *out) {
    enum { KEY_COLUMNS = 49 };
    const cJSON *item;
    print_key(section->string, 0, out);
    fprintf(out, "\n");
    if (!cJSON_IsArray(section) && !cJSON_IsObject(section)) {
        fprintf(out, "  ");
        print_scalar(section, out);
        fprintf(out, "\n");
        return;
    }
    cJSON_ArrayForEach(item, section) {
        fprintf(out, "  ");
        if (item->string != NULL) {
            print_key(item->string, KEY_COLUMNS, out);
        }
        print_entry(item, out);
        fprintf(out, "\n");
    }
}

/* ---- All together ---- */

static cJSON *describe(const struct model *model) {
    cJSON *root = cJSON_CreateObject();
    bool runs = model->plan_error.code == ERROR_NONE;
    cJSON_AddStringToObject(root, "model", model->id);
    cJSON_AddStringToObject(root, "type", model->type);
    add_summary(root, model);
    add_files(root, model);
    bool complete = root != NULL && add_graph(root, model->graph);
    add_tokenizer(root, model);
    add_chat_template(root, model);
    if (runs) {
        complete = complete && add_plan(root, &model->plan);
        add_runs(root, model);
    }
    cJSON_AddBoolToObject(root, "runs", runs);
    if (!runs) {
        add_lines(root, "reasons",
                  model->reasons != NULL ? model->reasons : model->plan_error.text);
    }
    if (!complete) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

bool model_inspect(const struct model *model, bool json, FILE *out) {
    cJSON *root = describe(model);
    if (root == NULL) {
        return false;
    }
    if (json) {
        char *text = cJSON_Print(root);
        fprintf(out, "%s\n", text != NULL ? text : "");
        free(text);
    } else {
        const cJSON *section;
        cJSON_ArrayForEach(section, root) {
            print_section(section, out);
        }
    }
    cJSON_Delete(root);
    return true;
}
