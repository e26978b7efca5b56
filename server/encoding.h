/* Making tokens and grammars of what a request says, before it runs: beside the loop where that takes long.
 *
 *     read ─▶ encode ─▶ start          all at once, for usual requests
 *       └─▶ pool: encode ─▶ start      for long ones: the loop serves others meanwhile
 *
 * A request has itself to itself until it is closed. */
#ifndef QUERN_SERVER_ENCODING_H
#define QUERN_SERVER_ENCODING_H

#include "server/api_error.h"
#include "server/http.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>

struct encoding {
    bool (*encode)(void *request, struct api_error *error); /* on any thread */
    /* On the loop: answers, now or later. Must not touch the request once it has deferred. */
    void (*start)(struct http_exchange *exchange, void *request);
    void (*close)(void *request); /* on the loop; always, last */
};

/* Does it take long to make tokens of a body of so many bytes? */
bool encoding_takes_long(size_t length);

/* In a handler. Takes over the request. */
void encoding_begin(struct http_exchange *exchange, const struct service *service,
                    const struct encoding *encoding, void *request, bool takes_long);

#endif
