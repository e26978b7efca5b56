#include "server/api_error.h"
#include "server/routes.h"
#include "server/serve_options.h"

#include <cjson/cJSON.h>
#include <string.h>

/* What llama-server says of a model under this name. */
static bool add_meta(cJSON *object, const struct service *service) {
    const struct model *model = service->model;
    cJSON *meta = cJSON_AddObjectToObject(object, "meta");
    return cJSON_AddStringToObject(meta, "architecture", model->type) &&
           cJSON_AddNumberToObject(meta, "n_vocab", (double)model->plan.vocabulary_size) &&
           cJSON_AddNumberToObject(meta, "n_ctx_train", (double)model->plan.context_length) &&
           cJSON_AddNumberToObject(meta, "size",
                                   (double)weights_bytes(engine_weights(service->engine)));
}

/* How this server runs it. */
static bool add_settings(cJSON *object, const struct service *service) {
    const struct serve_options *options = service->options;
    const struct engine_options *engine = &options->engine;
    cJSON *settings = cJSON_AddObjectToObject(object, "settings");
    return cJSON_AddStringToObject(settings, "kernels", engine_kernels_name(service->engine)) &&
           cJSON_AddBoolToObject(settings, "exact", engine->exact) &&
           cJSON_AddStringToObject(settings, "kv_dtype", serve_options_kv_name(options)) &&
           cJSON_AddNumberToObject(settings, "kv_bytes",
                                   (double)engine_kv_bytes(service->engine)) &&
           cJSON_AddBoolToObject(settings, "prefix_cache", !engine->no_prefix_cache) &&
           cJSON_AddNumberToObject(settings, "draft_tokens", (double)options->draft_tokens) &&
           cJSON_AddNumberToObject(settings, "max_sessions", (double)engine->sessions_max) &&
           cJSON_AddNumberToObject(settings, "max_queue", (double)engine->queue_max) &&
           cJSON_AddNumberToObject(settings, "max_body", (double)options->max_body);
}

/* Fills `object` with the model; false when memory is out. max_model_len is vLLM's name for what
 * prompt and reply may have together. */
static bool describe_model(cJSON *object, const struct service *service) {
    return cJSON_AddStringToObject(object, "id", service->model_id) &&
           cJSON_AddStringToObject(object, "object", "model") &&
           cJSON_AddNumberToObject(object, "created", (double)service->started) &&
           cJSON_AddStringToObject(object, "owned_by", "quern") &&
           cJSON_AddNumberToObject(object, "max_model_len",
                                   (double)engine_context_length(service->engine)) &&
           add_meta(object, service) && add_settings(object, service);
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
