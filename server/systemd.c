#include "server/systemd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 1024, SOCKETS_MAX = 1024 };

/* The variable's number, 0 if there is none or it is no number up to the greatest. */
static uint64_t read_number(const char *name, uint64_t greatest) {
    const char *text = getenv(name);
    char *end = NULL;
    errno = 0;
    unsigned long long number =
        text != NULL && text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    return end != NULL && *end == '\0' && errno == 0 && number <= greatest ? number : 0;
}

/* Variables for another process, inherited, are not for us. */
static bool is_for_us(const char *pid_name) {
    return getenv(pid_name) == NULL || read_number(pid_name, INT32_MAX) == (uint64_t)getpid();
}

static bool connect_notify(struct systemd *systemd, const char *path, struct error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path) {
        return error_set(err, ERROR_INVALID,
                         "NOTIFY_SOCKET is \"%.120s\", which is neither /PATH nor @NAME; unset it "
                         "where no service manager listens",
                         path);
    }
    memcpy(address.sun_path, path, length + 1);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    systemd->notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (systemd->notify_socket < 0 ||
        connect(systemd->notify_socket, (const struct sockaddr *)&address, size) != 0) {
        return error_set(err, ERROR_IO,
                         "NOTIFY_SOCKET is \"%s\", but nobody listens there (%s); unset it where "
                         "there is no service manager",
                         path, strerror(errno));
    }
    return true;
}

bool systemd_open(struct systemd *systemd, struct error *err) {
    *systemd = (struct systemd){.notify_socket = -1};
    const char *notify = getenv("NOTIFY_SOCKET");
    bool opened = notify == NULL || notify[0] == '\0' || connect_notify(systemd, notify, err);
    if (getenv("LISTEN_PID") != NULL && is_for_us("LISTEN_PID")) {
        systemd->socket_count = (size_t)read_number("LISTEN_FDS", SOCKETS_MAX);
    }
    if (is_for_us("WATCHDOG_PID")) {
        systemd->watchdog_us = read_number("WATCHDOG_USEC", UINT64_MAX);
    }
    static const char *const names[] = {"NOTIFY_SOCKET",  "LISTEN_PID",   "LISTEN_FDS",
                                        "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    return opened;
}

void systemd_close(struct systemd *systemd) {
    if (systemd->notify_socket >= 0) {
        close(systemd->notify_socket);
        systemd->notify_socket = -1;
    }
}

void systemd_notify(const struct systemd *systemd, const char *format, ...) {
    if (systemd->notify_socket < 0) {
        return;
    }
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    ssize_t sent = send(systemd->notify_socket, message, strlen(message), MSG_NOSIGNAL);
    (void)sent;
}

void systemd_notify_reloading(const struct systemd *systemd) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    systemd_notify(systemd, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)now.tv_sec * 1000000 +
                       (unsigned long long)now.tv_nsec / 1000);
}
