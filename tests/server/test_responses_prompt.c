/* Inputs of responses. */
#include "prompt_fixture.h"
#include "server/responses_prompt.h"

#include <criterion/criterion.h>

static const struct prompt_fixture fixture = {
    "{{ messages | tojson }} {{ tools | tojson }} {{ reasoning_effort }}",
    responses_prompt_read,
};

static void check(const char *body, const char *expected) {
    prompt_check(&fixture, body, expected);
}

#define TEXT(text) "[{\"type\": \"text\", \"text\": \"" text "\"}]"

Test(responses_prompt, items_become_messages) {
    check("{\"input\": \"Hi\", \"reasoning\": {\"effort\": \"low\"}}",
          "[{\"role\": \"user\", \"content\": " TEXT("Hi") "}] null low");
    check(
        "{\"instructions\": \"Be\", \"input\": [{\"role\": \"developer\", \"content\": \"brief\"}, "
        "{\"role\": \"user\", \"content\": [{\"type\": \"input_text\", \"text\": \"Hi\"}]}]}",
        "[{\"role\": \"system\", \"content\": [{\"type\": \"text\", \"text\": \"Be\"}, {\"type\": "
        "\"text\", \"text\": \"brief\"}]}, {\"role\": \"user\", \"content\": " TEXT(
            "Hi") "}] null ");
}

Test(responses_prompt, what_the_assistant_did_is_one_message) {
    check("{\"input\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"type\": \"reasoning\", "
          "\"summary\": [], \"content\": [{\"type\": \"reasoning_text\", \"text\": \"Hm\"}]}, "
          "{\"type\": \"function_call\", \"call_id\": \"a\", \"name\": \"f\", \"arguments\": "
          "\"{\\\"x\\\": 1}\"}, {\"type\": \"function_call_output\", \"call_id\": \"a\", "
          "\"output\": \"2\"}]}",
          "[{\"role\": \"user\", \"content\": " TEXT(
              "Q") "}, {\"role\": \"assistant\", \"reasoning_content\": \"Hm\", \"tool_calls\": "
                   "[{\"id\": "
                   "\"a\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": "
                   "{\"x\": "
                   "1}}}], \"content\": \"\"}, {\"role\": \"tool\", \"tool_call_id\": \"a\", "
                   "\"name\": "
                   "\"f\", \"content\": " TEXT("2") "}] null ");
}

Test(responses_prompt, tools_take_the_form_of_chat_completions) {
    check("{\"input\": \"Q\", \"tools\": [{\"type\": \"function\", \"name\": \"f\", "
          "\"parameters\": {\"type\": \"object\"}, \"strict\": true}]}",
          "[{\"role\": \"user\", \"content\": " TEXT(
              "Q") "}] [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": "
                   "{\"type\": "
                   "\"object\"}, \"strict\": true}}] ");
}

Test(responses_prompt, errors_name_the_item) {
    check(
        "{\"input\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"type\": \"computer_call\"}]}",
        "input[1] is of type \"computer_call\", which is not supported: nothing is kept here, and "
        "only functions can be called");
    check("{\"input\": [{\"role\": \"user\", \"content\": [{\"type\": \"input_file\"}]}]}",
          "input[0] has a part of type \"input_file\", but this model reads only text");
    check("{\"input\": [{\"role\": \"user\"}]}",
          "input[0] must have text, a string or a list of parts, {\"type\": \"input_text\", "
          "\"text\": …}, but it is missing");
}
