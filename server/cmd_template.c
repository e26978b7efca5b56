/* quern template: JSON lines in, JSON lines out; conversations to prompts. */
#include "importer/chat_template.h"
#include "importer/json_reader.h"
#include "importer/json_values.h"
#include "importer/model_dir.h"
#include "server/chat_prompt.h"
#include "server/commands.h"
#include "server/json_lines.h"
#include "server/options.h"

#include <stdlib.h>
#include <string.h>

struct template_options {
    const char *folder;
};

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .offset = offsetof(struct template_options, folder),
     .help =
         "folder with a chat_template.jinja or tokenizer_config.json; without it, the demo model"},
};

const struct command_line template_command_line = {
    .command = "template",
    .description =
        "Reads one JSON object a line from standard input and answers each with one line:\n"
        "  {\"messages\": [...], \"add_generation_prompt\": true, \"tools\": [...]}\n"
        "    ->  {\"text\": \"...\"}\n"
        "All members are variables of the chat template. A line that is no object, or that the "
        "template refuses, is answered with {\"error\": \"...\"}.",
    .operands = operands,
    .operand_count = 1,
};

static bool render_line(const struct chat_template *chat, struct json_reader *json,
                        struct arena *arena, struct text_buffer *text, struct error *err) {
    struct template_value variables = {.type = TEMPLATE_ABSENT};
    if (!json_values_read(json, arena, &variables) || !json_end(json)) {
        return error_set(err, json->error.code, "%s", json->error.text);
    }
    if (variables.type != TEMPLATE_DICT) {
        return error_set(err, ERROR_INVALID, "expected an object with \"messages\"");
    }
    return chat_prompt_render(chat, variables.dict, text, err);
}

static void answer_line(void *context, const char *line, size_t length) {
    struct json_reader json;
    struct arena arena;
    struct text_buffer text = {0};
    struct error err = {0};
    arena_init(&arena);
    json_reader_init(&json, line, length);
    if (render_line(context, &json, &arena, &text, &err)) {
        json_lines_print("text", text.bytes, text.length);
    } else {
        json_lines_print("error", err.text, strlen(err.text));
    }
    text_buffer_deinit(&text);
    json_reader_deinit(&json);
    arena_deinit(&arena);
}

int cmd_template(int argc, char **argv) {
    struct template_options options = {0};
    int status;
    if (!options_start(&template_command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    struct model_dir *folder = NULL;
    struct chat_template *chat = NULL;
    if (!model_dir_open(&folder, options.folder, &err)) {
        status = options_report("template", &err);
    } else if (!chat_template_open(&chat, folder, &err)) {
        error_prefix(&err, "%.200s", options.folder != NULL ? options.folder : "the demo model");
        status = options_report("template", &err);
    } else {
        status = json_lines_run(answer_line, chat) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    chat_template_close(chat);
    model_dir_close(folder);
    return status;
}
