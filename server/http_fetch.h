/* One GET of a daemon on this or another machine, and waiting for it: what a command asks, not what a server
 * may wait for. */
#ifndef QUERN_SERVER_HTTP_FETCH_H
#define QUERN_SERVER_HTTP_FETCH_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>

struct http_fetch {
    const char *address; /* "127.0.0.1:8080", "[::1]:8080" or "unix:/PATH" */
    const char *path;    /* "/metrics" */
    const char *key;     /* an API key; NULL: none */
    const char *trusted; /* a PEM file of certificates: by TLS (tls_client.h); NULL: without */
};

/* Appends the body of an answer with status 200, and a zero byte that its length does not count; anything
 * else is an error. Gives up after some seconds without a byte, and beyond 16 MB. */
bool http_fetch(const struct http_fetch *fetch, struct text_buffer *body, struct error *err);

#endif
