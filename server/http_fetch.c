#include "server/http_fetch.h"

#include "server/tls_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ANSWER_BYTES_MAX = 16 << 20,
    PATIENCE_S = 5,
    HOST_BYTES = 256,
};

struct http_fetch http_fetch_from(const struct http_fetch_options *options, const char *path) {
    return (struct http_fetch){
        .address = options->address != NULL ? options->address : HTTP_FETCH_ADDRESS,
        .path = path,
        .trusted = options->trusted,
    };
}

/* ---- Connecting ---- */

static int connect_to(const struct sockaddr *address, socklen_t length) {
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int connection = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0) {
        return -1;
    }
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(connection, address, length) != 0) {
        int reason = errno;
        close(connection);
        errno = reason;
        return -1;
    }
    return connection;
}

static int connect_file(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    return connect_to((const struct sockaddr *)&address, sizeof address);
}

/* "HOST:PORT" or "[HOST]:PORT". */
static int connect_host(const char *text, char host[HOST_BYTES], struct error *err) {
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    bool is_url = strchr(text, '/') != NULL;
    if (length == 0 || length >= HOST_BYTES || is_url) {
        error_set(err, ERROR_INVALID, "\"%.100s\" is no address: HOST:PORT or unix:/PATH", text);
        return -1;
    }
    snprintf(host, HOST_BYTES, "%.*s", (int)(bracketed ? length - 2 : length), text + bracketed);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host, colon + 1, &hints, &found);
    if (failure != 0) {
        error_set(err, ERROR_IO, "\"%.100s\" is not known: %s", text, gai_strerror(failure));
        return -1;
    }
    int connection = -1;
    for (struct addrinfo *at = found; at != NULL && connection < 0; at = at->ai_next) {
        connection = connect_to(at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(found);
    return connection;
}

struct connection {
    int socket;
    struct tls_client *tls; /* NULL: none */
};

static void close_connection(struct connection *connection) {
    if (connection->tls != NULL) {
        tls_client_close(connection->tls);
    }
    close(connection->socket);
}

/* The certificate of who listens on a socket file may be for any host. */
static bool open_connection(struct connection *connection, const struct http_fetch *fetch,
                            struct error *err) {
    static const char file[] = "unix:";
    const char *address = fetch->address;
    bool is_file = strncmp(address, file, sizeof file - 1) == 0;
    char host[HOST_BYTES];
    err->code = ERROR_NONE;
    connection->tls = NULL;
    connection->socket =
        is_file ? connect_file(address + sizeof file - 1) : connect_host(address, host, err);
    if (connection->socket < 0) {
        return err->code != ERROR_NONE ? false
                                       : error_set(err, ERROR_IO, "no connection to %.100s: %s",
                                                   address, strerror(errno));
    }
    if (fetch->trusted != NULL && !tls_client_open(&connection->tls, connection->socket,
                                                   fetch->trusted, is_file ? NULL : host, err)) {
        close_connection(connection);
        return false;
    }
    return true;
}

static bool send_bytes(const struct connection *connection, const char *bytes, size_t length) {
    return connection->tls != NULL
               ? tls_client_send(connection->tls, bytes, length)
               : send(connection->socket, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static ssize_t receive_bytes(const struct connection *connection, char *bytes, size_t size) {
    return connection->tls != NULL ? tls_client_receive(connection->tls, bytes, size)
                                   : recv(connection->socket, bytes, size, 0);
}

/* ---- Asking ---- */

static bool send_request(const struct connection *connection, const struct http_fetch *fetch,
                         struct error *err) {
    char request[1024];
    bool has_key = fetch->key != NULL;
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n%s%s%s\r\n", fetch->path,
                          has_key ? "Authorization: Bearer " : "", has_key ? fetch->key : "",
                          has_key ? "\r\n" : "");
    return ((size_t)length < sizeof request && send_bytes(connection, request, (size_t)length)) ||
           error_set(err, ERROR_IO, "the request cannot be sent to %.100s", fetch->address);
}

static bool receive(const struct connection *connection, const struct http_fetch *fetch,
                    struct text_buffer *answer, struct error *err) {
    char piece[16 << 10];
    ssize_t length;
    while ((length = receive_bytes(connection, piece, sizeof piece)) > 0) {
        if (answer->length > ANSWER_BYTES_MAX) {
            return error_set(err, ERROR_TOO_LARGE, "%.100s does not end its answer",
                             fetch->address);
        }
        if (!text_buffer_append(answer, piece, (size_t)length)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an answer");
        }
    }
    return (length == 0 && text_buffer_append(answer, "", 1)) ||
           error_set(err, ERROR_IO, "no answer from %.100s: %s", fetch->address, strerror(errno));
}

/* Takes the body out of an answer that ends with a zero byte. */
static bool take_body(const struct http_fetch *fetch, const struct text_buffer *answer,
                      struct text_buffer *body, struct error *err) {
    const char *end = answer->length > 0 ? strstr(answer->bytes, "\r\n\r\n") : NULL;
    unsigned status = 0;
    if (end == NULL || sscanf(answer->bytes, "HTTP/%*u.%*u %u", &status) != 1) {
        return error_set(err, ERROR_BAD_FILE, "%.100s does not speak HTTP%s", fetch->address,
                         fetch->trusted == NULL ? ", or only with TLS: see --trust" : "");
    }
    if (status != 200) {
        return error_set(err, ERROR_IO, "%.100s answers %s with %u%s", fetch->address, fetch->path,
                         status, status == 401 ? ": it wants an API key" : "");
    }
    end += strlen("\r\n\r\n");
    size_t length = answer->length - 1 - (size_t)(end - answer->bytes);
    bool kept = text_buffer_append(body, end, length) && text_buffer_append(body, "", 1);
    body->length -= kept;
    return kept || error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an answer");
}

bool http_fetch(const struct http_fetch *fetch, struct text_buffer *body, struct error *err) {
    struct text_buffer answer = {0};
    struct connection connection;
    if (!open_connection(&connection, fetch, err)) {
        return false;
    }
    bool fetched = send_request(&connection, fetch, err) &&
                   receive(&connection, fetch, &answer, err) &&
                   take_body(fetch, &answer, body, err);
    close_connection(&connection);
    text_buffer_deinit(&answer);
    return fetched;
}
