#include "prompt_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static void render(const struct prompt_fixture *fixture, const char *body,
                   struct text_buffer *out) {
    struct chat_template chat = {0};
    struct model model = {.chat_template = &chat};
    struct service service = {.model = &model,
                              .chat_traits = {.takes_parts = true, .knows_tools = true}};
    struct conversation conversation;
    struct api_error error;
    arena_init(&chat.arena);
    chat.tokens = template_dict_new(&chat.arena);
    cr_assert(template_parse(&chat.usual, fixture->printing, strlen(fixture->printing), NULL));
    bool fine = conversation_open(&conversation, &service, body, strlen(body), &error) &&
                fixture->read(&conversation, &error) && conversation_render(&conversation, &error);
    const char *text = fine ? conversation.prompt.bytes : error.message;
    cr_assert(text_buffer_append(out, text, strlen(text)));
    conversation_deinit(&conversation);
    template_close(chat.usual);
    arena_deinit(&chat.arena);
}

void prompt_check(const struct prompt_fixture *fixture, const char *body, const char *expected) {
    struct text_buffer out = {0};
    render(fixture, body, &out);
    cr_expect_str_eq(out.bytes, expected, "%s\n   gave %s\n   not %s", body, out.bytes, expected);
    text_buffer_deinit(&out);
}

void prompt_check_part(const struct prompt_fixture *fixture, const char *body,
                       const char *expected) {
    struct text_buffer out = {0};
    render(fixture, body, &out);
    cr_expect(strstr(out.bytes, expected) != NULL, "%s\n   gave %s\n   without %s", body, out.bytes,
              expected);
    text_buffer_deinit(&out);
}
