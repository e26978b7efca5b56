#include "server/loaded_model.h"

#include "server/log.h"

#include <stdlib.h>

bool loaded_model_open(struct loaded_model *loaded, const struct model_options *options,
                       struct error *err) {
    char *reasons = NULL;
    if (!model_open(&loaded->model, options->folder, &reasons, err)) {
        if (reasons != NULL) {
            fprintf(stderr, "%s\n", reasons);
            free(reasons);
        }
        return false;
    }
    struct model *model = loaded->model;
    if (model->tokenizer == NULL) {
        return error_set(err, ERROR_UNSUPPORTED, "The model \"%s\" cannot serve text: %s",
                         model->id, model->tokenizer_error.text);
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
                                 err);
}

bool loaded_model_bytes(const struct loaded_model *loaded, const struct model_options *options,
                        size_t *bytes, struct error *err) {
    return engine_plan_bytes(&loaded->model->plan, &options->engine, bytes, err);
}

bool loaded_model_start(struct loaded_model *loaded, const struct model_options *options,
                        const struct pack_cache_options *cache_options, struct error *err) {
    struct engine_options engine = options->engine;
    struct pack_cache cache;
    pack_cache_open(&cache, cache_options, options->folder, engine.exact, &engine.packing);
    bool started = engine_open(&loaded->engine, &loaded->model->plan, &engine, err);
    if (started) {
        pack_cache_report(&cache, engine_weights(loaded->engine));
    }
    pack_cache_close(&cache);
    return started;
}

void loaded_model_close(struct loaded_model *loaded) {
    engine_close(loaded->engine);
    grammar_cache_close(loaded->grammars);
    vocabulary_index_close(loaded->index);
    if (loaded->model != NULL) {
        model_close(loaded->model);
    }
    *loaded = (struct loaded_model){0};
}
