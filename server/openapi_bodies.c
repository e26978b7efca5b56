#include "server/openapi_bodies.h"

#include "server/chat_request.h"
#include "server/messages_request.h"
#include "server/parameters.h"
#include "server/responses_request.h"

#define OTHER(name, help, schema)                                                                  \
    { name, PARAMETER_OTHER, 0, 0, 0, NULL, help, schema }
#define REQUIRED(name, help, schema)                                                               \
    { name, PARAMETER_REQUIRED, 0, 0, 0, NULL, help, schema }
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* clang-format off */
static const struct parameter conversation[] = {
    REQUIRED("messages", "The conversation.",
        JSON({"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
            "content": {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {
                "type": "object", "required": ["type", "text"], "properties": {
                "type": {"const": "text"}, "text": {"type": "string"}}}}]}}}})),
    OTHER("tools", "Functions that may be called.",
        JSON({"type": ["array", "null"], "items": {"type": "object",
        "required": ["type", "function"], "properties": {"type": {"const": "function"},
            "function": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "description": {"type": ["string", "null"]},
                "parameters": {"type": ["object", "null"]}}}}}})),
    OTHER("add_generation_prompt", "The prompt ends where the reply begins.",
        JSON({"type": ["boolean", "null"], "default": true})),
    OTHER("continue_final_message", "The reply goes on within the last message.",
        JSON({"type": ["boolean", "null"], "default": false})),
    OTHER("add_special_tokens", "Put the tokenizer's BOS before the prompt, too.",
        JSON({"type": ["boolean", "null"], "default": false})),
    OTHER("chat_template_kwargs", "Further variables of the chat template.",
        JSON({"type": ["object", "null"]})),
    OTHER("reasoning_effort", "A variable of the chat template.",
        JSON({"type": ["string", "null"]})),
    OTHER("documents", "A variable of the chat template.", JSON({"type": ["array", "null"]})),
};

static const struct parameter calls[] = {
    OTHER("tool_choice", "Whether a function is to be called, and which.",
        JSON({"anyOf": [{"enum": ["none", "auto", "required", null]},
            {"type": "object", "required": ["type"], "properties": {
                "type": {"enum": ["function", "allowed_tools"]}, "function": {"type": "object",
                "required": ["name"], "properties": {"name": {"type": "string"}}},
                "allowed_tools": {"type": "object",
                "required": ["mode", "tools"], "properties": {
                "mode": {"enum": ["auto", "required"]}, "tools": {"type": "array",
                "items": {"type": "object", "required": ["function"]}}}}}}]})),
    OTHER("parallel_tool_calls", "A reply may have several calls.",
        JSON({"type": ["boolean", "null"], "default": true})),
};

static const struct parameter responses[] = {
    OTHER("instructions", "Stands before the input as the system's message.",
        JSON({"type": ["string", "null"]})),
    OTHER("tools", "Functions that may be called.",
        JSON({"type": ["array", "null"], "items": {"type": "object", "required": ["type", "name"],
            "properties": {"type": {"const": "function"}, "name": {"type": "string"},
            "description": {"type": ["string", "null"]},
            "parameters": {"type": ["object", "null"]}}}})),
    OTHER("tool_choice", "Whether a function is to be called, and which.",
        JSON({"anyOf": [{"enum": ["none", "auto", "required", null]},
            {"type": "object", "required": ["type"], "properties": {
                "type": {"enum": ["function", "allowed_tools"]}, "name": {"type": "string"},
                "mode": {"enum": ["auto", "required"]},
                "tools": {"type": "array", "items": {"type": "object",
                "required": ["name"]}}}}]})),
    OTHER("parallel_tool_calls", "A response may have several calls.",
        JSON({"type": ["boolean", "null"], "default": true})),
    OTHER("reasoning", "effort, or the effort itself: a variable of the chat template.",
        JSON({"type": ["object", "string", "null"]})),
    OTHER("chat_template_kwargs", "Further variables of the chat template.",
        JSON({"type": ["object", "null"]})),
};

static const struct parameter messages[] = {
    OTHER("system", "What the model is to be, as text or blocks of text.",
        JSON({"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {
            "type": "object", "required": ["type", "text"], "properties": {
            "type": {"const": "text"}, "text": {"type": "string"}}}}]})),
    OTHER("tools", "Functions that may be called.",
        JSON({"type": ["array", "null"], "items": {"type": "object",
        "required": ["name", "input_schema"], "properties": {"name": {"type": "string"},
            "description": {"type": ["string", "null"]}, "input_schema": {"type": "object"}}}})),
    OTHER("tool_choice", "Whether functions are to be called, and which.",
        JSON({"type": ["object", "null"], "required": ["type"], "properties": {
            "type": {"enum": ["none", "auto", "any", "tool"]}}})),
    OTHER("thinking", "Whether the model is to think, where its template lets one choose.",
        JSON({"type": ["object", "null"], "required": ["type"], "properties": {
            "type": {"enum": ["enabled", "disabled", "adaptive"]}}})),
    OTHER("output_config", "The form of the reply.",
        JSON({"type": ["object", "null"], "properties": {"format": {"type": ["object", "null"],
            "required": ["type", "schema"], "properties": {"type": {"const": "json_schema"},
            "schema": {"type": "object"}}}}})),
};
/* clang-format on */

bool openapi_describe_conversation(const struct service *service, cJSON *schema) {
    (void)service;
    return parameters_describe(conversation, COUNT(conversation), NULL, schema);
}

bool openapi_describe_chat(const struct service *service, cJSON *schema) {
    return openapi_describe_conversation(service, schema) &&
           parameters_describe(calls, COUNT(calls), NULL, schema) &&
           chat_request_describe(service, schema);
}

/* Parameters that generation.h has, but not this API. */
static void leave_out(cJSON *schema, const char *const *names) {
    cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    for (; *names != NULL; names++) {
        cJSON_DeleteItemFromObjectCaseSensitive(properties, *names);
    }
}

bool openapi_describe_responses(const struct service *service, cJSON *schema) {
    static const char *const others[] = {"n",
                                         "max_tokens",
                                         "n_predict",
                                         "stream_options",
                                         "response_format",
                                         "return_tokens",
                                         "timings_per_token",
                                         NULL};
    bool fine = parameters_describe(responses, COUNT(responses), NULL, schema) &&
                responses_request_describe(service, schema);
    leave_out(schema, others);
    return fine;
}

bool openapi_describe_messages_tokens(const struct service *service, cJSON *schema) {
    static const char *const others[] = {
        "n", "stop", "n_predict", "response_format", "return_tokens", "timings_per_token", NULL};
    bool fine = parameters_describe(messages, COUNT(messages), NULL, schema) &&
                messages_request_describe(service, schema);
    leave_out(schema, others);
    return fine;
}

/* How long the reply may be must be said. */
bool openapi_describe_messages(const struct service *service, cJSON *schema) {
    bool fine = openapi_describe_messages_tokens(service, schema);
    cJSON *required = cJSON_GetObjectItemCaseSensitive(schema, "required");
    return fine && cJSON_AddItemToArray(required, cJSON_CreateString("max_tokens"));
}
