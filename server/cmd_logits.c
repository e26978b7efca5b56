/* quern logits: runs a prompt and tokens after it, and writes the logits. The interface is fixed:
 * checks from outside hold Quern against reference logits with it. */
#include "importer/adapter.h"
#include "importer/model.h"
#include "server/commands.h"
#include "server/exit_status.h"
#include "server/options.h"
#include "server/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct logits_options {
    const char *folder;
    const char *adapter;
    struct option_list ids;
    struct option_list force;
    size_t greedy;
    const char *rows;
    bool exact;
    size_t chunk;
    size_t threads;
    const char *kv_type;
    const char *kernels;
    const char *out;
};

static const char *const row_choices[] = {"all", "last", NULL};
static const char *const kv_choices[] = {"f32", "f16", "int8", NULL}; /* as enum kv_type */

enum { GREEDY_MAX = 1000000, CHUNK_MAX = 65536, THREADS_MAX = 1024 };

#define FIELD(name) .offset = offsetof(struct logits_options, name)

/* An option is a few lines, its help the last. */
/* clang-format off */
static const struct option options_table[] = {
    {.name = "ids", .type = OPTION_LIST, FIELD(ids), .required = true, .argument = "LIST",
     .help = "token ids of the prompt, separated by commas"},
    {.name = "force", .type = OPTION_LIST, FIELD(force), .argument = "LIST",
     .help = "token ids, separated by commas, to feed after it one at a time"},
    {.name = "greedy", .type = OPTION_SIZE, FIELD(greedy), .argument = "N",
     .maximum = GREEDY_MAX,
     .help = "feed N tokens instead, each the most likely one"},
    {.name = "rows", .type = OPTION_TEXT, FIELD(rows), .argument = "WHICH",
     .choices = row_choices, .fallback = "last",
     .help = "rows of the prompt to write"},
    {.name = "adapter", .type = OPTION_TEXT, FIELD(adapter), .argument = "FILE",
     .help = "adapter (.onnx_adapter) of all tokens"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(exact),
     .help = "activations and KV cache in f32, weights as the file has them"},
    {.name = "chunk", .type = OPTION_SIZE, FIELD(chunk), .argument = "N", .minimum = 1,
     .maximum = CHUNK_MAX, .fallback = "128",
     .help = "prompt tokens of one step"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(threads), .argument = "N", .minimum = 1,
     .maximum = THREADS_MAX,
     .help = "compute threads, otherwise one for each processor"},
    {.name = "kv-dtype", .type = OPTION_TEXT, FIELD(kv_type), .argument = "TYPE",
     .choices = kv_choices,
     .help = "of the KV cache, otherwise f16, or f32 with --exact"},
    {.name = "kernels", .type = OPTION_TEXT, FIELD(kernels), .argument = "NAME",
     .choices = kernels_names, .help = "instruction set, instead of the best there is"},
    {.name = "out", .type = OPTION_TEXT, FIELD(out), .required = true, .argument = "FILE",
     .help = "gets little-endian f32 (rows, vocabulary)"},
};
/* clang-format on */

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .required = true,
     .offset = offsetof(struct logits_options, folder),
     .help = "folder with an ONNX model, or the ONNX file in it"},
};

const struct command_line logits_command_line = {
    .command = "logits",
    .description = "Runs a prompt, then feeds tokens one at a time, and writes to FILE the logits "
                   "of the prompt's rows and of each token fed. Prints one line of JSON: rows, "
                   "vocab_size, and greedy, the most likely token before each token fed.",
    .operands = operands,
    .operand_count = 1,
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

struct logits_run {
    const struct logits_options *options;
    struct model *model;
    struct adapter *adapter;
    size_t vocabulary_size;
    struct decoder decoder;
    struct timeline timeline;
    FILE *out;
    size_t rows;     /* written */
    int32_t best;    /* the most likely token after the last row */
    int32_t *greedy; /* [fed] */
    size_t fed;      /* tokens to feed */
};

static bool check_ids(const struct option_list *ids, const char *name, size_t vocabulary_size,
                      struct error *err) {
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->items[i] < 0 || (size_t)ids->items[i] >= vocabulary_size) {
            return error_set(err, ERROR_INVALID,
                             "--%s: token %d is outside the vocabulary of %zu tokens", name,
                             (int)ids->items[i], vocabulary_size);
        }
    }
    return true;
}

static enum kv_type chosen_kv_type(const struct logits_options *options) {
    enum kv_type type = options->exact ? KV_F32 : KV_F16;
    for (int i = 0; options->kv_type != NULL && kv_choices[i] != NULL; i++) {
        type = strcmp(options->kv_type, kv_choices[i]) == 0 ? (enum kv_type)i : type;
    }
    return type;
}

static bool cannot_write(const char *path, struct error *err) {
    return error_set(err, ERROR_IO, "cannot write %s: %s", path, strerror(errno));
}

static bool open_run(struct logits_run *run, struct error *err) {
    const struct logits_options *options = run->options;
    run->fed = options->force.count + options->greedy;
    if (!model_open(&run->model, options->folder, NULL, err)) {
        return false;
    }
    run->vocabulary_size = run->model->plan.vocabulary_size;
    if (options->adapter != NULL &&
        !adapter_open(&run->adapter, run->model, options->adapter, err)) {
        return false;
    }
    const struct plan_low_rank_pair *pairs =
        run->adapter != NULL ? adapter_pairs(run->adapter) : NULL;
    struct decoder_options decoder_options = {
        .adapters = {.adapters = &pairs, .count = pairs != NULL},
        .exact = options->exact,
        .kv_type = chosen_kv_type(options),
        .threads = options->threads,
        .pin_threads = true,
        .kernels = options->kernels,
        .kv_positions = options->ids.count + run->fed,
        .rows_max = options->chunk,
        .wanted_max = strcmp(options->rows, "all") == 0 ? options->chunk : 1,
    };
    if (!check_ids(&options->ids, "ids", run->vocabulary_size, err) ||
        !check_ids(&options->force, "force", run->vocabulary_size, err) ||
        !decoder_open(&run->decoder, &run->model->plan, &decoder_options, err) ||
        !timeline_open(&run->timeline, &run->decoder, decoder_options.kv_positions, err)) {
        return false;
    }
    run->timeline.adapter = pairs != NULL;
    run->greedy = calloc(run->fed + 1, sizeof *run->greedy);
    if (run->greedy == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu tokens", run->fed);
    }
    run->out = fopen(options->out, "wb");
    return run->out != NULL || cannot_write(options->out, err);
}

static bool write_step(struct logits_run *run, const int32_t *tokens, size_t count,
                       enum timeline_wanted wanted, struct error *err) {
    float *logits;
    if (!timeline_run(&run->timeline, tokens, count, wanted, &logits, err)) {
        return false;
    }
    size_t vocabulary_size = run->vocabulary_size;
    size_t rows = wanted == TIMELINE_ALL ? count : wanted == TIMELINE_LAST;
    for (size_t i = 0; i < rows; i++) {
        const float *row = logits + i * executor_logits_stride(run->decoder.executor);
        if (fwrite(row, sizeof *row, vocabulary_size, run->out) != vocabulary_size) {
            return cannot_write(run->options->out, err);
        }
        run->best = (int32_t)run->decoder.kernels->argmax(row, vocabulary_size);
    }
    run->rows += rows;
    return true;
}

static bool run_tokens(struct logits_run *run, struct error *err) {
    const struct option_list *prompt = &run->options->ids;
    bool all = strcmp(run->options->rows, "all") == 0;
    timeline_expect(&run->timeline, prompt->count);
    for (size_t at = 0; at < prompt->count; at += run->options->chunk) {
        size_t left = prompt->count - at;
        size_t count = left < run->options->chunk ? left : run->options->chunk;
        enum timeline_wanted last = count == left ? TIMELINE_LAST : TIMELINE_NONE;
        if (!write_step(run, prompt->items + at, count, all ? TIMELINE_ALL : last, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < run->fed; i++) {
        run->greedy[i] = run->best;
        bool forced = run->options->force.count > 0;
        int32_t token = forced ? run->options->force.items[i] : run->best;
        if (!write_step(run, &token, 1, TIMELINE_LAST, err)) {
            return false;
        }
    }
    FILE *out = run->out;
    run->out = NULL;
    return fclose(out) == 0 || cannot_write(run->options->out, err);
}

static void print_result(const struct logits_run *run) {
    printf("{\"rows\": %zu, \"vocab_size\": %zu, \"greedy\": [", run->rows, run->vocabulary_size);
    for (size_t i = 0; i < run->fed; i++) {
        printf("%s%d", i > 0 ? ", " : "", (int)run->greedy[i]);
    }
    printf("]}\n");
}

int cmd_logits(int argc, char **argv) {
    struct logits_options options = {0};
    int status;
    if (!options_start(&logits_command_line, argc, argv, &options, &status)) {
        return status;
    }
    if (options.force.count > 0 && options.greedy > 0) {
        fprintf(stderr, "quern logits: --force and --greedy exclude each other\n");
        options_free(&logits_command_line, &options);
        return EXIT_USAGE;
    }
    struct error err = {0};
    struct logits_run run = {.options = &options};
    status = EXIT_SUCCESS;
    if (open_run(&run, &err) && run_tokens(&run, &err)) {
        print_result(&run);
    } else {
        status = options_report("logits", &err);
    }
    if (run.out != NULL) {
        fclose(run.out);
    }
    free(run.greedy);
    timeline_close(&run.timeline);
    decoder_close(&run.decoder);
    adapter_close(run.adapter);
    model_close(run.model);
    options_free(&logits_command_line, &options);
    return status;
}
