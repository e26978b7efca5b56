/* Where the server listens: "127.0.0.1:8080", "[::1]:8080", "localhost:0", "unix:/run/quern.sock", or
 * several of these separated by blanks; or on sockets that whoever started the process has opened. */
#ifndef QUERN_SERVER_LISTEN_H
#define QUERN_SERVER_LISTEN_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { LISTENERS_MAX = 8 };

struct listener {
    int socket;
    bool loopback; /* only this machine reaches it */
    char name
        [160]; /* for people: "127.0.0.1:8080", with the port that was chosen, or "unix:/PATH" */
    char *unix_path; /* of a socket file that is ours to remove; otherwise NULL */
};

struct listeners {
    struct listener items[LISTENERS_MAX];
    size_t count;
};

/* Are these addresses? What they name is not looked up. */
bool listeners_check(const char *addresses, struct error *err);

/* Binds and listens. A socket file that nobody listens on any more is replaced; a new one has the
 * permissions of `unix_mode`. After a failure nothing is open. */
bool listeners_open(struct listeners *listeners, const char *addresses, unsigned unix_mode,
                    struct error *err);

/* Takes over sockets that listen already, descriptors from `first` on. */
bool listeners_inherit(struct listeners *listeners, int first, size_t count, struct error *err);

/* The sockets, for the server, which closes them. */
size_t listeners_give(struct listeners *listeners, int sockets[LISTENERS_MAX]);

/* Closes what has not been given, and removes the socket files. */
void listeners_close(struct listeners *listeners);

#endif
