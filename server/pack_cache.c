#include "server/pack_cache.h"

#include "engine/clock.h"
#include "server/log.h"
#include "server/user_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WORTH_A_FILE = 32 << 20, /* smaller models pack in hundredths of a second */
    BAR_COLUMNS = 30,
};

#define WORTH_A_BAR_S 0.3 /* seconds of packing: what is over in a moment needs no bar */

/* ---- The path ---- */

/* A copy of the cache directory's path; NULL where nothing says where it is. */
static char *directory_of(const struct pack_cache_options *options) {
    const char *system = getenv("CACHE_DIRECTORY");
    if (options->directory != NULL) {
        return strdup(options->directory);
    }
    if (system != NULL && system[0] != '\0') {
        return strndup(system, strcspn(system, ":"));
    }
    return user_dir_path("XDG_CACHE_HOME", ".cache");
}

/* FNV-1a. */
static uint64_t digest_text(const char *text) {
    uint64_t digest = 0xcbf29ce484222325u;
    for (; *text != '\0'; text++) {
        digest = (digest ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return digest;
}

static char *file_path(const char *directory, const char *model_dir, bool exact) {
    char *canonical = realpath(model_dir, NULL);
    if (canonical == NULL) {
        return NULL; /* opening the model says why */
    }
    const char *slash = strrchr(canonical, '/');
    char *path = NULL;
    int length = asprintf(&path, "%s/%.100s-%016llx-%s.pack", directory, slash + 1,
                          (unsigned long long)digest_text(canonical), exact ? "exact" : "fast");
    free(canonical);
    return length < 0 ? NULL : path;
}

/* ---- Progress ---- */

static void show_progress(void *context, size_t done, size_t total) {
    struct pack_cache *cache = context;
    int percent = total > 0 ? (int)(100.0 * (double)done / (double)total) : 100;
    if (percent == cache->percent || clock_seconds() - cache->began < WORTH_A_BAR_S) {
        return;
    }
    cache->percent = percent;
    int filled = percent * BAR_COLUMNS / 100;
    char bar[BAR_COLUMNS + 1];
    memset(bar, ' ', BAR_COLUMNS);
    memset(bar, '=', (size_t)filled);
    bar[BAR_COLUMNS] = '\0';
    fprintf(stderr, "\rpacking weights [%s] %3d %% of %zu MB%s", bar, percent, total / 1000000,
            percent == 100 ? "\n" : "");
}

/* ---- Opening, reporting ---- */

static bool check_directory(char *path, struct error *err) {
    struct stat status;
    bool found = user_dir_make(path) && stat(path, &status) == 0;
    bool is_directory = found && S_ISDIR(status.st_mode);
    if (!found || (is_directory && access(path, R_OK | X_OK) != 0)) {
        return error_set(err, ERROR_IO,
                         "The cache directory \"%s\" cannot be used: %s; name another one in "
                         "cache-dir, or set cache = no",
                         path, strerror(errno));
    }
    if (!is_directory) {
        return error_set(err, ERROR_IO,
                         "The cache directory \"%s\" is no directory; name another one in "
                         "cache-dir, or set cache = no",
                         path);
    }
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        return error_set(
            err, ERROR_IO,
            "The cache directory \"%s\" belongs to user %u, and Quern runs as user %u; "
            "name another one, or change its owner",
            path, status.st_uid, geteuid());
    }
    return true;
}

bool pack_cache_check(const struct pack_cache_options *options, struct error *err) {
    const char *system = getenv("CACHE_DIRECTORY");
    bool named = options->directory != NULL || (system != NULL && system[0] != '\0');
    if (!options->on || !named) {
        return true;
    }
    char *path = directory_of(options);
    bool usable = path != NULL ? check_directory(path, err)
                               : error_set(err, ERROR_OUT_OF_MEMORY, "No memory for a path");
    free(path);
    return usable;
}

void pack_cache_open(struct pack_cache *cache, const struct pack_cache_options *options,
                     const char *model_dir, bool exact, struct weights_options *packing) {
    *cache = (struct pack_cache){.percent = -1, .began = clock_seconds()};
    if (isatty(STDERR_FILENO)) {
        packing->progress = show_progress;
        packing->context = cache;
    }
    char *directory = !options->on || model_dir == NULL ? NULL : directory_of(options);
    if (directory == NULL) {
        return;
    }
    if (directory[0] != '\0' && user_dir_make(directory)) {
        cache->path = file_path(directory, model_dir, exact);
    } else {
        log_say(PRIORITY_WARNING,
                "the cache directory \"%s\" cannot be made: %s; the weights are packed into "
                "memory (--cache-dir names another, --no-cache none)",
                directory, strerror(errno));
    }
    free(directory);
    packing->pack_path = cache->path;
    packing->pack_least = WORTH_A_FILE;
}

void pack_cache_report(const struct pack_cache *cache, const struct weights *weights) {
    if (weights_note(weights)[0] != '\0') {
        log_say(PRIORITY_NOTICE, "%s", weights_note(weights));
    }
    if (weights_get_origin(weights) == WEIGHTS_WRITTEN) {
        log_say(PRIORITY_NOTICE, "packed the weights into %s (%zu MB, %.1f s)", cache->path,
                weights_bytes(weights) / 1000000, clock_seconds() - cache->began);
    }
}

void pack_cache_close(struct pack_cache *cache) {
    free(cache->path);
    *cache = (struct pack_cache){0};
}
