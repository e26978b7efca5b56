/* HTTP on the loop: libmicrohttpd, driven by libuv through its epoll descriptor.
 *
 *     bytes ─▶ MHD ─▶ handle(exchange) ─▶ http_respond                      answered at once
 *                          │
 *                          └─▶ http_defer(task) ─▶ suspended ◀─ http_server_advance()
 *                                                     │            task.advance(): http_respond,
 *                                                     │            or stream_begin, write…, end
 *                                                     └─▶ resumed ─▶ MHD ─▶ bytes
 *
 * An exchange is one request and its answer. It belongs to the server, which ends it when the
 * answer is out or the client is gone; a deferred exchange's task hears of it through close. A
 * client that goes away is noticed while its connection is suspended, too, even if only its sending
 * half is closed, as other servers do it; and amid its headers or its body, see http_connection.c.
 *
 * All on the loop's thread. */
#ifndef QUERN_SERVER_HTTP_H
#define QUERN_SERVER_HTTP_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct http_server;
struct http_exchange;

struct http_options {
    const int *sockets; /* bound, listening, not blocking; the server closes them */
    size_t socket_count;
    size_t body_max;
    unsigned connections_max; /* further ones wait to be accepted */
    unsigned
        client_connections;  /* of one address; further ones are closed at once; 0: any number */
    unsigned idle_timeout_s; /* without progress in either direction; 0: none */
    unsigned silence_max_s;  /* of a stream, see http_stream_begin; 0: any */
    const char *tls_certificate; /* PEM; NULL: no TLS */
    const char *tls_key;
    /* The headers of a request are here. May answer: the body is thrown away then. */
    void (*admit)(struct http_exchange *exchange, void *context);
    /* A request has arrived whole, or is known to be too large. Must answer or defer. */
    void (*handle)(struct http_exchange *exchange, void *context);
    /* The answer is out, or nobody is there to take it. */
    void (*finish)(const struct http_exchange *exchange, void *context);
    void *context;
};

bool http_server_open(struct http_server **out, uv_loop_t *loop, const struct http_options *options,
                      struct error *err);

/* For requests that begin from now on. */
void http_server_set_body_max(struct http_server *server, size_t body_max);

/* It will end soon: from now on each answer closes its connection, so that clients look elsewhere. */
void http_server_leave(struct http_server *server);
bool http_server_is_leaving(const struct http_server *server);

/* Leaves, and stops listening; requests on open connections still arrive. `drained` is called once no
 * exchange is left. */
void http_server_drain(struct http_server *server, void (*drained)(void *context), void *context);
bool http_server_is_draining(const struct http_server *server);
uv_loop_t *http_server_loop(const struct http_server *server);

/* Gives up on every deferred exchange: its task's cancel is called and should answer. */
void http_server_cancel(struct http_server *server);

/* Ends what is left and frees the server, once the loop has run the handles' closing. */
void http_server_close(struct http_server *server);

/* Something happened that deferred exchanges may have waited for. */
void http_server_advance(struct http_server *server);

/* ---- The request ---- */

struct http_server *http_exchange_server(const struct http_exchange *exchange);
const char *http_method(const struct http_exchange *exchange);
unsigned http_status(const struct http_exchange *exchange); /* of the answer; 0: none */
const char *http_path(const struct http_exchange *exchange);
const char *http_id(const struct http_exchange *exchange); /* X-Request-Id */
/* NULL if there is no such header. */
const char *http_request_header(const struct http_exchange *exchange, const char *name);

/* Whose request it is: "127.0.0.1", "::1" or "unix", unless a better name was set. */
const char *http_client(const struct http_exchange *exchange);
void http_set_client(struct http_exchange *exchange, const char *name);
/* Requests of the same client that are not over yet, this one among them. */
size_t http_requests_of_client(const struct http_exchange *exchange);

/* Zero-terminated behind its `length` bytes. */
const char *http_body(const struct http_exchange *exchange, size_t *length);
/* The same, to keep; the exchange has none any longer. */
void http_take_body(struct http_exchange *exchange, struct text_buffer *body);
bool http_body_too_large(const struct http_exchange *exchange);
/* The headers contradict each other about where it ends: it was not read. */
bool http_body_unclear(const struct http_exchange *exchange);

/* ---- The answer ---- */

/* Is there something of it that is or will be sent? */
bool http_answer_has_begun(const struct http_exchange *exchange);

/* Before the answer begins. Strings are copied; a header that memory is out for is left out. */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);

/* The whole answer: `text` came from malloc and is taken over; NULL (memory is out) answers 500.
 * `content_type` is a constant. */
void http_respond(struct http_exchange *exchange, unsigned status, const char *content_type,
                  char *text);
void http_respond_json(struct http_exchange *exchange, unsigned status, char *text);

void http_respond_empty(struct http_exchange *exchange, unsigned status);

struct http_task {
    void (*advance)(struct http_exchange *exchange, void *context);
    void (*cancel)(struct http_exchange *exchange, void *context);
    /* The exchange is over; `delivered`: the client has got all of the answer. */
    void (*close)(struct http_exchange *exchange, void *context, bool delivered);
};

/* The answer comes later. What is deferred may be deferred again, by a task that leaves the answer to
 * another one: it is closed then. */
void http_defer(struct http_exchange *exchange, const struct http_task *task, void *context);

/* A deferred answer in pieces, of unknown length. Nothing of it is sent, not even headers, before the first
 * piece is there: until then it may be answered as a whole instead. Writing says false when memory is out;
 * end is called all the same. Before it has been silent for silence_max_s, `filler` is written, a
 * constant, so that nobody on the way takes the connection for a dead one; NULL: nothing. */
void http_stream_begin(struct http_exchange *exchange, const char *content_type,
                       const char *filler);
bool http_stream_write(struct http_exchange *exchange, const char *bytes, size_t length);
void http_stream_end(struct http_exchange *exchange);
/* Bytes written that the socket has not taken: a writer that pauses at some bound is asked to
 * advance again when they are gone. */
size_t http_stream_backlog(const struct http_exchange *exchange);

/* What the log line says at its end ("prompt=5 generated=16 finish=stop"). */
void http_note(struct http_exchange *exchange, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
