/* POST /apply-template: the prompt that a chat completion with the same body would have. */
#include "server/answer.h"
#include "server/conversation.h"
#include "server/json.h"
#include "server/preparation.h"
#include "server/routes.h"

static bool read_request(void *conversation, const struct service *service, const char *body,
                         size_t length, struct api_error *error) {
    cJSON *json = NULL;
    struct error err = {0};
    bool fine = json_parse(&json, body, length, &err) || api_error_from(error, &err, NULL);
    cJSON_Delete(json);
    return fine && conversation_open(conversation, service, body, length, error) &&
           conversation_read(conversation, error);
}

static bool render(void *conversation, struct api_error *error) {
    return conversation_render(conversation, error);
}

static void answer(struct http_exchange *exchange, void *context) {
    const struct conversation *conversation = context;
    const struct text_buffer *prompt = &conversation->prompt;
    cJSON *root = cJSON_CreateObject();
    bool complete = answer_add(root, "prompt", json_create_text(prompt->bytes, prompt->length));
    http_respond_json(exchange, 200, answer_print(root, complete));
}

static void close_request(void *conversation) {
    conversation_deinit(conversation);
}

void api_apply_template(struct http_exchange *exchange, const struct service *service,
                        const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct conversation),
        .read = read_request,
        .encode = render,
        .start = answer,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}
