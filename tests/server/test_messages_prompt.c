/* Conversations of Anthropic's form. */
#include "prompt_fixture.h"
#include "server/messages_prompt.h"

#include <criterion/criterion.h>

static const struct prompt_fixture fixture = {
    "{{ messages | tojson }} {{ tools | tojson }} {{ enable_thinking }}"
    "{{ ' go' if add_generation_prompt else '' }}",
    messages_prompt_read,
};

struct example {
    const char *body;
    const char *expected; /* what comes out, or a part of the error */
};

Test(messages_prompt, conversations_become_those_of_chat_completions) {
    static const struct example examples[] = {
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}",
         "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"}]}] null False "
         "go"},
        {"{\"system\": [{\"type\": \"text\", \"text\": \"Be\", \"cache_control\": {}}, {\"type\": "
         "\"text\", \"text\": \"brief\"}], \"thinking\": {\"type\": \"enabled\", "
         "\"budget_tokens\": "
         "1024}, \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"user\", "
         "\"content\": [{\"type\": \"text\", \"text\": \"there\"}]}]}",
         "[{\"role\": \"system\", \"content\": [{\"type\": \"text\", \"text\": \"Be\"}, {\"type\": "
         "\"text\", \"text\": \"brief\"}]}, {\"role\": \"user\", \"content\": [{\"type\": "
         "\"text\", "
         "\"text\": \"Hi\"}, {\"type\": \"text\", \"text\": \"there\"}]}] null True go"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
         "\"content\": [{\"type\": \"thinking\", \"thinking\": \"Hm\", \"signature\": \"\"}, "
         "{\"type\": \"text\", \"text\": \"Well\"}]}]}",
         "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"}]}, {\"role\": "
         "\"assistant\", \"reasoning_content\": \"Hm\", \"content\": [{\"type\": \"text\", "
         "\"text\": \"Well"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
         "\"content\": [{\"type\": \"tool_use\", \"id\": \"a\", \"name\": \"find\", \"input\": "
         "{\"n\": 1.0}}]}, {\"role\": \"user\", \"content\": [{\"type\": \"tool_result\", "
         "\"tool_use_id\": \"a\", \"content\": [{\"type\": \"text\", \"text\": \"7\"}]}, "
         "{\"type\": "
         "\"text\", \"text\": \"So?\"}]}]}",
         "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"}]}, {\"role\": "
         "\"assistant\", \"tool_calls\": [{\"id\": \"a\", \"type\": \"function\", \"function\": "
         "{\"name\": \"find\", \"arguments\": {\"n\": 1.0}}}], \"content\": \"\"}, {\"role\": "
         "\"tool\", \"tool_call_id\": \"a\", \"name\": \"find\", \"content\": [{\"type\": "
         "\"text\", "
         "\"text\": \"7\"}]}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
         "\"So?\"}]}] null False go"},
        {"{\"tools\": [{\"name\": \"find\", \"description\": \"Finds\", \"input_schema\": "
         "{\"type\": \"object\"}}], \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}",
         "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"}]}] "
         "[{\"type\": \"function\", \"function\": {\"name\": \"find\", \"description\": \"Finds\", "
         "\"parameters\": {\"type\": \"object\"}}}] False go"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        prompt_check(&fixture, examples[i].body, examples[i].expected);
    }
}

#define USER(content) "{\"messages\": [{\"role\": \"user\", \"content\": " content "}]}"
#define ASSISTANT(content)                                                                         \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "        \
    "\"content\": [" content "]}]}"

Test(messages_prompt, errors_name_the_block_and_what_is_wrong_with_it) {
    static const struct example examples[] = {
        {"{}", "messages must be a list of at least one message, but is missing"},
        {USER("7"), "\"text\": …}, but is a number"},
        {USER("[]"), "messages[0].content must be a string or a list of blocks"},
        {USER("[7]"), "messages[0].content[0] must be an object with a type, but is a number"},
        {USER("[{\"type\": \"text\"}]"), "messages[0].content[0] is a block of type \"text\" with"},
        {USER("[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"image\", \"source\": {}}]"),
         "messages[0].content[1] is a block of type \"image\", but this model reads only text"},
        {USER("[{\"type\": \"tool_use\"}]"), "which only the assistant has"},
        {USER("[{\"type\": \"tool_result\", \"tool_use_id\": \"b\"}]"),
         "no message before calls a tool with that id"},
        {ASSISTANT("{\"type\": \"tool_use\", \"id\": \"a\", \"name\": \"f\", \"input\": []}"),
         "\"input\": {…}}, but input is an array"},
        {ASSISTANT("{\"type\": \"tool_use\", \"id\": \"a\", \"name\": \"f\", \"input\": {}}"),
         "their results must follow it"},
        {"{\"messages\": [{\"role\": \"system\", \"content\": \"Hi\"}]}", "messages[0].role must"},
        {"{\"system\": 7, \"messages\": []}", "text blocks, but is a number"},
        {"{\"system\": [{\"type\": \"image\"}], \"messages\": []}",
         "\"text\", but its type is \"image\""},
        {"{\"thinking\": true, \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}",
         "{\"type\": \"disabled\"}, but it is a boolean"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        prompt_check_part(&fixture, examples[i].body, examples[i].expected);
    }
}
