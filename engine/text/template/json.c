#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- Strings ---- */

static bool print_escape(struct template_render *render, uint32_t code) {
    static const char *const short_escapes[0x20] = {
        ['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};
    char escape[16];
    if (code == '"' || code == '\\') {
        snprintf(escape, sizeof escape, "\\%c", (char)code);
    } else if (code < 0x20 && short_escapes[code] != NULL) {
        return template_append_string(render, short_escapes[code]);
    } else if (code < 0x10000) {
        snprintf(escape, sizeof escape, "\\u%04" PRIx32, code);
    } else {
        snprintf(escape, sizeof escape, "\\u%04" PRIx32 "\\u%04" PRIx32,
                 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
    }
    return template_append_string(render, escape);
}

static bool print_string(struct template_render *render, const struct template_json_style *style,
                         struct template_text text) {
    size_t plain = 0; /* begins what needs no escape */
    if (!template_append_string(render, "\"")) {
        return false;
    }
    for (size_t offset = 0; offset < text.length;) {
        size_t begin = offset;
        uint32_t code = template_text_next(text, &offset);
        bool escaped =
            code == '"' || code == '\\' || code < 0x20 || (style->ensure_ascii && code > 0x7E);
        if (escaped) {
            if (!template_append(render, template_text_part(text, plain, begin)) ||
                !template_spend(render, 1) || !print_escape(render, code)) {
                return false;
            }
            plain = offset;
        }
    }
    return template_append(render, template_text_part(text, plain, text.length)) &&
           template_append_string(render, "\"");
}

/* ---- Numbers, words ---- */

static bool print_float(struct template_render *render, double number) {
    char digits[TEMPLATE_NUMBER_BYTES];
    template_format_number(number, digits);
    return template_append_string(render, isnan(number)   ? "NaN"
                                          : isinf(number) ? number > 0 ? "Infinity" : "-Infinity"
                                                          : digits);
}

/* A key that is no text becomes the text of its value. */
static bool print_key(struct template_render *render, const struct template_json_style *style,
                      struct template_value key) {
    if (key.type == TEMPLATE_TEXT) {
        return print_string(render, style, key.text);
    }
    return template_append_string(render, "\"") && template_print_json(render, style, key) &&
           template_append_string(render, "\"");
}

/* ---- Arrays and objects ---- */

static bool begin_line(struct template_render *render, const struct template_json_style *style,
                       size_t level) {
    return style->indent.bytes == NULL || (template_append_string(render, "\n") &&
                                           template_append_repeated(render, style->indent, level));
}

static bool print_value(struct template_render *render, const struct template_json_style *style,
                        struct template_value value, size_t level);

static bool print_array(struct template_render *render, const struct template_json_style *style,
                        const struct template_list *list, size_t level) {
    if (list->count == 0) {
        return template_append_string(render, "[]");
    }
    bool fine = template_append_string(render, "[");
    for (size_t i = 0; fine && i < list->count; i++) {
        fine = (i == 0 || template_append(render, style->item_separator)) &&
               begin_line(render, style, level + 1) &&
               print_value(render, style, list->items[i], level + 1);
    }
    return fine && begin_line(render, style, level) && template_append_string(render, "]");
}

/* The entries sorted by their keys. */
static bool sort_entries(struct template_render *render, struct template_dict **dict) {
    struct template_value keys = {.type = TEMPLATE_KEYS, .dict = *dict};
    struct template_list *sorted;
    struct template_list *same;
    struct template_dict *result;
    if (!template_collect(render, keys, &sorted) || !template_collect(render, keys, &same) ||
        !template_sort(render, sorted, same, false) || !template_new_dict(render, &result)) {
        return false;
    }
    for (size_t i = 0; i < sorted->count; i++) {
        if (!template_set(render, result, sorted->items[i],
                          *template_dict_find(*dict, sorted->items[i]))) {
            return false;
        }
    }
    *dict = result;
    return true;
}

static bool print_object(struct template_render *render, const struct template_json_style *style,
                         struct template_dict *dict, size_t level) {
    if (dict->count == 0) {
        return template_append_string(render, "{}");
    }
    if (style->sort_keys && !sort_entries(render, &dict)) {
        return false;
    }
    bool fine = template_append_string(render, "{");
    for (size_t i = 0; fine && i < dict->count; i++) {
        fine = (i == 0 || template_append(render, style->item_separator)) &&
               begin_line(render, style, level + 1) &&
               print_key(render, style, dict->entries[i].key) &&
               template_append(render, style->key_separator) &&
               print_value(render, style, dict->entries[i].value, level + 1);
    }
    return fine && begin_line(render, style, level) && template_append_string(render, "}");
}

/* ---- Values ---- */

static bool print_by_type(struct template_render *render, const struct template_json_style *style,
                          struct template_value value, size_t level) {
    switch (value.type) {
    case TEMPLATE_NONE:
        return template_append_string(render, "null");
    case TEMPLATE_BOOLEAN:
        return template_append_string(render, value.boolean ? "true" : "false");
    case TEMPLATE_INTEGER:
    case TEMPLATE_BIG_INTEGER:
        return template_print_repr(render, value);
    case TEMPLATE_FLOAT:
        return print_float(render, value.number);
    case TEMPLATE_TEXT:
        return print_string(render, style, value.text);
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        return print_array(render, style, value.list, level);
    case TEMPLATE_DICT:
        return print_object(render, style, value.dict, level);
    default:
        return template_fail(render, ERROR_INVALID, "a value of type %s has no form in JSON",
                             template_type_name(value.type));
    }
}

static bool print_value(struct template_render *render, const struct template_json_style *style,
                        struct template_value value, size_t level) {
    bool fine = template_enter(render) && print_by_type(render, style, value, level);
    template_leave(render);
    return fine;
}

bool template_print_json(struct template_render *render, const struct template_json_style *style,
                         struct template_value value) {
    return print_value(render, style, value, 0);
}
