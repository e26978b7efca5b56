#include "server/loaded_model.h"

#include "server/log.h"
#include "server/terminal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Adapters ---- */

static bool open_adapter(struct loaded_model *loaded, const struct model_adapter *adapter,
                         struct error *err) {
    struct loaded_adapter *opened = &loaded->adapters[loaded->adapter_count++];
    char *path = strndup(adapter->file.bytes, adapter->file.length);
    opened->name = strndup(adapter->name.bytes, adapter->name.length);
    bool fine = path != NULL && opened->name != NULL
                    ? adapter_open(&opened->file, loaded->model, path, err)
                    : error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an adapter");
    free(path);
    return fine;
}

static bool open_adapters(struct loaded_model *loaded, const struct model_options *options,
                          struct error *err) {
    struct model_adapter adapter = {0};
    bool fine = true;
    while (fine && loaded->adapter_count < ADAPTERS_MAX &&
           model_options_next_adapter(options, &adapter)) {
        fine = open_adapter(loaded, &adapter, err);
    }
    return fine;
}

/* The engine's options with the adapters, whose pairs go to `pairs`. */
static struct engine_options with_adapters(const struct loaded_model *loaded,
                                           const struct model_options *options,
                                           const struct plan_low_rank_pair *pairs[ADAPTERS_MAX]) {
    struct engine_options engine = options->engine;
    for (size_t i = 0; i < loaded->adapter_count; i++) {
        pairs[i] = adapter_pairs(loaded->adapters[i].file);
    }
    engine.adapters = (struct adapters_source){.adapters = pairs, .count = loaded->adapter_count};
    return engine;
}

static void close_adapter_files(struct loaded_model *loaded) {
    for (size_t i = 0; i < loaded->adapter_count; i++) {
        adapter_close(loaded->adapters[i].file);
        loaded->adapters[i].file = NULL;
    }
}

/* ---- The model ---- */

bool loaded_model_open(struct loaded_model *loaded, const struct model_options *options,
                       struct error *err) {
    char *reasons = NULL;
    if (!model_open(&loaded->model, options->folder, &reasons, err)) {
        if (reasons != NULL) {
            terminal_print_harmless(stderr, reasons, strlen(reasons));
            fputc('\n', stderr);
            free(reasons);
        }
        return false;
    }
    struct model *model = loaded->model;
    if (model->tokenizer == NULL) {
        return error_set(err, ERROR_UNSUPPORTED, "it can serve no text: %s",
                         model->tokenizer_error.text);
    }
    if (model->chat_template == NULL) {
        log_say(PRIORITY_WARNING, "chat is not available with %s: %s", model->id,
                model->chat_template_error.text);
    } else {
        loaded->chat_traits = chat_traits_find(model->chat_template);
        loaded->chat_format = chat_format_find(model->chat_template, model->tokenizer);
    }
    return grammar_cache_open(&loaded->grammars, err) &&
           vocabulary_index_open(&loaded->index, model->tokenizer, model->plan.vocabulary_size,
                                 err) &&
           open_adapters(loaded, options, err);
}

bool loaded_model_bytes(const struct loaded_model *loaded, const struct model_options *options,
                        size_t *bytes, struct error *err) {
    const struct plan_low_rank_pair *pairs[ADAPTERS_MAX];
    const struct engine_options engine = with_adapters(loaded, options, pairs);
    return engine_plan_bytes(&loaded->model->plan, &engine, bytes, err);
}

bool loaded_model_start(struct loaded_model *loaded, const struct model_options *options,
                        const struct pack_cache_options *cache_options, struct error *err) {
    const struct plan_low_rank_pair *pairs[ADAPTERS_MAX];
    struct engine_options engine = with_adapters(loaded, options, pairs);
    struct pack_cache cache;
    pack_cache_open(&cache, cache_options, options->folder, engine.exact, &engine.packing);
    bool started = engine_open(&loaded->engine, &loaded->model->plan, &engine, err);
    if (started) {
        pack_cache_report(&cache, engine_weights(loaded->engine));
    }
    pack_cache_close(&cache);
    close_adapter_files(loaded);
    return started;
}

void loaded_model_close(struct loaded_model *loaded) {
    engine_close(loaded->engine);
    grammar_cache_close(loaded->grammars);
    vocabulary_index_close(loaded->index);
    close_adapter_files(loaded);
    for (size_t i = 0; i < loaded->adapter_count; i++) {
        free(loaded->adapters[i].name);
    }
    if (loaded->model != NULL) {
        model_close(loaded->model);
    }
    *loaded = (struct loaded_model){0};
}
