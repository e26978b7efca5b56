#include "importer/json_values.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool no_memory(struct json_reader *json) {
    return error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for the values");
}

static bool copy_text(struct json_reader *json, struct arena *arena, struct token_text text,
                      struct template_value *value) {
    char *bytes = arena_copy_text(arena, text.bytes, text.length);
    if (bytes == NULL) {
        return no_memory(json);
    }
    *value = template_from_text(bytes, text.length);
    return true;
}

static bool read_string(struct json_reader *json, struct arena *arena,
                        struct template_value *value) {
    struct token_text text;
    return json_string(json, &text) && copy_text(json, arena, text, value);
}

static bool read_number(struct json_reader *json, struct arena *arena,
                        struct template_value *value) {
    struct token_text digits = {"", 0};
    if (!json_number(json, &digits) || !copy_text(json, arena, digits, value)) {
        return false;
    }
    const char *terminated = value->text.bytes;
    if (strpbrk(terminated, ".eE") != NULL) {
        *value = template_from_number(strtod(terminated, NULL));
        return true;
    }
    errno = 0;
    int64_t integer = strtoll(terminated, NULL, 10);
    *value = errno == ERANGE ? template_from_digits(terminated, digits.length)
                             : template_from_integer(integer);
    return true;
}

static bool read_array(struct json_reader *json, struct arena *arena,
                       struct template_value *value) {
    struct template_list *list = template_list_new(arena);
    struct template_value item = {.type = TEMPLATE_ABSENT};
    if (list == NULL) {
        return no_memory(json);
    }
    json_begin_array(json);
    while (json_next_element(json)) {
        if (!json_values_read(json, arena, &item)) {
            return false;
        }
        if (!template_list_push(arena, list, item)) {
            return no_memory(json);
        }
    }
    *value = template_from_list(list);
    return json->error.code == ERROR_NONE;
}

static bool read_object(struct json_reader *json, struct arena *arena,
                        struct template_value *value) {
    struct template_dict *dict = template_dict_new(arena);
    struct token_text text;
    struct template_value key = {.type = TEMPLATE_ABSENT};
    struct template_value member = {.type = TEMPLATE_ABSENT};
    if (dict == NULL) {
        return no_memory(json);
    }
    json_begin_object(json);
    while (json_next_key(json, &text)) {
        if (!copy_text(json, arena, text, &key) || !json_values_read(json, arena, &member)) {
            return false;
        }
        if (!template_dict_set(arena, dict, key, member)) {
            return no_memory(json);
        }
    }
    *value = template_from_dict(dict);
    return json->error.code == ERROR_NONE;
}

bool json_values_read(struct json_reader *json, struct arena *arena, struct template_value *value) {
    bool truth = false;
    switch (json_peek(json)) {
    case JSON_OBJECT:
        return read_object(json, arena, value);
    case JSON_ARRAY:
        return read_array(json, arena, value);
    case JSON_STRING:
        return read_string(json, arena, value);
    case JSON_NUMBER:
        return read_number(json, arena, value);
    case JSON_BOOLEAN:
        if (!json_boolean(json, &truth)) {
            return false;
        }
        *value = template_from_boolean(truth);
        return true;
    default:
        *value = template_none();
        return json_skip(json); /* null, or an error */
    }
}

/* ---- Printing ---- */

static bool append(struct text_buffer *text, const char *string) {
    return text_buffer_append(text, string, strlen(string));
}

static bool print_string(struct template_text string, struct text_buffer *text) {
    bool fine = append(text, "\"");
    size_t plain = 0; /* begins what needs no escape */
    for (size_t i = 0; i < string.length && fine; i++) {
        unsigned char byte = (unsigned char)string.bytes[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        char escape[8];
        snprintf(escape, sizeof escape, byte < 0x20 ? "\\u%04x" : "\\%c", byte);
        fine = text_buffer_append(text, string.bytes + plain, i - plain) && append(text, escape);
        plain = i + 1;
    }
    return fine && text_buffer_append(text, string.bytes + plain, string.length - plain) &&
           append(text, "\"");
}

/* With the fewest digits that read back as it, and a point, as it was read from a number with one. */
static bool print_float(double number, struct text_buffer *text) {
    char digits[40];
    if (isinf(number)) {
        return append(text, number < 0 ? "-1e999" : "1e999");
    }
    int precision = 15;
    do {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
    } while (++precision <= 17 && strtod(digits, NULL) != number);
    return append(text, digits) && (strpbrk(digits, ".e") != NULL || append(text, ".0"));
}

static bool print_list(const struct template_list *list, struct text_buffer *text) {
    bool fine = append(text, "[");
    for (size_t i = 0; i < list->count && fine; i++) {
        fine = (i == 0 || append(text, ", ")) && json_values_print(list->items[i], text);
    }
    return fine && append(text, "]");
}

static bool print_dict(const struct template_dict *dict, struct text_buffer *text) {
    bool fine = append(text, "{");
    for (size_t i = 0; i < dict->count && fine; i++) {
        fine = (i == 0 || append(text, ", ")) && print_string(dict->entries[i].key.text, text) &&
               append(text, ": ") && json_values_print(dict->entries[i].value, text);
    }
    return fine && append(text, "}");
}

bool json_values_print(struct template_value value, struct text_buffer *text) {
    char digits[24];
    switch (value.type) {
    case TEMPLATE_DICT:
        return print_dict(value.dict, text);
    case TEMPLATE_LIST:
        return print_list(value.list, text);
    case TEMPLATE_TEXT:
        return print_string(value.text, text);
    case TEMPLATE_FLOAT:
        return print_float(value.number, text);
    case TEMPLATE_BIG_INTEGER:
        return text_buffer_append(text, value.text.bytes, value.text.length);
    case TEMPLATE_INTEGER:
        snprintf(digits, sizeof digits, "%" PRId64, value.integer);
        return append(text, digits);
    case TEMPLATE_BOOLEAN:
        return append(text, value.boolean ? "true" : "false");
    default:
        return append(text, "null");
    }
}
