#include "server/model_options.h"

#include <string.h>

const char *const model_kv_names[KV_TYPE_COUNT + 1] = {
    [KV_F32] = "f32", [KV_F16] = "f16", [KV_INT8] = "int8"};

static const char *const load_names[] = {"start", "first-use", NULL};

#define FIELD(name) .offset = offsetof(struct model_options, name)

/* clang-format off */
const struct option model_options_table[MODEL_OPTIONS] = {
    /* The first one: see model_options_check. */
    {.name = "folder", .section = "model", .type = OPTION_TEXT, FIELD(folder), .argument = "DIR",
     .help = "folder of an ONNX model; there is no default"},
    {.name = "aliases", .section = "model", .reload = true, .type = OPTION_TEXT, FIELD(aliases),
     .argument = "NAMES", .help = "further names that requests may use, separated by blanks"},
    {.name = "adapters", .section = "model", .type = OPTION_TEXT, FIELD(adapters),
     .argument = "ADAPTERS", .help = "as in [model], whose own are not this model's"},
    {.name = "load", .section = "model", .reload = true, .type = OPTION_TEXT, FIELD(load),
     .argument = "WHEN", .choices = load_names, .fallback = "first-use",
     .help = "when the daemon starts, or, as is the default, when a request wants it"},
    {.name = "idle-unload", .section = "model", .reload = true, .type = OPTION_SIZE,
     FIELD(idle_unload_s), .argument = "SECONDS", .maximum = IDLE_UNLOAD_MAX,
     .help = "as in [models]"},
    {.name = "exact", .section = "model", .type = OPTION_FLAG, FIELD(engine.exact),
     .help = "as in [model]"},
    {.name = "kv-dtype", .section = "model", .type = OPTION_TEXT, FIELD(kv_dtype),
     .argument = "TYPE", .choices = model_kv_names, .help = "as in [model]"},
    {.name = "threads", .section = "model", .type = OPTION_SIZE, FIELD(engine.threads),
     .argument = "THREADS", .maximum = THREADS_MAX, .help = "as in [engine]"},
    {.name = "kv-positions", .section = "model", .type = OPTION_SIZE, FIELD(engine.kv_positions),
     .argument = "TOKENS", .maximum = KV_POSITIONS_MAX, .help = "as in [engine]"},
    {.name = "prefix-cache", .section = "model", .type = OPTION_FLAG, FIELD(prefix_cache),
     .help = "as in [engine]"},
    {.name = "draft-tokens", .section = "model", .reload = true, .type = OPTION_SIZE,
     FIELD(draft_tokens), .argument = "TOKENS", .maximum = DRAFTS_MAX, .help = "as in [engine]"},
    {.name = "max-sessions", .section = "model", .type = OPTION_SIZE, FIELD(engine.sessions_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = SESSIONS_MAX, .help = "as in [engine]"},
    {.name = "max-queue", .section = "model", .type = OPTION_SIZE, FIELD(engine.queue_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = QUEUE_MAX, .help = "as in [engine]"},
};
/* clang-format on */

static enum kv_type choose_kv_type(const struct model_options *options) {
    for (int i = 0; options->kv_dtype != NULL && i < KV_TYPE_COUNT; i++) {
        if (strcmp(options->kv_dtype, model_kv_names[i]) == 0) {
            return (enum kv_type)i;
        }
    }
    return options->engine.exact ? KV_F32 : KV_F16;
}

void model_options_derive(struct model_options *options) {
    options->engine.kv_type = choose_kv_type(options);
    options->engine.no_prefix_cache = !options->prefix_cache;
}

struct model_options model_options_complete(const struct model_options *section,
                                            const struct model_options *base) {
    struct model_options options = *base;
    options.name = section->name;
    options.of_section = true;
    options.given = section->given;
    options.load = "first-use";
    options.adapters = NULL; /* those of one model fit no other */
    for (size_t i = 0; i < MODEL_OPTIONS; i++) {
        if ((section->given >> i & 1) != 0) {
            option_copy(&model_options_table[i], &options, section);
        }
    }
    model_options_derive(&options);
    return options;
}

/* ---- Names ---- */

static const char blanks[] = " \t";

/* The word behind this one. */
static bool next_word(const char *words, struct token_text *word) {
    if (words == NULL) {
        return false;
    }
    const char *rest = word->bytes != NULL ? word->bytes + word->length : words;
    word->bytes = rest + strspn(rest, blanks);
    word->length = strcspn(word->bytes, blanks);
    return word->length > 0;
}

bool model_options_next_alias(const struct model_options *options, struct token_text *alias) {
    return next_word(options->aliases, alias);
}

bool model_options_next_adapter(const struct model_options *options,
                                struct model_adapter *adapter) {
    struct token_text word = adapter->file.bytes != NULL ? adapter->file : adapter->name;
    if (!next_word(options->adapters, &word)) {
        return false;
    }
    const char *equals = memchr(word.bytes, '=', word.length);
    size_t length = equals != NULL ? (size_t)(equals - word.bytes) : word.length;
    size_t file = equals != NULL ? length + 1 : length;
    adapter->name = (struct token_text){word.bytes, length};
    adapter->file = (struct token_text){word.bytes + file, word.length - file};
    return true;
}

static bool is_same(struct token_text a, struct token_text b) {
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

static bool has_name(const struct model_options *options, struct token_text name) {
    const char *first = options->name;
    struct token_text alias = {0};
    bool found = first != NULL && is_same(name, (struct token_text){first, strlen(first)});
    while (!found && model_options_next_alias(options, &alias)) {
        found = is_same(name, alias);
    }
    return found;
}

static bool has_adapter(const struct model_options *options, struct token_text name) {
    struct model_adapter adapter = {0};
    bool found = false;
    while (!found && model_options_next_adapter(options, &adapter)) {
        found = is_same(name, adapter.name);
    }
    return found;
}

bool model_options_has_name(const struct model_options *options, const char *name) {
    return has_name(options, (struct token_text){name, strlen(name)});
}

/* A model before `index` that has the name, or an adapter of that name, is an error. */
static bool check_name(const struct model_options *models, size_t index, struct token_text name,
                       struct error *err) {
    for (size_t i = 0; i < index; i++) {
        if (has_name(&models[i], name) || has_adapter(&models[i], name)) {
            return error_set(err, ERROR_INVALID,
                             "two models would have the name \"%.*s\", one of them [model.%s]",
                             (int)name.length, name.bytes, models[index].name);
        }
    }
    return true;
}

static bool check_names(const struct model_options *models, size_t index, struct error *err) {
    const char *name = models[index].name;
    struct token_text alias = {0};
    bool fine =
        name == NULL || check_name(models, index, (struct token_text){name, strlen(name)}, err);
    while (fine && model_options_next_alias(&models[index], &alias)) {
        fine = check_name(models, index, alias, err);
    }
    return fine;
}

/* The adapters in the order of the text: those before `adapter` must have other names. */
static bool is_repeated(const struct model_options *options, const struct model_adapter *adapter) {
    struct model_adapter before = {0};
    bool repeated = has_name(options, adapter->name);
    while (!repeated && model_options_next_adapter(options, &before) &&
           before.name.bytes != adapter->name.bytes) {
        repeated = is_same(before.name, adapter->name);
    }
    return repeated;
}

static bool check_adapters(const struct model_options *models, size_t index, struct error *err) {
    const struct model_options *options = &models[index];
    struct model_adapter adapter = {0};
    for (size_t count = 0; model_options_next_adapter(options, &adapter); count++) {
        const int length = (int)adapter.name.length;
        if (count == ADAPTERS_MAX) {
            return error_set(err, ERROR_INVALID, "a model has more than %d adapters", ADAPTERS_MAX);
        }
        if (adapter.name.length == 0 || adapter.file.length == 0) {
            return error_set(err, ERROR_INVALID, "adapter \"%.*s\" is not NAME=FILE", length,
                             adapter.name.bytes);
        }
        if (is_repeated(options, &adapter)) {
            return error_set(err, ERROR_INVALID, "the adapter name \"%.*s\" occurs twice", length,
                             adapter.name.bytes);
        }
        if (!check_name(models, index, adapter.name, err)) {
            return false;
        }
    }
    return true;
}

bool model_options_check(const struct model_options *models, size_t count, struct error *err) {
    for (size_t i = 0; i < count; i++) {
        if (models[i].of_section && (models[i].given & 1) == 0) {
            return error_set(err, ERROR_INVALID, "[model.%s] does not say its folder",
                             models[i].name);
        }
        if (!check_names(models, i, err) || !check_adapters(models, i, err)) {
            return false;
        }
    }
    return true;
}

/* ---- Comparing ---- */

bool model_options_load_equal(const struct model_options *a, const struct model_options *b) {
    for (size_t i = 0; i < MODEL_OPTIONS; i++) {
        const struct option *option = &model_options_table[i];
        if (!option->reload && !option_equal(option, a, b)) {
            return false;
        }
    }
    return true;
}

bool model_options_load_at_start(const struct model_options *options) {
    return options->load != NULL && strcmp(options->load, load_names[0]) == 0;
}
