#include "server/responses_request.h"

#include "server/answer.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/responses_prompt.h"
#include "server/tool_grammar.h"

#include <stdio.h>
#include <string.h>

/* ---- Parameters with a shape of their own ---- */

/* Of what may be included, only this is there to be had. */
static bool read_include(const cJSON *value, void *target, struct api_error *error) {
    struct responses_request *request = target;
    const cJSON *element;
    if (!cJSON_IsArray(value)) {
        return api_error_set(error, API_INVALID, "include", "include must be an array, but is %s",
                             parameters_kind(value));
    }
    cJSON_ArrayForEach(element, value) {
        if (!cJSON_IsString(element)) {
            return api_error_set(error, API_INVALID, "include",
                                 "include must be an array of strings, but has %s",
                                 parameters_kind(element));
        }
        request->chat.logprobs = request->chat.logprobs ||
                                 strcmp(element->valuestring, "message.output_text.logprobs") == 0;
    }
    return true;
}

/* The format has the members that chat completions put one level deeper. */
static cJSON *create_response_format(const cJSON *format) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(format, "type");
    cJSON *made = cJSON_CreateObject();
    bool complete = answer_add(made, "type", cJSON_Duplicate(type, true));
    if (complete && strcmp(type->valuestring, "json_schema") == 0) {
        complete = answer_add(made, "json_schema", cJSON_Duplicate(format, true));
    }
    if (!complete) {
        cJSON_Delete(made);
        return NULL;
    }
    return made;
}

static bool read_text(const cJSON *value, void *target, struct api_error *error) {
    struct responses_request *request = target;
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(value, "format");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(format, "type");
    if (!cJSON_IsObject(value)) {
        return api_error_set(error, API_INVALID, "text",
                             "text must be {\"format\": {…}}, but is %s", parameters_kind(value));
    }
    if (format != NULL && !cJSON_IsNull(format) && !cJSON_IsString(type)) {
        return api_error_set(error, API_INVALID, "text.format",
                             "text.format must be an object whose type is \"text\", "
                             "\"json_object\" or \"json_schema\", but is %s%s",
                             cJSON_IsObject(format) ? "an object whose type is " : "",
                             parameters_kind(cJSON_IsObject(format) ? type : format));
    }
    if (!cJSON_IsObject(format)) {
        return true;
    }
    return answer_add(request->chat.json, "response_format", create_response_format(format)) ||
           api_error_set(error, API_INTERNAL, NULL, "Out of memory");
}

/* ---- The table ---- */

#define FIELD(name) offsetof(struct responses_request, name)
#define REFUSED(name, why, accepted)                                                               \
    { name, PARAMETER_REFUSED, 0, 0, 0, NULL, why, accepted }

/* clang-format off */
static const struct parameter parameters[] = {
    {"input", PARAMETER_REQUIRED, 0, 0, 0, NULL, "A text, or a list of items: messages, calls of "
     "functions and their outputs, reasoning.",
     JSON({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1,
          "items": {"type": "object"}}]})},
    {"max_output_tokens", PARAMETER_INTEGER, 1, 1e9, FIELD(chat.generation.max_tokens), NULL,
     "Tokens after which the response is incomplete.", NULL},
    {"text", PARAMETER_OTHER, 0, 0, 0, read_text, "format: what the text must look like.",
     JSON({"type": ["object", "null"], "properties": {"format": {"type": "object",
          "required": ["type"], "properties": {"type":
          {"enum": ["text", "json_object", "json_schema"]}}}}})},
    {"top_logprobs", PARAMETER_INTEGER, 0, TOP_LOGPROBS_MAX, FIELD(chat.top_logprobs), NULL,
     "Where logprobs are included, those of so many of the most probable tokens.", NULL},
    {"include", PARAMETER_OTHER, 0, 0, 0, read_include,
     "What the answer has besides: message.output_text.logprobs.",
     JSON({"type": ["array", "null"], "items": {"type": "string"}})},
    REFUSED("store", "responses are not kept", NULL),
    REFUSED("previous_response_id", "responses are not kept: repeat the input instead", NULL),
    REFUSED("conversation", "conversations are not kept: repeat the input instead", NULL),
    REFUSED("background", "a response ends with its connection", NULL),
    REFUSED("prompt", "prompts are not kept", NULL),
    REFUSED("truncation", "what does not fit is refused", JSON("disabled")),
    REFUSED("context_management", "the input stays as it is", NULL),
};
/* clang-format on */

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

bool responses_request_describe(const struct service *service, cJSON *schema) {
    static const struct responses_request defaults = {.chat.generation.max_tokens =
                                                          REPLY_TOKENS_ALL};
    return generation_describe(service, REPLY_TOKENS_ALL, schema) &&
           parameters_describe(parameters, PARAMETERS, &defaults, schema);
}

/* ---- What the answer repeats ---- */

/* The request's member, or else what it is taken to be. */
static bool repeat(struct responses_request *request, const char *name, const char *fallback) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(request->chat.json, name);
    bool given = value != NULL && !cJSON_IsNull(value);
    return answer_add(request->told, name,
                      given ? cJSON_Duplicate(value, true) : cJSON_Parse(fallback));
}

static bool tell_request(struct responses_request *request, struct api_error *error) {
    static const struct {
        const char *name;
        const char *fallback;
    } members[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"previous_response_id", "null"},
        {"reasoning", "{\"effort\": null, \"summary\": null}"},
        {"store", "false"},
        {"temperature", "1"},
        {"text", "{\"format\": {\"type\": \"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"top_p", "1"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };
    request->told = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!repeat(request, members[i].name, members[i].fallback)) {
            return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
        }
    }
    return true;
}

/* ---- Reading ---- */

/* This API has no such parameters. */
static void drop_others(cJSON *json) {
    static const char *const names[] = {"n", "max_tokens", "stream_options", "response_format"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, names[i]);
    }
}

static bool read_prompt(struct chat_request *chat, const char *body, size_t length,
                        struct api_error *error) {
    struct conversation *conversation = &chat->conversation;
    return conversation_open(conversation, chat->service, body, length, error) &&
           responses_prompt_read(conversation, error) &&
           (tool_choice_allows_calls(&chat->tools) ||
            conversation_set(conversation, "tools", template_none(), error)) &&
           tool_grammar_require(&chat->tools, conversation, &chat->generation, error);
}

/* generation_read begins anew, and wants the response_format that read_text makes. */
static bool read_parameters(struct responses_request *request, struct api_error *error) {
    static const char format[] = "response_format";
    struct chat_request *chat = &request->chat;
    chat->generation.max_tokens = REPLY_TOKENS_ALL;
    if (!parameters_read(chat->json, parameters, PARAMETERS, request, error)) {
        return false;
    }
    if (!generation_read(&chat->generation, chat->service, chat->json, chat->generation.max_tokens,
                         error)) {
        if (strncmp(error->param, format, sizeof format - 1) == 0) {
            snprintf(error->param, sizeof error->param, "text.format");
        }
        return false;
    }
    struct reply_form *form = &chat->generation.form;
    if (strcmp(form->parameter, format) == 0) {
        snprintf(form->parameter, sizeof form->parameter, "text.format");
    }
    return true;
}

bool responses_request_read(struct responses_request *request, const struct service *service,
                            const char *body, size_t length, struct api_error *error) {
    *request = (struct responses_request){.chat.service = service};
    struct chat_request *chat = &request->chat;
    struct error err = {0};
    if (!json_parse(&chat->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    if (!cJSON_IsObject(chat->json)) {
        return api_error_set(error, API_INVALID, NULL, "The body must be a JSON object, but is %s",
                             parameters_kind(chat->json));
    }
    drop_others(chat->json);
    return tell_request(request, error) && read_parameters(request, error) &&
           tool_choice_read_responses(&chat->tools, chat->json, error) &&
           read_prompt(chat, body, length, error);
}

void responses_request_deinit(struct responses_request *request) {
    chat_request_deinit(&request->chat);
    cJSON_Delete(request->told);
}
