#include "server/acceptor.h"

#include "server/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPTS_AT_ONCE = 16, /* so that open connections have their turn, too */
    RETRY_MS = 100,       /* when descriptors or memory are out */
    COMPLAIN_MS = 60000,  /* at most so often */
};

struct listening {
    uv_poll_t poll;
    int socket; /* -1: closed */
};

struct acceptor {
    struct acceptor_options options;
    size_t connections;
    bool paused;
    bool stopped;
    uv_timer_t retry;
    uint64_t complained_ms; /* 0: never */
    unsigned open_handles;
    size_t count;
    struct listening listening[];
};

static void on_readable(uv_poll_t *handle, int status, int events);

/* Listening costs nothing while the polls are stopped: clients wait in the kernel's queue. */
static void pause_accepting(struct acceptor *acceptor) {
    acceptor->paused = true;
    for (size_t i = 0; i < acceptor->count; i++) {
        uv_poll_stop(&acceptor->listening[i].poll);
    }
}

static void resume_accepting(struct acceptor *acceptor) {
    if (!acceptor->paused || acceptor->stopped) {
        return;
    }
    acceptor->paused = false;
    for (size_t i = 0; i < acceptor->count; i++) {
        uv_poll_start(&acceptor->listening[i].poll, UV_READABLE, on_readable);
    }
}

static void on_retry(uv_timer_t *handle) {
    resume_accepting(handle->data);
}

static void wait_for_resources(struct acceptor *acceptor, int error) {
    uint64_t now_ms = uv_now(acceptor->retry.loop);
    if (acceptor->complained_ms == 0 || now_ms - acceptor->complained_ms >= COMPLAIN_MS) {
        acceptor->complained_ms = now_ms;
        log_say(PRIORITY_WARNING, "further clients have to wait: %s%s", strerror(error),
                error == EMFILE ? " (ulimit -n, or LimitNOFILE)" : "");
    }
    pause_accepting(acceptor);
    uv_timer_start(&acceptor->retry, on_retry, RETRY_MS, 0);
}

/* False: there is no other one, or not now. */
static bool accept_one(struct acceptor *acceptor, struct listening *listening) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int socket =
        accept4(listening->socket, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            wait_for_resources(acceptor, errno);
            return false;
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    acceptor->options.take(acceptor->options.context, socket, (struct sockaddr *)&peer, length);
    return true;
}

static void on_readable(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    struct acceptor *acceptor = handle->data;
    struct listening *listening = (struct listening *)handle; /* the poll is its first member */
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (acceptor->connections >= acceptor->options.connections_max) {
            pause_accepting(acceptor);
            return;
        }
        if (!accept_one(acceptor, listening)) {
            return;
        }
    }
}

static void on_handle_closed(uv_handle_t *handle) {
    struct acceptor *acceptor = handle->data;
    if (--acceptor->open_handles == 0) {
        free(acceptor);
    }
}

static bool watch(struct acceptor *acceptor, uv_loop_t *loop, int socket, struct error *err) {
    struct listening *listening = &acceptor->listening[acceptor->count];
    int result = uv_poll_init(loop, &listening->poll, socket);
    if (result != 0) {
        return error_set(err, ERROR_IO, "The loop cannot watch a listening socket: %s",
                         uv_strerror(result));
    }
    listening->socket = socket;
    listening->poll.data = acceptor;
    acceptor->count++;
    acceptor->open_handles++;
    return true;
}

static void close_from(const struct acceptor_options *options, size_t first) {
    for (size_t i = first; i < options->socket_count; i++) {
        close(options->sockets[i]);
    }
}

bool acceptor_open(struct acceptor **out, uv_loop_t *loop, const struct acceptor_options *options,
                   struct error *err) {
    struct acceptor *acceptor =
        calloc(1, sizeof *acceptor + options->socket_count * sizeof acceptor->listening[0]);
    if (acceptor == NULL) {
        close_from(options, 0);
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory to accept connections");
    }
    acceptor->options = *options;
    uv_timer_init(loop, &acceptor->retry);
    acceptor->retry.data = acceptor;
    acceptor->open_handles = 1;
    for (size_t i = 0; i < options->socket_count; i++) {
        if (!watch(acceptor, loop, options->sockets[i], err)) {
            close_from(options, i);
            acceptor_close(acceptor);
            return false;
        }
    }
    acceptor->paused = true;
    resume_accepting(acceptor);
    *out = acceptor;
    return true;
}

void acceptor_claim(struct acceptor *acceptor) {
    acceptor->connections++;
}

void acceptor_release(struct acceptor *acceptor) {
    acceptor->connections--;
    resume_accepting(acceptor);
}

void acceptor_stop(struct acceptor *acceptor) {
    acceptor->stopped = true;
    uv_timer_stop(&acceptor->retry);
    for (size_t i = 0; i < acceptor->count; i++) {
        struct listening *listening = &acceptor->listening[i];
        uv_poll_stop(&listening->poll);
        if (listening->socket >= 0) {
            close(listening->socket);
            listening->socket = -1;
        }
    }
}

void acceptor_close(struct acceptor *acceptor) {
    acceptor_stop(acceptor);
    for (size_t i = 0; i < acceptor->count; i++) {
        uv_close((uv_handle_t *)&acceptor->listening[i].poll, on_handle_closed);
    }
    uv_close((uv_handle_t *)&acceptor->retry, on_handle_closed);
}
