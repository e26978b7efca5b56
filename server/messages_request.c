#include "server/messages_request.h"

#include "server/answer.h"
#include "server/json.h"
#include "server/messages_prompt.h"
#include "server/parameters.h"
#include "server/tool_grammar.h"

#include <string.h>

/* ---- Parameters ---- */

static bool read_stop_sequences(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = &((struct messages_request *)target)->generation;
    static const char name[] = "stop_sequences";
    size_t count = (size_t)cJSON_GetArraySize(value);
    const cJSON *stop;
    generation->stop_count = 0;
    if (!cJSON_IsArray(value)) {
        return api_error_set(error, API_INVALID, name, "%s must be an array, but is %s", name,
                             parameters_kind(value));
    }
    if (count > STOP_STRINGS_MAX) {
        return api_error_set(error, API_INVALID, name,
                             "%s must have at most %d strings, but has "
                             "%zu",
                             name, STOP_STRINGS_MAX, count);
    }
    cJSON_ArrayForEach(stop, value) {
        if (!cJSON_IsString(stop) || stop->valuestring[0] == '\0') {
            return api_error_set(error, API_INVALID, name,
                                 "%s must be strings that are not empty, but has %s", name,
                                 parameters_found(stop).text);
        }
        generation->stops[generation->stop_count++] = stop->valuestring;
    }
    return true;
}

#define REFUSED(name, why)                                                                         \
    { name, PARAMETER_REFUSED, 0, 0, 0, NULL, why, NULL }

/* clang-format off */
static const struct parameter parameters[] = {
    {"messages", PARAMETER_REQUIRED, 0, 0, 0, NULL,
     "The conversation. A last message of the assistant is the beginning of the reply.",
     JSON({"type": "array", "minItems": 1, "items": {"type": "object",
          "required": ["role", "content"], "properties": {"role": {"enum": ["user", "assistant"]},
          "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {
          "type": "object", "required": ["type"], "properties": {"type": {"enum": ["text",
          "thinking", "redacted_thinking", "tool_use", "tool_result"]}}}}]}}}})},
    {"stop_sequences", PARAMETER_OTHER, 0, 0, 0, read_stop_sequences,
     "The reply ends just before the first of them.",
     JSON({"type": ["array", "null"], "maxItems": 16, "items": {"type": "string", "minLength": 1}})},
    REFUSED("mcp_servers", "this server connects to no others"),
    REFUSED("container", "this server runs no code"),
    REFUSED("output_format", "output_config has taken its place"),
};
/* clang-format on */

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

bool messages_request_describe(const struct service *service, cJSON *schema) {
    return generation_describe(service, REPLY_TOKENS_ALL, schema) &&
           parameters_describe(parameters, PARAMETERS, NULL, schema);
}

static bool add_response_format(cJSON *json, const cJSON *schema) {
    cJSON *format = cJSON_CreateObject();
    cJSON *named = cJSON_CreateObject();
    bool complete = answer_add_text(format, "type", "json_schema") &&
                    answer_add(named, "schema", cJSON_Duplicate(schema, true));
    complete = answer_add(format, "json_schema", named) && complete;
    return answer_add(json, "response_format", format) && complete;
}

static bool is_given(const cJSON *value) {
    return value != NULL && !cJSON_IsNull(value);
}

/* {"output_config": {"format": {"type": "json_schema", "schema": …}}} becomes the response_format that
 * generation_read knows. */
static bool read_format(cJSON *json, struct api_error *error) {
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(json, "output_config");
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(config, "format");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(format, "type");
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(format, "schema");
    cJSON_DeleteItemFromObjectCaseSensitive(json, "response_format");
    if (!is_given(config) || (cJSON_IsObject(config) && !is_given(format))) {
        return true;
    }
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "json_schema") != 0 ||
        !cJSON_IsObject(schema)) {
        return api_error_set(error, API_INVALID, "output_config",
                             "output_config must have a format {\"type\": \"json_schema\", "
                             "\"schema\": {…}}, or none");
    }
    return add_response_format(json, schema) ||
           api_error_set(error, API_INTERNAL, NULL, "Out of memory");
}

static bool read_parameters(struct messages_request *request, const struct service *service,
                            struct api_error *error) {
    if (!read_format(request->json, error) ||
        !generation_read(&request->generation, service, request->json, REPLY_TOKENS_ALL, error)) {
        return false;
    }
    request->generation.n = 1; /* these are no parameters here */
    request->generation.stop_count = 0;
    return parameters_read(request->json, parameters, PARAMETERS, request, error);
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
    if (!counts && !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(request->json, "max_tokens"))) {
        return api_error_set(error, API_INVALID, "max_tokens",
                             "max_tokens is required: an integer");
    }
    return read_parameters(request, service, error) && messages_prompt_read(conversation, error) &&
           tool_choice_read_messages(&request->tools, request->json, error) &&
           (request->tools.use != TOOL_USE_NONE ||
            conversation_set(conversation, "tools", template_none(), error)) &&
           tool_grammar_require(&request->tools, conversation, &request->generation, error);
}

bool messages_request_encode(struct messages_request *request, struct api_error *error) {
    return generation_prepare(&request->generation, error) &&
           conversation_encode(&request->conversation, &request->prompt.ids, error);
}

void messages_request_deinit(struct messages_request *request) {
    token_list_deinit(&request->prompt.ids);
    conversation_deinit(&request->conversation);
    tool_choice_deinit(&request->tools);
    generation_deinit(&request->generation);
    cJSON_Delete(request->json);
}

struct completion_options messages_request_options(const struct messages_request *request) {
    const struct chat_format *format = &request->conversation.service->chat_format;
    bool calls = tool_choice_allows_calls(&request->tools);
    return (struct completion_options){
        .service = request->conversation.service,
        .generation = &request->generation,
        .opening = request->conversation.opening.bytes,
        .shown = format->marks,
        .shown_count = calls ? format->mark_count : format->reasoning_mark_count,
    };
}

struct chat_reply_options messages_request_reply_options(const struct messages_request *request) {
    /* A forced call has no thoughts before it. */
    bool splits = !reply_form_is_wanted(&request->generation.form);
    return chat_reply_options_of(&request->conversation, &request->tools, splits);
}
