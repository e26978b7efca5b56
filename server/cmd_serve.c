/* The life of a server:
 *
 *     settings ─▶ listen ─▶ load ─▶ serve ─┬─ SIGHUP ─▶ settings again, go on
 *                          (models.h)      │
 *                                          └─ SIGTERM ─▶ leave ─▶ drain
 *     drain ─┬─ all answered ─▶ close
 *            └─ drain timeout ─▶ cancel
 *
 * While models are loaded, GET /health and GET /ready are answered already; the manager hears READY=1
 * when they are there. Without the model of [model] there is no daemon. A second signal ends it at once. */
#include "server/access.h"
#include "server/commands.h"
#include "server/config.h"
#include "server/exit_status.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/models.h"
#include "server/options.h"
#include "server/pack_cache.h"
#include "server/request_counts.h"
#include "server/routes.h"
#include "server/serve_options.h"
#include "server/service.h"
#include "server/systemd.h"
#include "server/tls.h"
#include "server/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { CANCEL_GRACE_MS = 1000 }; /* for the last bytes of cancelled answers */

struct server {
    int argc;
    char **argv;
    struct config config;
    struct serve_options options;
    struct service service; /* what those of all models have in common */
    struct models *models;
    struct systemd systemd;
    struct watchdog watchdog;
    struct listeners listeners;
    struct access access;
    struct request_counts counts;
    struct tls tls;
    char activity[512]; /* for people: what is served where */
    uv_loop_t loop;
    uv_async_t wake;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_signal_t reload;
    uv_timer_t drain_timer;
    bool cancelled;
    uint64_t started_ns;
    bool ready;
    int status; /* of the process */
};

/* ---- Events of the loop ---- */

/* On the engine thread. */
static void wake_loop(void *context) {
    uv_async_send(context);
}

static void on_wake(uv_async_t *handle) {
    struct server *server = handle->data;
    if (server->service.http != NULL) {
        http_server_advance(server->service.http);
    }
}

static void on_drained(void *context) {
    struct server *server = context;
    uv_stop(&server->loop);
}

/* The first time running requests are cancelled, the second time readers have had their chance. */
static void on_drain_timeout(uv_timer_t *handle) {
    struct server *server = handle->data;
    if (server->cancelled) {
        uv_stop(&server->loop);
        return;
    }
    server->cancelled = true;
    uv_timer_start(&server->drain_timer, on_drain_timeout, CANCEL_GRACE_MS, 0);
    http_server_cancel(server->service.http);
}

static void drain(struct server *server) {
    uv_timer_start(&server->drain_timer, on_drain_timeout,
                   (uint64_t)server->options.drain_timeout_s * 1000, 0);
    http_server_drain(server->service.http, on_drained, server);
    http_server_advance(server->service.http); /* those who wait for a model hear of it */
}

static void on_drain_delay(uv_timer_t *handle) {
    drain(handle->data);
}

/* A balancer that asks /ready has the drain delay to hear that requests should go elsewhere. */
static void on_signal(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    if (http_server_is_leaving(server->service.http)) {
        models_abandon_task(server->models);
        listeners_close(&server->listeners);
        _exit(128 + number);
    }
    log_say(PRIORITY_NOTICE, "%s: finishing what runs, for at most %zu s", strsignal(number),
            server->options.drain_delay_s + server->options.drain_timeout_s);
    systemd_notify(&server->systemd, "STOPPING=1");
    watchdog_set_activity(&server->watchdog, "finishing what runs");
    http_server_leave(server->service.http);
    if (server->options.drain_delay_s > 0) {
        uv_timer_start(&server->drain_timer, on_drain_delay,
                       (uint64_t)server->options.drain_delay_s * 1000, 0);
    } else {
        drain(server);
    }
}

/* ---- Reloading ---- */

static void tell_reloaded(const struct option *option, bool applied) {
    log_say(PRIORITY_NOTICE, "%s has changed%s", option->name,
            applied ? "" : ", and needs a restart to take effect");
}

/* What handlers look at while the daemon runs. */
static void apply_options(struct server *server) {
    log_configure(server->options.log_format, server->options.log_level);
}

/* Whoever reaches the daemon can have it work, and read what others may, too. */
static bool check_public(const struct server *server, const struct serve_options *options,
                         struct error *err) {
    for (size_t i = 0; i < server->listeners.count; i++) {
        const struct listener *listener = &server->listeners.items[i];
        if (!listener->loopback && options->access.api_keys == NULL && !options->allow_public) {
            return error_set(err, ERROR_INVALID,
                             "Other machines can connect to %s, and there are no API keys: set "
                             "api-keys to a file of them ('quern key NAME FILE' makes one), or "
                             "allow-public if that is meant",
                             listener->name);
        }
    }
    return true;
}

/* A configuration that is wrong changes nothing. */
static bool reload(struct server *server, struct error *err) {
    struct serve_options fresh;
    if (!serve_options_resolve(&fresh, &server->config, server->argc, server->argv, err) ||
        !check_public(server, &fresh, err) || !access_set(&server->access, &fresh.access, err)) {
        return false;
    }
    serve_options_reload(&server->options, &fresh, tell_reloaded);
    apply_options(server);
    models_configure(server->models);
    http_server_set_body_max(server->service.http, server->options.max_body);
    return true;
}

static void on_reload(uv_signal_t *handle, int number) {
    (void)number;
    struct server *server = handle->data;
    struct error err = {0};
    if (server->ready) {
        systemd_notify_reloading(&server->systemd);
    }
    if (reload(server, &err)) {
        log_say(PRIORITY_NOTICE, "the configuration has been read again");
    } else {
        log_say(PRIORITY_ERROR, "the configuration stays as it was: %s", err.text);
    }
    if (server->ready) {
        systemd_notify(&server->systemd, "READY=1");
    }
}

/* ---- Opening ---- */

static bool open_loop(struct server *server, struct error *err) {
    int result = uv_loop_init(&server->loop);
    if (result != 0) {
        return error_set(err, ERROR_IO, "The event loop cannot start: %s", uv_strerror(result));
    }
    if ((result = uv_async_init(&server->loop, &server->wake, on_wake)) == 0 &&
        (result = uv_signal_init(&server->loop, &server->terminate)) == 0 &&
        (result = uv_signal_init(&server->loop, &server->interrupt)) == 0 &&
        (result = uv_signal_init(&server->loop, &server->reload)) == 0 &&
        (result = uv_timer_init(&server->loop, &server->drain_timer)) == 0) {
        server->wake.data = server->terminate.data = server->interrupt.data = server;
        server->reload.data = server->drain_timer.data = server;
        watchdog_init(&server->watchdog, &server->loop, &server->systemd);
        return true;
    }
    return error_set(err, ERROR_IO, "The event loop cannot start: %s", uv_strerror(result));
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void close_loop(struct server *server) {
    uv_walk(&server->loop, close_handle, NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
}

static bool open_systemd(struct server *server, struct error *err) {
    return systemd_open(&server->systemd, err);
}

static bool open_listeners(struct server *server, struct error *err) {
    if (server->systemd.socket_count > 0) {
        return listeners_inherit(&server->listeners, SYSTEMD_FIRST_SOCKET,
                                 server->systemd.socket_count, err);
    }
    return listeners_open(&server->listeners, server->options.listen,
                          (unsigned)server->options.socket_mode, err);
}

static bool open_access(struct server *server, struct error *err) {
    server->service.access = &server->access;
    server->service.counts = &server->counts;
    return check_public(server, &server->options, err) &&
           access_set(&server->access, &server->options.access, err) &&
           tls_open(&server->tls, &server->options.tls, err);
}

static bool open_cache(struct server *server, struct error *err) {
    return pack_cache_check(&server->options.cache, err);
}

static bool open_models(struct server *server, struct error *err) {
    server->service.options = &server->options;
    server->service.started = time(NULL);
    return models_open(&server->models, &server->loop, &server->service, wake_loop, &server->wake,
                       err);
}

/* Takes the listeners' sockets. */
static bool open_http(struct server *server, struct error *err) {
    const struct serve_options *options = &server->options;
    int sockets[LISTENERS_MAX];
    struct http_options http = {
        .sockets = sockets,
        .socket_count = listeners_give(&server->listeners, sockets),
        .body_max = options->max_body,
        .connections_max = (unsigned)options->max_connections,
        .client_connections = (unsigned)options->client_connections,
        .idle_timeout_s = (unsigned)options->idle_timeout_s,
        .silence_max_s = (unsigned)options->stream_ping_s,
        .tls_certificate = server->tls.certificate,
        .tls_key = server->tls.key,
        .admit = routes_admit,
        .handle = routes_handle,
        .finish = routes_finish,
        .context = server->models,
    };
    return http_server_open(&server->service.http, &server->loop, &http, err);
}

/* ---- Running ---- */

static const struct {
    bool (*open)(struct server *server, struct error *err);
    int status; /* of the process, if it does not open */
} parts[] = {
    {open_systemd, EXIT_NOTIFY}, {open_listeners, EXIT_LISTEN}, {open_access, EXIT_CONFIG},
    {open_cache, EXIT_CACHE},    {open_models, EXIT_FAILURE},   {open_http, EXIT_FAILURE},
};

static int open_parts(struct server *server) {
    struct error err = {0};
    apply_options(server);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].open(server, &err)) {
            log_say(PRIORITY_ERROR, "%s", err.text);
            systemd_notify(&server->systemd, "STATUS=%s", err.text);
            return parts[i].status;
        }
    }
    return EXIT_SUCCESS;
}

static void describe_activity(struct server *server, const char *verb) {
    size_t room = sizeof server->activity;
    int length = snprintf(server->activity, room, "%s", verb);
    const struct service *service = NULL;
    while ((service = models_next(server->models, service)) != NULL && (size_t)length < room / 2) {
        bool first = service == models_default(server->models);
        length += snprintf(server->activity + length, room - (size_t)length, "%s %.100s",
                           first ? "" : ",", service->model_id);
    }
    length += snprintf(server->activity + length, room - (size_t)length, " on");
    for (size_t i = 0; i < server->listeners.count && (size_t)length < room; i++) {
        const char *name = server->listeners.items[i].name;
        bool file = strncmp(name, "unix:", 5) == 0;
        const char *scheme = server->tls.certificate != NULL ? "https://" : "http://";
        length += snprintf(server->activity + length, room - (size_t)length, "%s %s%s",
                           i > 0 ? " and" : "", file ? "" : scheme, name);
    }
}

static void say_ready(struct server *server) {
    describe_activity(server, "serving");
    log_say(PRIORITY_NOTICE, "%s (%.0f ms)", server->activity,
            (double)(uv_hrtime() - server->started_ns) / 1e6);
    server->ready = true;
    systemd_notify(&server->systemd, "READY=1");
    watchdog_set_activity(&server->watchdog, server->activity);
}

static void on_settled(void *context, const struct models_failure *failure) {
    struct server *server = context;
    if (failure != NULL) {
        systemd_notify(&server->systemd, "STATUS=%s", failure->text);
        server->status = failure->opened ? EXIT_FAILURE : EXIT_MODEL;
        uv_stop(&server->loop);
        return;
    }
    if (!http_server_is_leaving(server->service.http)) {
        say_ready(server);
    }
    http_server_advance(server->service.http);
}

/* A model that is being loaded when all else has ended is not waited for, which would take minutes: files
 * that are being written are not there before they are whole. */
static void serve(struct server *server) {
    uv_signal_start(&server->terminate, on_signal, SIGTERM);
    uv_signal_start(&server->interrupt, on_signal, SIGINT);
    describe_activity(server, "loading");
    watchdog_start(&server->watchdog, server->models, server->activity);
    models_begin(server->models, on_settled, server);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    watchdog_stop(&server->watchdog);
    if (models_abandon_task(server->models)) {
        listeners_close(&server->listeners);
        _exit(server->status);
    }
}

/* Nothing asks for anything any more. A further signal ends the process, as if there was no handler, but
 * for that to reload, which comes too late to change anything. */
static void stop_events(struct server *server) {
    uv_signal_stop(&server->terminate);
    uv_signal_stop(&server->interrupt);
    uv_signal_stop(&server->reload);
    signal(SIGHUP, SIG_IGN);
    uv_timer_stop(&server->drain_timer);
}

/* In the reverse order of opening; sessions end with the exchanges, before their engine. So does what the
 * loop's threads still compute for clients that left: it reads the model. */
static void close_all(struct server *server) {
    stop_events(server);
    if (server->service.http != NULL) {
        http_server_close(server->service.http);
        server->service.http = NULL;
    }
    if (server->models != NULL) {
        models_stop(server->models);
    }
    close_loop(server);
    if (server->models != NULL) {
        models_close(server->models);
    }
    access_deinit(&server->access);
    tls_close(&server->tls);
    listeners_close(&server->listeners);
    systemd_close(&server->systemd);
}

int cmd_serve(int argc, char **argv) {
    struct server server = {
        .argc = argc, .argv = argv, .systemd.notify_socket = -1, .started_ns = uv_hrtime()};
    struct error err = {0};
    if (!serve_options_read(&server.options, &server.config, argc, argv, &server.status)) {
        return server.status;
    }
    signal(SIGPIPE, SIG_IGN);
    /* Two, so that a long text (http_work.h) delays neither the short ones nor, much, the engine. */
    setenv("UV_THREADPOOL_SIZE", "2", 0);
    if (!open_loop(&server, &err)) {
        server.status = options_report("serve", &err);
    } else {
        uv_signal_start(&server.reload, on_reload, SIGHUP); /* waits until the loop runs */
        server.status = open_parts(&server);
        if (server.status == EXIT_SUCCESS) {
            serve(&server);
        }
        close_all(&server);
    }
    config_close(&server.config);
    return server.status;
}
