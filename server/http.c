#include "server/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Driving MHD ----
 *
 * MHD wants another turn at once while it has something left to do; everything else on the loop has
 * its turn in between. Where a client sends a line that has no end, it wants turns for ever, and does
 * nothing with them: it gets one now and then, until the connection is found and ended. */

enum {
    FRUITLESS_MAX = 64, /* no request takes so many turns until it is heard of */
    PAUSE_MS = 10,
};

static void on_readable(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    struct http_server *server = handle->data;
    server->fruitless = 0;
    http_server_run(server);
}

static void on_timeout(uv_timer_t *handle) {
    struct http_server *server = handle->data;
    if (server->fruitless >= FRUITLESS_MAX) {
        http_drop_stuck(server);
    }
    http_server_run(server);
}

static void on_again(uv_idle_t *handle) {
    struct http_server *server = handle->data;
    server->fruitless++;
    http_server_run(server);
}

static void schedule(struct http_server *server) {
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    bool waits = MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES;
    bool at_once = waits && wait_ms == 0 && server->fruitless < FRUITLESS_MAX;
    if (at_once) {
        uv_idle_start(&server->again, on_again);
    } else {
        uv_idle_stop(&server->again);
    }
    if (waits && !at_once) {
        uv_timer_start(&server->timeout, on_timeout, wait_ms > PAUSE_MS ? wait_ms : PAUSE_MS, 0);
    } else {
        uv_timer_stop(&server->timeout);
    }
}

void http_server_run(struct http_server *server) {
    MHD_run(server->daemon);
    schedule(server);
    if (server->draining && server->exchanges == NULL && server->drained != NULL) {
        void (*drained)(void *) = server->drained;
        server->drained = NULL;
        drained(server->drained_context);
    }
}

/* ---- Streams that say nothing ---- */

/* Twice as often as a stream may be silent: one that was silent for half of the time gets its filler,
 * unless the client has yet to read what is there. */
static void on_silence(uv_timer_t *handle) {
    struct http_server *server = handle->data;
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        if (exchange->answer != ANSWER_STREAM || exchange->filler == NULL) {
            continue;
        }
        if (exchange->silent && http_stream_backlog(exchange) == 0) {
            http_stream_write(exchange, exchange->filler, strlen(exchange->filler));
            http_wake_if_ready(exchange);
        }
        exchange->silent = true;
    }
    http_server_run(server);
}

/* ---- The server ---- */

static void take_connection(void *context, int socket, const struct sockaddr *peer,
                            socklen_t peer_length) {
    struct http_server *server = context;
    MHD_add_connection(server->daemon, socket, peer, peer_length); /* closes it if it must */
    http_server_run(server);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code) {
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        http_connection_open(server, connection, slot);
        acceptor_claim(server->acceptor);
        return;
    }
    http_connection_close(slot);
    if (server->acceptor != NULL) { /* NULL: the server closes */
        acceptor_release(server->acceptor);
    }
}

/* A zero byte would end the text: what has one stays as it was sent, and names nothing. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text) {
    (void)context, (void)connection;
    return strstr(text, "%00") == NULL ? MHD_http_unescape(text) : strlen(text);
}

/* MHD's own log stays off: it prints what clients send as they sent it. */
static bool start_daemon(struct http_server *server, struct error *err) {
    const struct http_options *options = &server->options;
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)options->tls_certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)options->tls_key},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem *further = options->tls_certificate != NULL ? tls : tls + 2;
    unsigned flags = options->tls_certificate != NULL ? MHD_USE_TLS : MHD_NO_FLAG;
    server->daemon = MHD_start_daemon(
        flags | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        http_on_access, server, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_s,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->client_connections,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, server, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_ARRAY, further, MHD_OPTION_END);
    return server->daemon != NULL ||
           error_set(err, ERROR_IO, "The HTTP server cannot start; does epoll work here?");
}

static bool watch_daemon(struct http_server *server, struct error *err) {
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int result =
        info == NULL ? UV_ENOSYS : uv_poll_init(server->loop, &server->readable, info->epoll_fd);
    if (result != 0) {
        return error_set(err, ERROR_IO, "The loop cannot watch the HTTP server: %s",
                         uv_strerror(result));
    }
    uv_timer_init(server->loop, &server->timeout);
    uv_timer_init(server->loop, &server->silence);
    uv_idle_init(server->loop, &server->again);
    server->open_handles = 4;
    server->readable.data = server->timeout.data = server->silence.data = server;
    server->again.data = server;
    if (server->options.silence_max_s > 0) {
        uint64_t half_ms = (uint64_t)server->options.silence_max_s * 500;
        uv_timer_start(&server->silence, on_silence, half_ms, half_ms);
    }
    uv_poll_start(&server->readable, UV_READABLE, on_readable);
    return true;
}

static void close_sockets(const struct http_options *options) {
    for (size_t i = 0; i < options->socket_count; i++) {
        close(options->sockets[i]);
    }
}

bool http_server_open(struct http_server **out, uv_loop_t *loop, const struct http_options *options,
                      struct error *err) {
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        close_sockets(options);
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the HTTP server");
    }
    server->options = *options;
    server->loop = loop;
    if (!start_daemon(server, err) || !watch_daemon(server, err)) {
        close_sockets(options);
        if (server->daemon != NULL) {
            MHD_stop_daemon(server->daemon);
        }
        free(server);
        return false;
    }
    struct acceptor_options acceptor = {
        .sockets = options->sockets,
        .socket_count = options->socket_count,
        .connections_max = options->connections_max,
        .take = take_connection,
        .context = server,
    };
    if (!acceptor_open(&server->acceptor, loop, &acceptor, err)) {
        http_server_close(server);
        return false;
    }
    *out = server;
    return true;
}

void http_server_set_body_max(struct http_server *server, size_t body_max) {
    server->options.body_max = body_max;
}

void http_server_leave(struct http_server *server) {
    server->leaving = true;
}

bool http_server_is_leaving(const struct http_server *server) {
    return server->leaving;
}

void http_server_drain(struct http_server *server, void (*drained)(void *context), void *context) {
    if (server->draining) {
        return;
    }
    server->leaving = server->draining = true;
    server->drained = drained;
    server->drained_context = context;
    acceptor_stop(server->acceptor);
    http_server_run(server);
}

bool http_server_is_draining(const struct http_server *server) {
    return server->draining;
}

uv_loop_t *http_server_loop(const struct http_server *server) {
    return server->loop;
}

void http_server_advance(struct http_server *server) {
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        if (exchange->task != NULL &&
            (exchange->answer == ANSWER_NONE || exchange->answer == ANSWER_STREAM)) {
            exchange->task->advance(exchange, exchange->task_context);
            http_wake_if_ready(exchange);
        }
    }
    http_server_run(server);
}

void http_server_cancel(struct http_server *server) {
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        if (exchange->task != NULL &&
            (exchange->answer == ANSWER_NONE || exchange->answer == ANSWER_STREAM)) {
            exchange->task->cancel(exchange, exchange->task_context);
            http_wake_if_ready(exchange);
        }
    }
    http_server_run(server);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct http_server *server = handle->data;
    if (--server->open_handles == 0) {
        free(server);
    }
}

/* MHD cannot be stopped with suspended connections. */
void http_server_close(struct http_server *server) {
    server->drained = NULL;
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        exchange->answer = ANSWER_GONE;
        http_resume(exchange);
    }
    MHD_run(server->daemon);
    uv_poll_stop(&server->readable);
    if (server->acceptor != NULL) {
        acceptor_close(server->acceptor);
        server->acceptor = NULL;
    }
    MHD_stop_daemon(server->daemon);
    uv_close((uv_handle_t *)&server->readable, on_handle_closed);
    uv_close((uv_handle_t *)&server->timeout, on_handle_closed);
    uv_close((uv_handle_t *)&server->silence, on_handle_closed);
    uv_close((uv_handle_t *)&server->again, on_handle_closed);
}
