/* POST /v1/messages/count_tokens: how many tokens the prompt of a conversation in Anthropic's form
 * has. */
#include "server/messages_request.h"
#include "server/routes.h"

void api_messages_count_tokens(struct http_exchange *exchange, const struct service *service,
                               const char *rest) {
    (void)rest;
    size_t length;
    const char *body = http_body(exchange, &length);
    struct messages_request request;
    struct api_error error;
    if (messages_request_read(&request, service, body, length, true, &error)) {
        cJSON *root = cJSON_CreateObject();
        cJSON *count =
            cJSON_AddNumberToObject(root, "input_tokens", (double)request.prompt.ids.length);
        http_respond_json(exchange, 200, count != NULL ? cJSON_PrintUnformatted(root) : NULL);
        cJSON_Delete(root);
    } else {
        api_error_respond(exchange, &error);
    }
    messages_request_deinit(&request);
}
