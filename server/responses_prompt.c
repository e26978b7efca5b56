#include "server/responses_prompt.h"

#include "server/prompt_reader.h"

#include <stdio.h>
#include <string.h>

/* ---- Values ---- */

/* A member that is there and not null, or NULL. */
static const struct template_value *member(const struct template_dict *object, const char *name) {
    const struct template_value *value = template_dict_find_text(object, name);
    return value != NULL && value->type != TEMPLATE_NONE ? value : NULL;
}

static const struct template_value *member_text(const struct template_dict *object,
                                                const char *name) {
    const struct template_value *value = member(object, name);
    return value != NULL && value->type == TEMPLATE_TEXT ? value : NULL;
}

/* ---- Messages ---- */

/* NULL when memory is out. */
static struct template_dict *add_message(const struct reader *reader, struct template_value role) {
    struct template_dict *message = template_dict_new(reader->arena);
    bool fine = reader_set(reader, message, "role", role) &&
                reader_push(reader, reader->messages, template_from_dict(message));
    return fine ? message : NULL;
}

/* The last message, if it has the role, else a new one; NULL when memory is out. */
static struct template_dict *open_message(const struct reader *reader, const char *role) {
    const struct template_list *messages = reader->messages;
    if (messages->count > 0) {
        struct template_dict *last = messages->items[messages->count - 1].dict;
        if (template_text_is(member(last, "role")->text, role)) {
            return last;
        }
    }
    return add_message(reader, reader_literal(role));
}

/* ---- Content ---- */

/* The text of a part; NULL, and an error that names its type, if it has none. */
static const struct template_value *text_of_part(const struct reader *reader,
                                                 const struct template_value *part) {
    static const struct {
        const char *type;
        const char *member;
    } parts[] = {{"input_text", "text"},
                 {"output_text", "text"},
                 {"text", "text"},
                 {"reasoning_text", "text"},
                 {"refusal", "refusal"}};
    const struct template_value *type =
        part->type == TEMPLATE_DICT ? member_text(part->dict, "type") : NULL;
    if (type == NULL) {
        reader_refuse(reader,
                      "must have parts like {\"type\": \"input_text\", \"text\": …}, but has %s",
                      part->type == TEMPLATE_DICT ? "one without a type" : reader_kind(part));
        return NULL;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const struct template_value *text = member_text(part->dict, parts[i].member);
        if (template_text_is(type->text, parts[i].type) && text != NULL) {
            return text;
        }
    }
    reader_refuse(reader, "has a part of type \"%.*s\", but this model reads only text",
                  reader_shown(type->text), type->text.bytes);
    return NULL;
}

static bool read_content(const struct reader *reader, struct template_dict *message,
                         const struct template_value *content) {
    if (content != NULL && content->type == TEMPLATE_TEXT) {
        return reader_add_text(reader, message, *content);
    }
    if (content == NULL || content->type != TEMPLATE_LIST) {
        return reader_refuse(reader,
                             "must have text, a string or a list of parts, {\"type\": "
                             "\"input_text\", \"text\": …}, but it is %s",
                             reader_kind(content));
    }
    for (size_t i = 0; i < content->list->count; i++) {
        const struct template_value *text = text_of_part(reader, &content->list->items[i]);
        if (text == NULL || !reader_add_text(reader, message, *text)) {
            return false;
        }
    }
    return message != NULL && (reader_list_of(reader, message, "content") != NULL);
}

/* ---- Items ---- */

static bool read_message(struct reader *reader, const struct template_dict *item) {
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    const struct template_value *role = member_text(item, "role");
    const char *known = NULL;
    for (size_t i = 0; role != NULL && i < sizeof roles / sizeof *roles; i++) {
        known = template_text_is(role->text, roles[i]) ? roles[i] : known;
    }
    if (known == NULL) {
        return reader_refuse(reader,
                             "must have the role \"user\", \"assistant\", \"system\" or "
                             "\"developer\", but it is %s",
                             reader_found(member(item, "role")).text);
    }
    bool instructs = known == roles[2] || known == roles[3];
    bool joins = known == roles[1] || (instructs && reader->messages->count == 1);
    struct template_dict *message =
        joins ? open_message(reader, instructs ? "system" : known) : add_message(reader, *role);
    return message != NULL && read_content(reader, message, member(item, "content"));
}

static bool read_call(struct reader *reader, const struct template_dict *item) {
    const struct template_value *id = member_text(item, "call_id");
    const struct template_value *name = member_text(item, "name");
    const struct template_value *arguments = member_text(item, "arguments");
    if (id == NULL || name == NULL || arguments == NULL) {
        const char *wrong = id == NULL ? "call_id" : name == NULL ? "name" : "arguments";
        return reader_refuse(reader,
                             "must be {\"type\": \"function_call\", \"call_id\": …, \"name\": …, "
                             "\"arguments\": …}, but %s is %s",
                             wrong, reader_kind(member(item, wrong)));
    }
    struct template_dict *message = open_message(reader, "assistant");
    struct template_dict *call = template_dict_new(reader->arena);
    struct template_dict *function = template_dict_new(reader->arena);
    return message != NULL && reader_set(reader, function, "name", *name) &&
           reader_set(reader, function, "arguments", *arguments) &&
           reader_set(reader, call, "id", *id) &&
           reader_set(reader, call, "type", reader_literal("function")) &&
           reader_set(reader, call, "function", template_from_dict(function)) &&
           reader_push(reader, reader_list_of(reader, message, "tool_calls"),
                       template_from_dict(call)) &&
           (template_dict_set(reader->arena, reader->called, *id, *name) ||
            reader_no_memory(reader));
}

static bool read_output(struct reader *reader, const struct template_dict *item) {
    const struct template_value *id = member_text(item, "call_id");
    if (id == NULL) {
        return reader_refuse(reader,
                             "must be {\"type\": \"function_call_output\", \"call_id\": …, "
                             "\"output\": …}, but call_id is %s",
                             reader_kind(member(item, "call_id")));
    }
    const struct template_value *name = template_dict_find(reader->called, *id);
    struct template_dict *message = add_message(reader, reader_literal("tool"));
    return message != NULL && reader_set(reader, message, "tool_call_id", *id) &&
           (name == NULL || reader_set(reader, message, "name", *name)) &&
           read_content(reader, message, member(item, "output"));
}

/* A summary is not what the model thought, and what is encrypted nobody here can read. */
static bool read_reasoning(struct reader *reader, const struct template_dict *item) {
    const struct template_value *content = member(item, "content");
    if (content == NULL || content->type != TEMPLATE_LIST || content->list->count == 0) {
        return true;
    }
    const struct template_value *text = text_of_part(reader, &content->list->items[0]);
    if (text == NULL) {
        return false;
    }
    struct template_dict *message = open_message(reader, "assistant");
    return message != NULL && reader_set(reader, message, "reasoning_content", *text);
}

static bool read_item(struct reader *reader, const struct template_value *item) {
    static const struct {
        const char *type;
        bool (*read)(struct reader *reader, const struct template_dict *item);
    } kinds[] = {
        {"message", read_message},
        {"function_call", read_call},
        {"function_call_output", read_output},
        {"reasoning", read_reasoning},
    };
    if (item->type != TEMPLATE_DICT) {
        return reader_refuse(reader, "must be an object, a message or another item, but is %s",
                             reader_kind(item));
    }
    const struct template_value *type = member(item->dict, "type");
    if (type == NULL) {
        return read_message(reader, item->dict);
    }
    if (type->type != TEMPLATE_TEXT) {
        return reader_refuse(reader, "must have a type that is a string, but it is %s",
                             reader_kind(type));
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (template_text_is(type->text, kinds[i].type)) {
            return kinds[i].read(reader, item->dict);
        }
    }
    return reader_refuse(reader,
                         "is of type \"%.*s\", which is not supported: nothing is kept here, and "
                         "only functions can be called",
                         reader_shown(type->text), type->text.bytes);
}

/* A message that calls functions, or only thinks, may have no content. */
static bool complete_messages(const struct reader *reader) {
    for (size_t i = 0; i < reader->messages->count; i++) {
        struct template_dict *message = reader->messages->items[i].dict;
        if (member(message, "content") == NULL && member(message, "tool_calls") == NULL &&
            !reader_set(reader, message, "content", reader_literal(""))) {
            return false;
        }
    }
    return true;
}

static bool read_input(struct reader *reader, const struct template_dict *request) {
    const struct template_value *instructions = member(request, "instructions");
    const struct template_value *input = member(request, "input");
    if (instructions != NULL && instructions->type != TEMPLATE_TEXT) {
        return api_error_set(reader->error, API_INVALID, "instructions",
                             "instructions must be a string, but is %s", reader_kind(instructions));
    }
    if (instructions != NULL &&
        !reader_add_text(reader, add_message(reader, reader_literal("system")), *instructions)) {
        return false;
    }
    if (input != NULL && input->type == TEMPLATE_TEXT) {
        return reader_add_text(reader, add_message(reader, reader_literal("user")), *input);
    }
    if (input == NULL || input->type != TEMPLATE_LIST || input->list->count == 0) {
        return api_error_set(reader->error, API_INVALID, "input",
                             "input must be a string or a list of items, but is %s",
                             input != NULL && input->type == TEMPLATE_LIST ? "empty"
                                                                           : reader_kind(input));
    }
    for (size_t i = 0; i < input->list->count; i++) {
        snprintf(reader->place, sizeof reader->place, "input[%zu]", i);
        if (!read_item(reader, &input->list->items[i])) {
            return false;
        }
    }
    return complete_messages(reader);
}

/* ---- Tools ---- */

/* {"type": "function", "name": …} with all else that describes the function inside it. */
static bool read_tool(struct reader *reader, const struct template_value *tool,
                      struct template_list *tools) {
    const struct template_value *type =
        tool->type == TEMPLATE_DICT ? member_text(tool->dict, "type") : NULL;
    if (type == NULL) {
        bool object = tool->type == TEMPLATE_DICT;
        return reader_refuse(
            reader,
            "must be {\"type\": \"function\", \"name\": …, \"parameters\": {…}}, but "
            "%s is %s",
            object ? "type" : "it", reader_kind(object ? member(tool->dict, "type") : tool));
    }
    if (!template_text_is(type->text, "function")) {
        return reader_refuse(reader,
                             "is of type \"%.*s\", which runs elsewhere: only functions, which the "
                             "client runs, can be called",
                             reader_shown(type->text), type->text.bytes);
    }
    struct template_dict *function = template_dict_new(reader->arena);
    struct template_dict *made = template_dict_new(reader->arena);
    for (size_t i = 0; i < tool->dict->count; i++) {
        const struct template_entry *entry = &tool->dict->entries[i];
        if (&entry->value != type &&
            (function == NULL ||
             !template_dict_set(reader->arena, function, entry->key, entry->value))) {
            return reader_no_memory(reader);
        }
    }
    return reader_set(reader, made, "type", *type) &&
           reader_set(reader, made, "function", template_from_dict(function)) &&
           reader_push(reader, tools, template_from_dict(made));
}

static bool read_tools(struct reader *reader, struct conversation *conversation) {
    const struct template_value *tools = member(conversation->request, "tools");
    struct template_list *list = template_list_new(reader->arena);
    if (tools == NULL) {
        return true;
    }
    if (tools->type != TEMPLATE_LIST) {
        return api_error_set(reader->error, API_INVALID, "tools", "tools must be a list, but is %s",
                             reader_kind(tools));
    }
    for (size_t i = 0; i < tools->list->count; i++) {
        snprintf(reader->place, sizeof reader->place, "tools[%zu]", i);
        if (!read_tool(reader, &tools->list->items[i], list)) {
            return false;
        }
    }
    return list != NULL
               ? conversation_set_tools(conversation, template_from_list(list), reader->error)
               : reader_no_memory(reader);
}

/* ---- Variables ---- */

static bool read_reasoning_effort(struct conversation *conversation, struct api_error *error) {
    const struct template_value *reasoning = member(conversation->request, "reasoning");
    if (reasoning == NULL) {
        return true;
    }
    const struct template_value *effort =
        reasoning->type == TEMPLATE_DICT ? member(reasoning->dict, "effort") : reasoning;
    if (effort != NULL && effort->type != TEMPLATE_TEXT) {
        return api_error_set(error, API_INVALID, "reasoning",
                             "reasoning must be {\"effort\": …} or the effort itself, which is a "
                             "string, but is %s",
                             reader_kind(effort));
    }
    return effort == NULL || conversation_set(conversation, "reasoning_effort", *effort, error);
}

bool responses_prompt_read(struct conversation *conversation, struct api_error *error) {
    struct reader reader = {
        .arena = &conversation->arena,
        .messages = template_list_new(&conversation->arena),
        .called = template_dict_new(&conversation->arena),
        .error = error,
    };
    if (reader.messages == NULL || reader.called == NULL) {
        return reader_no_memory(&reader);
    }
    conversation->parameter = "input";
    return conversation_read_variables(conversation, error) &&
           read_reasoning_effort(conversation, error) &&
           read_input(&reader, conversation->request) &&
           conversation_set_messages(conversation, template_from_list(reader.messages), error) &&
           read_tools(&reader, conversation) &&
           conversation_set(conversation, "add_generation_prompt", template_from_boolean(true),
                            error);
}
