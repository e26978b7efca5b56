#include "server/routes.h"
#include "server/serve_options.h"

#include <stdio.h>

/* GET /ready: should a balancer send more? 503 while the server drains, and while its queue is full. Before the
 * model is loaded connections wait, so that a probe times out. */
void api_ready(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    struct engine_status status;
    engine_get_status(service->engine, &status);
    bool draining = http_server_is_draining(service->http);
    bool overloaded = status.waiting >= service->options->engine.queue_max;
    const char *state = draining ? "draining" : overloaded ? "overloaded" : "ready";
    char *text = NULL;
    if (asprintf(&text, "{\"status\":\"%s\"}", state) < 0) {
        text = NULL;
    }
    if (draining || overloaded) {
        http_add_header(exchange, "Retry-After", "1");
    }
    http_respond_json(exchange, draining || overloaded ? 503 : 200, text);
}
