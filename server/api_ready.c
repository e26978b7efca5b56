#include "server/models.h"
#include "server/routes.h"

#include <stdio.h>
#include <string.h>

/* No model that is loaded takes more. */
static bool is_overloaded(const struct models *models) {
    const struct service *service = NULL;
    bool overloaded = false;
    while ((service = models_next(models, service)) != NULL) {
        if (service->engine != NULL) {
            struct engine_status status;
            engine_get_status(service->engine, &status);
            overloaded = status.waiting >= service->model_options->engine.queue_max;
            if (!overloaded) {
                break;
            }
        }
    }
    return overloaded;
}

/* GET /ready: should a balancer send more? 503 from SIGTERM on, while models are loaded that are to be
 * there from the start, and while its queues are full. */
void api_ready(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    const char *state = http_server_is_leaving(service->http)  ? "draining"
                        : models_are_starting(service->models) ? "loading"
                        : is_overloaded(service->models)       ? "overloaded"
                                                               : "ready";
    bool ready = strcmp(state, "ready") == 0;
    char *text = NULL;
    if (asprintf(&text, "{\"status\":\"%s\"}", state) < 0) {
        text = NULL;
    }
    if (!ready) {
        http_add_header(exchange, "Retry-After", "1");
    }
    http_respond_json(exchange, ready ? 200 : 503, text);
}
