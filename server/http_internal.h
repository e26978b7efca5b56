/* What the files of the HTTP server share: http.c (the server, and driving MHD), http_connection.c
 * (connections, and clients that are gone), http_request.c (from the first header to the end of an
 * exchange) and http_answer.c (what handlers and tasks answer). */
#ifndef QUERN_SERVER_HTTP_INTERNAL_H
#define QUERN_SERVER_HTTP_INTERNAL_H

#include "engine/text/tokenizer.h"
#include "server/acceptor.h"
#include "server/header_id.h"
#include "server/http.h"

#include <microhttpd.h>
#include <stdint.h>

enum {
    HTTP_CLIENT_BYTES = 64,
    HTTP_HEADERS_MAX = 8, /* what a handler may add */
};

/* The one thing about an exchange that changes: where its answer stands. */
enum answer {
    ANSWER_NONE,   /* deferred */
    ANSWER_WHOLE,  /* status and `out` are the answer */
    ANSWER_STREAM, /* more may be appended to `out` */
    ANSWER_ENDED,  /* a stream, and `out` is its rest */
    ANSWER_GONE,   /* nobody is there to read it */
};

struct header {
    char *name;
    char *value;
};

struct http_exchange {
    struct http_server *server;
    struct http_exchange *next, *previous; /* all exchanges of the server */
    struct MHD_Connection *connection;

    char *method;
    char *path;
    char id[HEADER_ID_MAX + 1];
    char client[HTTP_CLIENT_BYTES];
    struct text_buffer body;
    size_t body_received;
    bool body_too_large;
    bool body_unclear; /* where it ends */

    const struct http_task *task; /* while deferred */
    void *task_context;

    enum answer answer;
    bool handled;   /* the handler has been called */
    bool queued;    /* MHD has the response */
    bool suspended; /* MHD does not touch the connection */
    unsigned status;
    char *whole; /* of ANSWER_WHOLE */
    const char *content_type;
    struct header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct text_buffer out;
    size_t out_taken; /* bytes of `out` that MHD has */
    const char *filler;
    bool silent; /* nothing was written since the last look */

    uint64_t started_ns;
    char note[320];
};

struct http_server {
    struct http_options options;
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    struct acceptor *acceptor;
    uv_poll_t readable; /* MHD's epoll descriptor */
    uv_timer_t timeout; /* when MHD wants to run though nothing is readable */
    uv_idle_t again;    /* it wants to at once */
    unsigned fruitless; /* turns in a row that it wanted, and nothing came of */
    uv_timer_t silence; /* looks for streams that say nothing */
    unsigned open_handles;
    struct http_exchange *exchanges;
    bool leaving;
    bool draining;
    void (*drained)(void *context);
    void *drained_context;
};

/* Lets MHD do what there is to do. Not from within its callbacks. */
void http_server_run(struct http_server *server);

/* ---- http_connection.c ---- */

struct http_connection;

/* What MHD tells of a new connection and of one that it is about to close; *slot is the
 * connection's own. Without memory a client that is gone is only noticed when it is written to:
 * worse, not wrong. */
void http_connection_open(struct http_server *server, struct MHD_Connection *connection,
                          void **slot);
void http_connection_close(void **slot);

/* The exchange that runs on the connection, whose body comes next; NULL: none does any longer. */
void http_connection_set_exchange(struct MHD_Connection *connection,
                                  struct http_exchange *exchange);

/* The request is here, or what is missing of it is not waited for. */
void http_connection_expect_no_more(struct MHD_Connection *connection);

/* MHD wants turns and does nothing with them: ends the connections that had as much left to read the
 * last time that this was asked. MHD notices when it runs. */
void http_drop_stuck(struct http_server *server);

void http_suspend(struct http_exchange *exchange);

/* MHD resumes the connection the next time it runs. */
void http_resume(struct http_exchange *exchange);

/* A deferred exchange whose connection sleeps is woken if it has something to say. */
void http_wake_if_ready(struct http_exchange *exchange);

/* ---- http_request.c ---- */

/* What MHD calls for a request, as often as there is something new, and at its end. */
enum MHD_Result http_on_access(void *context, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_length, void **slot);
void http_on_completed(void *context, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code);

/* Its body took too long: the connection is about to be closed. */
void http_request_is_late(struct http_exchange *exchange);

/* ---- http_answer.c ---- */

/* Gives the answer to MHD. */
enum MHD_Result http_queue_answer(struct http_exchange *exchange);

/* The exchange's task is over, if it has one. */
void http_end_task(struct http_exchange *exchange, bool delivered);

#endif
