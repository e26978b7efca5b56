/* Any bytes as a chat template and, behind the first zero byte, as the JSON of its variables; should
 * both be understood, the template is run under small limits. */
#include "engine/text/template/template.h"
#include "engine/text/utf8.h"
#include "importer/json_values.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

static struct template_dict *read_variables(struct arena *arena, const char *text, size_t length) {
    struct json_reader json;
    struct template_value value = {.type = TEMPLATE_ABSENT};
    json_reader_init(&json, text, length);
    bool fine = json_values_read(&json, arena, &value) && json_end(&json);
    require(fine == (json.error.code == ERROR_NONE));
    json_reader_deinit(&json);
    return fine && value.type == TEMPLATE_DICT ? value.dict : template_dict_new(arena);
}

static void render(const struct template *template, const struct template_dict *variables) {
    static const struct template_limits limits = {
        .text_bytes = 1 << 16, .memory_bytes = 1 << 20, .steps = 100000, .depth = 500};
    const struct template_inputs inputs = {
        .variables = variables, .now = 1700000000, .limits = &limits};
    struct text_buffer text = {0};
    struct error err = {0};
    if (template_render(template, &inputs, &text, &err)) {
        require(text.length <= limits.text_bytes);
        require(utf8_valid_prefix(text.bytes, text.length) == text.length);
    } else {
        require(err.code != ERROR_NONE && text.length == 0);
        require(utf8_valid_prefix(err.text, strlen(err.text)) == strlen(err.text));
    }
    text_buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const char *source = (const char *)bytes;
    size_t length = strnlen(source, size);
    size_t behind = length < size ? length + 1 : size;
    struct template *template = NULL;
    struct error err = {0};
    if (!template_parse(&template, source, length, &err)) {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
        return 0;
    }
    struct arena arena;
    arena_init(&arena);
    render(template, read_variables(&arena, source + behind, size - behind));
    arena_deinit(&arena);
    template_close(template);
    return 0;
}
