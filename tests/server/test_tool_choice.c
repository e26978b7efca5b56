#include "server/tool_choice.h"

#include <criterion/criterion.h>
#include <string.h>

typedef bool read_function(struct tool_choice *choice, const cJSON *request,
                           struct api_error *error);

/* Writes the choice as "use names", or the error's message. */
static void describe(read_function *read, const char *body, char *text, size_t size) {
    static const char *const uses[] = {"auto", "none", "required"};
    struct tool_choice choice;
    struct api_error error;
    cJSON *request = cJSON_Parse(body);
    cr_assert_not_null(request, "%s", body);
    if (!read(&choice, request, &error)) {
        snprintf(text, size, "%s: %s", error.param, error.message);
    } else {
        size_t at = (size_t)snprintf(text, size, "%s", uses[choice.use]);
        for (size_t i = 0; i < choice.count; i++) {
            at += (size_t)snprintf(text + at, size - at, " %s%s", choice.tools[i].name,
                                   choice.tools[i].schema != NULL ? "()" : "");
        }
        snprintf(text + at, size - at, "%s", choice.parallel ? "" : " one call");
    }
    tool_choice_deinit(&choice);
    cJSON_Delete(request);
}

struct example {
    const char *body;
    const char *expected; /* the beginning of what comes out */
};

static void check(read_function *read, const struct example *examples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char text[1024];
        describe(read, examples[i].body, text, sizeof text);
        cr_expect_eq(strncmp(text, examples[i].expected, strlen(examples[i].expected)), 0,
                     "%s\n   gave %s", examples[i].body, text);
    }
}

#define CHECK(read, examples) check(read, examples, sizeof(examples) / sizeof *(examples))

#define TOOLS                                                                                      \
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"find\", \"parameters\": "     \
    "{}}}, "                                                                                       \
    "{\"type\": \"function\", \"function\": {\"name\": \"now\"}}]"

#define ALLOWED(mode, tools)                                                                       \
    "{" TOOLS                                                                                      \
    ", \"tool_choice\": {\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\": " mode         \
    ", \"tools\": " tools "}}}"

Test(tool_choice, as_openai_writes_it) {
    static const struct example examples[] = {
        {"{}", "auto"},
        {"{\"tools\": null, \"tool_choice\": \"none\"}", "none"},
        {"{" TOOLS "}", "auto find() now"},
        {"{" TOOLS ", \"tool_choice\": \"required\", \"parallel_tool_calls\": false}",
         "required find() now one call"},
        {"{" TOOLS
         ", \"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"now\"}}}",
         "required now"},
        {"{" TOOLS ", \"tool_choice\": {\"function\": {\"name\": \"then\"}}}",
         "tool_choice: tool_choice names \"then\""},
        {"{" TOOLS ", \"tool_choice\": \"any\"}", "tool_choice: tool_choice must be"},
        {"{" TOOLS ", \"tool_choice\": 7}", "tool_choice: tool_choice must be"},
        {ALLOWED("\"auto\"", "[{\"function\": {\"name\": \"now\"}}]"), "auto now"},
        {ALLOWED("\"required\"", "[{\"type\": \"function\", \"function\": {\"name\": \"now\"}}, "
                                 "{\"function\": {\"name\": \"find\"}}, "
                                 "{\"function\": {\"name\": \"now\"}}]"),
         "required now find()"},
        {ALLOWED("\"auto\"", "[]"), "auto"},
        {ALLOWED("\"required\"", "[]"), "tool_choice: tool_choice requires a call"},
        {ALLOWED("\"none\"", "[]"),
         "tool_choice: tool_choice must be {\"type\": \"allowed_tools\""},
        {ALLOWED("\"auto\"", "7"), "tool_choice: tool_choice must be {\"type\": \"allowed_tools\""},
        {ALLOWED("\"auto\"", "[{\"name\": \"now\"}]"), "tool_choice: tool_choice must be"},
        {ALLOWED("\"auto\"", "[{\"function\": {\"name\": \"then\"}}]"),
         "tool_choice: tool_choice names \"then\""},
        {"{" TOOLS ", \"tool_choice\": {\"type\": \"allowed_tools\"}}", "tool_choice: "},
        {"{" TOOLS ", \"parallel_tool_calls\": 1}", "parallel_tool_calls: "},
        {"{\"tool_choice\": \"required\"}", "tool_choice: tool_choice requires a call"},
        {"{\"tools\": {}}", "tools: tools must be an array"},
        {"{\"tools\": [7]}", "tools[0]: tools[0] must be {"},
        {"{\"tools\": [{\"type\": \"web_search\"}]}",
         "tools[0]: tools[0] is of type \"web_search\""},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": 7}}]}", "tools[0]: "},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a b\"}}]}",
         "tools[0]: tools[0] is named \"a b\""},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\", \"parameters\": "
         "[]}}]}",
         "tools[0]: tools[0] must be {"},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\", \"parameters\": "
         "{\"type\": \"string\"}}}]}",
         "tools[0]: tools[0] has parameters of type \"string\""},
        {"{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\"}}, {\"type\": "
         "\"function\", \"function\": {\"name\": \"b\"}}, {\"type\": \"function\", \"function\": "
         "{\"name\": \"a\"}}]}",
         "tools: tools has \"a\" twice"},
    };
    CHECK(tool_choice_read, examples);
}

Test(tool_choice, as_responses_write_it) {
    static const struct example examples[] = {
        {"{\"tools\": [{\"type\": \"function\", \"name\": \"find\"}, {\"type\": \"function\", "
         "\"name\": \"now\"}], \"tool_choice\": {\"type\": \"allowed_tools\", \"mode\": \"auto\", "
         "\"tools\": [{\"type\": \"function\", \"name\": \"now\"}]}}",
         "auto now"},
    };
    CHECK(tool_choice_read_responses, examples);
}

Test(tool_choice, as_anthropic_writes_it) {
    static const struct example examples[] = {
        {"{\"tools\": [{\"name\": \"find\", \"input_schema\": {}}, {\"type\": \"custom\", "
         "\"name\": "
         "\"now\"}], \"tool_choice\": {\"type\": \"any\", \"disable_parallel_tool_use\": true}}",
         "required find() now one call"},
        {"{\"tools\": [{\"name\": \"find\"}], \"tool_choice\": {\"type\": \"tool\", \"name\": "
         "\"find\"}}",
         "required find"},
        {"{\"tools\": [{\"name\": \"find\"}], \"tool_choice\": {\"type\": \"none\"}}", "none find"},
        {"{\"tools\": [{\"name\": \"find\"}], \"tool_choice\": {\"type\": \"tool\"}}",
         "tool_choice: tool_choice must be"},
        {"{\"tools\": [{\"name\": \"find\"}], \"tool_choice\": \"any\"}",
         "tool_choice: tool_choice must be"},
        {"{\"tools\": [{\"type\": \"bash_20250124\", \"name\": \"bash\"}]}",
         "tools[0]: tools[0] is of type \"bash_20250124\""},
    };
    CHECK(tool_choice_read_messages, examples);
}

Test(tool_choice, tools_are_bounded) {
    cJSON *request = cJSON_CreateObject();
    cJSON *tools = cJSON_AddArrayToObject(request, "tools");
    struct tool_choice choice;
    struct api_error error;
    for (size_t i = 0; i <= TOOLS_MAX; i++) {
        cJSON_AddItemToArray(tools, cJSON_CreateObject());
    }
    cr_expect_not(tool_choice_read(&choice, request, &error));
    cr_expect_not_null(strstr(error.message, "at most"), "%s", error.message);
    tool_choice_deinit(&choice);
    cJSON_Delete(request);
}
