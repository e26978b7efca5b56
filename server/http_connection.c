/* A connection is MHD's, but for three things: a deferred exchange's is suspended, and libuv watches
 * every one for its client hanging up, and for how long its next request takes to arrive. MHD's own
 * timeout begins anew with every byte, so that a client that sends byte by byte would keep its
 * connection for ever.
 *
 * MHD does not see each hang-up itself. It takes a suspended socket out of its epoll set; and its epoll
 * is edge-triggered, and a read that leaves room in the buffer makes it wait for the next edge: where
 * the end comes together with the last bytes, there is none. libuv's watch is level-triggered: once the
 * end has arrived, it says so in every turn of the loop,
 *
 *     deferred exchange:  its task is closed, and the connection with it
 *     otherwise:          MHD reads once per turn, by an edge that is made for it, until nothing is
 *                         left, or for as long as it reads at all: it does not while it writes
 *
 * and is stopped then. It goes on when the exchange is over, as there may be requests behind it. */
#include "server/http_internal.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct http_connection {
    uv_poll_t poll;
    uv_timer_t late;   /* runs until a request is there, headers and body */
    uint64_t since_ms; /* its headers, or its body, are waited for */
    unsigned open_handles;
    struct http_server *server;
    struct http_exchange *exchange; /* NULL between requests, and until its headers are there */
    int socket;
    int unread; /* bytes that MHD had not read after its last turn; -1: it had none */
};

static struct http_connection *connection_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

/* ---- Suspended connections ---- */

void http_resume(struct http_exchange *exchange) {
    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(exchange->connection);
    }
}

void http_suspend(struct http_exchange *exchange) {
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
}

void http_wake_if_ready(struct http_exchange *exchange) {
    bool has_bytes = exchange->out.length > exchange->out_taken;
    if ((exchange->answer == ANSWER_WHOLE && !exchange->queued) || has_bytes ||
        exchange->answer == ANSWER_ENDED || exchange->answer == ANSWER_GONE) {
        http_resume(exchange);
    }
}

/* ---- Noticing that the client is gone ---- */

/* A task waits for nobody. An answer that MHD has whole is written out all the same. */
static bool is_deferred(const struct http_exchange *exchange) {
    return exchange != NULL && exchange->task != NULL &&
           !(exchange->queued && exchange->answer == ANSWER_WHOLE);
}

static void give_up(struct http_exchange *exchange) {
    http_end_task(exchange, false);
    exchange->answer = ANSWER_GONE;
    http_resume(exchange);
}

/* MHD has just had its turn: what has it left? */
static int count_unread(const struct http_connection *connection) {
    int unread = 0;
    return ioctl(connection->socket, FIONREAD, &unread) == 0 ? unread : 0;
}

/* MHD wants a body, and yet reads no further: it has no room for what the client has sent. */
static bool is_stuck(const struct http_connection *connection, int unread) {
    const struct http_exchange *exchange = connection->exchange;
    return exchange != NULL && !exchange->queued && !exchange->suspended && unread > 0 &&
           unread == connection->unread;
}

/* Shutting down the half that is at its end takes nothing away, and is an edge to MHD's epoll. */
static void wake_reader(struct http_connection *connection) {
    int unread = count_unread(connection);
    if (unread == 0 || unread == connection->unread) {
        uv_poll_stop(&connection->poll);
    }
    shutdown(connection->socket, is_stuck(connection, unread) ? SHUT_RDWR : SHUT_RD);
    connection->unread = unread;
}

static void on_hangup(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    struct http_connection *connection = handle->data;
    struct http_server *server = connection->server;
    http_server_run(server);
    if (uv_is_closing((uv_handle_t *)handle)) {
        return;
    }
    if (is_deferred(connection->exchange)) {
        uv_poll_stop(handle);
        give_up(connection->exchange);
        http_server_run(server);
    } else {
        wake_reader(connection);
    }
}

static void watch(struct http_connection *connection) {
    if (!uv_is_active((uv_handle_t *)&connection->poll)) {
        connection->unread = -1;
        uv_poll_start(&connection->poll, UV_DISCONNECT, on_hangup);
    }
}

/* ---- Requests that do not arrive ----
 *
 * MHD ends those that are silent. Those that are not have twice that time for their headers, and as much
 * for their body, and more the more of it is here: the slowest of lines is faster than that. */

enum { BODY_PACE = 500 }; /* bytes of a body that buy a second */

static uint64_t ms_left(const struct http_connection *connection) {
    const struct http_exchange *exchange = connection->exchange;
    uint64_t received = exchange != NULL ? exchange->body_received : 0;
    uint64_t allowed =
        (uint64_t)connection->server->options.idle_timeout_s * 2000 + received * 1000 / BODY_PACE;
    uint64_t spent = uv_now(connection->server->loop) - connection->since_ms;
    return spent < allowed ? allowed - spent : 0;
}

static void on_late(uv_timer_t *handle) {
    struct http_connection *connection = handle->data;
    uint64_t left = ms_left(connection);
    if (left > 0) {
        uv_timer_start(handle, on_late, left, 0);
        return;
    }
    if (connection->exchange != NULL) {
        http_request_is_late(connection->exchange);
    }
    shutdown(connection->socket, SHUT_RDWR);
}

static void expect_more(struct http_connection *connection) {
    if (connection->server->options.idle_timeout_s > 0) {
        connection->since_ms = uv_now(connection->server->loop);
        uv_timer_start(&connection->late, on_late, ms_left(connection), 0);
    }
}

/* ---- For the other files ---- */

void http_connection_open(struct http_server *server, struct MHD_Connection *connection,
                          void **slot) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_connection *opened = calloc(1, sizeof *opened);
    if (info == NULL || opened == NULL ||
        uv_poll_init(server->loop, &opened->poll, info->connect_fd) != 0) {
        free(opened);
        return;
    }
    uv_timer_init(server->loop, &opened->late);
    opened->open_handles = 2;
    opened->poll.data = opened->late.data = opened;
    opened->server = server;
    opened->socket = info->connect_fd;
    watch(opened);
    expect_more(opened);
    *slot = opened;
}

static void on_closed(uv_handle_t *handle) {
    struct http_connection *connection = handle->data;
    if (--connection->open_handles == 0) {
        free(connection);
    }
}

void http_connection_close(void **slot) {
    struct http_connection *connection = *slot;
    if (connection != NULL) {
        uv_poll_stop(&connection->poll);
        uv_close((uv_handle_t *)&connection->poll, on_closed);
        uv_close((uv_handle_t *)&connection->late, on_closed);
        *slot = NULL;
    }
}

void http_connection_set_exchange(struct MHD_Connection *mhd_connection,
                                  struct http_exchange *exchange) {
    struct http_connection *connection = connection_of(mhd_connection);
    if (connection != NULL) {
        connection->exchange = exchange;
        watch(connection);
        expect_more(connection);
    }
}

void http_connection_expect_no_more(struct MHD_Connection *mhd_connection) {
    struct http_connection *connection = connection_of(mhd_connection);
    if (connection != NULL) {
        uv_timer_stop(&connection->late);
    }
}

void http_drop_stuck(struct http_server *server) {
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        struct http_connection *connection = connection_of(exchange->connection);
        if (connection != NULL) {
            int unread = count_unread(connection);
            if (is_stuck(connection, unread)) {
                shutdown(connection->socket, SHUT_RDWR);
            }
            connection->unread = unread;
        }
    }
}
