/* Accepts connections on the loop, from one or several listening sockets, as long as fewer than so many
 * are open: the others wait in the kernel's queue, not in this process.
 *
 * All on the loop's thread. */
#ifndef QUERN_SERVER_ACCEPTOR_H
#define QUERN_SERVER_ACCEPTOR_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <uv.h>

struct acceptor;

struct acceptor_options {
    const int *sockets; /* bound, listening, not blocking; copied */
    size_t socket_count;
    size_t connections_max;
    /* Takes over an accepted socket. */
    void (*take)(void *context, int socket, const struct sockaddr *peer, socklen_t peer_length);
    void *context;
};

/* Takes over the sockets, also where it fails. */
bool acceptor_open(struct acceptor **out, uv_loop_t *loop, const struct acceptor_options *options,
                   struct error *err);

/* A socket that was taken is a connection now; and it is closed. */
void acceptor_claim(struct acceptor *acceptor);
void acceptor_release(struct acceptor *acceptor);

/* Closes the listening sockets: what is open stays open. */
void acceptor_stop(struct acceptor *acceptor);

/* Stops and frees, once the loop has run the handles' closing. */
void acceptor_close(struct acceptor *acceptor);

#endif
