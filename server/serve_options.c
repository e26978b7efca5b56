#include "server/serve_options.h"

#include "server/exit_status.h"
#include "server/log.h"

#include <stdlib.h>
#include <string.h>

enum { SESSIONS_MAX = 512 }; /* the rows of a step: each session needs one */

static const char *const kv_names[KV_TYPE_COUNT + 1] = {
    [KV_F32] = "f32", [KV_F16] = "f16", [KV_INT8] = "int8"};

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
     .help = "seconds until a silent connection is closed; 0: never"},
    {.name = "stream-ping", .section = "server", .type = OPTION_SIZE, FIELD(stream_ping_s),
     .argument = "SECONDS", .maximum = 86400, .fallback = "15",
     .help = "seconds that a stream is silent at most: then it has a comment; 0: any"},
    {.name = "drain-timeout", .section = "server", .reload = true, .type = OPTION_SIZE,
     FIELD(drain_timeout_s), .argument = "SECONDS", .maximum = 86400, .fallback = "30",
     .help = "seconds that running requests have after SIGTERM"},

    {.name = "model", .section = "model", .type = OPTION_TEXT, FIELD(model_dir), .argument = "DIR",
     .help = "folder of an ONNX model, the same as MODEL_DIR; otherwise the demo model"},
    {.name = "model-id", .section = "model", .type = OPTION_TEXT, FIELD(model_id),
     .argument = "NAME", .help = "the model's name in the API, instead of the folder's"},
    {.name = "exact", .section = "model", .type = OPTION_FLAG, FIELD(engine.exact),
     .help = "compute in f32 with the weights as the file has them: slower"},
    {.name = "kv-dtype", .section = "model", .type = OPTION_TEXT, FIELD(kv_dtype),
     .argument = "TYPE", .choices = kv_names,
     .help = "keys and values, otherwise f16, or f32 with exact"},
    PACK_CACHE_OPTIONS(struct serve_options, cache),

    {.name = "threads", .section = "engine", .type = OPTION_SIZE, FIELD(engine.threads),
     .argument = "THREADS", .maximum = 1024, .fallback = "0",
     .help = "compute threads; 0: one a processor"},
    {.name = "kernels", .section = "engine", .type = OPTION_TEXT, FIELD(engine.kernels),
     .argument = "NAME", .choices = kernels_names,
     .help = "instruction set, instead of the best there is"},
    {.name = "kv-positions", .section = "engine", .type = OPTION_SIZE, FIELD(engine.kv_positions),
     .argument = "TOKENS", .maximum = 1 << 30, .fallback = "0",
     .help = "KV cache for so many tokens of all requests together; 0: one full context, or 8192"},
    {.name = "prefix-cache", .section = "engine", .type = OPTION_FLAG, FIELD(prefix_cache),
     .fallback = "yes", .help = "compute what prompts have in common with earlier ones only once"},
    {.name = "draft-tokens", .section = "engine", .reload = true, .type = OPTION_SIZE,
     FIELD(draft_tokens), .argument = "TOKENS", .maximum = DRAFTS_MAX, .fallback = "5",
     .help = "tokens guessed from earlier text and verified in one step; 0: none"},
    {.name = "max-sessions", .section = "engine", .type = OPTION_SIZE, FIELD(engine.sessions_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = SESSIONS_MAX, .fallback = "32",
     .help = "completions that run together"},
    {.name = "max-queue", .section = "engine", .type = OPTION_SIZE, FIELD(engine.queue_max),
     .argument = "COMPLETIONS", .minimum = 1, .maximum = 65536, .fallback = "128",
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
    {"MODEL_DIR", false, offsetof(struct serve_options, model_dir),
     "folder with an ONNX model, or the ONNX file in it; without it, the demo model"},
};

const struct command_line serve_command_line = {
    .command = "serve",
    .description = "Serves a model over HTTP in the manner of OpenAI: POST /v1/completions, "
                   "GET /v1/models, GET /health, GET /metrics.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

static enum kv_type choose_kv_type(const struct serve_options *options) {
    for (int i = 0; options->kv_dtype != NULL && i < KV_TYPE_COUNT; i++) {
        if (strcmp(options->kv_dtype, kv_names[i]) == 0) {
            return (enum kv_type)i;
        }
    }
    return options->engine.exact ? KV_F32 : KV_F16;
}

/* What follows from settings; the settings themselves stay as they were read. */
static void derive(struct serve_options *options) {
    options->engine.kv_type = choose_kv_type(options);
    options->engine.no_prefix_cache = !options->prefix_cache;
}

bool serve_options_resolve(struct serve_options *options, struct config *config, int argc,
                           char **argv, struct error *err) {
    *options = (struct serve_options){.engine = engine_options_default()};
    if (!config_read(config, options, err) ||
        options_read_arguments(config->line, argc, argv, options, err) != OPTIONS_READ) {
        return false;
    }
    derive(options);
    return true;
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

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Takes the fresh value over where that is allowed. Lists are no settings. */
static void reload_one(const struct option *option, struct serve_options *options,
                       const struct serve_options *fresh,
                       void (*tell)(const struct option *option, bool applied)) {
    static const size_t sizes[] = {
        [OPTION_FLAG] = sizeof(bool),         [OPTION_SIZE] = sizeof(size_t),
        [OPTION_MODE] = sizeof(size_t),       [OPTION_NUMBER] = sizeof(double),
        [OPTION_TEXT] = sizeof(const char *),
    };
    char *now = (char *)options + option->offset;
    const char *then = (const char *)fresh + option->offset;
    bool same = option->type == OPTION_TEXT ? same_text(*(const char *const *)(const void *)now,
                                                        *(const char *const *)(const void *)then)
                                            : memcmp(now, then, sizes[option->type]) == 0;
    if (!same) {
        if (option->reload) {
            memcpy(now, then, sizes[option->type]);
        }
        tell(option, option->reload);
    }
}

void serve_options_reload(struct serve_options *options, const struct serve_options *fresh,
                          void (*tell)(const struct option *option, bool applied)) {
    for (size_t i = 0; i < serve_command_line.option_count; i++) {
        const struct option *option = &serve_command_line.options[i];
        if (option->section != NULL) {
            reload_one(option, options, fresh, tell);
        }
    }
}

const char *serve_options_kv_name(const struct serve_options *options) {
    return kv_names[options->engine.kv_type];
}
