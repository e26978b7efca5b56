/* POST /apply-template: the prompt that a chat completion with the same body would have. */
#include "server/answer.h"
#include "server/conversation.h"
#include "server/json.h"
#include "server/routes.h"

static bool answer(struct conversation *conversation, char **text, struct api_error *error) {
    if (!conversation_read(conversation, error) || !conversation_render(conversation, error)) {
        return false;
    }
    const struct text_buffer *prompt = &conversation->prompt;
    cJSON *root = cJSON_CreateObject();
    bool complete = answer_add(root, "prompt", json_create_text(prompt->bytes, prompt->length));
    *text = answer_print(root, complete);
    return true;
}

void api_apply_template(struct http_exchange *exchange, const struct service *service,
                        const char *rest) {
    (void)rest;
    size_t length;
    const char *body = http_body(exchange, &length);
    struct conversation conversation = {0};
    struct api_error error;
    struct error err = {0};
    cJSON *json = NULL;
    char *text = NULL;
    bool fine = json_parse(&json, body, length, &err) || api_error_from(&error, &err, NULL);
    cJSON_Delete(json);
    fine = fine && conversation_open(&conversation, service, body, length, &error) &&
           answer(&conversation, &text, &error);
    conversation_deinit(&conversation);
    if (fine) {
        http_respond_json(exchange, 200, text);
    } else {
        api_error_respond(exchange, &error);
    }
}
