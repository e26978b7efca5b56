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

/* What models and adapters have. max_model_len is vLLM's name for what prompt and reply may have
 * together; of a model that is not loaded it is not known. */
static bool add_common(cJSON *object, const struct service *service) {
    return cJSON_AddStringToObject(object, "object", "model") &&
           cJSON_AddNumberToObject(object, "created", (double)service->started) &&
           cJSON_AddStringToObject(object, "owned_by", "quern") &&
           cJSON_AddStringToObject(object, "state", models_state(service)) &&
           (service->engine == NULL ||
            (cJSON_AddNumberToObject(object, "max_model_len",
                                     (double)engine_context_length(service->engine)) &&
             add_capabilities(object, service->model)));
}

/* Fills `object` with the model; false when memory is out. */
static bool describe_model(cJSON *object, const struct service *service) {
    return cJSON_AddStringToObject(object, "id", service->model_id) &&
           add_common(object, service) && add_aliases(object, service) &&
           (service->engine == NULL ||
            (add_meta(object, service) && add_settings(object, service)));
}

/* The same with an adapter of it, whose `parent` it is, as vLLM has it. */
static bool describe_adapter(cJSON *object, const struct service *service,
                             const struct model_adapter *adapter) {
    cJSON *id = json_create_text(adapter->name.bytes, adapter->name.length);
    if (!cJSON_AddItemToObject(object, "id", id)) {
        cJSON_Delete(id);
        return false;
    }
    return add_common(object, service) && cJSON_AddArrayToObject(object, "aliases") &&
           cJSON_AddStringToObject(object, "parent", service->model_id);
}

static void respond(struct http_exchange *exchange, cJSON *root, bool complete) {
    char *text = complete ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    http_respond_json(exchange, 200, text);
}

/* A new object at the end of the list; NULL when memory is out. */
static cJSON *append(cJSON *list) {
    cJSON *object = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

/* The model and its adapters. */
static bool list_model(cJSON *list, const struct service *service) {
    struct model_adapter adapter = {0};
    cJSON *object = append(list);
    bool complete = object != NULL && describe_model(object, service);
    while (complete && model_options_next_adapter(service->model_options, &adapter)) {
        object = append(list);
        complete = object != NULL && describe_adapter(object, service, &adapter);
    }
    return complete;
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
        complete = list_model(data, one);
    }
    respond(exchange, root, complete);
}

/* GET /v1/models/{id} */
void api_models_one(struct http_exchange *exchange, const struct service *service,
                    const char *rest) {
    struct api_error error;
    size_t number;
    const struct service *one = models_look_up(service->models, rest, &number, &error);
    if (one == NULL) {
        api_error_respond(exchange, &error);
        return;
    }
    struct model_adapter adapter = {0};
    for (size_t i = 0; i < number; i++) {
        model_options_next_adapter(one->model_options, &adapter);
    }
    cJSON *root = cJSON_CreateObject();
    respond(exchange, root,
            number > 0 ? describe_adapter(root, one, &adapter) : describe_model(root, one));
}
