/* Prompts of the folders in tests/chat_templates against what jinja2 makes of the same
 * conversations, set up as Hugging Face transformers does. */
#include "server/chat_prompt.h"

#include "importer/json_values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct chat_template *open_folder(const char *path) {
    struct model_dir *directory = NULL;
    struct chat_template *chat = NULL;
    struct error err = {0};
    cr_assert(model_dir_open(&directory, path, &err), "%s", err.text);
    cr_assert(chat_template_open(&chat, directory, &err), "%s: %s", path, err.text);
    model_dir_close(directory);
    return chat;
}

static void check_case(const struct chat_template *chat, const char *line) {
    struct json_reader json;
    struct arena arena;
    struct template_value value = {.type = TEMPLATE_ABSENT};
    struct text_buffer prompt = {0};
    struct error err = {0};
    arena_init(&arena);
    json_reader_init(&json, line, strlen(line));
    cr_assert(json_values_read(&json, &arena, &value), "%s", json.error.text);
    const struct template_value *rendered = template_dict_find_text(value.dict, "rendered");
    bool fine = chat_prompt_render(chat, value.dict, &prompt, &err);
    cr_expect_eq(fine, rendered != NULL, "%s\n   %s", line, fine ? "was rendered" : err.text);
    if (fine && rendered != NULL) {
        cr_expect(prompt.length == rendered->text.length &&
                      memcmp(prompt.bytes, rendered->text.bytes, prompt.length) == 0,
                  "%s\n   gave %s", line, prompt.bytes);
    }
    text_buffer_deinit(&prompt);
    json_reader_deinit(&json);
    arena_deinit(&arena);
}

/* How many cases the folder has. */
static size_t check_folder(const char *name) {
    char path[128];
    char *line = NULL;
    size_t capacity = 0;
    size_t count = 0;
    snprintf(path, sizeof path, "chat_templates/%s", name);
    struct chat_template *chat = open_folder(path);
    snprintf(path, sizeof path, "chat_templates/%s/cases.jsonl", name);
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL, "%s cannot be opened", path);
    for (; getline(&line, &capacity, file) > 0; count++) {
        check_case(chat, line);
    }
    free(line);
    fclose(file);
    chat_template_close(chat);
    return count;
}

Test(chat_prompt, families_of_models) {
    static const char *const names[] = {"bytelevel", "gemma",     "gemma3",
                                        "llama3_1",  "metaspace", "qwen3"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_expect_eq(check_folder(names[i]), 30, "%s", names[i]);
    }
}

Test(chat_prompt, named_templates_and_tokens_from_two_files) {
    cr_expect_eq(check_folder("named"), 21);
}

Test(chat_prompt, the_demo_model_has_a_template) {
    struct chat_template *chat = open_folder(NULL);
    check_case(chat, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], "
                     "\"add_generation_prompt\": true, \"rendered\": "
                     "\"<bos><start_of_turn>user\\nHi<end_of_turn>\\n<start_of_turn>model\\n\"}");
    chat_template_close(chat);
}
