#include "server/listen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
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

/* A client cannot connect before the file has its mode, because nobody listens until then. */
static bool bind_unix(int fd, const struct sockaddr_un *address, unsigned mode) {
    return bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
           chmod(address->sun_path, mode) == 0 && listen(fd, BACKLOG) == 0;
}

/* Says what can be done about it, too. */
static bool refuse(const char *kind, const char *address, int reason, struct error *err) {
    static const struct {
        int reason;
        const char *advice;
    } advices[] = {
        {EADDRINUSE, "; end the process that listens there, or set listen to another address"},
        {EADDRNOTAVAIL, "; set listen to an address of this machine"},
        {EACCES, "; set listen to a port from 1024 on, or to a folder that this user may write to"},
        {ENOENT, "; make its folder first"},
    };
    const char *advice = "";
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        advice = advices[i].reason == reason ? advices[i].advice : advice;
    }
    return error_set(err, ERROR_IO, "Cannot listen on %s%.100s: %s%s", kind, address,
                     strerror(reason), advice);
}

static bool check_path(const char *path, struct error *err) {
    struct sockaddr_un address;
    return (path[0] != '\0' && strlen(path) < sizeof address.sun_path) ||
           error_set(err, ERROR_INVALID, "The socket path \"%s\" must have 1 to %zu bytes", path,
                     sizeof address.sun_path - 1);
}

/* Of a path that has been checked. */
static bool listen_unix(struct listener *listener, const char *path, unsigned mode,
                        struct error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_stale(&address)) {
        unlink(path);
    }
    listener->unix_path = strdup(path);
    listener->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->unix_path == NULL || listener->socket < 0 ||
        !bind_unix(listener->socket, &address, mode)) {
        int reason = errno;
        free(listener->unix_path);
        listener->unix_path = NULL; /* it may be somebody else's */
        return refuse("unix:", path, reason, err);
    }
    listener->loopback = true;
    snprintf(listener->name, sizeof listener->name, "unix:%s", path);
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

static bool is_loopback(const struct sockaddr_storage *address) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    switch (address->ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
    default:
        return false;
    }
}

/* Fills in what the kernel says of the socket. */
static void describe(struct listener *listener) {
    struct sockaddr_storage address = {0};
    const struct sockaddr_un *file = (const struct sockaddr_un *)&address;
    socklen_t length = sizeof address;
    char host[64];
    char port[16];
    snprintf(listener->name, sizeof listener->name, "?");
    if (getsockname(listener->socket, (struct sockaddr *)&address, &length) != 0) {
        return;
    }
    listener->loopback = is_loopback(&address);
    if (address.ss_family == AF_UNIX) {
        snprintf(listener->name, sizeof listener->name, "unix:%s", file->sun_path);
    } else if (getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port,
                           sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        bool six = address.ss_family == AF_INET6;
        snprintf(listener->name, sizeof listener->name, "%s%s%s:%s", six ? "[" : "", host,
                 six ? "]" : "", port);
    }
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
        return refuse("", address, reason, err);
    }
    describe(listener);
    return true;
}

/* ---- Several ---- */

/* The path of a socket file, or NULL. */
static const char *unix_path(const char *address) {
    size_t prefix = sizeof unix_prefix - 1;
    return strncmp(address, unix_prefix, prefix) == 0 ? address + prefix : NULL;
}

static bool listen_one(struct listener *listener, const char *address, unsigned unix_mode,
                       struct error *err) {
    *listener = (struct listener){.socket = -1};
    const char *path = unix_path(address);
    return path != NULL ? listen_unix(listener, path, unix_mode, err)
                        : listen_tcp(listener, address, err);
}

static const char blanks[] = " \t";

static bool check_address(const char *address, struct error *err) {
    const char *path = unix_path(address);
    const char *port;
    char host[256];
    return path != NULL ? check_path(path, err) : split_address(address, host, &port, err);
}

static bool check_all(char *addresses, struct error *err) {
    size_t count = 0;
    char *rest = NULL;
    for (char *address = strtok_r(addresses, blanks, &rest); address != NULL;
         address = strtok_r(NULL, blanks, &rest)) {
        if (!check_address(address, err)) {
            return false;
        }
        count++;
    }
    return (count > 0 && count <= LISTENERS_MAX) ||
           error_set(err, ERROR_INVALID,
                     "There are %zu addresses to listen on, but must be 1 to %d", count,
                     LISTENERS_MAX);
}

bool listeners_check(const char *addresses, struct error *err) {
    char *words = strdup(addresses);
    bool right = words != NULL ? check_all(words, err)
                               : error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the addresses");
    free(words);
    return right;
}

/* Of addresses that have been checked. */
static bool listen_all(struct listeners *listeners, char *addresses, unsigned unix_mode,
                       struct error *err) {
    char *rest = NULL;
    for (char *address = strtok_r(addresses, blanks, &rest); address != NULL;
         address = strtok_r(NULL, blanks, &rest)) {
        if (!listen_one(&listeners->items[listeners->count++], address, unix_mode, err)) {
            return false;
        }
    }
    return true;
}

bool listeners_open(struct listeners *listeners, const char *addresses, unsigned unix_mode,
                    struct error *err) {
    *listeners = (struct listeners){0};
    if (!listeners_check(addresses, err)) {
        return false;
    }
    char *words = strdup(addresses);
    bool opened = words != NULL
                      ? listen_all(listeners, words, unix_mode, err)
                      : error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the addresses");
    free(words);
    if (!opened) {
        listeners_close(listeners);
    }
    return opened;
}

static bool listens(int fd) {
    int type = 0, accepting = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length) == 0 && accepting != 0;
}

bool listeners_inherit(struct listeners *listeners, int first, size_t count, struct error *err) {
    *listeners = (struct listeners){0};
    if (count > LISTENERS_MAX) {
        return error_set(err, ERROR_INVALID, "%zu sockets were passed; at most %d can be served",
                         count, LISTENERS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        int fd = first + (int)i;
        if (!listens(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
            return error_set(err, ERROR_INVALID,
                             "Descriptor %d was passed as a socket that listens, but is none", fd);
        }
        listeners->items[listeners->count] = (struct listener){.socket = fd};
        describe(&listeners->items[listeners->count++]);
    }
    return true;
}

size_t listeners_give(struct listeners *listeners, int sockets[LISTENERS_MAX]) {
    for (size_t i = 0; i < listeners->count; i++) {
        sockets[i] = listeners->items[i].socket;
        listeners->items[i].socket = -1;
    }
    return listeners->count;
}

void listeners_close(struct listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *listener = &listeners->items[i];
        if (listener->socket >= 0) {
            close(listener->socket);
        }
        if (listener->unix_path != NULL) {
            unlink(listener->unix_path);
        }
        free(listener->unix_path);
    }
    listeners->count = 0;
}
