#include "server/api_error.h"

#include "engine/text/utf8.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned status;
    const char *type;
    const char *code;           /* NULL: null */
    const char *anthropic_type; /* in answers of Anthropic's form */
} kinds[API_ERROR_KIND_COUNT] = {
    [API_INVALID] = {400, "invalid_request_error", NULL, "invalid_request_error"},
    [API_CONTEXT_LENGTH] = {400, "invalid_request_error", "context_length_exceeded",
                            "invalid_request_error"},
    [API_UNAUTHORIZED] = {401, "invalid_request_error", "invalid_api_key", "authentication_error"},
    [API_MODEL_NOT_FOUND] = {404, "invalid_request_error", "model_not_found", "not_found_error"},
    [API_PATH_NOT_FOUND] = {404, "invalid_request_error", "not_found", "not_found_error"},
    [API_UNSUPPORTED] = {400, "invalid_request_error", "unsupported", "invalid_request_error"},
    [API_METHOD] = {405, "invalid_request_error", "method_not_allowed", "invalid_request_error"},
    [API_BODY_TOO_LARGE] = {413, "invalid_request_error", "body_too_large", "request_too_large"},
    [API_ENCODING] = {415, "invalid_request_error", "unsupported_encoding",
                      "invalid_request_error"},
    [API_QUEUE_FULL] = {429, "rate_limit_error", "queue_full", "rate_limit_error"},
    [API_CLIENT_BUSY] = {429, "rate_limit_error", "too_many_requests", "rate_limit_error"},
    [API_INTERNAL] = {500, "server_error", NULL, "api_error"},
    [API_MODEL_FAILED] = {500, "server_error", "model_failed", "api_error"},
    [API_MODEL_LOADING] = {503, "server_error", "model_loading", "overloaded_error"},
    [API_MODEL_MEMORY] = {503, "server_error", "model_memory", "overloaded_error"},
    [API_DRAINING] = {503, "server_error", "draining", "overloaded_error"},
};

/* A client that is told to come back tries again after this many seconds. */
static const char retry_after[] = "1";

/* The message may quote what the client sent, cut anywhere. */
static void replace_invalid_utf8(char *text) {
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        size_t width = utf8_character(text + at, length - at);
        if (width == 0) {
            text[at] = '?';
            width = 1;
        }
        at += width;
    }
}

__attribute__((format(printf, 4, 0))) static void fill(struct api_error *error,
                                                       enum api_error_kind kind, const char *param,
                                                       const char *format, va_list arguments) {
    error->kind = kind;
    snprintf(error->param, sizeof error->param, "%s", param != NULL ? param : "");
    vsnprintf(error->message, sizeof error->message, format, arguments);
    replace_invalid_utf8(error->message);
}

bool api_error_set(struct api_error *error, enum api_error_kind kind, const char *param,
                   const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fill(error, kind, param, format, arguments);
    va_end(arguments);
    return false;
}

bool api_error_context(struct api_error *error, const char *param, size_t tokens, size_t context) {
    return api_error_set(error, API_CONTEXT_LENGTH, param,
                         "This model's maximum context length is %zu tokens, the reply included, "
                         "but the prompt has %zu",
                         context, tokens);
}

bool api_error_from(struct api_error *error, const struct error *cause, const char *param) {
    switch (cause->code) {
    case ERROR_INVALID:
    case ERROR_UNSUPPORTED:
        return api_error_set(error, API_INVALID, param, "%s", cause->text);
    case ERROR_TOO_LARGE:
        return api_error_set(error, API_CONTEXT_LENGTH, param, "%s", cause->text);
    case ERROR_BUSY:
        return api_error_set(error, API_QUEUE_FULL, NULL, "%s", cause->text);
    default:
        return api_error_set(error, API_INTERNAL, NULL, "%s", cause->text);
    }
}

char *api_error_print(const struct api_error *error) {
    const char *code = kinds[error->kind].code;
    cJSON *root = cJSON_CreateObject();
    cJSON *object = cJSON_AddObjectToObject(root, "error");
    char *text = NULL;
    if (cJSON_AddStringToObject(object, "message", error->message) != NULL &&
        cJSON_AddStringToObject(object, "type", kinds[error->kind].type) != NULL &&
        (error->param[0] == '\0' ? cJSON_AddNullToObject(object, "param")
                                 : cJSON_AddStringToObject(object, "param", error->param)) &&
        (code == NULL ? cJSON_AddNullToObject(object, "code")
                      : cJSON_AddStringToObject(object, "code", code))) {
        text = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(root);
    return text;
}

char *api_error_print_anthropic(const struct api_error *error) {
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (cJSON_AddStringToObject(root, "type", "error") != NULL) {
        cJSON *object = cJSON_AddObjectToObject(root, "error");
        const char *type = kinds[error->kind].anthropic_type;
        if (cJSON_AddStringToObject(object, "type", type) != NULL &&
            cJSON_AddStringToObject(object, "message", error->message) != NULL) {
            text = cJSON_PrintUnformatted(root);
        }
    }
    cJSON_Delete(root);
    return text;
}

bool api_path_is_anthropic(const char *path) {
    static const char messages[] = "/v1/messages";
    size_t length = sizeof messages - 1;
    return strncmp(path, messages, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

void api_error_respond(struct http_exchange *exchange, const struct api_error *error) {
    char *text = api_path_is_anthropic(http_path(exchange)) ? api_error_print_anthropic(error)
                                                            : api_error_print(error);
    if (kinds[error->kind].status == 429 || kinds[error->kind].status == 503) {
        http_add_header(exchange, "Retry-After", retry_after);
    }
    http_respond_json(exchange, kinds[error->kind].status, text);
}

void api_refuse(struct http_exchange *exchange, enum api_error_kind kind, const char *param,
                const char *format, ...) {
    struct api_error error;
    va_list arguments;
    va_start(arguments, format);
    fill(&error, kind, param, format, arguments);
    va_end(arguments);
    api_error_respond(exchange, &error);
}
