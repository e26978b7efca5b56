/* Answers that take long to compute, on libuv's threads, so that the loop serves others meanwhile.
 *
 *     loop     http_work_begin: the exchange is deferred ···▶ respond ···▶ it is over
 *                  │                                            ▲              │
 *     pool         └──────────▶ compute ────────────────────────┘              └──▶ close
 *
 * What computes has its context to itself until it has ended; the exchange may end before. What has not
 * begun when its exchange ends never does. */
#ifndef QUERN_SERVER_HTTP_WORK_H
#define QUERN_SERVER_HTTP_WORK_H

#include "server/http.h"
#include "server/service.h"

struct http_work {
    void (*compute)(void *context); /* on a thread of the pool */
    /* On the loop; may leave the answer to another task, and is closed then. */
    void (*respond)(struct http_exchange *exchange, void *context);
    void (*close)(void *context); /* on any thread: much is freed in some time; always, last */
};

/* In a handler or a task: answers later. Takes over the context, and holds the model until it is closed. */
void http_work_begin(struct http_exchange *exchange, const struct service *service,
                     const struct http_work *work, void *context);

#endif
