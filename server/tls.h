/* The certificate and the key of a server that speaks TLS. */
#ifndef QUERN_SERVER_TLS_H
#define QUERN_SERVER_TLS_H

#include "engine/error.h"

#include <stdbool.h>

struct tls_options {
    const char *certificate; /* a PEM file, the server's first; NULL: no TLS */
    const char *key;         /* NULL if and only if the certificate is */
};

struct tls {
    char *certificate; /* the files' text; NULL: no TLS */
    char *key;
};

/* Reads both, and checks that they belong together. */
bool tls_open(struct tls *tls, const struct tls_options *options, struct error *err);
void tls_close(struct tls *tls);

#endif
