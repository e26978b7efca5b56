#include "server/tool_format.h"

#include <string.h>

static const char arguments_behind_name[] = "\", \"arguments\": ";

/* The first row with a sign that the template has counts: some templates mention the marks of others,
 * too. */
static const struct tool_format formats[] = {
    /* gpt-oss */
    {.name = "harmony",
     .signs = {"<|channel|>"},
     .has_channels = true,
     .opening = "<|channel|>commentary to=functions.",
     .middle = " <|constrain|>json<|message|>",
     .shown = {"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>",
               "<|return|>"}},
    /* Nous Hermes; Qwen 2.5 and 3, SmolLM 3, Granite 4 */
    {.name = "hermes",
     .signs = {"<tool_call>"},
     .begins = {"<tool_call>"},
     .end = "</tool_call>",
     .opening = "<tool_call>\n{\"name\": \"",
     .middle = arguments_behind_name,
     .shown = {"<tool_call>", "</tool_call>"}},
    /* Mistral from tokenizer version 11 on */
    {.name = "mistral-named",
     .signs = {"[ARGS]"},
     .begins = {"[TOOL_CALLS]"},
     .arguments_mark = "[ARGS]",
     .id_mark = "[CALL_ID]",
     .opening = "[TOOL_CALLS]",
     .middle = "[ARGS]",
     .shown = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"}},
    {.name = "mistral",
     .signs = {"[TOOL_CALLS]"},
     .begins = {"[TOOL_CALLS]"},
     .opening = "[TOOL_CALLS][{\"name\": \"",
     .middle = arguments_behind_name,
     .shown = {"[TOOL_CALLS]"}},
    /* Phi-4-mini */
    {.name = "phi",
     .signs = {"<|/tool|>", "functools"},
     .begins = {"<|tool_call|>", "functools"},
     .end = "<|/tool_call|>",
     .opening = "<|tool_call|>[{\"name\": \"",
     .middle = arguments_behind_name,
     .shown = {"<|tool_call|>", "<|/tool_call|>"}},
    /* Granite 3 */
    {.name = "granite",
     .signs = {"<|tool_call|>", "available_tools"},
     .begins = {"<|tool_call|>", "<tool_call>"},
     .opening = "<|tool_call|>[{\"name\": \"",
     .middle = arguments_behind_name,
     .shown = {"<|tool_call|>", "<tool_call>"}},
    /* Llama 3.1, 3.2 and 3.3 */
    {.name = "llama",
     .signs = {"<|python_tag|>", "Environment: ipython"},
     .begins = {"<|python_tag|>"},
     .bare = true,
     .opening = "{\"name\": \"",
     .middle = "\", \"parameters\": ",
     .shown = {"<|python_tag|>"}},
    /* What most models write when they are asked for JSON. */
    {.name = "json", .bare = true, .opening = "{\"name\": \"", .middle = arguments_behind_name},
};

enum { FORMATS = sizeof formats / sizeof *formats };

static bool contains(const char *source, size_t length, const char *sign) {
    return sign != NULL && memmem(source, length, sign, strlen(sign)) != NULL;
}

const struct tool_format *tool_format_of_template(const char *source, size_t length) {
    for (size_t i = 0; i < FORMATS - 1; i++) {
        if (contains(source, length, formats[i].signs[0]) ||
            contains(source, length, formats[i].signs[1])) {
            return &formats[i];
        }
    }
    return &formats[FORMATS - 1];
}

size_t tool_format_tokens(const struct tool_format *format, const struct tokenizer *tokenizer,
                          int32_t *ids) {
    size_t count = 0;
    for (size_t i = 0; i < TOOL_MARKS_MAX; i++) {
        int32_t id = format->shown[i] != NULL ? tokenizer_find(tokenizer, format->shown[i]) : -1;
        if (id >= 0 && tokenizer_is_special(tokenizer, id)) {
            ids[count++] = id;
        }
    }
    return count;
}
