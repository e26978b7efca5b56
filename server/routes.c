#include "server/routes.h"

#include "server/api_error.h"

#include <stdio.h>
#include <string.h>

struct route {
    const char *method; /* GET answers HEAD, too: MHD leaves the body out */
    const char *path;   /* one that ends in '/' matches all below it */
    void (*handler)(struct http_exchange *exchange, const struct service *service,
                    const char *rest);
    bool while_draining;
};

static const struct route routes[] = {
    {"GET", "/health", api_health, true},
    {"GET", "/metrics", api_metrics, true},
    {"GET", "/v1/models", api_models_list, true},
    {"GET", "/v1/models/", api_models_one, true},
    {"POST", "/v1/completions", api_completions, false},
    {"POST", "/v1/messages", api_messages, false},
    {"POST", "/v1/messages/count_tokens", api_messages_count_tokens, false},
    {"POST", "/v1/chat/completions", api_chat, false},
    {"POST", "/v1/responses", api_responses, false},
    {"GET", "/v1/responses/", api_responses_kept, false},
    {"POST", "/v1/responses/", api_responses_kept, false},
    {"DELETE", "/v1/responses/", api_responses_kept, false},
    {"POST", "/apply-template", api_apply_template, false},
    {"POST", "/tokenize", api_tokenize, false},
    {"POST", "/detokenize", api_detokenize, false},
};

enum { ROUTES = sizeof routes / sizeof *routes };

/* What follows the route's path, or NULL if it does not match. */
static const char *match_path(const struct route *route, const char *path) {
    size_t length = strlen(route->path);
    bool below = route->path[length - 1] == '/';
    if (strncmp(path, route->path, length) != 0 || (path[length] != '\0') != below) {
        return NULL;
    }
    return path + length;
}

static bool match_method(const struct route *route, const char *method) {
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void list_methods(const char *path, char *allowed, size_t size) {
    size_t length = 0;
    allowed[0] = '\0';
    for (size_t i = 0; i < ROUTES && length < size; i++) {
        if (match_path(&routes[i], path) != NULL) {
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

void routes_handle(struct http_exchange *exchange, void *context) {
    const struct service *service = context;
    const char *path = http_path(exchange);
    bool path_known = false;
    for (size_t i = 0; i < ROUTES; i++) {
        const char *rest = match_path(&routes[i], path);
        path_known = path_known || rest != NULL;
        if (rest == NULL || !match_method(&routes[i], http_method(exchange))) {
            continue;
        }
        if (http_body_too_large(exchange)) {
            api_refuse(exchange, API_BODY_TOO_LARGE, NULL,
                       "The body is larger than the %zu bytes that this server accepts",
                       service->body_max);
        } else if (http_server_is_draining(service->http) && !routes[i].while_draining) {
            api_refuse(exchange, API_DRAINING, NULL, "The server is shutting down");
        } else {
            routes[i].handler(exchange, service, rest);
        }
        return;
    }
    if (path_known) {
        refuse_method(exchange);
    } else {
        api_refuse(exchange, API_PATH_NOT_FOUND, NULL, "There is nothing at %.200s", path);
    }
}
