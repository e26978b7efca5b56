#include "server/tool_grammar.h"

#include "engine/text/grammar/grammar_builder.h"
#include "server/schema/json_schema.h"
#include "server/tool_format.h"

#include <stdlib.h>
#include <string.h>

/* The tools of which one must be called. */
struct candidates {
    const struct tool *tools;
    size_t count;
};

static bool append(struct text_buffer *buffer, const char *text) {
    return text_buffer_append(buffer, text, strlen(text));
}

static bool write_opening(struct text_buffer *opening, const struct tool_format *format,
                          struct candidates candidates) {
    if (!append(opening, format->opening)) {
        return false;
    }
    if (candidates.count > 1) {
        return true;
    }
    if (!append(opening, candidates.tools->name) || !append(opening, format->middle)) {
        return false;
    }
    /* Tokens begin with their blank: it is left to the grammar. */
    opening->length -= opening->bytes[opening->length - 1] == ' ';
    opening->bytes[opening->length] = '\0';
    return true;
}

/* ---- The grammar ---- */

/* An object, also where the schema says nothing about that. */
static grammar_expression build_arguments(struct grammar_builder *builder,
                                          const struct tool *tool) {
    if (tool->schema == NULL || tool->schema->child == NULL) {
        return json_schema_any_object(builder);
    }
    cJSON *schema = cJSON_Duplicate(tool->schema, true);
    if (schema == NULL || (cJSON_GetObjectItemCaseSensitive(schema, "type") == NULL &&
                           cJSON_AddStringToObject(schema, "type", "object") == NULL)) {
        cJSON_Delete(schema);
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a schema");
    }
    grammar_expression arguments = json_schema(builder, schema);
    cJSON_Delete(schema);
    return arguments;
}

static grammar_expression build_text(struct grammar_builder *builder, const char *text) {
    return grammar_text(builder, text, strlen(text));
}

struct call {
    const struct tool_format *format;
    struct candidates candidates;
};

static grammar_expression build(struct grammar_builder *builder, const void *context) {
    const struct call *call = context;
    const struct candidates candidates = call->candidates;
    if (candidates.count == 1) {
        return GRAMMAR_SEQUENCE(builder, grammar_repeat(builder, GRAMMAR_TEXT(builder, " "), 0, 1),
                                build_arguments(builder, candidates.tools));
    }
    struct grammar_parts calls = {0};
    for (size_t i = 0; i < candidates.count && !grammar_builder_failed(builder); i++) {
        const struct tool *tool = &candidates.tools[i];
        grammar_parts_add(builder, &calls,
                          GRAMMAR_SEQUENCE(builder, build_text(builder, tool->name),
                                           build_text(builder, call->format->middle),
                                           build_arguments(builder, tool)));
    }
    grammar_expression choice = grammar_choice(builder, calls.items, calls.count);
    free(calls.items);
    return choice;
}

static bool make_key(struct text_buffer *key, struct candidates candidates) {
    bool fine = append(key, "tools:");
    for (size_t i = 0; i < candidates.count && fine; i++) {
        const struct tool *tool = &candidates.tools[i];
        char *schema = tool->schema != NULL ? cJSON_PrintUnformatted(tool->schema) : strdup("");
        fine =
            schema != NULL && append(key, tool->name) && append(key, schema) && append(key, "\n");
        free(schema);
    }
    return fine;
}

static bool set_form(struct reply_form *form, struct call call) {
    struct call *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        return false;
    }
    *kept = call;
    *form = (struct reply_form){
        .build = build,
        .context = kept,
        .close = free,
        .parameter = "tools",
        .complaint = "no call of them can be required: ",
    };
    return make_key(&form->key, call.candidates);
}

bool tool_grammar_require(const struct tool_choice *choice, struct conversation *conversation,
                          struct generation *generation, struct api_error *error) {
    const struct tool_format *format = generation->service->chat_format.tools;
    struct candidates candidates = {choice->tools, choice->count};
    if (choice->use != TOOL_USE_REQUIRED) {
        return true;
    }
    if (reply_form_is_wanted(&generation->form)) {
        return api_error_set(error, API_INVALID, "tool_choice",
                             "tool_choice requires a call, and another parameter a reply of "
                             "another form: at most one of them can be met");
    }
    if (conversation->continues) {
        return api_error_set(error, API_INVALID, "tool_choice",
                             "tool_choice requires a call, but the reply has been begun by the "
                             "last message, which is the assistant's");
    }
    return (write_opening(&conversation->opening, format, candidates) &&
            set_form(&generation->form, (struct call){format, candidates})) ||
           api_error_set(error, API_INTERNAL, NULL, "Out of memory");
}
