/* quern pack: makes a model's pack file before the first start does. */
#include "engine/workers.h"
#include "importer/model.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/pack_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct pack_options {
    const char *folder;
    struct pack_cache_options cache;
    size_t threads;
    bool exact;
    bool force;
};

#define FIELD(name) .offset = offsetof(struct pack_options, name)

/* clang-format off */
static const struct option options_table[] = {
    {.name = "cache-dir", .type = OPTION_TEXT, FIELD(cache.directory), .argument = "DIR",
     .help = "where the file goes (default: $CACHE_DIRECTORY, $XDG_CACHE_HOME/quern or "
             "~/.cache/quern)"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(exact), .help = "the file that serve, run and bench take with --exact"},
    {.name = "force", .type = OPTION_FLAG, FIELD(force),
     .help = "make it anew even if the one that is there is good"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(threads), .argument = "N", .maximum = 1024,
     .fallback = "0", .help = "threads; 0: one a processor"},
};
/* clang-format on */

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .required = true,
     .offset = offsetof(struct pack_options, folder),
     .help = "folder with an ONNX model, or the ONNX file in it"},
};

const struct command_line pack_command_line = {
    .command = "pack",
    .description = "Packs the weights of a model into the form in which they are computed with, "
                   "and writes it to the cache directory, where serve, run and bench find it. A "
                   "file that is there is checked, every byte of it, and made anew if it does "
                   "not hold.",
    .operands = operands,
    .operand_count = 1,
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

static bool pack(const struct pack_options *options, const struct plan *plan,
                 struct workers *workers, struct error *err) {
    struct weights_options packing = {.exact = options->exact};
    struct pack_cache cache;
    pack_cache_open(&cache, &options->cache, options->folder, options->exact, &packing);
    packing.pack_least = 0;
    bool done = false;
    struct weights *weights = NULL;
    if (cache.path == NULL) {
        error_set(err, ERROR_IO, "there is no cache directory; --cache-dir names one");
    } else {
        if (options->force) {
            unlink(cache.path);
        }
        done = weights_open(&weights, plan, &packing, workers, err);
    }
    if (done && weights_get_origin(weights) == WEIGHTS_IN_MEMORY) {
        done = error_set(err, ERROR_IO, "%s", weights_note(weights));
    } else if (done) {
        bool there = weights_get_origin(weights) == WEIGHTS_MAPPED;
        if (weights_note(weights)[0] != '\0') {
            fprintf(stderr, "quern pack: %s\n", weights_note(weights));
        }
        printf("%s: %zu MB, %s\n", cache.path, weights_bytes(weights) / 1000000,
               there ? "was there already, and holds" : "written");
    }
    weights_close(weights);
    pack_cache_close(&cache);
    return done;
}

int cmd_pack(int argc, char **argv) {
    struct pack_options options = {.cache = {.on = true}};
    int status;
    if (!options_start(&pack_command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    struct model *model = NULL;
    struct workers *workers = NULL;
    bool done = model_open(&model, options.folder, NULL, &err) &&
                workers_open(&workers, options.threads, false, &err) &&
                pack(&options, &model->plan, workers, &err);
    workers_close(workers);
    model_close(model);
    return done ? EXIT_SUCCESS : options_report("pack", &err);
}
