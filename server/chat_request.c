#include "server/chat_request.h"

#include "server/json.h"
#include "server/parameters.h"
#include "server/tool_grammar.h"

#include <string.h>

/* llama-server's names. */
static bool read_reasoning_format(const cJSON *value, void *target, struct api_error *error) {
    static const struct {
        const char *name;
        bool keeps_thoughts;
    } formats[] = {{"auto", false}, {"deepseek", false}, {"none", true}};
    struct chat_request *request = target;
    for (size_t i = 0; cJSON_IsString(value) && i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(value->valuestring, formats[i].name) == 0) {
            request->keeps_thoughts = formats[i].keeps_thoughts;
            return true;
        }
    }
    return api_error_set(error, API_INVALID, "reasoning_format",
                         "reasoning_format must be \"auto\", \"deepseek\" or \"none\", but is %s",
                         parameters_found(value).text);
}

#define FIELD(name) offsetof(struct chat_request, name)

/* clang-format off */
static const struct parameter parameters[] = {
    {"max_completion_tokens", PARAMETER_INTEGER, -1, 1e9, FIELD(generation.max_tokens), NULL,
     "Tokens after which a choice ends; -1: as many as the context holds.", NULL},
    {"logprobs", PARAMETER_BOOLEAN, 0, 0, FIELD(logprobs), NULL,
     "Tell each token's logprob.", NULL},
    {"top_logprobs", PARAMETER_INTEGER, 0, TOP_LOGPROBS_MAX, FIELD(top_logprobs), NULL,
     "And those of so many of the most probable tokens.", NULL},
    {"reasoning_format", PARAMETER_OTHER, 0, 0, 0, read_reasoning_format,
     "Where what the model thinks goes: auto or deepseek: reasoning_content; none: content.",
     JSON({"enum": ["auto", "deepseek", "none", null], "default": "auto"})},
    {"echo", PARAMETER_REFUSED, 0, 0, 0, NULL, "use /v1/completions", NULL},
};
/* clang-format on */

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

static const struct chat_request defaults;

bool chat_request_describe(const struct service *service, cJSON *schema) {
    struct chat_request described = defaults;
    described.generation.max_tokens = REPLY_TOKENS_ALL;
    return generation_describe(service, REPLY_TOKENS_ALL, schema) &&
           parameters_describe(parameters, PARAMETERS, &described, schema);
}

static bool check_together(const struct chat_request *request, struct api_error *error) {
    if (request->top_logprobs > 0 && !request->logprobs) {
        return api_error_set(error, API_INVALID, "top_logprobs",
                             "top_logprobs needs logprobs to be true");
    }
    if ((size_t)request->generation.n > request->service->choices_max) {
        return api_error_set(error, API_INVALID, "n",
                             "n is %lld, more than the %zu choices that one request may have",
                             (long long)request->generation.n, request->service->choices_max);
    }
    return true;
}

static bool read_json(struct chat_request *request, const char *body, size_t length,
                      struct api_error *error) {
    struct error err = {0};
    if (!json_parse(&request->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    return cJSON_IsObject(request->json) ||
           api_error_set(error, API_INVALID, NULL, "The body must be a JSON object, but is %s",
                         parameters_kind(request->json));
}

/* Tools that may not be called are none, for the template, too. */
static bool read_prompt(struct chat_request *request, const char *body, size_t length,
                        struct api_error *error) {
    struct conversation *conversation = &request->conversation;
    return conversation_open(conversation, request->service, body, length, error) &&
           conversation_read(conversation, error) &&
           (tool_choice_allows_calls(&request->tools) ||
            conversation_set(conversation, "tools", template_none(), error)) &&
           tool_grammar_require(&request->tools, conversation, &request->generation, error);
}

bool chat_request_read(struct chat_request *request, const struct service *service,
                       const char *body, size_t length, struct api_error *error) {
    *request = defaults;
    request->service = service;
    return read_json(request, body, length, error) &&
           generation_read(&request->generation, service, request->json, REPLY_TOKENS_ALL, error) &&
           parameters_read(request->json, parameters, PARAMETERS, request, error) &&
           tool_choice_read(&request->tools, request->json, error) &&
           check_together(request, error) && read_prompt(request, body, length, error);
}

bool chat_request_encode(struct chat_request *request, struct api_error *error) {
    return generation_prepare(&request->generation, error) &&
           conversation_encode(&request->conversation, &request->prompt.ids, error);
}

void chat_request_deinit(struct chat_request *request) {
    token_list_deinit(&request->prompt.ids);
    conversation_deinit(&request->conversation);
    tool_choice_deinit(&request->tools);
    generation_deinit(&request->generation);
    cJSON_Delete(request->json);
}

struct completion_options chat_request_options(const struct chat_request *request) {
    const struct chat_format *format = &request->service->chat_format;
    bool calls = tool_choice_allows_calls(&request->tools);
    return (struct completion_options){
        .service = request->service,
        .generation = &request->generation,
        .logprobs = request->logprobs,
        .top_logprobs = (size_t)request->top_logprobs,
        .opening = request->conversation.opening.bytes,
        .shown = format->marks,
        .shown_count = calls ? format->mark_count : format->reasoning_mark_count,
    };
}

/* A reply that must have a form has no room for thoughts. */
struct chat_reply_options chat_request_reply_options(const struct chat_request *request) {
    bool splits = !request->keeps_thoughts && !reply_form_is_wanted(&request->generation.form);
    return chat_reply_options_of(&request->conversation, &request->tools, splits);
}
