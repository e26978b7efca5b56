#include "server/answer.h"

#include "server/sse.h"

bool answer_add(cJSON *object, const char *name, cJSON *item) {
    if (item != NULL && cJSON_AddItemToObject(object, name, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

bool answer_append(cJSON *array, cJSON *item) {
    if (item != NULL && cJSON_AddItemToArray(array, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

bool answer_add_text(cJSON *object, const char *name, const char *text) {
    return answer_add(object, name, text != NULL ? cJSON_CreateString(text) : cJSON_CreateNull());
}

cJSON *answer_create(const struct job *job, const char *object, cJSON **choices) {
    cJSON *root = cJSON_CreateObject();
    *choices = NULL;
    if (cJSON_AddStringToObject(root, "id", job->id) &&
        cJSON_AddStringToObject(root, "object", object) &&
        cJSON_AddNumberToObject(root, "created", job->created) &&
        cJSON_AddStringToObject(root, "model", job->service->model_id)) {
        *choices = cJSON_AddArrayToObject(root, "choices");
    }
    return root;
}

bool answer_add_usage(cJSON *root, const struct job *job) {
    size_t tokens = job_generated_tokens(job);
    struct session_usage drafts = job_drafts(job);
    cJSON *usage = cJSON_AddObjectToObject(root, "usage");
    cJSON *prompt = cJSON_AddObjectToObject(usage, "prompt_tokens_details");
    cJSON *reply = cJSON_AddObjectToObject(usage, "completion_tokens_details");
    return cJSON_AddNumberToObject(usage, "prompt_tokens", (double)job->prompt_tokens) &&
           cJSON_AddNumberToObject(usage, "completion_tokens", (double)tokens) &&
           cJSON_AddNumberToObject(usage, "total_tokens", (double)(job->prompt_tokens + tokens)) &&
           cJSON_AddNumberToObject(prompt, "cached_tokens", (double)job_cached_tokens(job)) &&
           cJSON_AddNumberToObject(reply, "accepted_prediction_tokens",
                                   (double)drafts.accepted_tokens) &&
           cJSON_AddNumberToObject(reply, "rejected_prediction_tokens",
                                   (double)(drafts.drafted_tokens - drafts.accepted_tokens));
}

char *answer_print(cJSON *root, bool complete) {
    char *text = complete ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

void answer_fail(struct http_exchange *exchange, struct job *job, const struct api_error *error) {
    (void)job;
    sse_send(exchange, api_error_print(error));
    http_stream_end(exchange);
}
