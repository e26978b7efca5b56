#include "server/access.h"
#include "server/models.h"
#include "server/routes.h"

#include <cjson/cJSON.h>

/* "models": {"gemma": "ready"} */
static bool add_models(cJSON *root, const struct models *models) {
    cJSON *states = cJSON_AddObjectToObject(root, "models");
    const struct service *service = NULL;
    while (states != NULL && (service = models_next(models, service)) != NULL) {
        if (!cJSON_AddStringToObject(states, service->model_id, models_state(service))) {
            return false;
        }
    }
    return states != NULL;
}

/* GET /health: 503 from SIGTERM on, so that a balancer sends nothing more. How much it does is told
 * to those who may read /metrics. */
void api_health(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    bool draining = http_server_is_leaving(service->http);
    bool all = access_sees_metrics(service->access, exchange);
    const struct models_load load = models_get_load(service->models);
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (cJSON_AddStringToObject(root, "status", draining ? "draining" : "ok") &&
        (!all || (cJSON_AddNumberToObject(root, "running", (double)load.running) &&
                  cJSON_AddNumberToObject(root, "waiting", (double)load.waiting) &&
                  cJSON_AddNumberToObject(root, "pages_used", (double)load.pages_used) &&
                  cJSON_AddNumberToObject(root, "pages_cached", (double)load.pages_cached) &&
                  cJSON_AddNumberToObject(root, "pages_total", (double)load.pages_total) &&
                  add_models(root, service->models)))) {
        text = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(root);
    http_respond_json(exchange, draining ? 503 : 200, text);
}
