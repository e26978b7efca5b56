/* What the handlers serve from: one open model and its engine. Constant while the server runs, but for
 * what pointers to structs that are not const lead to, and `access`. */
#ifndef QUERN_SERVER_SERVICE_H
#define QUERN_SERVER_SERVICE_H

#include "engine/engine.h"
#include "importer/model.h"
#include "server/chat_format.h"
#include "server/chat_traits.h"
#include "server/grammar_cache.h"
#include "server/vocabulary_index.h"

#include <stddef.h>
#include <stdint.h>

struct access;
struct http_server;
struct request_counts;
struct serve_options;

struct service {
    const struct model *model;
    const char *model_id;
    const struct serve_options *options;
    struct chat_traits chat_traits; /* if the model has a chat template */
    struct chat_format chat_format;
    struct engine *engine;
    struct vocabulary_index *index;
    struct grammar_cache *grammars;
    struct http_server *http;
    const struct access *access;
    struct request_counts *counts;
    size_t choices_max;  /* sessions that one request may start */
    size_t draft_tokens; /* guessed ahead, where a request does not say */
    size_t body_max;     /* bytes */
    int64_t started;     /* seconds since 1970 */
};

#endif
