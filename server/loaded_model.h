/* A model in memory: its mapped files, its running engine, and what requests to it share.
 *
 *     loaded_model_open ─▶ files, plan ─▶ loaded_model_bytes ─▶ is there room? ─▶ loaded_model_start
 *                                                                                      engine
 *
 * Opening, starting and closing take long, and may be done on any thread that has the model to itself;
 * what it consists of says who may use it in between. */
#ifndef QUERN_SERVER_LOADED_MODEL_H
#define QUERN_SERVER_LOADED_MODEL_H

#include "engine/engine.h"
#include "importer/adapter.h"
#include "importer/model.h"
#include "server/chat_format.h"
#include "server/chat_traits.h"
#include "server/grammar_cache.h"
#include "server/model_options.h"
#include "server/pack_cache.h"
#include "server/vocabulary_index.h"

#include <stdbool.h>
#include <stddef.h>

struct loaded_adapter {
    char *name;
    struct adapter *file; /* NULL once the engine has it */
};

/* Start from {0}. */
struct loaded_model {
    struct model *model;
    struct engine *engine; /* NULL until it is started */
    struct loaded_adapter adapters[ADAPTERS_MAX];
    size_t adapter_count;
    struct chat_traits chat_traits;
    struct chat_format chat_format;
    struct vocabulary_index *index;
    struct grammar_cache *grammars;
};

/* Reads the files. A model that cannot serve text is an error. */
bool loaded_model_open(struct loaded_model *loaded, const struct model_options *options,
                       struct error *err);

/* What starting it will take; see engine_plan_bytes. */
bool loaded_model_bytes(const struct loaded_model *loaded, const struct model_options *options,
                        size_t *bytes, struct error *err);

/* Starts the engine; options->engine is complete but for the packing. */
bool loaded_model_start(struct loaded_model *loaded, const struct model_options *options,
                        const struct pack_cache_options *cache, struct error *err);

/* Whatever has been opened and started; nobody uses it any more. */
void loaded_model_close(struct loaded_model *loaded);

#endif
