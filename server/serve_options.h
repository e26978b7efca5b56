/* What `quern serve` was told on its command line. */
#ifndef QUERN_SERVER_SERVE_OPTIONS_H
#define QUERN_SERVER_SERVE_OPTIONS_H

#include "engine/engine.h"
#include "server/pack_cache.h"

#include <stdbool.h>
#include <stddef.h>

struct serve_options {
    const char *model_dir; /* NULL: the embedded demo model */
    const char *listen;
    const char *model_id; /* NULL: the model's own */
    size_t draft_tokens;
    size_t max_body; /* bytes */
    size_t max_connections;
    size_t idle_timeout_s;
    size_t drain_timeout_s;
    const char *kv_dtype;
    struct pack_cache_options cache;
    struct engine_options engine; /* complete but for wake */
};

/* False if there is nothing to serve: help was asked for and printed, or the command line is wrong,
 * which was said. *status is then the exit status. */
bool serve_options_read(struct serve_options *options, int argc, char **argv, int *status);

#endif
