/* Tells the service manager, again and again, how the daemon is doing: one line of status where it has
 * changed, and that the daemon is alive. The loop is, or it would not say so; the engines are as long as they
 * finish steps or have nothing to do. When a step is stuck the manager hears that no more, and restarts
 * the daemon; the log says so half that time before. On the loop's thread. */
#ifndef QUERN_SERVER_WATCHDOG_H
#define QUERN_SERVER_WATCHDOG_H

#include "server/models.h"
#include "server/systemd.h"

#include <stdbool.h>
#include <uv.h>

struct watchdog {
    const struct systemd *systemd;
    struct models *models;
    const char *activity; /* "serving demo on http://127.0.0.1:8080" */
    uv_timer_t timer;
    uint64_t progressed_ms; /* when all engines did last, on the loop's clock */
    bool stuck;
    char status[512]; /* told last */
};

/* The timer belongs to the loop from then on, which closes it. */
void watchdog_init(struct watchdog *watchdog, uv_loop_t *loop, const struct systemd *systemd);

/* `activity` and the models must outlive the watchdog's timer. */
void watchdog_start(struct watchdog *watchdog, struct models *models, const char *activity);

/* Says what is done from now on. */
void watchdog_set_activity(struct watchdog *watchdog, const char *activity);

void watchdog_stop(struct watchdog *watchdog);

#endif
