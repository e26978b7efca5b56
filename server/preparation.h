/* From a body to a request that can run: read, then made tokens and grammars of, beside the loop where
 * that takes long.
 *
 *     usual requests           loop: read ─▶ encode ─▶ start       all at once
 *     with a new grammar       loop: read ─▶ pool: encode ─▶ loop: start
 *     with a long body         pool: read ─▶ encode ─▶ loop: start
 *
 * A request has itself to itself until it is closed; of its service it reads what is constant, see
 * service.h. */
#ifndef QUERN_SERVER_PREPARATION_H
#define QUERN_SERVER_PREPARATION_H

#include "server/api_error.h"
#include "server/http.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>

struct preparation {
    size_t size;  /* of a request, which is all zeros before it is read */
    size_t model; /* where it has the name of its model, const char *; 0: nowhere */
    /* On any thread. The body stays where it is until this returns, with a zero byte behind it. */
    bool (*read)(void *request, const struct service *service, const char *body, size_t length,
                 struct api_error *error);
    bool (*takes_long)(void *request); /* on the loop: does encoding? NULL: it never does */
    bool (*encode)(void *request, struct api_error *error); /* on any thread */
    /* On the loop: answers, now or later. Must not touch the request once it has deferred. */
    void (*start)(struct http_exchange *exchange, void *request);
    void (*close)(void *request); /* what it holds; on any thread; always, last */
};

/* In a handler: reads the exchange's body, and starts the request or answers with what is wrong. */
void preparation_begin(struct http_exchange *exchange, const struct service *service,
                       const struct preparation *preparation);

#endif
