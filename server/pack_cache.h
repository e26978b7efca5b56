/* Where the pack files of models are (engine/pack_file.h), and what is said while one is made.
 *
 * A model folder has one file for fast and one for exact mode, named after the folder and a digest of
 * its path. The cache directory is the first of: --cache-dir, $CACHE_DIRECTORY (systemd),
 * $XDG_CACHE_HOME/quern, $HOME/.cache/quern. Used by one thread. */
#ifndef QUERN_SERVER_PACK_CACHE_H
#define QUERN_SERVER_PACK_CACHE_H

#include "engine/weights.h"

#include <stdbool.h>

/* What the command line says. */
struct pack_cache_options {
    const char *directory; /* NULL: see above */
    bool on;
};

/* Rows of an option table for the struct pack_cache_options at this offset of the values. */
#define PACK_CACHE_OPTIONS(at)                                                                     \
    {.name = "cache",                                                                              \
     .section = "model",                                                                           \
     .type = OPTION_FLAG,                                                                          \
     .offset = (at) + offsetof(struct pack_cache_options, on),                                     \
     .fallback = "yes",                                                                            \
     .help = "keep packed weights in files; otherwise they are packed at every start"},            \
    {                                                                                              \
        .name = "cache-dir", .section = "model", .type = OPTION_TEXT,                              \
        .offset = (at) + offsetof(struct pack_cache_options, directory), .argument = "DIR",        \
        .help = "where these files are, instead of $CACHE_DIRECTORY, $XDG_CACHE_HOME/quern or "    \
                "~/.cache/quern"                                                                   \
    }

/* Can a directory that was named, by an option or by systemd, be used? Weights from a directory of
 * another user than this one and root could be anybody's. True where none is named. */
bool pack_cache_check(const struct pack_cache_options *options, struct error *err);

struct pack_cache {
    char *path;   /* of the pack file; NULL: none */
    int percent;  /* shown last */
    double began; /* seconds */
};

/* Chooses the pack file of a model folder (NULL: the demo model, which has none), makes its directory,
 * and fills `packing` so that the engine uses it and progress is shown where a terminal watches. A
 * directory that cannot be had is reported on standard error, and there is no file then. `cache` must
 * stay where it is until the weights are open. */
void pack_cache_open(struct pack_cache *cache, const struct pack_cache_options *options,
                     const char *model_dir, bool exact, struct weights_options *packing);

/* Says on standard error what became of it, if there is anything to say. */
void pack_cache_report(const struct pack_cache *cache, const struct weights *weights);

void pack_cache_close(struct pack_cache *cache);

#endif
