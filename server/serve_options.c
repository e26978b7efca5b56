#include "server/serve_options.h"

#include "server/exit_status.h"
#include "server/listen.h"
#include "server/log.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name) .offset = offsetof(struct serve_options, name)

/* clang-format off */
static const struct option options_table[] = {
    {.name = "config", .type = OPTION_TEXT, FIELD(config_path), .argument = "FILE",
     .help = "file with further settings (quern.conf(5)); otherwise $QUERN_CONFIG, or none"},

    {.name = "listen", .section = "server", .type = OPTION_TEXT, FIELD(listen),
     .argument = "ADDRESS", .fallback = "127.0.0.1:8080",
     .help = "HOST:PORT, [IPV6]:PORT or unix:/PATH, or several separated by blanks; port 0 takes a "
             "free one; sockets passed by a service manager come instead"},
    {.name = "socket-mode", .section = "server", .type = OPTION_MODE, FIELD(socket_mode),
     .argument = "MODE", .fallback = "0660",
     .help = "permissions of Unix sockets: who may connect"},
    {.name = "max-connections", .section = "server", .type = OPTION_SIZE, FIELD(max_connections),
     .argument = "CONNECTIONS", .minimum = 1, .maximum = 65536, .fallback = "1000",
     .help = "open connections"},
    {.name = "max-body", .section = "server", .reload = true, .type = OPTION_SIZE, FIELD(max_body),
     .argument = "BYTES", .minimum = 1, .maximum = 1 << 30, .fallback = "4194304",
     .help = "bytes of a request's body"},
    {.name = "idle-timeout", .section = "server", .type = OPTION_SIZE, FIELD(idle_timeout_s),
     .argument = "SECONDS", .maximum = 86400, .fallback = "75",
     .help = "seconds until a silent connection is closed; headers may take twice as long, bodies "
             "too, and a second more for every 500 bytes; 0: never"},
    {.name = "stream-ping", .section = "server", .type = OPTION_SIZE, FIELD(stream_ping_s),
     .argument = "SECONDS", .maximum = 86400, .fallback = "15",
     .help = "seconds that a stream is silent at most: then it has a comment; 0: any"},
    {.name = "drain-delay", .section = "server", .reload = true, .type = OPTION_SIZE,
     FIELD(drain_delay_s), .argument = "SECONDS", .maximum = 3600, .fallback = "0",
     .help = "seconds after SIGTERM in which requests still come in, while /ready says that more "
             "should go elsewhere"},
    {.name = "drain-timeout", .section = "server", .reload = true, .type = OPTION_SIZE,
     FIELD(drain_timeout_s), .argument = "SECONDS", .maximum = 86400, .fallback = "30",
     .help = "seconds that running requests have after SIGTERM"},

    {.name = "model", .section = "model", .type = OPTION_TEXT, FIELD(model.folder), .argument = "DIR",
     .help = "folder of an ONNX model, the same as MODEL_DIR; otherwise the demo model"},
    {.name = "model-id", .section = "model", .type = OPTION_TEXT, FIELD(model.name),
     .argument = "NAME", .help = "the model's name in the API, instead of the folder's"},
    {.name = "adapters", .section = "model", .type = OPTION_TEXT, FIELD(model.adapters),
     .argument = "ADAPTERS",
     .help = "adapters (LoRA) that requests may use as models: NAME=FILE, several separated by "
             "blanks; each FILE an .onnx_adapter"},
    {.name = "exact", .section = "model", .type = OPTION_FLAG, FIELD(model.engine.exact),
     .help = "compute in f32 with the weights as the file has them: slower"},
    {.name = "kv-dtype", .section = "model", .type = OPTION_TEXT, FIELD(model.kv_dtype),
     .argument = "TYPE", .choices = model_kv_names,
     .help = "keys and values, otherwise f16, or f32 with exact"},
    PACK_CACHE_OPTIONS(offsetof(struct serve_options, cache)),

    {.name = "memory", .section = "models", .reload = true, .type = OPTION_SIZE, FIELD(memory_mb),
     .argument = "MB", .maximum = MEMORY_MB_MAX, .fallback = "0",
     .help = "megabytes for weights and KV caches of all models; 0: seven eighths of what the "
             "daemon may have"},
    {.name = "idle-unload", .section = "models", .reload = true, .type = OPTION_SIZE,
     FIELD(model.idle_unload_s), .argument = "SECONDS", .maximum = IDLE_UNLOAD_MAX,
     .fallback = "0", .help = "seconds without a request after which a model is unloaded; 0: never"},

    {.name = "threads", .section = "engine", .type = OPTION_SIZE, FIELD(model.engine.threads),
     .argument = "THREADS", .maximum = THREADS_MAX, .fallback = "0",
     .help = "compute threads; 0: one a processor"},
    {.name = "kernels", .section = "engine", .type = OPTION_TEXT, FIELD(model.engine.kernels),
     .argument = "NAME", .choices = kernels_names,
     .help = "instruction set, instead of the best there is"},
    {.name = "kv-positions", .section = "engine", .type = OPTION_SIZE, FIELD(model.engine.kv_positions),
     .argument = "TOKENS", .maximum = KV_POSITIONS_MAX, .fallback = "0",
     .help = "KV cache for so many tokens of all requests together; 0: one full context, or 8192"},
    {.name = "prefix-cache", .section = "engine", .type = OPTION_FLAG, FIELD(model.prefix_cache),
     .fallback = "yes", .help = "compute what prompts have in common with earlier ones only once"},
    {.name = "draft-tokens", .section = "engine", .reload = true, .type = OPTION_SIZE,
     FIELD(model.draft_tokens), .argument = "TOKENS", .maximum = DRAFTS_MAX, .fallback = "5",
     .help = "tokens guessed from earlier text and verified in one step; 0: none"},
    {.name = "max-sessions", .section = "engine", .type = OPTION_SIZE, FIELD(model.engine.sessions_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = SESSIONS_MAX, .fallback = "32",
     .help = "completions that run together"},
    {.name = "max-queue", .section = "engine", .type = OPTION_SIZE, FIELD(model.engine.queue_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = QUEUE_MAX, .fallback = "128",
     .help = "completions that wait; beyond that the answer is 429"},

    {.name = "api-keys", .section = "access", .reload = true, .type = OPTION_TEXT,
     FIELD(access.api_keys), .argument = "FILE",
     .help = "file of API keys, which 'quern key NAME FILE' adds to; otherwise everybody may do "
             "everything"},
    {.name = "allow-public", .section = "access", .type = OPTION_FLAG, FIELD(allow_public),
     .help = "listen without API keys where other machines can connect"},
    {.name = "open-metrics", .section = "access", .reload = true, .type = OPTION_FLAG,
     FIELD(access.open_metrics), .help = "answer /metrics, and all of /health, without an API key"},
    {.name = "client-requests", .section = "access", .reload = true, .type = OPTION_SIZE,
     FIELD(access.client_requests), .argument = "REQUESTS", .maximum = 65536, .fallback = "0",
     .help = "requests of one API key or address at once; 0: any number"},
    {.name = "client-connections", .section = "access", .type = OPTION_SIZE,
     FIELD(client_connections), .argument = "CONNECTIONS", .maximum = 65536, .fallback = "0",
     .help = "open connections of one address, further ones are closed at once; 0: any number"},
    {.name = "cors-origins", .section = "access", .reload = true, .type = OPTION_TEXT,
     FIELD(access.cors_origins), .argument = "ORIGINS",
     .help = "pages of these origins, as https://example.org, may ask from a browser: several "
             "separated by blanks, or * for all"},
    {.name = "tls-certificate", .section = "access", .type = OPTION_TEXT, FIELD(tls.certificate),
     .argument = "FILE", .help = "PEM file of the server's certificate and those above it: all "
                                 "connections use TLS then"},
    {.name = "tls-key", .section = "access", .type = OPTION_TEXT, FIELD(tls.key),
     .argument = "FILE", .help = "PEM file of the certificate's private key"},

    {.name = "log-format", .section = "log", .reload = true, .type = OPTION_TEXT,
     FIELD(log_format), .argument = "FORMAT", .choices = log_format_names, .fallback = "text",
     .help = "lines on standard error, with priorities where that is the journal"},
    {.name = "log-level", .section = "log", .reload = true, .type = OPTION_TEXT, FIELD(log_level),
     .argument = "LEVEL", .choices = log_level_names, .fallback = "info",
     .help = "what is logged; requests are info"},
};
/* clang-format on */

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .offset = offsetof(struct serve_options, model.folder),
     .help = "folder with an ONNX model, or the ONNX file in it; without it, the demo model"},
};

static const struct option_group group = {
    .section = "model",
    .options = model_options_table,
    .option_count = MODEL_OPTIONS,
    .maximum = MODELS_MAX,
    .count = offsetof(struct serve_options, section_count),
    .values = offsetof(struct serve_options, sections),
    .size = sizeof(struct model_options),
    .name = offsetof(struct model_options, name),
    .given = offsetof(struct model_options, given),
};

const struct command_line serve_command_line = {
    .command = "serve",
    .description = "Serves models over HTTP in the manner of OpenAI's API and, at /v1/messages, of "
                   "Anthropic's: quern-http(7) says what is answered where.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
    .group = &group,
};

/* The models that settings name: that of [model], unless only sections have a folder, and theirs. */
static void list_models(struct serve_options *options) {
    options->model_count = 0;
    model_options_derive(&options->model);
    if (options->model.folder != NULL || options->section_count == 0) {
        options->models[options->model_count++] = options->model;
    }
    for (size_t i = 0; i < options->section_count; i++) {
        options->models[options->model_count++] =
            model_options_complete(&options->sections[i], &options->model);
    }
}

static const char *text_of(const struct serve_options *options, const char *name) {
    const struct option *option = option_find(&serve_command_line, name, strlen(name));
    return *(const char *const *)(const void *)((const char *)options + option->offset);
}

/* Settings that say nothing without one another. */
static bool check_pairs(const struct serve_options *options, const struct config *config,
                        struct error *err) {
    static const char *const pairs[][2] = {{"tls-certificate", "tls-key"},
                                           {"tls-key", "tls-certificate"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *name = pairs[i][0];
        if (text_of(options, name) != NULL && text_of(options, pairs[i][1]) == NULL) {
            char place[CONFIG_PLACE_BYTES];
            config_place(config, option_find(config->line, name, strlen(name)), place);
            return error_set(err, ERROR_INVALID, "%s: %s needs %s, which is missing", place, name,
                             pairs[i][1]);
        }
    }
    return true;
}

/* Texts that are more than words. */
static bool check_texts(const struct serve_options *options, const struct config *config,
                        struct error *err) {
    static const struct {
        const char *name;
        bool (*check)(const char *text, struct error *err);
    } checks[] = {{"listen", listeners_check}, {"cors-origins", access_check_origins}};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const char *name = checks[i].name;
        const char *text = text_of(options, name);
        if (text != NULL && !checks[i].check(text, err)) {
            char place[CONFIG_PLACE_BYTES];
            config_place(config, option_find(config->line, name, strlen(name)), place);
            return error_prefix(err, "%s", place);
        }
    }
    return true;
}

bool serve_options_resolve(struct serve_options *options, struct config *config, int argc,
                           char **argv, struct error *err) {
    *options =
        (struct serve_options){.model = {.load = "start", .engine = engine_options_default()}};
    if (!config_read(config, options, err) ||
        options_read_arguments(config->line, argc, argv, options, err) != OPTIONS_READ ||
        !check_texts(options, config, err) || !check_pairs(options, config, err)) {
        return false;
    }
    list_models(options);
    return model_options_check(options->models, options->model_count, err);
}

bool serve_options_read(struct serve_options *options, struct config *config, int argc, char **argv,
                        int *status) {
    struct error err = {0};
    *options = (struct serve_options){0};
    if (!options_start(&serve_command_line, argc, argv, options, status)) {
        return false;
    }
    const char *path = options->config_path != NULL ? options->config_path : getenv("QUERN_CONFIG");
    if (!config_open(config, &serve_command_line, path, &err) ||
        !serve_options_resolve(options, config, argc, argv, &err)) {
        options_report("serve", &err);
        config_close(config);
        *status = EXIT_CONFIG;
        return false;
    }
    return true;
}

/* ---- Reloading ---- */

void serve_options_reload(struct serve_options *options, const struct serve_options *fresh,
                          void (*tell)(const struct option *option, bool applied)) {
    for (size_t i = 0; i < serve_command_line.option_count; i++) {
        const struct option *option = &serve_command_line.options[i];
        if (option->section == NULL || option_equal(option, options, fresh)) {
            continue;
        }
        if (option->reload) {
            option_copy(option, options, fresh);
        }
        tell(option, option->reload);
    }
    memcpy(options->sections, fresh->sections, sizeof options->sections);
    options->section_count = fresh->section_count;
    list_models(options);
}
