/* POST /apply-template: the prompt that a chat completion with the same body would have. */
#include "server/answer.h"
#include "server/conversation.h"
#include "server/encoding.h"
#include "server/json.h"
#include "server/routes.h"

#include <stdlib.h>

static bool read_request(struct conversation *conversation, const struct service *service,
                         const char *body, size_t length, struct api_error *error) {
    cJSON *json = NULL;
    struct error err = {0};
    *conversation = (struct conversation){0};
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
    free(conversation);
}

void api_apply_template(struct http_exchange *exchange, const struct service *service,
                        const char *rest) {
    static const struct encoding encoding = {render, answer, close_request};
    (void)rest;
    size_t length;
    const char *body = http_body(exchange, &length);
    struct conversation *conversation = malloc(sizeof *conversation);
    struct api_error error;
    if (conversation == NULL) {
        api_refuse(exchange, API_INTERNAL, NULL, "Out of memory");
    } else if (read_request(conversation, service, body, length, &error)) {
        encoding_begin(exchange, service, &encoding, conversation, encoding_takes_long(length));
    } else {
        close_request(conversation);
        api_error_respond(exchange, &error);
    }
}
