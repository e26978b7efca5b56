/* Requests to prompts, with templates that differ in what they take. */
#include "server/conversation.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* What llama, ChatML and many others do: any role, text only. */
static const char plain[] = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}\n"
                            "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
static const char parts_only[] =
    "{% for m in messages %}<{{ m.role }}>"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}|{% endif %}{% endfor %}"
    "{% endfor %}";
static const char either[] =
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{{ p.text }}|{% endfor %}{% endif %}{% endfor %}";
static const char loses_parts[] = "{% for m in messages %}<{{ m.role }}>{{ m.content if m.content "
                                  "is string else '' }}{% endfor %}";
static const char developer[] =
    "{% for m in messages %}{% if m.role == 'developer' %}!{{ m.content }}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}";
static const char calls_as_mappings[] =
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
    "{% for m in messages %}{% if m.content is not none %}{{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "{% for k, v in c.function.arguments.items() %} {{ k }}={{ v }}{% endfor %}{% endfor %}"
    "{% endfor %}";
static const char calls_as_text[] =
    "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}";

struct setup {
    struct chat_template chat;
    struct model model;
    struct service service;
};

static void open_setup(struct setup *setup, const char *source) {
    struct error err = {0};
    *setup = (struct setup){0};
    arena_init(&setup->chat.arena);
    setup->chat.tokens = template_dict_new(&setup->chat.arena);
    cr_assert(template_parse(&setup->chat.usual, source, strlen(source), &err), "%s", err.text);
    setup->model.chat_template = &setup->chat;
    setup->service.model = &setup->model;
    setup->service.chat_traits = chat_traits_find(&setup->chat);
}

static void close_setup(struct setup *setup) {
    template_close(setup->chat.usual);
    arena_deinit(&setup->chat.arena);
}

/* The prompt, or the parameter and the message of the error. To be freed. */
static char *prompt_of(const char *source, const char *body) {
    struct setup setup;
    struct conversation conversation;
    struct api_error error = {0};
    struct text_buffer prompt = {0};
    open_setup(&setup, source);
    bool fine = conversation_open(&conversation, &setup.service, body, strlen(body), &error) &&
                conversation_read(&conversation, &error) &&
                conversation_render(&conversation, &error);
    prompt = conversation.prompt;
    conversation.prompt = (struct text_buffer){0};
    conversation_deinit(&conversation);
    close_setup(&setup);
    if (!fine) {
        prompt.length = 0;
        text_buffer_append(&prompt, error.param, strlen(error.param));
        text_buffer_append(&prompt, ": ", 2);
        text_buffer_append(&prompt, error.message, strlen(error.message));
    }
    return prompt.bytes;
}

static void check(const char *source, const char *body, const char *expected) {
    char *prompt = prompt_of(source, body);
    cr_expect_str_eq(prompt, expected, "%s\n   gave %s\n   not %s", body, prompt, expected);
    free(prompt);
}

static void check_refusal(const char *body, const char *param) {
    char *text = prompt_of(calls_as_mappings, body);
    size_t length = strlen(param);
    cr_expect(strncmp(text, param, length) == 0 && text[length] == ':', "%s\n   gave %s, not %s",
              body, text, param);
    free(text);
}

Test(conversation, content_takes_the_form_that_the_template_knows) {
    static const char text[] = "{\"messages\": [{\"role\": \"user\", \"content\": \" Hi\"}]}";
    static const char parts[] = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": "
                                "\"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": "
                                "\"b\"}]}]}";
    check(plain, text, "<user>Hi\n<assistant>");
    check(plain, parts, "<user>a\nb\n<assistant>");
    check(parts_only, text, "<user> Hi|");
    check(parts_only, parts, "<user>a|b|");
    check(either, text, "<user> Hi");
    check(either, parts, "<user>a|b|");
    check(loses_parts, parts, "<user>a\nb");
}

Test(conversation, a_developer_is_the_system_unless_the_template_knows_better) {
    static const char body[] =
        "{\"messages\": [{\"role\": \"developer\", \"content\": \"Be brief\"}]}";
    check(either, body, "<system>Be brief");
    check(developer, body, "!Be brief");
}

Test(conversation, arguments_of_calls_are_text_where_the_template_takes_that) {
    check(calls_as_text,
          "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": "
          "[{\"function\": "
          "{\"name\": \"f\", \"arguments\": {\"x\": 1.0, \"y\": [true, null, \"\\\"\\n\", 0.1, "
          "12345678901234567890]}}}]}]}",
          "f{\"x\": 1.0, \"y\": [true, null, \"\\\"\\u000a\", 0.1, 12345678901234567890]}");
}

Test(conversation, arguments_of_calls_are_mappings_where_the_template_takes_them) {
    static const char body[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", "
        "\"content\": null, \"tool_calls\": [{\"id\": \"1\", \"type\": \"function\", \"function\": "
        "{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1.0, \\\"y\\\": 12345678901234567890}\"}}, "
        "{\"function\": {\"name\": \"g\", \"arguments\": \"\"}}]}]}";
    check(calls_as_mappings, body, "Qf x=1.0 y=12345678901234567890g");
    check(calls_as_text, body, "Qf{\"x\": 1.0, \"y\": 12345678901234567890}g");
}

Test(conversation, tools_reach_templates_that_know_them) {
    static const char body[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}], \"tools\": [{\"type\": "
        "\"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"maximum\": 1e3}}}]}";
    check(calls_as_mappings, body,
          "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"maximum\": "
          "1000.0}}}Q");
    check(plain, body, "tools: tools cannot be used: the chat template of this model knows none");
    check(plain, "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}], \"tools\": []}",
          "<user>Q\n<assistant>");
}

Test(conversation, the_last_message_can_be_continued) {
    check(plain,
          "{\"continue_final_message\": true, \"messages\": [{\"role\": \"user\", \"content\": "
          "\"Q\"}, {\"role\": \"assistant\", \"content\": \"It is \"}]}",
          "<user>Q\n<assistant>It is ");
    check(parts_only,
          "{\"continue_final_message\": true, \"messages\": [{\"role\": \"user\", \"content\": "
          "[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}]}",
          "<user>a|b");
}

Test(conversation, variables_of_the_template_come_from_the_request) {
    check("{{ mood }} {{ reasoning_effort }} {{ messages | length }} {{ documents | length }}",
          "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}], \"reasoning_effort\": "
          "\"low\", \"documents\": [1, 2], \"chat_template_kwargs\": {\"mood\": \"fine\", "
          "\"messages\": []}}",
          "fine low 1 2");
}

Test(conversation, an_error_names_its_place) {
    static const struct {
        const char *body;
        const char *param;
    } cases[] = {
        {"{}", "messages"},
        {"{\"messages\": null}", "messages"},
        {"{\"messages\": \"Hi\"}", "messages"},
        {"{\"messages\": []}", "messages"},
        {"{\"messages\": [1]}", "messages[0]"},
        {"{\"messages\": [{}]}", "messages[0].role"},
        {"{\"messages\": [{\"role\": \"robot\", \"content\": \"\"}]}", "messages[0].role"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": 1}]}", "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [\"a\"]}]}", "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"input_audio\"}]}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"\", \"name\": 1}]}",
         "messages[0].name"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}",
         "messages[0].tool_calls"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": "
         "\"f\", \"arguments\": 1}}]}]}",
         "messages[0].tool_calls"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"tool\", "
         "\"content\": \"\", \"tool_call_id\": 1}]}",
         "messages[1].tool_call_id"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": {}}", "tools"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": [{\"type\": "
         "\"web_search\"}]}",
         "tools[0].type"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": [{\"type\": "
         "\"function\", \"function\": {\"name\": \"\"}}]}",
         "tools[0].function.name"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"add_generation_prompt\": "
         "true, \"continue_final_message\": true}",
         "continue_final_message"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": []}",
         "chat_template_kwargs"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"reasoning_effort\": 1}",
         "reasoning_effort"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_refusal(cases[i].body, cases[i].param);
    }
}

Test(conversation, what_a_template_refuses_is_told_in_its_words) {
    check("{{ raise_exception('no system here') if messages[0].role == 'system' }}",
          "{\"messages\": [{\"role\": \"system\", \"content\": \"\"}]}",
          "messages: chat template: line 1: no system here");
}
