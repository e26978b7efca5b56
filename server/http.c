#include "server/http.h"

#include "engine/text/tokenizer.h"
#include "server/acceptor.h"
#include "server/log.h"

#include <ctype.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_ID_MAX = 128,
    CLIENT_BYTES = 64,
    HEADERS_MAX = 8,         /* what a handler may add */
    READ_BLOCK = 16 << 10,   /* bytes that MHD asks a stream for at once */
    DISCARD_MAX = 256 << 20, /* of a body over the limit: read on and answer, or hang up */
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
    struct hangup_watch *watch; /* while it waits for its body, or is deferred */

    char *method;
    char *path;
    char id[REQUEST_ID_MAX + 1];
    char client[CLIENT_BYTES];
    struct text_buffer body;
    size_t body_received;
    bool body_too_large;

    const struct http_task *task; /* while deferred */
    void *task_context;

    enum answer answer;
    bool handled;   /* the handler has been called */
    bool queued;    /* MHD has the response */
    bool suspended; /* MHD does not touch the connection */
    unsigned status;
    char *whole; /* of ANSWER_WHOLE */
    const char *content_type;
    struct header headers[HEADERS_MAX];
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
    uv_timer_t silence; /* looks for streams that say nothing */
    unsigned open_handles;
    struct http_exchange *exchanges;
    bool draining;
    void (*drained)(void *context);
    void *drained_context;
};

/* ---- Driving MHD ---- */

static void run_daemon(struct http_server *server);

static void on_readable(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    run_daemon(handle->data);
}

static void on_timeout(uv_timer_t *handle) {
    run_daemon(handle->data);
}

static void run_daemon(struct http_server *server) {
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
        uv_timer_start(&server->timeout, on_timeout, wait_ms, 0);
    } else {
        uv_timer_stop(&server->timeout);
    }
    if (server->draining && server->exchanges == NULL && server->drained != NULL) {
        void (*drained)(void *) = server->drained;
        server->drained = NULL;
        drained(server->drained_context);
    }
}

/* MHD resumes the connection the next time it runs. */
static void resume_connection(struct http_exchange *exchange) {
    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(exchange->connection);
    }
}

static void suspend_connection(struct http_exchange *exchange) {
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
}

/* A deferred exchange whose connection sleeps is woken if it has something to say. */
static void wake_if_ready(struct http_exchange *exchange) {
    bool has_bytes = exchange->out.length > exchange->out_taken;
    if ((exchange->answer != ANSWER_NONE && !exchange->queued) || has_bytes ||
        exchange->answer == ANSWER_ENDED || exchange->answer == ANSWER_GONE) {
        resume_connection(exchange);
    }
}

/* ---- Noticing that the client is gone ----
 *
 * MHD takes a suspended socket out of its epoll set, so libuv watches a deferred exchange's socket. It
 * watches the socket of one that waits for its body, too: MHD, whose epoll is edge-triggered, does not
 * look again where the last bytes and the end have come together. The handle outlives the exchange
 * until libuv has closed it. */

struct hangup_watch {
    uv_poll_t poll;
    struct http_exchange *exchange;
    int socket;
};

static void on_watch_closed(uv_handle_t *handle) {
    struct hangup_watch *watch = handle->data;
    free(watch);
}

static void end_watch(struct http_exchange *exchange) {
    if (exchange->watch != NULL) {
        uv_poll_stop(&exchange->watch->poll);
        uv_close((uv_handle_t *)&exchange->watch->poll, on_watch_closed);
        exchange->watch = NULL;
    }
}

static void end_task(struct http_exchange *exchange, bool delivered) {
    const struct http_task *task = exchange->task;
    exchange->task = NULL;
    if (task != NULL) {
        task->close(exchange, exchange->task_context, delivered);
    }
}

static void on_hangup(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    struct hangup_watch *watch = handle->data;
    struct http_exchange *exchange = watch->exchange;
    struct http_server *server = exchange->server;
    end_watch(exchange);
    if (exchange->task == NULL) {
        shutdown(watch->socket, SHUT_RD); /* takes nothing away, and makes MHD look */
        return;
    }
    end_task(exchange, false);
    exchange->answer = ANSWER_GONE;
    resume_connection(exchange);
    run_daemon(server);
}

/* Without a watch the client is only noticed when its answer is written: worse, not wrong. */
static void begin_watch(struct http_exchange *exchange) {
    if (exchange->watch != NULL) {
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct hangup_watch *watch = calloc(1, sizeof *watch);
    if (info == NULL || watch == NULL ||
        uv_poll_init(exchange->server->loop, &watch->poll, info->connect_fd) != 0) {
        free(watch);
        return;
    }
    watch->exchange = exchange;
    watch->socket = info->connect_fd;
    watch->poll.data = watch;
    exchange->watch = watch;
    if (uv_poll_start(&watch->poll, UV_DISCONNECT, on_hangup) != 0) {
        end_watch(exchange);
    }
}

/* ---- Giving the answer to MHD ---- */

/* Asks the task for more when everything so far is taken: it may have paused on the backlog. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t room) {
    (void)position;
    struct http_exchange *exchange = context;
    if (exchange->out_taken == exchange->out.length && exchange->answer == ANSWER_STREAM &&
        exchange->task != NULL) {
        exchange->out.length = exchange->out_taken = 0;
        exchange->task->advance(exchange, exchange->task_context);
    }
    size_t left = exchange->out.length - exchange->out_taken;
    if (exchange->answer == ANSWER_GONE) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (left > 0) {
        size_t taken = left < room ? left : room;
        memcpy(buffer, exchange->out.bytes + exchange->out_taken, taken);
        exchange->out_taken += taken;
        return (ssize_t)taken;
    }
    if (exchange->answer == ANSWER_ENDED) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    suspend_connection(exchange);
    return 0;
}

static struct MHD_Response *make_response(struct http_exchange *exchange) {
    if (exchange->answer == ANSWER_WHOLE) {
        char *text = exchange->whole;
        exchange->whole = NULL;
        struct MHD_Response *response =
            MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
        if (response == NULL) {
            free(text);
        }
        return response;
    }
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BLOCK, read_stream, exchange,
                                             NULL);
}

static enum MHD_Result queue_answer(struct http_exchange *exchange) {
    struct MHD_Response *response = make_response(exchange);
    if (response == NULL) {
        return MHD_NO;
    }
    if (exchange->content_type != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->content_type);
    }
    MHD_add_response_header(response, "X-Request-Id", exchange->id);
    for (size_t i = 0; i < exchange->header_count; i++) {
        MHD_add_response_header(response, exchange->headers[i].name, exchange->headers[i].value);
    }
    if (exchange->server->draining) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    exchange->queued = true;
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- Reading the request ---- */

/* A client's id is repeated in a header and in the log: only if it cannot harm either. */
static bool is_sane_id(const char *id) {
    size_t length = 0;
    for (; id[length] != '\0'; length++) {
        char byte = id[length];
        if (length == REQUEST_ID_MAX ||
            !(isalnum((unsigned char)byte) || strchr("-_.:", byte) != NULL)) {
            return false;
        }
    }
    return length > 0;
}

static void choose_id(struct http_exchange *exchange) {
    const char *given =
        MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "X-Request-Id");
    if (given != NULL && is_sane_id(given)) {
        snprintf(exchange->id, sizeof exchange->id, "%s", given);
        return;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        random = uv_hrtime();
    }
    snprintf(exchange->id, sizeof exchange->id, "req-%016llx", (unsigned long long)random);
}

static void name_client(struct http_exchange *exchange) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    bool six = address != NULL && address->sa_family == AF_INET6;
    bool four = address != NULL && address->sa_family == AF_INET;
    socklen_t length = six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (!(six || four) || getnameinfo(address, length, exchange->client, CLIENT_BYTES, NULL, 0,
                                      NI_NUMERICHOST) != 0) {
        snprintf(exchange->client, CLIENT_BYTES, "unix");
    }
}

static void destroy_exchange(struct http_exchange *exchange) {
    for (size_t i = 0; i < exchange->header_count; i++) {
        free(exchange->headers[i].name);
        free(exchange->headers[i].value);
    }
    text_buffer_deinit(&exchange->body);
    text_buffer_deinit(&exchange->out);
    free(exchange->whole);
    free(exchange->method);
    free(exchange->path);
    free(exchange);
}

static struct http_exchange *create_exchange(struct http_server *server,
                                             struct MHD_Connection *connection, const char *method,
                                             const char *path) {
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) {
        return NULL;
    }
    exchange->method = strdup(method);
    exchange->path = strdup(path);
    if (exchange->method == NULL || exchange->path == NULL ||
        !text_buffer_append(&exchange->body, "", 0)) {
        destroy_exchange(exchange);
        return NULL;
    }
    exchange->server = server;
    exchange->connection = connection;
    exchange->started_ns = uv_hrtime();
    choose_id(exchange);
    name_client(exchange);
    exchange->next = server->exchanges;
    if (exchange->next != NULL) {
        exchange->next->previous = exchange;
    }
    server->exchanges = exchange;
    return exchange;
}

/* Calls the handler, and gives MHD the answer or suspends the connection until there is one. */
static enum MHD_Result answer_request(struct http_exchange *exchange) {
    if (!exchange->handled) {
        exchange->handled = true;
        exchange->server->options.handle(exchange, exchange->server->options.context);
    }
    if (exchange->task == NULL) {
        end_watch(exchange); /* it has been answered */
    }
    switch (exchange->answer) {
    case ANSWER_NONE:
        suspend_connection(exchange);
        return MHD_YES;
    case ANSWER_GONE:
        return MHD_NO;
    default:
        return exchange->queued ? MHD_YES : queue_answer(exchange);
    }
}

/* The headers are here. A body that announces itself as too large, or of a request that is answered
 * already, is refused before it is sent, if the client waits for that; a client that sends at once would
 * lose the answer when the connection is closed under its writes, so its body is read and thrown away. */
static enum MHD_Result begin_request(struct http_exchange *exchange) {
    const struct http_options *options = &exchange->server->options;
    const char *announced = http_request_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (announced != NULL || http_request_header(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        begin_watch(exchange); /* for as long as its body may take */
    }
    unsigned long long length = announced != NULL ? strtoull(announced, NULL, 10) : 0;
    exchange->body_too_large = length > options->body_max;
    options->admit(exchange, options->context);
    exchange->handled = exchange->answer != ANSWER_NONE;
    bool waits = http_request_header(exchange, MHD_HTTP_HEADER_EXPECT) != NULL;
    bool unwanted = exchange->handled || exchange->body_too_large;
    if (unwanted && (waits || length > DISCARD_MAX)) {
        return answer_request(exchange);
    }
    return MHD_YES;
}

static enum MHD_Result receive_body(struct http_exchange *exchange, const char *bytes,
                                    size_t length) {
    exchange->body_received += length;
    if (exchange->body_received > exchange->server->options.body_max) {
        exchange->body_too_large = true;
    }
    if (exchange->body_too_large || exchange->handled) {
        exchange->body.length = 0;
        return exchange->body_received <= DISCARD_MAX ? MHD_YES : MHD_NO;
    }
    return text_buffer_append(&exchange->body, bytes, length) ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *path,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_length, void **slot) {
    (void)version;
    struct http_exchange *exchange = *slot;
    if (exchange == NULL) {
        exchange = create_exchange(context, connection, method, path);
        *slot = exchange;
        return exchange != NULL ? begin_request(exchange) : MHD_NO;
    }
    if (*upload_length > 0) {
        enum MHD_Result result = receive_body(exchange, upload, *upload_length);
        *upload_length = 0;
        return result;
    }
    return answer_request(exchange);
}

/* ---- The end of an exchange ---- */

/* A path as one word of the log. */
static void log_word(const char *text, char *word, size_t size) {
    size_t length = 0;
    for (; text[length] != '\0' && length < size - 1; length++) {
        word[length] = isgraph((unsigned char)text[length]) ? text[length] : '?';
    }
    word[length] = '\0';
}

static void log_exchange(const struct http_exchange *exchange, bool delivered) {
    char message[192], milliseconds[32], path[128];
    log_word(exchange->path, path, sizeof path);
    snprintf(message, sizeof message, "%.16s %s %u", exchange->method, path, exchange->status);
    snprintf(milliseconds, sizeof milliseconds, "%.1f",
             (double)(uv_hrtime() - exchange->started_ns) / 1e6);
    const struct log_field fields[] = {
        {"id", exchange->id},
        {"client", exchange->client},
        {"ms", milliseconds},
        {"gone", delivered ? NULL : "yes"},
    };
    log_fields(PRIORITY_INFO, message, fields, sizeof fields / sizeof fields[0], exchange->note);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    struct http_server *server = context;
    struct http_exchange *exchange = *slot;
    if (exchange == NULL) {
        return;
    }
    *slot = NULL;
    bool delivered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    end_watch(exchange);
    end_task(exchange, delivered);
    log_exchange(exchange, delivered);
    server->options.finish(exchange, server->options.context);
    if (exchange->previous != NULL) {
        exchange->previous->next = exchange->next;
    } else {
        server->exchanges = exchange->next;
    }
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    }
    destroy_exchange(exchange);
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
            wake_if_ready(exchange);
        }
        exchange->silent = true;
    }
    run_daemon(server);
}

/* ---- The server ---- */

static void take_connection(void *context, int socket, const struct sockaddr *peer,
                            socklen_t peer_length) {
    struct http_server *server = context;
    MHD_add_connection(server->daemon, socket, peer, peer_length); /* closes it if it must */
    run_daemon(server);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code) {
    (void)connection, (void)slot;
    struct http_server *server = context;
    if (server->acceptor == NULL) {
        return; /* the server closes */
    }
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        acceptor_claim(server->acceptor);
    } else {
        acceptor_release(server->acceptor);
    }
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
        on_access, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_s,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->client_connections,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, further, MHD_OPTION_END);
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
    server->open_handles = 3;
    server->readable.data = server->timeout.data = server->silence.data = server;
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

void http_server_drain(struct http_server *server, void (*drained)(void *context), void *context) {
    if (server->draining) {
        return;
    }
    server->draining = true;
    server->drained = drained;
    server->drained_context = context;
    acceptor_stop(server->acceptor);
    run_daemon(server);
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
            wake_if_ready(exchange);
        }
    }
    run_daemon(server);
}

void http_server_cancel(struct http_server *server) {
    for (struct http_exchange *exchange = server->exchanges; exchange != NULL;
         exchange = exchange->next) {
        if (exchange->task != NULL &&
            (exchange->answer == ANSWER_NONE || exchange->answer == ANSWER_STREAM)) {
            exchange->task->cancel(exchange, exchange->task_context);
            wake_if_ready(exchange);
        }
    }
    run_daemon(server);
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
        resume_connection(exchange);
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
}

/* ---- What handlers and tasks call ---- */

struct http_server *http_exchange_server(const struct http_exchange *exchange) {
    return exchange->server;
}

const char *http_method(const struct http_exchange *exchange) {
    return exchange->method;
}

unsigned http_status(const struct http_exchange *exchange) {
    return exchange->status;
}

const char *http_path(const struct http_exchange *exchange) {
    return exchange->path;
}

const char *http_request_id(const struct http_exchange *exchange) {
    return exchange->id;
}

const char *http_request_header(const struct http_exchange *exchange, const char *name) {
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

const char *http_client(const struct http_exchange *exchange) {
    return exchange->client;
}

void http_set_client(struct http_exchange *exchange, const char *name) {
    snprintf(exchange->client, sizeof exchange->client, "%s", name);
}

size_t http_requests_of_client(const struct http_exchange *exchange) {
    size_t count = 0;
    for (const struct http_exchange *other = exchange->server->exchanges; other != NULL;
         other = other->next) {
        count += strcmp(other->client, exchange->client) == 0;
    }
    return count;
}

const char *http_body(const struct http_exchange *exchange, size_t *length) {
    *length = exchange->body.length;
    return exchange->body.bytes;
}

bool http_body_too_large(const struct http_exchange *exchange) {
    return exchange->body_too_large;
}

void http_add_header(struct http_exchange *exchange, const char *name, const char *value) {
    if (exchange->header_count == HEADERS_MAX) {
        return;
    }
    struct header header = {strdup(name), strdup(value)};
    if (header.name == NULL || header.value == NULL) {
        free(header.name);
        free(header.value);
        return;
    }
    exchange->headers[exchange->header_count++] = header;
}

void http_respond(struct http_exchange *exchange, unsigned status, const char *content_type,
                  char *text) {
    static const char out_of_memory[] =
        "{\"error\":{\"message\":\"Out of memory\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":null}}";
    if (exchange->answer != ANSWER_NONE) {
        free(text);
        return;
    }
    exchange->status = text != NULL ? status : 500;
    exchange->whole = text != NULL ? text : strdup(out_of_memory);
    exchange->content_type = text != NULL ? content_type : "application/json";
    exchange->answer = exchange->whole != NULL ? ANSWER_WHOLE : ANSWER_GONE;
}

void http_respond_json(struct http_exchange *exchange, unsigned status, char *text) {
    http_respond(exchange, status, "application/json", text);
}

void http_respond_empty(struct http_exchange *exchange, unsigned status) {
    http_respond(exchange, status, NULL, strdup(""));
}

void http_defer(struct http_exchange *exchange, const struct http_task *task, void *context) {
    end_task(exchange, false);
    exchange->task = task;
    exchange->task_context = context;
    if (exchange->watch == NULL) {
        begin_watch(exchange);
    }
}

void http_stream_begin(struct http_exchange *exchange, const char *content_type,
                       const char *filler) {
    exchange->status = 200;
    exchange->filler = filler;
    exchange->content_type = content_type;
    exchange->answer = ANSWER_STREAM;
}

bool http_stream_write(struct http_exchange *exchange, const char *bytes, size_t length) {
    if (exchange->out_taken > 0 && exchange->out_taken == exchange->out.length) {
        exchange->out.length = exchange->out_taken = 0;
    }
    exchange->silent = false;
    return text_buffer_append(&exchange->out, bytes, length);
}

void http_stream_end(struct http_exchange *exchange) {
    if (exchange->answer == ANSWER_STREAM) {
        exchange->answer = ANSWER_ENDED;
    }
}

size_t http_stream_backlog(const struct http_exchange *exchange) {
    return exchange->out.length - exchange->out_taken;
}

void http_note(struct http_exchange *exchange, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(exchange->note, sizeof exchange->note, format, arguments);
    va_end(arguments);
}
