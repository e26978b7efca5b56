/* Where the server listens: "127.0.0.1:8080", "[::1]:8080", "localhost:0" or "unix:/run/quern.sock".
 */
#ifndef QUERN_SERVER_LISTEN_H
#define QUERN_SERVER_LISTEN_H

#include "engine/error.h"

#include <stdbool.h>

struct listener {
    int socket;
    char url[160];         /* for people: "http://127.0.0.1:8080", with the port that was chosen */
    const char *unix_path; /* borrowed from the address; NULL for TCP */
};

/* Binds and listens. A socket file that nobody listens on any more is replaced. */
bool listener_open(struct listener *listener, const char *address, struct error *err);

/* Removes the socket file; the socket belongs to the server. */
void listener_remove_file(const struct listener *listener);

#endif
