#include "server/api_error.h"
#include "server/routes.h"

#include <cjson/cJSON.h>
#include <string.h>

/* Fills `object` with the model; false when memory is out. */
static bool describe_model(cJSON *object, const struct service *service) {
    return cJSON_AddStringToObject(object, "id", service->model_id) &&
           cJSON_AddStringToObject(object, "object", "model") &&
           cJSON_AddNumberToObject(object, "created", (double)service->started) &&
           cJSON_AddStringToObject(object, "owned_by", "quern") &&
           cJSON_AddNumberToObject(object, "max_model_len",
                                   (double)service->model->plan.context_length);
}

static void respond(struct http_exchange *exchange, cJSON *root, bool complete) {
    char *text = complete ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    http_respond_json(exchange, 200, text);
}

/* GET /v1/models */
void api_models_list(struct http_exchange *exchange, const struct service *service,
                     const char *rest) {
    (void)rest;
    cJSON *root = cJSON_CreateObject();
    cJSON *model = cJSON_CreateObject();
    bool complete = cJSON_AddStringToObject(root, "object", "list") != NULL;
    if (!cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "data"), model)) {
        cJSON_Delete(model);
        complete = false;
    }
    respond(exchange, root, complete && describe_model(model, service));
}

/* GET /v1/models/{id} */
void api_models_one(struct http_exchange *exchange, const struct service *service,
                    const char *rest) {
    if (strcmp(rest, service->model_id) != 0) {
        api_refuse(exchange, API_MODEL_NOT_FOUND, "model",
                   "The model \"%.100s\" does not exist; this server has \"%.100s\"", rest,
                   service->model_id);
        return;
    }
    cJSON *root = cJSON_CreateObject();
    respond(exchange, root, describe_model(root, service));
}
