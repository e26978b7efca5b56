#include "server/serve_options.h"

#include "server/options.h"

#include <string.h>

static const char *const kv_names[KV_TYPE_COUNT + 1] = {
    [KV_F32] = "f32", [KV_F16] = "f16", [KV_INT8] = "int8"};

#define FIELD(name) .offset = offsetof(struct serve_options, name)

/* clang-format off */
static const struct option options_table[] = {
    {.name = "listen", .type = OPTION_TEXT, FIELD(listen), .argument = "ADDRESS",
     .fallback = "127.0.0.1:8080", .help = "HOST:PORT or unix:/PATH; port 0 takes a free one"},
    {.name = "model-id", .type = OPTION_TEXT, FIELD(model_id), .argument = "NAME",
     .help = "the model's name in the API, instead of the folder's"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(engine.threads), .argument = "N",
     .maximum = 1024, .fallback = "0", .help = "compute threads; 0: one a processor"},
    {.name = "kernels", .type = OPTION_TEXT, FIELD(engine.kernels), .argument = "NAME",
     .choices = kernels_names, .help = "instruction set, instead of the best there is"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(engine.exact),
     .help = "compute in f32 with the weights as the file has them: slower"},
    {.name = "kv-dtype", .type = OPTION_TEXT, FIELD(kv_dtype), .argument = "TYPE",
     .choices = kv_names, .help = "keys and values: f32 (the default of --exact), f16, int8"},
    {.name = "kv-positions", .type = OPTION_SIZE, FIELD(engine.kv_positions), .argument = "N",
     .maximum = 1 << 30, .fallback = "0",
     .help = "KV cache for N tokens of all requests together; 0: one full context, or 8192"},
    {.name = "no-prefix-cache", .type = OPTION_FLAG, FIELD(engine.no_prefix_cache),
     .help = "compute every prompt from its first token, shared with an earlier one or not"},
    {.name = "draft-tokens", .type = OPTION_SIZE, FIELD(draft_tokens), .argument = "N",
     .maximum = DRAFTS_MAX, .fallback = "5",
     .help = "tokens guessed from earlier text and verified in one step; 0: none"},
    PACK_CACHE_OPTIONS(struct serve_options, cache),
    {.name = "max-sessions", .type = OPTION_SIZE, FIELD(engine.sessions_max), .argument = "N",
     .minimum = 1, .maximum = 4096, .fallback = "32", .help = "completions that run together"},
    {.name = "max-queue", .type = OPTION_SIZE, FIELD(engine.queue_max), .argument = "N",
     .minimum = 1, .maximum = 65536, .fallback = "128",
     .help = "completions that wait; beyond that the answer is 429"},
    {.name = "max-connections", .type = OPTION_SIZE, FIELD(max_connections), .argument = "N",
     .minimum = 1, .maximum = 65536, .fallback = "1000", .help = "open connections"},
    {.name = "max-body", .type = OPTION_SIZE, FIELD(max_body), .argument = "BYTES",
     .minimum = 1, .maximum = 1 << 30, .fallback = "4194304", .help = "bytes of a request's body"},
    {.name = "idle-timeout", .type = OPTION_SIZE, FIELD(idle_timeout_s), .argument = "SECONDS",
     .maximum = 86400, .fallback = "75",
     .help = "seconds until a silent connection is closed; 0: never"},
    {.name = "drain-timeout", .type = OPTION_SIZE, FIELD(drain_timeout_s), .argument = "SECONDS",
     .maximum = 86400, .fallback = "30",
     .help = "seconds that running requests have after SIGTERM"},
};
/* clang-format on */

static const struct operand operands[] = {
    {"MODEL_DIR", false, offsetof(struct serve_options, model_dir),
     "folder with an ONNX model; without it, the demo model in the program"},
};

static const struct command_line command_line = {
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

bool serve_options_read(struct serve_options *options, int argc, char **argv, int *status) {
    *options = (struct serve_options){.engine = engine_options_default()};
    if (!options_start(&command_line, argc, argv, options, status)) {
        return false;
    }
    options->engine.kv_type = choose_kv_type(options);
    return true;
}
