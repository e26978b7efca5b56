#include "importer/model_config.h"

#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STOP_TOKENS_MAX = 64,
    CONFIG_BYTES_MAX =
        4 << 20, /* real ones have a few thousand; cJSON takes 32 times as much memory */
};

struct reading {
    struct model_config *config;
    struct error *err;
};

/* ---- Values ---- */

static bool read_text(struct reading *reading, const cJSON *object, const char *key,
                      const char **text) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item == NULL || cJSON_IsNull(item)) {
        return true;
    }
    if (!cJSON_IsString(item)) {
        return error_set(reading->err, ERROR_BAD_FILE, "\"%s\" must be a string", key);
    }
    *text = arena_copy_text(&reading->config->arena, item->valuestring, strlen(item->valuestring));
    return *text != NULL ||
           error_set(reading->err, ERROR_OUT_OF_MEMORY, "no memory for \"%s\"", key);
}

static bool read_size(struct reading *reading, const cJSON *object, const char *key, size_t *size) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item == NULL || cJSON_IsNull(item)) {
        return true;
    }
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value <= INT32_MAX) || value != floor(value)) {
        return error_set(reading->err, ERROR_BAD_FILE, "\"%s\" must be a whole number from 0 to %d",
                         key, INT32_MAX);
    }
    *size = (size_t)value;
    return true;
}

static bool read_token(struct reading *reading, const cJSON *item, int32_t *token) {
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value <= INT32_MAX) || value != floor(value)) {
        return error_set(reading->err, ERROR_BAD_FILE,
                         "\"eos_token_id\" must be a token id or a list of them");
    }
    *token = (int32_t)value;
    return true;
}

/* An id or a list of ids. */
static bool read_stop_tokens(struct reading *reading, const cJSON *object) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "eos_token_id");
    if (item == NULL || cJSON_IsNull(item)) {
        return true;
    }
    int count = cJSON_IsArray(item) ? cJSON_GetArraySize(item) : 1;
    if (count > STOP_TOKENS_MAX) {
        return error_set(reading->err, ERROR_BAD_FILE, "\"eos_token_id\" has %d ids; at most %d",
                         count, STOP_TOKENS_MAX);
    }
    struct model_config *config = reading->config;
    config->stop_tokens = arena_allocate(&config->arena, (size_t)count, sizeof(int32_t));
    if (config->stop_tokens == NULL) {
        return error_set(reading->err, ERROR_OUT_OF_MEMORY, "no memory for stop tokens");
    }
    config->stop_token_count = (size_t)count;
    for (int i = 0; i < count; i++) {
        const cJSON *id = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, i) : item;
        if (!read_token(reading, id, &config->stop_tokens[i])) {
            return false;
        }
    }
    return true;
}

/* ---- The two forms ---- */

static bool read_genai(struct reading *reading, const cJSON *root) {
    struct model_config *config = reading->config;
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *decoder = cJSON_GetObjectItemCaseSensitive(model, "decoder");
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(decoder, "inputs");
    const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(decoder, "outputs");
    if (!cJSON_IsObject(model) || !cJSON_IsObject(decoder)) {
        return error_set(reading->err, ERROR_BAD_FILE, "has no \"model\" with a \"decoder\"");
    }
    return read_text(reading, model, "type", &config->type) &&
           read_size(reading, model, "context_length", &config->context_length) &&
           read_size(reading, model, "vocab_size", &config->vocabulary_size) &&
           read_stop_tokens(reading, model) &&
           read_text(reading, decoder, "filename", &config->onnx_file) &&
           read_size(reading, decoder, "num_hidden_layers", &config->layers) &&
           read_size(reading, decoder, "num_attention_heads", &config->heads) &&
           read_size(reading, decoder, "num_key_value_heads", &config->kv_heads) &&
           read_size(reading, decoder, "head_size", &config->head_dim) &&
           read_size(reading, decoder, "hidden_size", &config->embedding_width) &&
           read_text(reading, inputs, "input_ids", &config->input_ids) &&
           read_text(reading, inputs, "attention_mask", &config->attention_mask) &&
           read_text(reading, inputs, "position_ids", &config->position_ids) &&
           read_text(reading, inputs, "past_key_names", &config->past_key) &&
           read_text(reading, inputs, "past_value_names", &config->past_value) &&
           read_text(reading, outputs, "present_key_names", &config->present_key) &&
           read_text(reading, outputs, "present_value_names", &config->present_value) &&
           read_text(reading, outputs, "logits", &config->logits);
}

/* A multimodal model has the numbers of its language model in "text_config". */
static bool read_hugging_face(struct reading *reading, const cJSON *root) {
    struct model_config *config = reading->config;
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(root, "text_config");
    const cJSON *model = cJSON_IsObject(text) ? text : root;
    return read_text(reading, root, "model_type", &config->type) &&
           read_stop_tokens(reading, model) && read_stop_tokens(reading, root) &&
           read_size(reading, model, "max_seq_len", &config->context_length) && /* MPT */
           read_size(reading, model, "n_positions", &config->context_length) && /* GPT-2 */
           read_size(reading, model, "max_position_embeddings", &config->context_length) &&
           read_size(reading, model, "vocab_size", &config->vocabulary_size) &&
           read_size(reading, model, "num_hidden_layers", &config->layers) &&
           read_size(reading, model, "num_attention_heads", &config->heads) &&
           read_size(reading, model, "num_key_value_heads", &config->kv_heads) &&
           read_size(reading, model, "head_dim", &config->head_dim) &&
           read_size(reading, model, "hidden_size", &config->embedding_width) &&
           read_size(reading, model, "word_embed_proj_dim", &config->embedding_width); /* OPT */
}

static bool read_file(struct model_config *config, struct model_dir *dir, const char *name,
                      bool (*read)(struct reading *, const cJSON *), struct error *err) {
    const struct model_file *file = model_dir_map_text(dir, name, CONFIG_BYTES_MAX, err);
    if (file == NULL) {
        return false;
    }
    struct reading reading = {.config = config, .err = err};
    cJSON *root = cJSON_ParseWithLength((const char *)file->bytes, file->size);
    bool sound = cJSON_IsObject(root) ? read(&reading, root)
                                      : error_set(err, ERROR_BAD_FILE, "is not a JSON object");
    cJSON_Delete(root);
    config->source = name;
    return sound || error_prefix(err, "%s", name);
}

bool model_config_read(struct model_config *config, struct model_dir *dir, struct error *err) {
    *config = (struct model_config){
        .source = "(none)",
        .type = "",
        .input_ids = "input_ids",
        .attention_mask = "attention_mask",
        .position_ids = "position_ids",
        .past_key = "past_key_values.%d.key",
        .past_value = "past_key_values.%d.value",
        .present_key = "present.%d.key",
        .present_value = "present.%d.value",
        .logits = "logits",
    };
    arena_init(&config->arena);
    bool sound = true;
    if (model_dir_has(dir, "genai_config.json")) {
        sound = read_file(config, dir, "genai_config.json", read_genai, err);
    } else if (model_dir_has(dir, "config.json")) {
        sound = read_file(config, dir, "config.json", read_hugging_face, err);
    }
    if (!sound) {
        model_config_deinit(config);
    }
    return sound;
}

void model_config_deinit(struct model_config *config) {
    arena_deinit(&config->arena);
}

bool model_config_layer(const char *pattern, const char *name, size_t *layer) {
    const char *hole = strstr(pattern, "%d");
    if (hole == NULL || strncmp(pattern, name, (size_t)(hole - pattern)) != 0) {
        return false;
    }
    const char *digits = name + (hole - pattern);
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 9) {
        return false;
    }
    *layer = (size_t)strtoul(digits, NULL, 10);
    return strcmp(digits + length, hole + 2) == 0;
}
