/* The client's side of TLS on a connected socket: whom it trusts is one file. Used by one thread, which waits. */
#ifndef QUERN_SERVER_TLS_CLIENT_H
#define QUERN_SERVER_TLS_CLIENT_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_client;

/* Shakes hands. `trusted` is a PEM file: the server's certificate is one of these, or signed by one. `host` is the
 * name or address that it must be for; NULL: any. Does not close the socket. */
bool tls_client_open(struct tls_client **out, int socket, const char *trusted, const char *host,
                     struct error *err);
void tls_client_close(struct tls_client *client);

/* Sends all of it. */
bool tls_client_send(struct tls_client *client, const char *bytes, size_t length);

/* How many bytes have come; 0: the end; -1: an error, errno says which. */
ssize_t tls_client_receive(struct tls_client *client, char *bytes, size_t size);

#endif
