#include "server/routes.h"

#include "importer/json_reader.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/models.h"
#include "server/openapi_bodies.h"
#include "server/request_counts.h"
#include "server/serve_options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* clang-format off */
static const struct route routes[] = {
    {"GET", "/", api_page, ACCESS_FREE, NULL, NULL, NULL, false},
    {"GET", "/health", api_health, ACCESS_FREE,
     "Whether the server can serve, and how busy it is.", NULL, "Health", false},
    {"GET", "/ready", api_ready, ACCESS_FREE,
     "Whether more requests may come.", NULL, "Ready", false},
    {"GET", "/metrics", api_metrics, ACCESS_METRICS,
     "What is counted and measured, in the text format of Prometheus.", NULL, NULL, false},
    {"GET", "/openapi.json", api_openapi, ACCESS_KEY,
     "This description.", NULL, "OpenAPI", false},
    {"GET", "/v1/models", api_models_list, ACCESS_KEY,
     "The models that are served.", NULL, "Models", false},
    {"GET", "/v1/models/", api_models_one, ACCESS_KEY,
     "The model of this name.", NULL, "Model", false},
    {"POST", "/v1/completions", api_completions, ACCESS_COMPUTE,
     "Texts that continue prompts.", completion_request_describe, "Completion", true},
    {"POST", "/v1/chat/completions", api_chat, ACCESS_COMPUTE,
     "Replies to a conversation.", openapi_describe_chat, "ChatCompletion", true},
    {"POST", "/v1/responses", api_responses, ACCESS_COMPUTE,
     "Replies to a conversation, in the form of OpenAI's newer API.", openapi_describe_responses,
     "Response", true},
    {"POST", "/v1/responses/input_tokens", api_responses_input_tokens, ACCESS_COMPUTE,
     "How many tokens a conversation in that form has.", openapi_describe_responses,
     "ResponseTokens", false},
    {"GET", "/v1/responses/", api_responses_kept, ACCESS_COMPUTE, NULL, NULL, NULL, false},
    {"POST", "/v1/responses/", api_responses_kept, ACCESS_COMPUTE, NULL, NULL, NULL, false},
    {"DELETE", "/v1/responses/", api_responses_kept, ACCESS_COMPUTE, NULL, NULL, NULL, false},
    {"POST", "/v1/messages", api_messages, ACCESS_COMPUTE,
     "Replies to a conversation in Anthropic's form.", openapi_describe_messages, "Message", true},
    {"POST", "/v1/messages/count_tokens", api_messages_count_tokens, ACCESS_COMPUTE,
     "How many tokens a conversation in Anthropic's form has.",
     openapi_describe_messages_tokens, "MessageTokens", false},
    {"POST", "/apply-template", api_apply_template, ACCESS_COMPUTE,
     "The prompt of a conversation.", openapi_describe_conversation, "Prompt", false},
    {"POST", "/tokenize", api_tokenize, ACCESS_COMPUTE,
     "The tokens of a text.", api_tokenize_describe, "Tokens", false},
    {"POST", "/detokenize", api_detokenize, ACCESS_COMPUTE,
     "The text of tokens.", api_detokenize_describe, "Content", false},
};

/* What clients of OpenAI's API may ask for and no model here can do. */
static const struct refused_path {
    const char *path; /* as in struct route */
    const char *reason;
} refused_paths[] = {
    {"/v1/embeddings", "the models served here have no embeddings as their output, but text"},
    {"/embeddings", "the models served here have no embeddings as their output, but text"},
    {"/v1/audio/", "the models served here neither hear nor speak"},
    {"/v1/images/", "the models served here neither see nor draw"},
    {"/v1/moderations", "the models served here do not classify text"},
    {"/v1/rerank", "the models served here do not rank texts"},
    {"/v1/files", "this server keeps no files"},
    {"/v1/batches", "this server has no batches: send requests at once, they are computed together"},
    {"/v1/assistants", "this server keeps no state between requests"},
    {"/v1/threads", "this server keeps no state between requests"},
};
/* clang-format on */

enum {
    ROUTES = sizeof routes / sizeof *routes,
    REFUSED_PATHS = sizeof refused_paths / sizeof *refused_paths,
};
static_assert((int)ROUTES < (int)COUNTED_ROUTES_MAX, "each route is counted, and what has none");

const struct route *routes_all(size_t *count) {
    *count = ROUTES;
    return routes;
}

/* What follows the route's path, or NULL if it does not match. */
static const char *match_path(const char *of_route, const char *path) {
    size_t length = strlen(of_route);
    bool below = length > 1 && of_route[length - 1] == '/';
    if (strncmp(path, of_route, length) != 0 || (path[length] != '\0') != below) {
        return NULL;
    }
    return path + length;
}

static bool match_method(const struct route *route, const char *method) {
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The first route of the path; those with the same path have its other methods. A path that is in the table
 * itself stands before the one that it lies below. ROUTES: none. */
static size_t find_path(const char *path) {
    size_t i = 0;
    while (i < ROUTES && match_path(routes[i].path, path) == NULL) {
        i++;
    }
    return i;
}

static bool is_at(size_t route, size_t first) {
    return first < ROUTES && strcmp(routes[route].path, routes[first].path) == 0;
}

static void list_methods(const char *path, char *allowed, size_t size) {
    size_t length = 0;
    size_t first = find_path(path);
    allowed[0] = '\0';
    for (size_t i = 0; i < ROUTES && length < size; i++) {
        if (is_at(i, first)) {
            bool get = strcmp(routes[i].method, "GET") == 0;
            length +=
                (size_t)snprintf(allowed + length, size - length, "%s%s%s", length > 0 ? ", " : "",
                                 routes[i].method, get ? ", HEAD" : "");
        }
    }
}

static void refuse_method(struct http_exchange *exchange) {
    char allowed[64];
    list_methods(http_path(exchange), allowed, sizeof allowed);
    http_add_header(exchange, "Allow", allowed);
    api_refuse(exchange, API_METHOD, NULL, "%s does not answer %.16s, but %s", http_path(exchange),
               http_method(exchange), allowed);
}

/* Would it be a path behind /v1? Clients are told that part with the server's address, and people forget it. */
static bool lacks_version(const char *path) {
    static const char version[] = "/v1";
    size_t length = sizeof version - 1;
    bool found = false;
    for (size_t i = 0; i < ROUTES && !found; i++) {
        const char *of_route = routes[i].path;
        found =
            strncmp(of_route, version, length) == 0 && match_path(of_route + length, path) != NULL;
    }
    return found;
}

static void refuse_path(struct http_exchange *exchange) {
    const char *path = http_path(exchange);
    for (size_t i = 0; i < REFUSED_PATHS; i++) {
        if (match_path(refused_paths[i].path, path) != NULL) {
            api_refuse(exchange, API_UNSUPPORTED, NULL, "%.100s is not supported: %s", path,
                       refused_paths[i].reason);
            return;
        }
    }
    api_refuse(exchange, API_PATH_NOT_FOUND, NULL, "There is nothing at %.200s: %s", path,
               lacks_version(path) ? "the base URL of the client must end with /v1"
                                   : "GET /openapi.json lists the paths");
}

/* Content-Encoding, if the body has another than none. */
static const char *encoding_of(const struct http_exchange *exchange) {
    const char *encoding = http_request_header(exchange, "Content-Encoding");
    return encoding == NULL || strcasecmp(encoding, "identity") == 0 ? NULL : encoding;
}

/* The text of `model` in the body; NULL where there is none. What is wrong with the body, that text
 * included, the handler says. */
static const char *find_model_name(const char *body, size_t length, struct text_buffer *name) {
    struct json_reader json;
    struct token_text key;
    struct token_text text = {0};
    json_reader_init(&json, body, length);
    json_begin_object(&json);
    while (text.bytes == NULL && json_next_key(&json, &key)) {
        if (token_text_is(key, "model") && json_peek(&json) == JSON_STRING) {
            json_string(&json, &text);
        } else {
            json_skip(&json);
        }
    }
    bool found = text.bytes != NULL && memchr(text.bytes, '\0', text.length) == NULL &&
                 text_buffer_append(name, text.bytes, text.length) &&
                 text_buffer_append(name, "", 1);
    json_reader_deinit(&json);
    return found ? name->bytes : NULL;
}

/* ---- Requests that come before the start is over ---- */

static void advance_early(struct http_exchange *exchange, void *context) {
    if (models_are_settled(context) || http_server_is_draining(http_exchange_server(exchange))) {
        routes_handle(exchange, context);
    }
}

static void cancel_early(struct http_exchange *exchange, void *context) {
    (void)context;
    api_refuse(exchange, API_DRAINING, NULL, "The server is shutting down");
}

static void close_early(struct http_exchange *exchange, void *context, bool delivered) {
    (void)exchange, (void)context, (void)delivered;
}

/* Whoever asks for a model while the daemon starts, as the first client of a socket that systemd passes does,
 * gets the answer when that is over. Models that are loaded later are not waited for. */
static void refuse_model(struct http_exchange *exchange, struct models *models,
                         const struct api_error *error) {
    static const struct http_task early = {advance_early, cancel_early, close_early};
    if (error->kind == API_MODEL_LOADING && !models_are_settled(models)) {
        http_defer(exchange, &early, models);
    } else {
        api_error_respond(exchange, error);
    }
}

/* ---- Requests ---- */

/* Calls the handler with the model that the request is to. */
static void handle(struct http_exchange *exchange, struct models *models, const struct route *route,
                   const char *rest) {
    const struct service *service = models_default(models);
    if (route->describe_body != NULL) {
        struct text_buffer name = {0};
        struct api_error error;
        size_t length;
        const char *body = http_body(exchange, &length);
        service = models_find(models, find_model_name(body, length, &name), &error);
        text_buffer_deinit(&name);
        if (service == NULL) {
            refuse_model(exchange, models, &error);
            return;
        }
    }
    route->handler(exchange, service, rest);
}

static void serve(struct http_exchange *exchange, struct models *models, const struct route *route,
                  const char *rest) {
    const struct service *service = models_default(models);
    const char *encoding = encoding_of(exchange);
    if (http_body_unclear(exchange)) {
        api_refuse(exchange, API_INVALID, NULL,
                   "It is not clear where the body ends: a request has one Content-Length, or "
                   "\"Transfer-Encoding: chunked\"");
    } else if (http_body_too_large(exchange)) {
        api_refuse(exchange, API_BODY_TOO_LARGE, NULL,
                   "The body is larger than the %zu bytes that this server accepts",
                   service->options->max_body);
    } else if (encoding != NULL) {
        api_refuse(exchange, API_ENCODING, NULL,
                   "The body is encoded as \"%.40s\", but must be sent as it is: without "
                   "Content-Encoding",
                   encoding);
    } else if (http_server_is_draining(service->http) && route->need == ACCESS_COMPUTE) {
        api_refuse(exchange, API_DRAINING, NULL, "The server is shutting down");
    } else {
        handle(exchange, models, route, rest);
    }
}

/* ROUTES: none. */
static size_t find_route(const struct http_exchange *exchange) {
    size_t first = find_path(http_path(exchange));
    size_t i = 0;
    while (i < ROUTES && (!is_at(i, first) || !match_method(&routes[i], http_method(exchange)))) {
        i++;
    }
    return i;
}

const char *routes_name(size_t route) {
    return route < ROUTES ? routes[route].path : route == ROUTES ? "other" : NULL;
}

/* The routes of one path are counted together, as the first one: a series has one path and one status. */
static size_t find_counted(const struct http_exchange *exchange) {
    size_t route = find_route(exchange);
    return route < ROUTES ? find_path(http_path(exchange)) : route;
}

void routes_finish(const struct http_exchange *exchange, void *context) {
    const struct service *service = models_default(context);
    request_counts_add(service->counts, find_counted(exchange), http_status(exchange));
}

/* Of a path that is not there nobody without a key learns that, either. */
void routes_admit(struct http_exchange *exchange, void *context) {
    const struct service *service = models_default(context);
    const char *path = http_path(exchange);
    size_t route = find_route(exchange);
    enum access_need need = route < ROUTES ? routes[route].need : ACCESS_KEY;
    char methods[64];
    list_methods(path, methods, sizeof methods);
    if (api_path_is_anthropic(path)) {
        http_add_header(exchange, "Request-Id", http_id(exchange)); /* as its clients look for it */
    }
    access_admit(service->access, exchange, need, methods);
}

void routes_handle(struct http_exchange *exchange, void *context) {
    const char *path = http_path(exchange);
    size_t route = find_route(exchange);
    if (route < ROUTES) {
        serve(exchange, context, &routes[route], match_path(routes[route].path, path));
    } else if (find_path(path) < ROUTES) {
        refuse_method(exchange);
    } else {
        refuse_path(exchange);
    }
}
