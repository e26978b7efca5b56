#include "server/access.h"
#include "server/routes.h"

#include <cjson/cJSON.h>

/* GET /health: 503 while the server drains, so that a balancer sends nothing more. How much it does is told
 * to those who may read /metrics. */
void api_health(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    bool draining = http_server_is_draining(service->http);
    bool all = access_sees_metrics(service->access, exchange);
    struct engine_status status;
    engine_get_status(service->engine, &status);
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (cJSON_AddStringToObject(root, "status", draining ? "draining" : "ok") &&
        (!all || (cJSON_AddNumberToObject(root, "running", (double)status.running) &&
                  cJSON_AddNumberToObject(root, "waiting", (double)status.waiting) &&
                  cJSON_AddNumberToObject(root, "pages_used", (double)status.pages_used) &&
                  cJSON_AddNumberToObject(root, "pages_cached", (double)status.pages_cached) &&
                  cJSON_AddNumberToObject(root, "pages_total", (double)status.pages_total)))) {
        text = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(root);
    http_respond_json(exchange, draining ? 503 : 200, text);
}
