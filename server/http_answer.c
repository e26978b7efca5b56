#include "server/http_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BLOCK = 16 << 10 }; /* bytes that MHD asks a stream for at once */

void http_end_task(struct http_exchange *exchange, bool delivered) {
    const struct http_task *task = exchange->task;
    exchange->task = NULL;
    if (task != NULL) {
        task->close(exchange, exchange->task_context, delivered);
    }
}

/* ---- Giving the answer to MHD ---- */

/* Asks the task for more when everything so far is taken: it may have paused on the backlog. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t room) {
    (void)position;
    struct http_exchange *exchange = context;
    exchange->server->fruitless = 0;
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
    http_suspend(exchange);
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

enum MHD_Result http_queue_answer(struct http_exchange *exchange) {
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
    if (exchange->server->leaving) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    exchange->queued = true;
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- What handlers and tasks call ---- */

bool http_answer_has_begun(const struct http_exchange *exchange) {
    return exchange->answer != ANSWER_NONE &&
           (exchange->answer != ANSWER_STREAM || exchange->queued || exchange->out.length > 0);
}

void http_add_header(struct http_exchange *exchange, const char *name, const char *value) {
    if (exchange->header_count == HTTP_HEADERS_MAX) {
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
    if (http_answer_has_begun(exchange)) {
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
    http_end_task(exchange, false);
    exchange->task = task;
    exchange->task_context = context;
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
