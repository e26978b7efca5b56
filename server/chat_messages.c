#include "server/chat_messages.h"

#include "importer/json_values.h"
#include "server/prompt_reader.h"

#include <stdio.h>
#include <string.h>

/* One message (or tool) of the list, and what the template takes. */
struct place {
    struct reader reader;
    const struct chat_traits *traits;
};

static struct place place_of(struct arena *arena, const struct chat_traits *traits,
                             const char *list, size_t index, struct api_error *error) {
    struct place place = {{.arena = arena, .error = error}, traits};
    snprintf(place.reader.place, sizeof place.reader.place, "%s[%zu]", list, index);
    return place;
}

/* ---- Values ---- */

static bool is_text(const struct template_value *value) {
    return value != NULL && value->type == TEMPLATE_TEXT;
}

static bool is_given(const struct template_value *value) {
    return value != NULL && value->type != TEMPLATE_NONE;
}

static const struct template_value *member_of(const struct template_dict *dict, const char *name) {
    return template_dict_find_text(dict, name);
}

/* The text that is this member of a dict; NULL if there is none. */
static const struct template_text *text_member(const struct template_value *value,
                                               const char *name) {
    const struct template_value *member =
        value->type == TEMPLATE_DICT ? member_of(value->dict, name) : NULL;
    return member != NULL && member->type == TEMPLATE_TEXT ? &member->text : NULL;
}

/* Values are shared: what is changed is a copy. NULL when memory is out. */
static struct template_dict *copy_dict(const struct place *place,
                                       const struct template_dict *original) {
    struct template_dict *copy = template_dict_new(place->reader.arena);
    for (size_t i = 0; copy != NULL && i < original->count; i++) {
        const struct template_entry *entry = &original->entries[i];
        if (!template_dict_set(place->reader.arena, copy, entry->key, entry->value)) {
            copy = NULL;
        }
    }
    if (copy == NULL) {
        reader_no_memory(&place->reader);
    }
    return copy;
}

/* ---- Content ---- */

/* The text of a content part; false for one that has none. */
static bool text_of_part(const struct template_value *part, struct template_text *text) {
    static const struct {
        const char *type;
        const char *member;
    } parts[] = {{"text", "text"}, {"refusal", "refusal"}};
    const struct template_text *type = text_member(part, "type");
    for (size_t i = 0; type != NULL && i < sizeof parts / sizeof *parts; i++) {
        const struct template_text *found = text_member(part, parts[i].member);
        if (found != NULL && template_text_is(*type, parts[i].type)) {
            *text = *found;
            return true;
        }
    }
    return false;
}

static bool refuse_part(const struct place *place, const struct template_value *part,
                        size_t index) {
    const struct template_text *type = text_member(part, "type");
    if (type == NULL) {
        return reader_refuse_member(
            &place->reader, "content",
            "must be a string or a list of parts, {\"type\": \"text\", \"text\": …}, but "
            "its element %zu is %s",
            index, part->type == TEMPLATE_DICT ? "without a type" : reader_kind(part));
    }
    if (template_text_is(*type, "text") || template_text_is(*type, "refusal")) {
        return reader_refuse_member(&place->reader, "content",
                                    "has a part of type \"%.*s\" at %zu without its text",
                                    reader_shown(*type), type->bytes, index);
    }
    return reader_refuse_member(
        &place->reader, "content",
        "has a part of type \"%.*s\" at %zu, but this model reads only parts of type "
        "\"text\"",
        reader_shown(*type), type->bytes, index);
}

static bool make_part(const struct place *place, struct template_text text,
                      struct template_value *part) {
    struct template_dict *dict = template_dict_new(place->reader.arena);
    if (dict == NULL) {
        return reader_no_memory(&place->reader);
    }
    *part = template_from_dict(dict);
    return reader_set(&place->reader, dict, "type", reader_literal("text")) &&
           reader_set(&place->reader, dict, "text", template_from_text(text.bytes, text.length));
}

static bool push_part(const struct place *place, struct template_list *list,
                      struct template_text text) {
    struct template_value part = {.type = TEMPLATE_ABSENT};
    return make_part(place, text, &part) && reader_push(&place->reader, list, part);
}

/* The parts as one text, a line break between any two, for templates that know no parts. */
static bool join_parts(const struct place *place, const struct template_list *parts,
                       struct template_value *content) {
    struct template_text text;
    size_t length = 0;
    for (size_t i = 0; i < parts->count; i++) {
        length += text_of_part(&parts->items[i], &text) ? text.length + 1 : 0;
    }
    char *joined = arena_allocate(place->reader.arena, length + 1, 1);
    if (joined == NULL) {
        return reader_no_memory(&place->reader);
    }
    size_t at = 0;
    for (size_t i = 0; i < parts->count; i++) {
        if (text_of_part(&parts->items[i], &text)) {
            if (i > 0) {
                joined[at++] = '\n';
            }
            memcpy(joined + at, text.bytes, text.length);
            at += text.length;
        }
    }
    *content = template_from_text(joined, at);
    return true;
}

static bool read_parts(const struct place *place, const struct template_list *parts,
                       struct template_value *content) {
    struct template_list *list = template_list_new(place->reader.arena);
    if (list == NULL) {
        return reader_no_memory(&place->reader);
    }
    for (size_t i = 0; i < parts->count; i++) {
        struct template_text text;
        if (!text_of_part(&parts->items[i], &text)) {
            return refuse_part(place, &parts->items[i], i);
        }
        if (!push_part(place, list, text)) {
            return false;
        }
    }
    if (!place->traits->takes_parts) {
        return join_parts(place, list, content);
    }
    *content = template_from_list(list);
    return true;
}

/* A message without content: only one that says something else. */
static bool read_no_content(const struct place *place, const struct template_dict *message,
                            struct template_value *content) {
    const struct template_value *calls = member_of(message, "tool_calls");
    bool has_calls = calls != NULL && calls->type == TEMPLATE_LIST && calls->list->count > 0;
    if (!has_calls && !is_given(member_of(message, "function_call")) &&
        !is_given(member_of(message, "reasoning_content")) &&
        !is_given(member_of(message, "refusal"))) {
        return reader_refuse_member(
            &place->reader, "content",
            "is required: a string or a list of parts, {\"type\": \"text\", \"text\": …}");
    }
    *content = has_calls && place->traits->takes_no_content ? template_none() : reader_literal("");
    return true;
}

static bool read_content(const struct place *place, const struct template_dict *message,
                         struct template_value *content) {
    const struct template_value *value = member_of(message, "content");
    if (!is_given(value)) {
        return read_no_content(place, message, content);
    }
    if (value->type == TEMPLATE_LIST) {
        return read_parts(place, value->list, content);
    }
    if (value->type != TEMPLATE_TEXT) {
        return reader_refuse_member(
            &place->reader, "content",
            "must be a string or a list of parts, {\"type\": \"text\", \"text\": …}, but is %s",
            reader_kind(value));
    }
    if (!place->traits->needs_parts) {
        *content = *value;
        return true;
    }
    struct template_list *list = template_list_new(place->reader.arena);
    if (list == NULL || !push_part(place, list, value->text)) {
        return reader_no_memory(&place->reader);
    }
    *content = template_from_list(list);
    return true;
}

/* ---- Calls ---- */

static bool print_arguments(const struct place *place, struct template_dict *function,
                            struct template_value mapping) {
    struct text_buffer text = {0};
    char *copy = json_values_print(mapping, &text)
                     ? arena_copy_text(place->reader.arena, text.bytes, text.length)
                     : NULL;
    size_t length = text.length;
    text_buffer_deinit(&text);
    return copy != NULL
               ? reader_set(&place->reader, function, "arguments", template_from_text(copy, length))
               : reader_no_memory(&place->reader);
}

/* What a model made may be no JSON, or no object: such arguments stay as they are. */
static bool read_arguments(const struct place *place, struct template_dict *function) {
    const struct template_value *text = member_of(function, "arguments");
    if (place->traits->arguments_as_text && text != NULL && text->type == TEMPLATE_DICT) {
        return print_arguments(place, function, *text);
    }
    if (!is_text(text) || place->traits->arguments_as_text) {
        return true;
    }
    struct json_reader json;
    struct template_value value = {.type = TEMPLATE_ABSENT};
    static const char empty[] = "{}";
    bool is_empty = text->text.length == 0;
    json_reader_init(&json, is_empty ? empty : text->text.bytes,
                     is_empty ? strlen(empty) : text->text.length);
    bool is_mapping = json_values_read(&json, place->reader.arena, &value) && json_end(&json) &&
                      value.type == TEMPLATE_DICT;
    bool has_memory = json.error.code != ERROR_OUT_OF_MEMORY;
    json_reader_deinit(&json);
    if (!has_memory) {
        return reader_no_memory(&place->reader);
    }
    return !is_mapping || reader_set(&place->reader, function, "arguments", value);
}

static bool read_call(const struct place *place, const struct template_value *value,
                      struct template_list *calls) {
    const struct template_value *function =
        value->type == TEMPLATE_DICT ? member_of(value->dict, "function") : NULL;
    const struct template_value *name = function != NULL && function->type == TEMPLATE_DICT
                                            ? member_of(function->dict, "name")
                                            : NULL;
    if (!is_text(name)) {
        return reader_refuse_member(
            &place->reader, "tool_calls",
            "must be a list of calls, {\"id\": …, \"type\": \"function\", \"function\": "
            "{\"name\": …, \"arguments\": …}}, but its element %zu is none",
            calls->count);
    }
    const struct template_value *arguments = member_of(function->dict, "arguments");
    if (is_given(arguments) && arguments->type != TEMPLATE_TEXT &&
        arguments->type != TEMPLATE_DICT) {
        return reader_refuse_member(
            &place->reader, "tool_calls",
            "must have arguments that are an object, as JSON in a string, but those of "
            "its element %zu are not",
            calls->count);
    }
    struct template_dict *call = copy_dict(place, value->dict);
    struct template_dict *called = copy_dict(place, function->dict);
    if (call == NULL || called == NULL || !read_arguments(place, called) ||
        !reader_set(&place->reader, call, "function", template_from_dict(called))) {
        return false;
    }
    return reader_push(&place->reader, calls, template_from_dict(call));
}

static bool read_calls(const struct place *place, struct template_dict *message) {
    const struct template_value *value = member_of(message, "tool_calls");
    if (!is_given(value)) {
        return true;
    }
    if (value->type != TEMPLATE_LIST) {
        return reader_refuse_member(&place->reader, "tool_calls",
                                    "must be a list of calls, but is %s", reader_kind(value));
    }
    struct template_list *calls = template_list_new(place->reader.arena);
    if (calls == NULL) {
        return reader_no_memory(&place->reader);
    }
    for (size_t i = 0; i < value->list->count; i++) {
        if (!read_call(place, &value->list->items[i], calls)) {
            return false;
        }
    }
    return reader_set(&place->reader, message, "tool_calls", template_from_list(calls));
}

/* ---- Messages ---- */

static bool read_role(const struct place *place, const struct template_dict *message,
                      struct template_value *role) {
    static const char *const roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
    const struct template_value *value = member_of(message, "role");
    if (is_text(value)) {
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
            if (template_text_is(value->text, roles[i])) {
                bool unknown =
                    template_text_is(value->text, "developer") && !place->traits->knows_developer;
                *role = unknown ? reader_literal("system") : *value;
                return true;
            }
        }
    }
    return reader_refuse_member(&place->reader, "role",
                                "must be \"system\", \"developer\", \"user\", \"assistant\", "
                                "\"tool\" or \"function\", but is %s",
                                reader_found(value).text);
}

static bool check_texts(const struct place *place, const struct template_dict *message) {
    static const char *const members[] = {"name", "tool_call_id", "reasoning_content", "refusal"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct template_value *value = member_of(message, members[i]);
        if (is_given(value) && value->type != TEMPLATE_TEXT) {
            return reader_refuse_member(&place->reader, members[i], "must be a string, but is %s",
                                        reader_kind(value));
        }
    }
    return true;
}

/* What else a message says goes to the template as it is. */
static bool read_message(const struct place *place, const struct template_value *value,
                         struct template_value *message) {
    if (value->type != TEMPLATE_DICT) {
        return reader_refuse(&place->reader,
                             "must be an object with a role and a content, but is %s",
                             reader_kind(value));
    }
    struct template_value role = {.type = TEMPLATE_ABSENT};
    struct template_value content = {.type = TEMPLATE_ABSENT};
    if (!read_role(place, value->dict, &role) || !read_content(place, value->dict, &content) ||
        !check_texts(place, value->dict)) {
        return false;
    }
    struct template_dict *copy = copy_dict(place, value->dict);
    if (copy == NULL) {
        return false;
    }
    *message = template_from_dict(copy);
    return reader_set(&place->reader, copy, "role", role) &&
           reader_set(&place->reader, copy, "content", content) && read_calls(place, copy);
}

bool chat_messages_read(struct arena *arena, const struct chat_traits *traits,
                        struct template_value messages, struct template_value *out,
                        struct api_error *error) {
    bool empty = messages.type == TEMPLATE_LIST && messages.list->count == 0;
    if (messages.type != TEMPLATE_LIST || empty) {
        return api_error_set(error, API_INVALID, "messages",
                             "messages must be a list of at least one message, but is %s",
                             empty ? "empty" : reader_kind(&messages));
    }
    struct template_list *list = template_list_new(arena);
    for (size_t i = 0; i < messages.list->count; i++) {
        const struct place place = place_of(arena, traits, "messages", i, error);
        struct template_value message = {.type = TEMPLATE_ABSENT};
        if (!read_message(&place, &messages.list->items[i], &message) ||
            !reader_push(&place.reader, list, message)) {
            return false;
        }
    }
    *out = template_from_list(list);
    return true;
}

/* ---- Tools ---- */

static bool check_tool(const struct place *place, const struct template_value *tool) {
    const struct template_value *type =
        tool->type == TEMPLATE_DICT ? member_of(tool->dict, "type") : NULL;
    const struct template_value *function =
        tool->type == TEMPLATE_DICT ? member_of(tool->dict, "function") : NULL;
    if (is_text(type) && !template_text_is(type->text, "function")) {
        return reader_refuse_member(&place->reader, "type",
                                    "is \"%.*s\", but only functions can be called",
                                    reader_shown(type->text), type->text.bytes);
    }
    if (!is_text(type) || function == NULL || function->type != TEMPLATE_DICT) {
        const char *wrong = !is_text(type) ? "type" : "function";
        bool object = tool->type == TEMPLATE_DICT;
        return reader_refuse(&place->reader,
                             "must be {\"type\": \"function\", \"function\": {\"name\": …}}, but "
                             "%s is %s",
                             object ? wrong : "it",
                             reader_kind(object ? member_of(tool->dict, wrong) : tool));
    }
    const struct template_value *name = member_of(function->dict, "name");
    const struct template_value *description = member_of(function->dict, "description");
    const struct template_value *parameters = member_of(function->dict, "parameters");
    if (!is_text(name) || name->text.length == 0) {
        return reader_refuse_member(&place->reader, "function.name",
                                    "must be a string that is not empty, but is %s",
                                    reader_found(name).text);
    }
    if (is_given(description) && description->type != TEMPLATE_TEXT) {
        return reader_refuse_member(&place->reader, "function.description",
                                    "must be a string, but is %s", reader_kind(description));
    }
    if (is_given(parameters) && parameters->type != TEMPLATE_DICT) {
        return reader_refuse_member(&place->reader, "function.parameters",
                                    "must be a JSON Schema, an object, but is %s",
                                    reader_kind(parameters));
    }
    return true;
}

bool chat_messages_check_tools(const struct chat_traits *traits, struct template_value tools,
                               struct api_error *error) {
    if (tools.type != TEMPLATE_LIST) {
        return api_error_set(error, API_INVALID, "tools",
                             "tools must be a list of functions, but is %s", reader_kind(&tools));
    }
    for (size_t i = 0; i < tools.list->count; i++) {
        const struct place place = place_of(NULL, traits, "tools", i, error);
        if (!check_tool(&place, &tools.list->items[i])) {
            return false;
        }
    }
    return tools.list->count == 0 || traits->knows_tools ||
           api_error_set(error, API_INVALID, "tools",
                         "tools cannot be used: the chat template of this model knows none");
}
