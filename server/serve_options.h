/* What `quern serve` was told: its settings, from all the places where they may stand (config.h). */
#ifndef QUERN_SERVER_SERVE_OPTIONS_H
#define QUERN_SERVER_SERVE_OPTIONS_H

#include "engine/engine.h"
#include "server/access.h"
#include "server/config.h"
#include "server/options.h"
#include "server/pack_cache.h"
#include "server/tls.h"

#include <stdbool.h>
#include <stddef.h>

struct serve_options {
    const char *config_path;
    const char *model_dir; /* NULL: the embedded demo model */
    const char *listen;    /* addresses separated by blanks */
    size_t socket_mode;
    const char *model_id; /* NULL: the model's own */
    bool prefix_cache;
    size_t draft_tokens;
    size_t max_body; /* bytes */
    size_t max_connections;
    size_t idle_timeout_s;
    size_t stream_ping_s;
    size_t drain_timeout_s;
    const char *kv_dtype;
    struct access_options access;
    bool allow_public;
    struct tls_options tls;
    const char *log_format;
    const char *log_level;
    struct pack_cache_options cache;
    struct engine_options engine; /* complete but for wake */
};

/* All settings. The table of which help, man page, quern.conf and docs are made. */
extern const struct command_line serve_command_line;

/* Opens the configuration that the command line or the environment names, and reads all of it. False
 * if there is nothing to serve: help was asked for and printed, or something is wrong, which was
 * said. *status is then the exit status. */
bool serve_options_read(struct serve_options *options, struct config *config, int argc, char **argv,
                        int *status);

/* Reads an open configuration, and the command line behind it. */
bool serve_options_resolve(struct serve_options *options, struct config *config, int argc,
                           char **argv, struct error *err);

/* Takes over from `fresh` what may change while the daemon runs, and calls `tell` for every setting
 * that differs: applied, or not until the next start. */
void serve_options_reload(struct serve_options *options, const struct serve_options *fresh,
                          void (*tell)(const struct option *option, bool applied));

/* The type of keys and values, as the command line names it. */
const char *serve_options_kv_name(const struct serve_options *options);

#endif
