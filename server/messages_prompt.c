#include "server/messages_prompt.h"

#include "server/prompt_reader.h"

#include <stdio.h>
#include <string.h>

/* ---- Values ---- */

/* A member of any type, or NULL. */
static const struct template_value *any_member(const struct template_value *object,
                                               const char *name) {
    return object->type == TEMPLATE_DICT ? template_dict_find_text(object->dict, name) : NULL;
}

/* A member of the type, or NULL. */
static const struct template_value *member(const struct template_value *object, const char *name,
                                           enum template_type type) {
    const struct template_value *value = any_member(object, name);
    return value != NULL && value->type == type ? value : NULL;
}

static bool is_given(const struct template_value *object, const char *name) {
    const struct template_value *value = any_member(object, name);
    return value != NULL && value->type != TEMPLATE_NONE;
}

static struct template_text type_of(const struct template_value *object) {
    const struct template_value *type = member(object, "type", TEMPLATE_TEXT);
    return type != NULL ? type->text : (struct template_text){"", 0};
}

/* ---- Messages ---- */

/* The last message, if it has the role, else a new one; NULL when memory is out. */
static struct template_dict *open_message(const struct reader *reader, const char *role) {
    struct template_list *messages = reader->messages;
    if (messages->count > 0) {
        struct template_value *last = &messages->items[messages->count - 1];
        if (template_text_is(member(last, "role", TEMPLATE_TEXT)->text, role)) {
            return last->dict;
        }
    }
    struct template_dict *message = template_dict_new(reader->arena);
    bool fine = reader_set(reader, message, "role", reader_literal(role)) &&
                reader_push(reader, messages, template_from_dict(message));
    return fine ? message : NULL;
}

static bool read_text(struct reader *reader, const char *role, const struct template_value *block) {
    const struct template_value *text = member(block, "text", TEMPLATE_TEXT);
    if (text == NULL) {
        return reader_refuse(reader, "is a block of type \"text\" without a text");
    }
    return reader_add_text(reader, open_message(reader, role), *text);
}

static bool read_thinking(struct reader *reader, const char *role,
                          const struct template_value *block) {
    const struct template_value *thinking = member(block, "thinking", TEMPLATE_TEXT);
    if (thinking == NULL) {
        return reader_refuse(reader, "is a block of type \"thinking\" without a thinking");
    }
    struct template_dict *message = open_message(reader, role);
    return message != NULL && reader_set(reader, message, "reasoning_content", *thinking);
}

/* What another service has encrypted. */
static bool skip_block(struct reader *reader, const char *role,
                       const struct template_value *block) {
    (void)block;
    return open_message(reader, role) != NULL;
}

static bool read_tool_use(struct reader *reader, const char *role,
                          const struct template_value *block) {
    const struct template_value *id = member(block, "id", TEMPLATE_TEXT);
    const struct template_value *name = member(block, "name", TEMPLATE_TEXT);
    const struct template_value *input = member(block, "input", TEMPLATE_DICT);
    if (id == NULL || name == NULL || input == NULL) {
        const char *wrong = id == NULL ? "id" : name == NULL ? "name" : "input";
        return reader_refuse(reader,
                             "must be {\"type\": \"tool_use\", \"id\": …, \"name\": …, \"input\": "
                             "{…}}, but %s is %s",
                             wrong, reader_kind(any_member(block, wrong)));
    }
    struct template_dict *message = open_message(reader, role);
    struct template_dict *function = template_dict_new(reader->arena);
    struct template_dict *call = template_dict_new(reader->arena);
    return message != NULL && reader_set(reader, function, "name", *name) &&
           reader_set(reader, function, "arguments", *input) &&
           reader_set(reader, call, "id", *id) &&
           reader_set(reader, call, "type", reader_literal("function")) &&
           reader_set(reader, call, "function", template_from_dict(function)) &&
           reader_push(reader, reader_list_of(reader, message, "tool_calls"),
                       template_from_dict(call)) &&
           (template_dict_set(reader->arena, reader->called, *id, *name) ||
            reader_no_memory(reader));
}

static bool read_result_content(struct reader *reader, struct template_dict *result,
                                const struct template_value *block) {
    const struct template_value *text = member(block, "content", TEMPLATE_TEXT);
    const struct template_value *blocks = member(block, "content", TEMPLATE_LIST);
    if (!is_given(block, "content")) {
        return reader_set(reader, result, "content", reader_literal(""));
    }
    if (text != NULL) {
        return reader_set(reader, result, "content", *text);
    }
    if (blocks == NULL) {
        return reader_refuse(reader,
                             "must have a content that is a string or a list of text blocks");
    }
    for (size_t i = 0; i < blocks->list->count; i++) {
        const struct template_value *part = &blocks->list->items[i];
        const struct template_value *said = member(part, "text", TEMPLATE_TEXT);
        if (!template_text_is(type_of(part), "text") || said == NULL) {
            return reader_refuse(
                reader,
                "has a result with a block of type \"%.*s\" at %zu, but this model reads "
                "only text",
                reader_shown(type_of(part)), type_of(part).bytes, i);
        }
        if (!reader_add_text(reader, result, *said)) {
            return false;
        }
    }
    return blocks->list->count > 0 || reader_set(reader, result, "content", reader_literal(""));
}

/* Some templates want the tool's name beside its result. */
static bool read_tool_result(struct reader *reader, const char *role,
                             const struct template_value *block) {
    (void)role;
    const struct template_value *id = member(block, "tool_use_id", TEMPLATE_TEXT);
    if (id == NULL) {
        return reader_refuse(reader, "is a block of type \"tool_result\" without a tool_use_id");
    }
    const struct template_value *name = template_dict_find(reader->called, *id);
    if (name == NULL) {
        return reader_refuse(reader,
                             "has the result of \"%.*s\", but no message before calls a tool with "
                             "that id",
                             reader_shown(id->text), id->text.bytes);
    }
    struct template_dict *result = template_dict_new(reader->arena);
    return reader_set(reader, result, "role", reader_literal("tool")) &&
           reader_set(reader, result, "tool_call_id", *id) &&
           reader_set(reader, result, "name", *name) &&
           read_result_content(reader, result, block) &&
           reader_push(reader, reader->messages, template_from_dict(result));
}

static const struct {
    const char *type;
    const char *role; /* that may have such blocks; NULL: both */
    bool (*read)(struct reader *reader, const char *role, const struct template_value *block);
} blocks[] = {
    {"text", NULL, read_text},
    {"thinking", "assistant", read_thinking},
    {"redacted_thinking", "assistant", skip_block},
    {"tool_use", "assistant", read_tool_use},
    {"tool_result", "user", read_tool_result},
};

static bool read_block(struct reader *reader, const char *role,
                       const struct template_value *block) {
    struct template_text type = type_of(block);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (!template_text_is(type, blocks[i].type)) {
            continue;
        }
        if (blocks[i].role != NULL && strcmp(blocks[i].role, role) != 0) {
            return reader_refuse(reader, "is a block of type \"%s\", which only the %s has",
                                 blocks[i].type, blocks[i].role);
        }
        return blocks[i].read(reader, role, block);
    }
    return type.length == 0
               ? reader_refuse(reader, "must be an object with a type, but is %s",
                               block->type == TEMPLATE_DICT ? "without" : reader_kind(block))
               : reader_refuse(reader,
                               "is a block of type \"%.*s\", but this model reads only text",
                               reader_shown(type), type.bytes);
}

static bool read_content(struct reader *reader, size_t index, const char *role,
                         const struct template_value *message) {
    const struct template_value *text = member(message, "content", TEMPLATE_TEXT);
    const struct template_value *list = member(message, "content", TEMPLATE_LIST);
    if (text != NULL) {
        return reader_add_text(reader, open_message(reader, role), *text);
    }
    if (list == NULL || list->list->count == 0) {
        snprintf(reader->place, sizeof reader->place, "messages[%zu].content", index);
        return reader_refuse(reader,
                             "must be a string or a list of blocks, {\"type\": \"text\", \"text\": "
                             "…}, but is %s",
                             list != NULL ? "empty" : reader_kind(any_member(message, "content")));
    }
    for (size_t i = 0; i < list->list->count; i++) {
        snprintf(reader->place, sizeof reader->place, "messages[%zu].content[%zu]", index, i);
        if (!read_block(reader, role, &list->list->items[i])) {
            return false;
        }
    }
    return true;
}

static bool read_message(struct reader *reader, size_t index,
                         const struct template_value *message) {
    static const char *const roles[] = {"user", "assistant"};
    const struct template_value *role = member(message, "role", TEMPLATE_TEXT);
    for (size_t i = 0; role != NULL && i < sizeof roles / sizeof *roles; i++) {
        if (template_text_is(role->text, roles[i])) {
            return read_content(reader, index, roles[i], message);
        }
    }
    snprintf(reader->place, sizeof reader->place, "messages[%zu].role", index);
    return reader_refuse(
        reader,
        "must be \"user\" or \"assistant\", but is %s; what the system says is the "
        "member system of the request",
        reader_found(any_member(message, "role")).text);
}

/* A string or text blocks. */
static bool read_system(struct reader *reader, const struct template_value *request) {
    const struct template_value *text = member(request, "system", TEMPLATE_TEXT);
    const struct template_value *list = member(request, "system", TEMPLATE_LIST);
    if (!is_given(request, "system")) {
        return true;
    }
    snprintf(reader->place, sizeof reader->place, "system");
    if (text != NULL) {
        return reader_add_text(reader, open_message(reader, "system"), *text);
    }
    if (list == NULL) {
        return reader_refuse(reader, "must be a string or a list of text blocks, but is %s",
                             reader_kind(any_member(request, "system")));
    }
    for (size_t i = 0; i < list->list->count; i++) {
        const struct template_value *block = &list->list->items[i];
        snprintf(reader->place, sizeof reader->place, "system[%zu]", i);
        if (!template_text_is(type_of(block), "text")) {
            return reader_refuse(reader, "must be a block of type \"text\", but %s is %s",
                                 block->type == TEMPLATE_DICT ? "its type" : "it",
                                 block->type == TEMPLATE_DICT
                                     ? reader_found(any_member(block, "type")).text
                                     : reader_kind(block));
        }
        if (!read_text(reader, "system", block)) {
            return false;
        }
    }
    return true;
}

/* Content that is nothing but calls or thinking is none. */
static bool complete(const struct reader *reader) {
    for (size_t i = 0; i < reader->messages->count; i++) {
        struct template_dict *message = reader->messages->items[i].dict;
        if (template_dict_find_text(message, "content") == NULL &&
            !reader_set(reader, message, "content", reader_literal(""))) {
            return false;
        }
    }
    return true;
}

static bool read_messages(struct reader *reader, const struct template_value *request) {
    const struct template_value *list = member(request, "messages", TEMPLATE_LIST);
    if (list == NULL || list->list->count == 0) {
        return api_error_set(reader->error, API_INVALID, "messages",
                             "messages must be a list of at least one message, but is %s",
                             list != NULL ? "empty" : reader_kind(any_member(request, "messages")));
    }
    for (size_t i = 0; i < list->list->count; i++) {
        if (!read_message(reader, i, &list->list->items[i])) {
            return false;
        }
    }
    return complete(reader);
}

/* ---- Tools ---- */

/* {"name", "description", "input_schema"} */
static bool read_tool(struct reader *reader, const struct template_value *tool,
                      struct template_list *tools) {
    const struct template_value *name = member(tool, "name", TEMPLATE_TEXT);
    const struct template_value *description = member(tool, "description", TEMPLATE_TEXT);
    const struct template_value *schema = member(tool, "input_schema", TEMPLATE_DICT);
    struct template_text type = type_of(tool);
    if (type.length > 0 && !template_text_is(type, "custom")) {
        return reader_refuse(
            reader,
            "is of type \"%.*s\", but only tools of the client can be used, which have "
            "an input_schema",
            reader_shown(type), type.bytes);
    }
    if (name == NULL || schema == NULL) {
        const char *wrong = name == NULL ? "name" : "input_schema";
        bool object = tool->type == TEMPLATE_DICT;
        return reader_refuse(
            reader,
            "must be {\"name\": …, \"description\": …, \"input_schema\": {…}}, but "
            "%s is %s",
            object ? wrong : "it", reader_kind(object ? any_member(tool, wrong) : tool));
    }
    struct template_dict *function = template_dict_new(reader->arena);
    struct template_dict *made = template_dict_new(reader->arena);
    return reader_set(reader, function, "name", *name) &&
           (description == NULL || reader_set(reader, function, "description", *description)) &&
           reader_set(reader, function, "parameters", *schema) &&
           reader_set(reader, made, "type", reader_literal("function")) &&
           reader_set(reader, made, "function", template_from_dict(function)) &&
           reader_push(reader, tools, template_from_dict(made));
}

static bool read_tools(struct reader *reader, const struct template_value *request,
                       struct template_list **tools) {
    const struct template_value *list = member(request, "tools", TEMPLATE_LIST);
    *tools = NULL;
    if (!is_given(request, "tools")) {
        return true;
    }
    if (list == NULL) {
        return api_error_set(reader->error, API_INVALID, "tools",
                             "tools must be a list of tools, but is %s",
                             reader_kind(any_member(request, "tools")));
    }
    *tools = template_list_new(reader->arena);
    for (size_t i = 0; i < list->list->count; i++) {
        snprintf(reader->place, sizeof reader->place, "tools[%zu]", i);
        if (!read_tool(reader, &list->list->items[i], *tools)) {
            return false;
        }
    }
    return *tools != NULL || reader_no_memory(reader);
}

/* ---- All of it ---- */

/* {"type": "enabled", "budget_tokens": 1024}: models that think know no budget. Without it there is
 * none, as Anthropic has it, where the template lets one choose. */
static bool read_thinking_choice(struct conversation *conversation,
                                 const struct template_value *request, struct api_error *error) {
    const struct template_value *thinking = member(request, "thinking", TEMPLATE_DICT);
    struct template_text type =
        thinking != NULL ? type_of(thinking) : (struct template_text){"", 0};
    bool enabled = template_text_is(type, "enabled") || template_text_is(type, "adaptive");
    if (is_given(request, "thinking") && !enabled && !template_text_is(type, "disabled")) {
        return api_error_set(
            error, API_INVALID, "thinking",
            "thinking must be {\"type\": \"enabled\"}, {\"type\": \"adaptive\"} or "
            "{\"type\": \"disabled\"}, but %s is %s",
            thinking != NULL ? "its type" : "it",
            reader_found(any_member(thinking != NULL ? thinking : request,
                                    thinking != NULL ? "type" : "thinking"))
                .text);
    }
    return conversation_set(conversation, "enable_thinking", template_from_boolean(enabled), error);
}

/* A last message of the assistant goes on. */
static bool find_beginning(struct conversation *conversation, const struct reader *reader) {
    const struct template_value *last = &reader->messages->items[reader->messages->count - 1];
    conversation->continues =
        template_text_is(member(last, "role", TEMPLATE_TEXT)->text, "assistant");
    if (conversation->continues && member(last, "tool_calls", TEMPLATE_LIST) != NULL) {
        return api_error_set(reader->error, API_INVALID, "messages",
                             "The last message calls tools: their results must follow it, in "
                             "blocks of type \"tool_result\"");
    }
    return conversation_set(conversation, "add_generation_prompt",
                            template_from_boolean(!conversation->continues), reader->error);
}

bool messages_prompt_read(struct conversation *conversation, struct api_error *error) {
    struct template_value request = template_from_dict(conversation->request);
    struct reader reader = {
        .arena = &conversation->arena,
        .messages = template_list_new(&conversation->arena),
        .called = template_dict_new(&conversation->arena),
        .error = error,
    };
    struct template_list *tools;
    if (reader.messages == NULL || reader.called == NULL) {
        return reader_no_memory(&reader);
    }
    return read_system(&reader, &request) && read_messages(&reader, &request) &&
           read_tools(&reader, &request, &tools) &&
           conversation_set_messages(conversation, template_from_list(reader.messages), error) &&
           (tools == NULL ||
            conversation_set_tools(conversation, template_from_list(tools), error)) &&
           read_thinking_choice(conversation, &request, error) &&
           find_beginning(conversation, &reader);
}
