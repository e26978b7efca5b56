/* What the models of one daemon may differ in: the sections [model.NAME] of the configuration. What a
 * section does not say is as in [model] and [engine]. */
#ifndef QUERN_SERVER_MODEL_OPTIONS_H
#define QUERN_SERVER_MODEL_OPTIONS_H

#include "engine/engine.h"
#include "engine/text/vocabulary.h"
#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODELS_MAX = 32,    /* sections */
    MODEL_OPTIONS = 13, /* of a section */
    ADAPTERS_MAX = 64,  /* of a model */
    THREADS_MAX = 1024,
    SESSIONS_MAX = 512, /* the rows of a step: each session needs one */
    QUEUE_MAX = 65536,
    KV_POSITIONS_MAX = 1 << 30,
    MEMORY_MB_MAX = 1 << 30,
    IDLE_UNLOAD_MAX = 1 << 25, /* a year */
};

struct model_options {
    const char *name;     /* in the API; NULL: the folder's */
    const char *aliases;  /* further ones, separated by blanks; NULL: none */
    const char *folder;   /* NULL: the embedded demo model */
    const char *adapters; /* NAME=FILE, separated by blanks; NULL: none */
    const char *load;     /* "start" or "first-use" */
    size_t idle_unload_s;
    size_t draft_tokens;
    bool prefix_cache;
    const char *kv_dtype;
    struct engine_options engine; /* but for what the daemon adds to each */
    bool of_section;              /* [model.NAME], and not [model] */
    uint64_t given;               /* bit i: option i of the table below is in the section */
};

/* The words for kv_dtype, by enum kv_type, ended by NULL. */
extern const char *const model_kv_names[];

/* The options of a section, at their offsets in struct model_options. */
extern const struct option model_options_table[MODEL_OPTIONS];

/* What follows from options: the rest of `engine`. */
void model_options_derive(struct model_options *options);

/* A section, with what it does not say from `base`. */
struct model_options model_options_complete(const struct model_options *section,
                                            const struct model_options *base);

/* Each section says its folder, adapters have names and files, and no name, alias or adapter of one
 * model is that of another. */
bool model_options_check(const struct model_options *models, size_t count, struct error *err);

/* Is it the name, or one of the aliases? */
bool model_options_has_name(const struct model_options *options, const char *name);

/* The alias behind this one, at first {0}; false if there is none. */
bool model_options_next_alias(const struct model_options *options, struct token_text *alias);

/* One of the adapters. */
struct model_adapter {
    struct token_text name;
    struct token_text file; /* empty: that is missing */
};

/* The adapter behind this one, at first {0}; false if there is none. */
bool model_options_next_adapter(const struct model_options *options, struct model_adapter *adapter);

/* Would both be loaded in the same way? */
bool model_options_load_equal(const struct model_options *a, const struct model_options *b);

bool model_options_load_at_start(const struct model_options *options);

#endif
