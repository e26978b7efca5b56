/* One GET of a daemon on this or another machine, and waiting for it: what a command asks, not what a server
 * may wait for. */
#ifndef QUERN_SERVER_HTTP_FETCH_H
#define QUERN_SERVER_HTTP_FETCH_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

/* Which daemon a command asks. */
struct http_fetch_options {
    const char *address; /* NULL: HTTP_FETCH_ADDRESS */
    const char *trusted;
};

#define HTTP_FETCH_ADDRESS "127.0.0.1:8080"

/* The operand for the struct http_fetch_options at this offset of a command's values, and its row of an
 * option table. */
#define HTTP_FETCH_OPERAND(at)                                                                     \
    {                                                                                              \
        .name = "ADDRESS", .offset = (at) + offsetof(struct http_fetch_options, address),          \
        .help = "where the daemon listens, HOST:PORT or unix:/PATH; otherwise " HTTP_FETCH_ADDRESS \
    }
#define HTTP_FETCH_OPTION(at)                                                                      \
    {                                                                                              \
        .name = "trust", .type = OPTION_TEXT,                                                      \
        .offset = (at) + offsetof(struct http_fetch_options, trusted), .argument = "FILE",         \
        .help = "speak TLS with a daemon whose certificate is in this PEM file, or signed by one " \
                "there"                                                                            \
    }

struct http_fetch {
    const char *address; /* "127.0.0.1:8080", "[::1]:8080" or "unix:/PATH" */
    const char *path;    /* "/metrics" */
    const char *key;     /* an API key; NULL: none */
    const char *trusted; /* a PEM file of certificates: by TLS (tls_client.h); NULL: without */
};

/* A GET of the path from that daemon, without a key. */
struct http_fetch http_fetch_from(const struct http_fetch_options *options, const char *path);

/* Appends the body of an answer with status 200, and a zero byte that its length does not count; anything
 * else is an error. Gives up after some seconds without a byte, and beyond 16 MB. */
bool http_fetch(const struct http_fetch *fetch, struct text_buffer *body, struct error *err);

#endif
