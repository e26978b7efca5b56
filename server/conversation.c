#include "server/conversation.h"

#include "importer/json_values.h"
#include "server/chat_messages.h"
#include "server/chat_prompt.h"
#include "server/prompt_reader.h"

#include <string.h>

static bool no_memory(struct api_error *error) {
    return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
}

static bool is_given(const struct template_value *value) {
    return value != NULL && value->type != TEMPLATE_NONE;
}

static const struct template_value *member_of(const struct template_dict *dict, const char *name) {
    return template_dict_find_text(dict, name);
}

/* ---- Opening ---- */

bool conversation_open(struct conversation *conversation, const struct service *service,
                       const char *body, size_t length, struct api_error *error) {
    *conversation = (struct conversation){.service = service, .parameter = "messages"};
    arena_init(&conversation->arena);
    if (service->model->chat_template == NULL) {
        return api_error_set(error, API_INVALID, NULL, "This model cannot chat: %s",
                             service->model->chat_template_error.text);
    }
    struct json_reader json;
    struct template_value request = {.type = TEMPLATE_ABSENT};
    json_reader_init(&json, body, length);
    bool fine = json_values_read(&json, &conversation->arena, &request) && json_end(&json);
    struct error failure = json.error;
    json_reader_deinit(&json);
    conversation->variables = template_dict_new(&conversation->arena);
    if (conversation->variables == NULL) {
        return no_memory(error);
    }
    if (!fine || request.type != TEMPLATE_DICT) {
        return fine ? api_error_set(error, API_INVALID, NULL,
                                    "The body must be a JSON object, but is %s",
                                    reader_kind(&request))
                    : api_error_set(error, API_INVALID, NULL, "Malformed JSON: %s", failure.text);
    }
    conversation->request = request.dict;
    return true;
}

void conversation_deinit(struct conversation *conversation) {
    arena_deinit(&conversation->arena);
    text_buffer_deinit(&conversation->prompt);
    text_buffer_deinit(&conversation->opening);
}

/* ---- The variables ---- */

bool conversation_set(struct conversation *conversation, const char *name,
                      struct template_value value, struct api_error *error) {
    return template_dict_set_text(&conversation->arena, conversation->variables, name, value) ||
           no_memory(error);
}

bool conversation_set_messages(struct conversation *conversation, struct template_value messages,
                               struct api_error *error) {
    struct template_value converted = {.type = TEMPLATE_ABSENT};
    return chat_messages_read(&conversation->arena, &conversation->service->chat_traits, messages,
                              &converted, error) &&
           conversation_set(conversation, "messages", converted, error);
}

/* No tools are none: templates ask only whether there are any. */
bool conversation_set_tools(struct conversation *conversation, struct template_value tools,
                            struct api_error *error) {
    return chat_messages_check_tools(&conversation->service->chat_traits, tools, error) &&
           conversation_set(conversation, "tools", tools.list->count > 0 ? tools : template_none(),
                            error);
}

static bool read_boolean(const struct conversation *conversation, const char *name, bool *truth,
                         struct api_error *error) {
    const struct template_value *value = member_of(conversation->request, name);
    if (!is_given(value)) {
        return true;
    }
    if (value->type != TEMPLATE_BOOLEAN) {
        return api_error_set(error, API_INVALID, name, "%s must be true or false, but is %s", name,
                             reader_kind(value));
    }
    *truth = value->boolean;
    return true;
}

/* What the request says elsewhere comes later, and wins. */
bool conversation_read_variables(struct conversation *conversation, struct api_error *error) {
    static const struct {
        const char *name;
        enum template_type type;
        const char *kind;
    } variables[] = {
        {"reasoning_effort", TEMPLATE_TEXT, "a string"},
        {"documents", TEMPLATE_LIST, "an array"},
    };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const struct template_value *value = member_of(conversation->request, variables[i].name);
        if (is_given(value) && value->type != variables[i].type) {
            return api_error_set(error, API_INVALID, variables[i].name, "%s must be %s, but is %s",
                                 variables[i].name, variables[i].kind, reader_kind(value));
        }
        if (is_given(value) && !conversation_set(conversation, variables[i].name, *value, error)) {
            return false;
        }
    }
    const struct template_value *named = member_of(conversation->request, "chat_template_kwargs");
    if (is_given(named) && named->type != TEMPLATE_DICT) {
        return api_error_set(error, API_INVALID, "chat_template_kwargs",
                             "chat_template_kwargs must be an object, variables of the template, "
                             "but is %s",
                             reader_kind(named));
    }
    for (size_t i = 0; is_given(named) && i < named->dict->count; i++) {
        const struct template_entry *entry = &named->dict->entries[i];
        if (!template_dict_set(&conversation->arena, conversation->variables, entry->key,
                               entry->value)) {
            return no_memory(error);
        }
    }
    return true;
}

bool conversation_read(struct conversation *conversation, struct api_error *error) {
    const struct template_value *messages = member_of(conversation->request, "messages");
    const struct template_value *tools = member_of(conversation->request, "tools");
    if (!conversation_read_variables(conversation, error) ||
        !read_boolean(conversation, "add_special_tokens", &conversation->add_special_tokens,
                      error) ||
        !read_boolean(conversation, "continue_final_message", &conversation->continues, error)) {
        return false;
    }
    bool prompts = !conversation->continues;
    if (!read_boolean(conversation, "add_generation_prompt", &prompts, error)) {
        return false;
    }
    if (prompts && conversation->continues) {
        return api_error_set(error, API_INVALID, "continue_final_message",
                             "continue_final_message goes on within the last message, "
                             "add_generation_prompt behind it: at most one of them can be true");
    }
    if (!is_given(messages)) {
        return api_error_set(error, API_INVALID, "messages", "messages is required");
    }
    return conversation_set_messages(conversation, *messages, error) &&
           (!is_given(tools) || conversation_set_tools(conversation, *tools, error)) &&
           conversation_set(conversation, "add_generation_prompt", template_from_boolean(prompts),
                            error);
}

/* ---- The prompt ---- */

/* Stands behind the text of the last message while its end is looked for: what templates trim and
 * append differs. */
static const char mark[] = "<quern:end-of-message>";

static bool append_mark(struct conversation *conversation, struct template_text text,
                        struct template_value *marked, struct api_error *error) {
    char *copy = arena_allocate(&conversation->arena, text.length + sizeof mark, 1);
    if (copy == NULL) {
        return no_memory(error);
    }
    memcpy(copy, text.bytes, text.length);
    memcpy(copy + text.length, mark, sizeof mark);
    *marked = template_from_text(copy, text.length + sizeof mark - 1);
    return true;
}

static bool mark_last_message(struct conversation *conversation, struct api_error *error) {
    const struct template_list *messages = member_of(conversation->variables, "messages")->list;
    struct template_dict *message = messages->items[messages->count - 1].dict;
    struct template_value *content = template_dict_find_text(message, "content");
    if (content->type == TEMPLATE_LIST && content->list->count > 0) {
        struct template_value *part = &content->list->items[content->list->count - 1];
        content = template_dict_find_text(part->dict, "text");
    }
    if (content->type != TEMPLATE_TEXT) {
        return api_error_set(error, API_INVALID, "continue_final_message",
                             "continue_final_message needs a last message with content");
    }
    return append_mark(conversation, content->text, content, error);
}

static bool cut_at_mark(struct text_buffer *prompt, struct api_error *error) {
    size_t length = sizeof mark - 1;
    for (size_t at = prompt->length; at >= length; at--) {
        if (memcmp(prompt->bytes + at - length, mark, length) == 0) {
            prompt->length = at - length;
            prompt->bytes[prompt->length] = '\0';
            return true;
        }
    }
    return api_error_set(error, API_INVALID, "continue_final_message",
                         "continue_final_message cannot be used: the chat template does not show "
                         "the last message");
}

/* A reply that has been begun has no thoughts: where the prompt begins them, it ends them, too. */
static bool append_opening(struct conversation *conversation) {
    const struct reasoning_marks *marks = conversation->service->chat_format.reasoning;
    const struct text_buffer *opening = &conversation->opening;
    struct text_buffer *prompt = &conversation->prompt;
    static const char space[] = "\n\n";
    bool thinks = reasoning_is_open(marks, prompt->bytes, prompt->length);
    return (!thinks || (text_buffer_append(prompt, marks->end, strlen(marks->end)) &&
                        text_buffer_append(prompt, space, sizeof space - 1))) &&
           text_buffer_append(prompt, opening->bytes, opening->length);
}

bool conversation_render(struct conversation *conversation, struct api_error *error) {
    struct error err = {0};
    if (conversation->continues && !mark_last_message(conversation, error)) {
        return false;
    }
    if (!chat_prompt_render(conversation->service->model->chat_template, conversation->variables,
                            &conversation->prompt, &err)) {
        return err.code == ERROR_OUT_OF_MEMORY
                   ? no_memory(error)
                   : api_error_set(error, API_INVALID, conversation->parameter, "%s", err.text);
    }
    return (!conversation->continues || cut_at_mark(&conversation->prompt, error)) &&
           (conversation->opening.length == 0 || append_opening(conversation) || no_memory(error));
}

bool conversation_encode(struct conversation *conversation, struct token_list *ids,
                         struct api_error *error) {
    const struct model *model = conversation->service->model;
    const struct text_buffer *prompt = &conversation->prompt;
    struct error err = {0};
    if (!conversation_render(conversation, error)) {
        return false;
    }
    if (prompt->length > 0 && !tokenizer_encode(model->tokenizer, prompt->bytes, prompt->length,
                                                conversation->add_special_tokens, ids, &err)) {
        return api_error_from(error, &err, conversation->parameter);
    }
    if (ids->length == 0) {
        return api_error_set(error, API_INVALID, conversation->parameter,
                             "The chat template makes an empty prompt of the messages");
    }
    size_t context = engine_context_length(conversation->service->engine);
    return ids->length < context ||
           api_error_context(error, conversation->parameter, ids->length, context);
}
