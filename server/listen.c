#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char unix_prefix[] = "unix:";

enum { BACKLOG = 511 };

/* ---- Unix sockets ---- */

/* Is there a socket file at the address on which nobody listens? */
static bool is_stale(const struct sockaddr_un *address) {
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return false;
    }
    bool refused = connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    close(probe);
    return refused;
}

static bool listen_unix(struct listener *listener, const char *path, struct error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        return error_set(err, ERROR_INVALID, "The socket path \"%s\" must have 1 to %zu bytes",
                         path, sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_stale(&address)) {
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, BACKLOG) != 0) {
        error_set(err, ERROR_IO, "Cannot listen on unix:%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    listener->socket = fd;
    listener->unix_path = path;
    snprintf(listener->url, sizeof listener->url, "unix:%s", path);
    return true;
}

/* ---- TCP ---- */

/* getaddrinfo would take 65536 for 0. */
static bool is_port(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 5 && text[digits] == '\0' && strtol(text, NULL, 10) <= 65535;
}

/* "HOST:PORT" or "[HOST]:PORT" into its parts. */
static bool split_address(const char *address, char host[256], const char **port,
                          struct error *err) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || !is_port(colon + 1)) {
        return error_set(err, ERROR_INVALID,
                         "The address \"%s\" must be HOST:PORT, [IPV6]:PORT or unix:/PATH, with a "
                         "port from 0 to 65535",
                         address);
    }
    const char *start = address;
    const char *end = colon;
    if (*start == '[' && end > start + 1 && end[-1] == ']') {
        start++;
        end--;
    }
    size_t length = (size_t)(end - start);
    if (length == 0 || length >= 256) {
        return error_set(err, ERROR_INVALID, "The host in \"%s\" must have 1 to 255 bytes",
                         address);
    }
    memcpy(host, start, length);
    host[length] = '\0';
    *port = colon + 1;
    return true;
}

static int bind_one(const struct addrinfo *candidate) {
    int fd = socket(candidate->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, candidate->ai_addr, candidate->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static void print_url(struct listener *listener) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char host[64];
    char port[16];
    if (getsockname(listener->socket, (struct sockaddr *)&address, &length) != 0 ||
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(listener->url, sizeof listener->url, "http://?");
        return;
    }
    bool six = address.ss_family == AF_INET6;
    snprintf(listener->url, sizeof listener->url, "http://%s%s%s:%s", six ? "[" : "", host,
             six ? "]" : "", port);
}

static bool listen_tcp(struct listener *listener, const char *address, struct error *err) {
    char host[256];
    const char *port = NULL;
    if (!split_address(address, host, &port, err)) {
        return false;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *candidates = NULL;
    int result = getaddrinfo(host, port, &hints, &candidates);
    if (result != 0) {
        return error_set(err, ERROR_INVALID, "The address \"%s\" is no place to listen: %s",
                         address, gai_strerror(result));
    }
    listener->socket = -1;
    for (const struct addrinfo *at = candidates; at != NULL && listener->socket < 0;
         at = at->ai_next) {
        listener->socket = bind_one(at);
    }
    int reason = errno;
    freeaddrinfo(candidates);
    if (listener->socket < 0) {
        return error_set(err, ERROR_IO, "Cannot listen on %s: %s", address, strerror(reason));
    }
    listener->unix_path = NULL;
    print_url(listener);
    return true;
}

/* ---- Public ---- */

bool listener_open(struct listener *listener, const char *address, struct error *err) {
    size_t prefix = sizeof unix_prefix - 1;
    if (strncmp(address, unix_prefix, prefix) == 0) {
        return listen_unix(listener, address + prefix, err);
    }
    return listen_tcp(listener, address, err);
}

void listener_remove_file(const struct listener *listener) {
    if (listener->unix_path != NULL) {
        unlink(listener->unix_path);
    }
}
