#include "server/watchdog.h"

#include "server/log.h"

#include <stdio.h>
#include <string.h>

enum {
    STATUS_MS = 5000, /* between lines of status */
    FEEDS = 3,        /* in the time in which one is expected */
};

static void tell_status(struct watchdog *watchdog) {
    const struct models_load load = models_get_load(watchdog->models);
    char text[sizeof watchdog->status];
    snprintf(text, sizeof text, "%.300s; %zu running, %zu waiting%s", watchdog->activity,
             load.running, load.waiting, watchdog->stuck ? "; the engine makes no progress" : "");
    if (strcmp(text, watchdog->status) != 0) {
        memcpy(watchdog->status, text, sizeof text);
        systemd_notify(watchdog->systemd, "STATUS=%s", text);
    }
}

static void on_timer(uv_timer_t *timer) {
    struct watchdog *watchdog = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    bool alive = models_have_progressed(watchdog->models);
    if (alive) {
        watchdog->progressed_ms = now_ms;
        systemd_notify(watchdog->systemd, "WATCHDOG=1");
    }
    uint64_t patience_ms = watchdog->systemd->watchdog_us / 1000 / 2;
    bool stuck = patience_ms > 0 && now_ms - watchdog->progressed_ms > patience_ms;
    if (stuck != watchdog->stuck) {
        watchdog->stuck = stuck;
        log_say(PRIORITY_WARNING, "the engine makes %s", stuck ? "no progress" : "progress again");
    }
    tell_status(watchdog);
}

void watchdog_init(struct watchdog *watchdog, uv_loop_t *loop, const struct systemd *systemd) {
    *watchdog = (struct watchdog){.systemd = systemd};
    uv_timer_init(loop, &watchdog->timer);
    watchdog->timer.data = watchdog;
}

void watchdog_start(struct watchdog *watchdog, struct models *models, const char *activity) {
    watchdog->models = models;
    watchdog->activity = activity;
    watchdog->progressed_ms = uv_now(watchdog->timer.loop);
    tell_status(watchdog);
    uint64_t feed_ms = watchdog->systemd->watchdog_us / 1000 / FEEDS;
    uint64_t every_ms = feed_ms > 0 && feed_ms < STATUS_MS ? feed_ms : STATUS_MS;
    if (watchdog->systemd->notify_socket >= 0) {
        uv_timer_start(&watchdog->timer, on_timer, every_ms, every_ms);
    }
}

void watchdog_set_activity(struct watchdog *watchdog, const char *activity) {
    watchdog->activity = activity;
    tell_status(watchdog);
}

void watchdog_stop(struct watchdog *watchdog) {
    uv_timer_stop(&watchdog->timer);
}
