/* What the handlers serve from: one model of the daemon, and its engine. A handler of requests to a model
 * gets one that is ready, others get the default one, which may not be loaded: what belongs to the model
 * itself is NULL then. Constant as long as somebody holds the model (models.h), on any thread, but for
 * what the loop alone looks at. */
#ifndef QUERN_SERVER_SERVICE_H
#define QUERN_SERVER_SERVICE_H

#include "engine/engine.h"
#include "importer/model.h"
#include "server/chat_format.h"
#include "server/chat_traits.h"
#include "server/grammar_cache.h"
#include "server/model_options.h"
#include "server/vocabulary_index.h"

#include <stddef.h>
#include <stdint.h>

struct access;
struct http_server;
struct model_entry;
struct models;
struct request_counts;
struct serve_options;

struct service {
    struct models *models;     /* all of the daemon */
    struct model_entry *entry; /* this one among them */
    const struct model *model;
    const char *model_id;           /* or the adapter's name */
    size_t adapter;                 /* of the engine, for requests to this service; 0: none */
    struct chat_traits chat_traits; /* if the model has a chat template */
    struct chat_format chat_format;
    struct engine *engine;
    struct vocabulary_index *index;
    struct grammar_cache *grammars;
    struct http_server *http;
    size_t choices_max; /* sessions that one request may start */
    int64_t started;    /* seconds since 1970 */

    /* On the loop; a reload may change it. */
    const struct serve_options *options;
    const struct model_options *model_options;
    const struct access *access;
    struct request_counts *counts;
    size_t draft_tokens; /* guessed ahead, where a request does not say */
};

#endif
