#include "server/api_error.h"
#include "server/json.h"
#include "server/models.h"
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
    const struct model_options *options = service->model_options;
    const struct engine_options *engine = &options->engine;
    cJSON *settings = cJSON_AddObjectToObject(object, "settings");
    return cJSON_AddStringToObject(settings, "kernels", engine_kernels_name(service->engine)) &&
           cJSON_AddBoolToObject(settings, "exact", engine->exact) &&
           cJSON_AddStringToObject(settings, "kv_dtype", model_kv_names[engine->kv_type]) &&
           cJSON_AddNumberToObject(settings, "kv_bytes",
                                   (double)engine_kv_bytes(service->engine)) &&
           cJSON_AddBoolToObject(settings, "prefix_cache", !engine->no_prefix_cache) &&
           cJSON_AddNumberToObject(settings, "draft_tokens", (double)options->draft_tokens) &&
           cJSON_AddNumberToObject(settings, "max_sessions", (double)engine->sessions_max) &&
           cJSON_AddNumberToObject(settings, "max_queue", (double)engine->queue_max) &&
           cJSON_AddNumberToObject(settings, "max_body", (double)service->options->max_body);
}

static bool add_aliases(cJSON *object, const struct service *service) {
    cJSON *array = cJSON_AddArrayToObject(object, "aliases");
    struct token_text alias = {0};
    while (array != NULL && model_options_next_alias(service->model_options, &alias)) {
        cJSON *text = json_create_text(alias.bytes, alias.length);
        if (!cJSON_AddItemToArray(array, text)) {
            cJSON_Delete(text);
            return false;
        }
    }
    return array != NULL;
}

/* What it can do: llama-server's name for it. And why it cannot chat. */
static bool add_capabilities(cJSON *object, const struct model *model) {
    cJSON *list = cJSON_AddArrayToObject(object, "capabilities");
    bool fine = cJSON_AddItemToArray(list, cJSON_CreateString("completion"));
    if (model->chat_template != NULL) {
        return fine && cJSON_AddItemToArray(list, cJSON_CreateString("chat"));
    }
    return fine && cJSON_AddStringToObject(object, "chat_template_error",
                                           model->chat_template_error.text) != NULL;
}

/* Fills `object` with the model; false when memory is out. max_model_len is vLLM's name for what
 * prompt and reply may have together; of a model that is not loaded it is not known. */
static bool describe_model(cJSON *object, const struct service *service) {
    return cJSON_AddStringToObject(object, "id", service->model_id) &&
           cJSON_AddStringToObject(object, "object", "model") &&
           cJSON_AddNumberToObject(object, "created", (double)service->started) &&
           cJSON_AddStringToObject(object, "owned_by", "quern") &&
           cJSON_AddStringToObject(object, "state", models_state(service)) &&
           add_aliases(object, service) &&
           (service->engine == NULL ||
            (cJSON_AddNumberToObject(object, "max_model_len",
                                     (double)engine_context_length(service->engine)) &&
             add_capabilities(object, service->model) && add_meta(object, service) &&
             add_settings(object, service)));
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
    const struct models *models = service->models;
    cJSON *root = cJSON_CreateObject();
    bool complete = cJSON_AddStringToObject(root, "object", "list") != NULL;
    cJSON *data = cJSON_AddArrayToObject(root, "data");
    for (const struct service *one = NULL; complete && (one = models_next(models, one)) != NULL;) {
        cJSON *model = cJSON_CreateObject();
        complete = cJSON_AddItemToArray(data, model);
        if (!complete) {
            cJSON_Delete(model);
        }
        complete = complete && describe_model(model, one);
    }
    respond(exchange, root, complete);
}

/* GET /v1/models/{id} */
void api_models_one(struct http_exchange *exchange, const struct service *service,
                    const char *rest) {
    struct api_error error;
    const struct service *one = models_look_up(service->models, rest, &error);
    if (one == NULL) {
        api_error_respond(exchange, &error);
        return;
    }
    cJSON *root = cJSON_CreateObject();
    respond(exchange, root, describe_model(root, one));
}
