#include "server/sse.h"

#include <stdlib.h>
#include <string.h>

static bool write_text(struct http_exchange *exchange, const char *text) {
    return http_stream_write(exchange, text, strlen(text));
}

void sse_begin(struct http_exchange *exchange) {
    http_add_header(exchange, "Cache-Control", "no-cache");
    http_stream_begin(exchange, "text/event-stream", ": ping\n\n");
}

void sse_send(struct http_exchange *exchange, char *json) {
    sse_send_event(exchange, NULL, json);
}

void sse_send_event(struct http_exchange *exchange, const char *type, char *json) {
    bool named = type == NULL || (write_text(exchange, "event: ") && write_text(exchange, type) &&
                                  write_text(exchange, "\n"));
    if (!named || json == NULL || !write_text(exchange, "data: ") || !write_text(exchange, json) ||
        !write_text(exchange, "\n\n")) {
        http_stream_end(exchange);
    }
    free(json);
}

void sse_done(struct http_exchange *exchange) {
    write_text(exchange, "data: [DONE]\n\n");
    http_stream_end(exchange);
}
