#include "server/access.h"

#include "server/api_error.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool access_set(struct access *access, const struct access_options *options, struct error *err) {
    struct api_keys *keys = NULL;
    if (options->api_keys != NULL && !api_keys_open(&keys, options->api_keys, err)) {
        return false;
    }
    api_keys_close(access->keys);
    access->keys = keys;
    access->options = *options;
    return true;
}

void access_deinit(struct access *access) {
    api_keys_close(access->keys);
    *access = (struct access){0};
}

/* ---- Keys ---- */

/* The key that the request has with it; NULL: none. */
static const char *presented_key(const struct http_exchange *exchange) {
    static const char scheme[] = "Bearer ";
    const char *authorization = http_request_header(exchange, "Authorization");
    if (authorization != NULL && strncasecmp(authorization, scheme, sizeof scheme - 1) == 0) {
        const char *key = authorization + sizeof scheme - 1;
        return key + strspn(key, " ");
    }
    return http_request_header(exchange, "X-Api-Key");
}

/* Whose key it is; NULL: nobody's. */
static const char *owner_of(const struct access *access, const struct http_exchange *exchange) {
    const char *key = presented_key(exchange);
    return key != NULL && access->keys != NULL ? api_keys_find(access->keys, key) : NULL;
}

static void refuse_key(struct http_exchange *exchange) {
    http_add_header(exchange, "WWW-Authenticate", "Bearer");
    api_refuse(exchange, API_UNAUTHORIZED, NULL, "%s",
               presented_key(exchange) != NULL
                   ? "This API key is not known here"
                   : "There is no API key; send it as \"Authorization: Bearer KEY\"");
}

bool access_sees_metrics(const struct access *access, const struct http_exchange *exchange) {
    return access->keys == NULL || access->options.open_metrics ||
           owner_of(access, exchange) != NULL;
}

/* ---- CORS (https://fetch.spec.whatwg.org/#http-cors-protocol) ---- */

/* "https://example.org:8443": a path, which people copy with it, is no part of it, not even "/". */
static bool is_origin(const char *word, size_t length) {
    size_t scheme = strcspn(word, ":/ \t");
    size_t begin = scheme + strlen("://");
    return scheme > 0 && strncmp(word + scheme, "://", strlen("://")) == 0 && begin < length &&
           memchr(word + begin, '/', length - begin) == NULL;
}

bool access_check_origins(const char *origins, struct error *err) {
    for (const char *at = origins + strspn(origins, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        size_t length = strcspn(at, " \t");
        bool all = length == 1 && *at == '*';
        if (!all && !is_origin(at, length)) {
            return error_set(
                err, ERROR_INVALID,
                "\"%.*s\" is no origin: SCHEME://HOST or SCHEME://HOST:PORT, without a "
                "path, or *",
                (int)(length < 100 ? length : 100), at);
        }
        at += length;
    }
    return true;
}

static bool origin_is_allowed(const char *allowed, const char *origin) {
    size_t length = strlen(origin);
    while (*allowed != '\0') {
        allowed += strspn(allowed, " \t");
        size_t word = strcspn(allowed, " \t");
        if ((word == 1 && *allowed == '*') ||
            (word > 0 && word == length && memcmp(allowed, origin, length) == 0)) {
            return true;
        }
        allowed += word;
    }
    return false;
}

/* Adds what lets a page of the request's origin read the answer. False: no page may. */
static bool allow_origin(const struct access *access, struct http_exchange *exchange) {
    const char *origin = http_request_header(exchange, "Origin");
    const char *allowed = access->options.cors_origins;
    if (allowed == NULL) {
        return false;
    }
    http_add_header(exchange, "Vary", "Origin");
    if (origin == NULL || !origin_is_allowed(allowed, origin)) {
        return false;
    }
    http_add_header(exchange, "Access-Control-Allow-Origin", origin);
    http_add_header(exchange, "Access-Control-Expose-Headers",
                    "X-Request-Id, Request-Id, X-Prefix-Hash, Retry-After");
    return true;
}

static bool is_preflight(const struct http_exchange *exchange) {
    return strcmp(http_method(exchange), "OPTIONS") == 0 &&
           http_request_header(exchange, "Origin") != NULL &&
           http_request_header(exchange, "Access-Control-Request-Method") != NULL;
}

static void answer_preflight(struct http_exchange *exchange, const char *methods) {
    http_add_header(exchange, "Access-Control-Allow-Methods", methods);
    /* Clients in a browser send headers of their own, too. The asterisk means all but the first one. */
    http_add_header(exchange, "Access-Control-Allow-Headers", "Authorization, *");
    http_add_header(exchange, "Access-Control-Max-Age", "600");
    http_respond_empty(exchange, 204);
}

/* ---- All of it ---- */

void access_admit(const struct access *access, struct http_exchange *exchange,
                  enum access_need need, const char *methods) {
    if (allow_origin(access, exchange) && is_preflight(exchange)) {
        answer_preflight(exchange, methods);
        return;
    }
    const char *owner = owner_of(access, exchange);
    if (owner != NULL) {
        http_set_client(exchange, owner);
    }
    bool needs_key = need == ACCESS_COMPUTE || need == ACCESS_KEY ||
                     (need == ACCESS_METRICS && !access->options.open_metrics);
    size_t limit = access->options.client_requests;
    if (access->keys != NULL && needs_key && owner == NULL) {
        refuse_key(exchange);
    } else if (need == ACCESS_COMPUTE && limit > 0 && http_requests_of_client(exchange) > limit) {
        api_refuse(exchange, API_CLIENT_BUSY, NULL,
                   "%s has %zu requests running already, and no more may be", http_client(exchange),
                   limit);
    }
}
