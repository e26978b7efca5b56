/* What a model folder's configuration says: genai_config.json (onnxruntime-genai), or config.json
 * (Hugging Face) where that is missing.
 *
 * The graph has the last word on numbers; those here are for cross-checking (0: not given), and for
 * what a graph cannot know: file name, names of inputs, context length, stop tokens. */
#ifndef QUERN_IMPORTER_MODEL_CONFIG_H
#define QUERN_IMPORTER_MODEL_CONFIG_H

#include "engine/arena.h"
#include "engine/error.h"
#include "importer/model_dir.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_config {
    struct arena arena;
    const char *source; /* "genai_config.json", "config.json" or "(none)" */
    const char *type;
    const char *onnx_file; /* NULL: not said */
    const char *input_ids;
    const char *attention_mask;
    const char *position_ids;
    const char *past_key; /* with %d for the layer */
    const char *past_value;
    const char *present_key;
    const char *present_value;
    const char *logits;
    size_t context_length;
    size_t vocabulary_size;
    size_t layers;
    size_t heads;
    size_t kv_heads;
    size_t head_dim;
    size_t embedding_width; /* as a rule the hidden size */
    int32_t *stop_tokens;
    size_t stop_token_count;
};

/* ERROR_BAD_FILE for a file that is no JSON object or has a value of the wrong type. A folder
 * without either file gives the defaults of the exporters. */
bool model_config_read(struct model_config *config, struct model_dir *dir, struct error *err);
void model_config_deinit(struct model_config *config);

/* Does `name` match `pattern` with its "%d" replaced by a number, and by which? */
bool model_config_layer(const char *pattern, const char *name, size_t *layer);

#endif
