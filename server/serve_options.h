/* What `quern serve` was told: its settings, from all the places where they may stand (config.h). */
#ifndef QUERN_SERVER_SERVE_OPTIONS_H
#define QUERN_SERVER_SERVE_OPTIONS_H

#include "server/access.h"
#include "server/config.h"
#include "server/model_options.h"
#include "server/options.h"
#include "server/pack_cache.h"
#include "server/tls.h"

#include <stdbool.h>
#include <stddef.h>

struct serve_options {
    const char *config_path;
    const char *listen; /* addresses separated by blanks */
    size_t socket_mode;
    size_t max_body; /* bytes */
    size_t max_connections;
    size_t client_connections;
    size_t idle_timeout_s;
    size_t stream_ping_s;
    size_t drain_delay_s;
    size_t drain_timeout_s;
    struct access_options access;
    bool allow_public;
    struct tls_options tls;
    const char *log_format;
    const char *log_level;
    struct pack_cache_options cache;
    size_t memory_mb;                          /* of all models; 0: what the process may have */
    struct model_options model;                /* [model] and [engine] */
    struct model_options sections[MODELS_MAX]; /* [model.NAME], as they are there */
    size_t section_count;
    struct model_options models[MODELS_MAX + 1]; /* what follows from that */
    size_t model_count;
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

#endif
