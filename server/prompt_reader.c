#include "server/prompt_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool reader_no_memory(const struct reader *reader) {
    return api_error_set(reader->error, API_INTERNAL, NULL, "Out of memory");
}

__attribute__((format(printf, 3, 0))) static bool
refuse(const struct reader *reader, const char *param, const char *format, va_list arguments) {
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    return api_error_set(reader->error, API_INVALID, param, "%s %s", param, text);
}

bool reader_refuse(const struct reader *reader, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    refuse(reader, reader->place, format, arguments);
    va_end(arguments);
    return false;
}

bool reader_refuse_member(const struct reader *reader, const char *member, const char *format,
                          ...) {
    char param[64];
    va_list arguments;
    snprintf(param, sizeof param, "%s.%s", reader->place, member);
    va_start(arguments, format);
    refuse(reader, param, format, arguments);
    va_end(arguments);
    return false;
}

const char *reader_kind(const struct template_value *value) {
    static const char *const kinds[TEMPLATE_TYPE_COUNT] = {
        [TEMPLATE_NONE] = "null",        [TEMPLATE_BOOLEAN] = "a boolean",
        [TEMPLATE_INTEGER] = "a number", [TEMPLATE_BIG_INTEGER] = "a number",
        [TEMPLATE_FLOAT] = "a number",   [TEMPLATE_TEXT] = "a string",
        [TEMPLATE_LIST] = "an array",    [TEMPLATE_DICT] = "an object",
    };
    return value != NULL && kinds[value->type] != NULL ? kinds[value->type] : "missing";
}

struct reader_found reader_found(const struct template_value *value) {
    struct reader_found found;
    if (value != NULL && value->type == TEMPLATE_TEXT) {
        snprintf(found.text, sizeof found.text, "\"%.*s\"", reader_shown(value->text),
                 value->text.bytes);
    } else {
        snprintf(found.text, sizeof found.text, "%s", reader_kind(value));
    }
    return found;
}

bool reader_set(const struct reader *reader, struct template_dict *dict, const char *name,
                struct template_value value) {
    return (dict != NULL && template_dict_set_text(reader->arena, dict, name, value)) ||
           reader_no_memory(reader);
}

bool reader_push(const struct reader *reader, struct template_list *list,
                 struct template_value value) {
    return (list != NULL && template_list_push(reader->arena, list, value)) ||
           reader_no_memory(reader);
}

struct template_list *reader_list_of(const struct reader *reader, struct template_dict *dict,
                                     const char *name) {
    struct template_value *value = template_dict_find_text(dict, name);
    if (value != NULL) {
        return value->list;
    }
    struct template_list *list = template_list_new(reader->arena);
    return list != NULL && reader_set(reader, dict, name, template_from_list(list)) ? list : NULL;
}

bool reader_add_text(const struct reader *reader, struct template_dict *message,
                     struct template_value text) {
    struct template_dict *part = template_dict_new(reader->arena);
    return message != NULL && reader_set(reader, part, "type", reader_literal("text")) &&
           reader_set(reader, part, "text", text) &&
           reader_push(reader, reader_list_of(reader, message, "content"),
                       template_from_dict(part));
}

int reader_shown(struct template_text text) {
    return text.length < 40 ? (int)text.length : 40;
}

struct template_value reader_literal(const char *text) {
    return template_from_text(text, strlen(text));
}
