/* What a service manager and a service say to each other: systemd's protocols, which others speak, too.
 *
 *     $NOTIFY_SOCKET                 READY=1, STATUS=…, WATCHDOG=1 … are sent there (sd_notify(3))
 *     $LISTEN_FDS, $LISTEN_PID       sockets that listen already, from descriptor 3 on (sd_listen_fds(3))
 *     $WATCHDOG_USEC, $WATCHDOG_PID  how often WATCHDOG=1 is expected (sd_watchdog_enabled(3))
 *
 * Without these variables nobody is told anything. Used by one thread. */
#ifndef QUERN_SERVER_SYSTEMD_H
#define QUERN_SERVER_SYSTEMD_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYSTEMD_FIRST_SOCKET = 3 };

struct systemd {
    int notify_socket;    /* -1: none */
    size_t socket_count;  /* descriptors from SYSTEMD_FIRST_SOCKET on */
    uint64_t watchdog_us; /* 0: none */
};

/* Reads the variables and removes them from the environment. Fails if there is a notify socket that
 * nobody reads. */
bool systemd_open(struct systemd *systemd, struct error *err);
void systemd_close(struct systemd *systemd);

/* Lines "NAME=value" separated by '\n'. A manager that is gone or slow is not waited for. */
void systemd_notify(const struct systemd *systemd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* RELOADING=1 with the time that systemd wants to know; READY=1 ends it. */
void systemd_notify_reloading(const struct systemd *systemd);

#endif
