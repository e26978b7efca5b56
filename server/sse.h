/* Server-sent events (WHATWG HTML, "Server-sent events") as OpenAI uses them: each event is
 * "data: " with one line of JSON; the last one says [DONE]. A stream that would be silent for long has
 * comments (": ping") in between. */
#ifndef QUERN_SERVER_SSE_H
#define QUERN_SERVER_SSE_H

#include "server/http.h"

void sse_begin(struct http_exchange *exchange);

/* Sends one event; `json` came from malloc and is freed. NULL (memory is out) ends the stream
 * without [DONE], by which a client knows that it is not whole. */
void sse_send(struct http_exchange *exchange, char *json);

/* The same with a line "event: type" before it, for clients of Anthropic's API and of responses. */
void sse_send_event(struct http_exchange *exchange, const char *type, char *json);

void sse_done(struct http_exchange *exchange);

#endif
