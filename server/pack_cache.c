#include "server/pack_cache.h"

#include "server/user_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WORTH_A_FILE = 32 << 20, /* smaller models pack in hundredths of a second */
    BAR_COLUMNS = 30,
};

#define WORTH_A_BAR_S 0.3 /* seconds of packing: what is over in a moment needs no bar */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

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
    if (percent == cache->percent || now() - cache->began < WORTH_A_BAR_S) {
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

void pack_cache_open(struct pack_cache *cache, const struct pack_cache_options *options,
                     const char *model_dir, bool exact, struct weights_options *packing) {
    *cache = (struct pack_cache){.percent = -1, .began = now()};
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
        fprintf(stderr,
                "quern: the cache directory \"%s\" cannot be made: %s; the weights are packed into "
                "memory (--cache-dir names another, --no-cache none)\n",
                directory, strerror(errno));
    }
    free(directory);
    packing->pack_path = cache->path;
    packing->pack_least = WORTH_A_FILE;
}

void pack_cache_report(const struct pack_cache *cache, const struct weights *weights) {
    if (weights_note(weights)[0] != '\0') {
        fprintf(stderr, "quern: %s\n", weights_note(weights));
    }
    if (weights_get_origin(weights) == WEIGHTS_WRITTEN) {
        fprintf(stderr, "quern: packed the weights into %s (%zu MB, %.1f s)\n", cache->path,
                weights_bytes(weights) / 1000000, now() - cache->began);
    }
}

void pack_cache_close(struct pack_cache *cache) {
    free(cache->path);
    *cache = (struct pack_cache){0};
}
