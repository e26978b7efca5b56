#include "server/http_internal.h"

#include "server/log.h"

#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { DISCARD_MAX = 256 << 20 }; /* of a body over the limit: read on and answer, or hang up */

/* ---- Exchanges ---- */

static void name_client(struct http_exchange *exchange) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    bool six = address != NULL && address->sa_family == AF_INET6;
    bool four = address != NULL && address->sa_family == AF_INET;
    socklen_t length = six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (!(six || four) || getnameinfo(address, length, exchange->client, HTTP_CLIENT_BYTES, NULL, 0,
                                      NI_NUMERICHOST) != 0) {
        snprintf(exchange->client, HTTP_CLIENT_BYTES, "unix");
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
    header_id_choose(exchange->id, http_request_header(exchange, "X-Request-Id"));
    name_client(exchange);
    exchange->next = server->exchanges;
    if (exchange->next != NULL) {
        exchange->next->previous = exchange;
    }
    server->exchanges = exchange;
    http_connection_set_exchange(connection, exchange);
    return exchange;
}

/* Calls the handler, and gives MHD the answer or suspends the connection until there is one. */
static enum MHD_Result answer_request(struct http_exchange *exchange) {
    http_connection_expect_no_more(exchange->connection);
    if (!exchange->handled) {
        exchange->handled = true;
        exchange->server->options.handle(exchange, exchange->server->options.context);
    }
    if (exchange->answer == ANSWER_GONE) {
        return MHD_NO;
    }
    if (!http_answer_has_begun(exchange)) {
        http_suspend(exchange);
        return MHD_YES;
    }
    return exchange->queued ? MHD_YES : http_queue_answer(exchange);
}

/* What says where a body ends. */
struct framing {
    const char *length;
    bool chunked;
    bool unclear;
};

static enum MHD_Result read_framing(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
    (void)kind;
    struct framing *framing = context;
    if (value != NULL && strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        framing->unclear |= framing->length != NULL && strcmp(framing->length, value) != 0;
        framing->length = value;
    } else if (value != NULL && strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        framing->unclear |= framing->chunked || strcasecmp(value, "chunked") != 0;
        framing->chunked = true;
    }
    return MHD_YES;
}

/* Where a proxy and this server could be of two minds about it, what one takes for a body may be a
 * request to the other (RFC 9112, 11.2). */
static bool is_body_unclear(struct MHD_Connection *connection) {
    struct framing framing = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, read_framing, &framing);
    return framing.unclear || (framing.chunked && framing.length != NULL);
}

/* The headers are here. A body that announces itself as too large, or of a request that is answered
 * already, is refused before it is sent, if the client waits for that; a client that sends at once would
 * lose the answer when the connection is closed under its writes, so its body is read and thrown away.
 * An answer before the body is the last one of its connection. */
static enum MHD_Result begin_request(struct http_exchange *exchange) {
    const struct http_options *options = &exchange->server->options;
    const char *announced = http_request_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long length = announced != NULL ? strtoull(announced, NULL, 10) : 0;
    exchange->body_too_large = length > options->body_max;
    exchange->body_unclear = is_body_unclear(exchange->connection);
    options->admit(exchange, options->context);
    exchange->handled = exchange->answer != ANSWER_NONE;
    bool waits = http_request_header(exchange, MHD_HTTP_HEADER_EXPECT) != NULL;
    bool unwanted = exchange->handled || exchange->body_too_large;
    if (exchange->body_unclear || (unwanted && (waits || length > DISCARD_MAX))) {
        return answer_request(exchange);
    }
    return MHD_YES;
}

/* Of "http://localhost:8080/health", which clients of proxies send, "/health". */
static const char *path_of(const char *target) {
    const char *host = strncasecmp(target, "http://", 7) == 0    ? target + 7
                       : strncasecmp(target, "https://", 8) == 0 ? target + 8
                                                                 : NULL;
    return host == NULL ? target : host[strcspn(host, "/")] != '\0' ? strchr(host, '/') : "/";
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

enum MHD_Result http_on_access(void *context, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_length, void **slot) {
    (void)version;
    struct http_server *server = context;
    struct http_exchange *exchange = *slot;
    server->fruitless = 0;
    if (exchange == NULL) {
        exchange = create_exchange(server, connection, method, path_of(path));
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

/* MHD takes no answer amid a body: the status is for the log and the metrics. */
void http_request_is_late(struct http_exchange *exchange) {
    exchange->status = exchange->handled ? exchange->status : MHD_HTTP_REQUEST_TIMEOUT;
}

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

void http_on_completed(void *context, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code) {
    struct http_server *server = context;
    struct http_exchange *exchange = *slot;
    if (exchange == NULL) {
        return;
    }
    *slot = NULL;
    bool delivered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    http_connection_set_exchange(connection, NULL);
    http_end_task(exchange, delivered);
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

/* ---- What handlers ask of a request ---- */

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

const char *http_id(const struct http_exchange *exchange) {
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

void http_take_body(struct http_exchange *exchange, struct text_buffer *body) {
    *body = exchange->body;
    exchange->body = (struct text_buffer){0};
}

bool http_body_too_large(const struct http_exchange *exchange) {
    return exchange->body_too_large;
}

bool http_body_unclear(const struct http_exchange *exchange) {
    return exchange->body_unclear;
}
