/* What the API says when it refuses, in OpenAI's shape:
 *
 *     {"error": {"message": "…", "type": "invalid_request_error", "param": "top_p", "code": null}}
 *
 * and at /v1/messages in Anthropic's:
 *
 *     {"type": "error", "error": {"type": "invalid_request_error", "message": "…"}}
 */
#ifndef QUERN_SERVER_API_ERROR_H
#define QUERN_SERVER_API_ERROR_H

#include "engine/error.h"
#include "server/http.h"

#include <stdbool.h>

enum api_error_kind {
    API_INVALID, /* 400 */
    API_CONTEXT_LENGTH,
    API_UNAUTHORIZED,
    API_MODEL_NOT_FOUND,
    API_PATH_NOT_FOUND,
    API_UNSUPPORTED,
    API_METHOD,
    API_BODY_TOO_LARGE,
    API_ENCODING,
    API_QUEUE_FULL,
    API_CLIENT_BUSY,
    API_INTERNAL,
    API_MODEL_FAILED,
    API_MODEL_LOADING,
    API_MODEL_MEMORY,
    API_DRAINING,
    API_ERROR_KIND_COUNT,
};

struct api_error {
    enum api_error_kind kind;
    char param[64]; /* empty: null */
    char message[640];
};

/* Fills the error; `param` may be NULL. Bytes that are not UTF-8 become '?'. Always returns
 * false. */
bool api_error_set(struct api_error *error, enum api_error_kind kind, const char *param,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The prompt leaves no room for a reply. Clients know this error by its code, or by the first words of its
 * message, which are OpenAI's. */
bool api_error_context(struct api_error *error, const char *param, size_t tokens, size_t context);

/* What the engine's error means to a client, `param` being what it was called with. */
bool api_error_from(struct api_error *error, const struct error *cause, const char *param);

/* The JSON object as text, to be released with cJSON_free; NULL when memory is out. */
char *api_error_print(const struct api_error *error);
char *api_error_print_anthropic(const struct api_error *error);

/* Is it a path of Anthropic's API? Whoever asks there reads no other form, whatever goes wrong. */
bool api_path_is_anthropic(const char *path);

/* Answers with the error's status, in the shape of the exchange's path. */
void api_error_respond(struct http_exchange *exchange, const struct api_error *error);

/* api_error_set and api_error_respond in one. */
void api_refuse(struct http_exchange *exchange, enum api_error_kind kind, const char *param,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
