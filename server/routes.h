/* What is served where: one table of method, path and handler. */
#ifndef QUERN_SERVER_ROUTES_H
#define QUERN_SERVER_ROUTES_H

#include "server/access.h"
#include "server/http.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct route {
    const char *method; /* GET answers HEAD, too: MHD leaves the body out */
    const char *path;   /* one that ends in '/' matches all below it, but "/" only itself */
    void (*handler)(struct http_exchange *exchange, const struct service *service,
                    const char *rest);
    enum access_need need; /* what computes is refused while the server drains */

    /* For GET /openapi.json. */
    const char *summary; /* NULL: not described, because it only refuses */
    bool (*describe_body)(const struct service *service,
                          cJSON *schema); /* NULL: it is to no model */
    const char *answer;                   /* its schema in openapi_answers.json; NULL: it is text */
    bool streams;                         /* or server-sent events, if so asked */
};

const struct route *routes_all(size_t *count);

/* Refuses the exchange, or lets it go on; `context` is the struct models. */
void routes_admit(struct http_exchange *exchange, void *context);

/* Answers or defers the exchange; `context` is the struct models. */
void routes_handle(struct http_exchange *exchange, void *context);

/* Counts the answer; `context` is the struct models. */
void routes_finish(const struct http_exchange *exchange, void *context);

/* "/v1/completions", and "other" for what has no route; NULL behind that. */
const char *routes_name(size_t route);

/* The handlers, each in the file of its name. `rest` is what follows a path that ends in '/'. One that keeps
 * the service beyond its return holds it (models.h). */
void api_apply_template(struct http_exchange *exchange, const struct service *service,
                        const char *rest);
void api_chat(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_completions(struct http_exchange *exchange, const struct service *service,
                     const char *rest);
void api_messages(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_messages_count_tokens(struct http_exchange *exchange, const struct service *service,
                               const char *rest);
void api_models_list(struct http_exchange *exchange, const struct service *service,
                     const char *rest);
void api_models_one(struct http_exchange *exchange, const struct service *service,
                    const char *rest);
void api_responses(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_responses_input_tokens(struct http_exchange *exchange, const struct service *service,
                                const char *rest);
void api_responses_kept(struct http_exchange *exchange, const struct service *service,
                        const char *rest);
void api_tokenize(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_detokenize(struct http_exchange *exchange, const struct service *service,
                    const char *rest);
void api_page(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_metrics(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_openapi(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_ready(struct http_exchange *exchange, const struct service *service, const char *rest);
void api_health(struct http_exchange *exchange, const struct service *service, const char *rest);

/* The parameters of their bodies, as JSON Schema; see parameters_describe. */
bool api_tokenize_describe(const struct service *service, cJSON *schema);
bool api_detokenize_describe(const struct service *service, cJSON *schema);

#endif
