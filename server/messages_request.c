#include "server/messages_request.h"

#include "server/json.h"
#include "server/messages_prompt.h"
#include "server/parameters.h"

#include <string.h>

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return value != NULL && !cJSON_IsNull(value) ? value : NULL;
}

/* ---- Names ---- */

/* Gives the parameter the name that others have for it. */
static void rename_parameter(cJSON *json, const char *name, const char *usual) {
    cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(json, name);
    cJSON_DeleteItemFromObjectCaseSensitive(json, usual);
    if (value != NULL) {
        cJSON_AddItemToObject(json, usual, value);
    }
}

static bool check_stops(const cJSON *stops, struct api_error *error) {
    const cJSON *stop;
    size_t count = 0;
    bool fine = stops == NULL || cJSON_IsArray(stops);
    cJSON_ArrayForEach(stop, stops) {
        fine = fine && cJSON_IsString(stop) && stop->valuestring[0] != '\0';
        count++;
    }
    return (fine && count <= STOP_STRINGS_MAX) ||
           api_error_set(error, API_INVALID, "stop_sequences",
                         "stop_sequences must be an array of at most %d strings that are not empty",
                         STOP_STRINGS_MAX);
}

/* What would change the meaning of the answer, if it were ignored. */
static bool refuse_others(const cJSON *json, struct api_error *error) {
    static const struct {
        const char *name;
        const char *reason;
    } refused[] = {
        {"mcp_servers", "this server connects to no others"},
        {"container", "this server runs no code"},
        {"output_format", "use the response_format of /v1/chat/completions"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const cJSON *value = member(json, refused[i].name);
        if (value != NULL && !(cJSON_IsArray(value) && value->child == NULL)) {
            return api_error_set(error, API_INVALID, refused[i].name, "%s is not supported: %s",
                                 refused[i].name, refused[i].reason);
        }
    }
    return true;
}

static bool read_parameters(struct messages_request *request, const struct service *service,
                            struct api_error *error) {
    if (!refuse_others(request->json, error) ||
        !check_stops(member(request->json, "stop_sequences"), error)) {
        return false;
    }
    rename_parameter(request->json, "stop_sequences", "stop");
    if (!generation_read(&request->generation, service, request->json, REPLY_TOKENS_ALL, error)) {
        return false;
    }
    request->generation.n = 1; /* this API has no such parameter */
    return true;
}

/* ---- Public ---- */

bool messages_request_read(struct messages_request *request, const struct service *service,
                           const char *body, size_t length, bool counts, struct api_error *error) {
    *request = (struct messages_request){.json = NULL};
    struct error err = {0};
    struct conversation *conversation = &request->conversation;
    if (!json_parse(&request->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    if (!conversation_open(conversation, service, body, length, error)) {
        return false;
    }
    if (!counts && member(request->json, "max_tokens") == NULL) {
        return api_error_set(error, API_INVALID, "max_tokens", "max_tokens is required");
    }
    return read_parameters(request, service, error) && messages_prompt_read(conversation, error) &&
           tool_choice_read_messages(&request->tools, request->json, error) &&
           (request->tools.use != TOOL_USE_NONE ||
            conversation_set(conversation, "tools", template_none(), error)) &&
           conversation_encode(conversation, &request->prompt.ids, error);
}

void messages_request_deinit(struct messages_request *request) {
    token_list_deinit(&request->prompt.ids);
    conversation_deinit(&request->conversation);
    tool_choice_deinit(&request->tools);
    generation_deinit(&request->generation);
    cJSON_Delete(request->json);
}
