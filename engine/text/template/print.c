#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers ---- */

/* Digits and exponent of d.ddde+xx become what Python's repr writes: plain digits for exponents
 * from -4 to 15. */
static void arrange_digits(const char *digits, int exponent, char *out, size_t size) {
    int count = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        snprintf(out, size, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        snprintf(out, size, "0.%.*s%s", -exponent - 1, "0000", digits);
    } else if (count <= exponent + 1) {
        snprintf(out, size, "%s%.*s.0", digits, exponent + 1 - count, "0000000000000000");
    } else {
        snprintf(out, size, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

void template_format_number(double number, char out[TEMPLATE_NUMBER_BYTES]) {
    char scientific[TEMPLATE_NUMBER_BYTES];
    if (isnan(number) || isinf(number)) {
        snprintf(out, TEMPLATE_NUMBER_BYTES, "%s",
                 isnan(number) ? "nan"
                 : number > 0  ? "inf"
                               : "-inf");
        return;
    }
    for (int precision = 0; precision <= 16; precision++) { /* 17 digits tell all doubles apart */
        snprintf(scientific, sizeof scientific, "%.*e", precision, fabs(number));
        if (strtod(scientific, NULL) == fabs(number)) {
            break;
        }
    }
    char digits[TEMPLATE_NUMBER_BYTES];
    size_t count = 0;
    const char *at = scientific;
    for (; *at != 'e'; at++) {
        if (*at != '.') {
            digits[count++] = *at;
        }
    }
    digits[count] = '\0';
    out[0] = '-';
    bool negative = signbit(number) != 0;
    arrange_digits(digits, atoi(at + 1), out + negative, (size_t)TEMPLATE_NUMBER_BYTES - negative);
}

/* ---- repr() ---- */

/* A character within quotes, as Python escapes it. */
static bool print_quoted_character(struct template_render *render, uint32_t code, char quote) {
    char escape[12];
    switch (code) {
    case '\n':
        return template_append_string(render, "\\n");
    case '\r':
        return template_append_string(render, "\\r");
    case '\t':
        return template_append_string(render, "\\t");
    case '\\':
        return template_append_string(render, "\\\\");
    default:
        break;
    }
    if (code == (uint32_t)quote) {
        snprintf(escape, sizeof escape, "\\%c", quote);
    } else if (template_is_printable(code)) {
        return template_append_code(render, code);
    } else {
        snprintf(escape, sizeof escape,
                 code < 0x100     ? "\\x%02" PRIx32
                 : code < 0x10000 ? "\\u%04" PRIx32
                                  : "\\U%08" PRIx32,
                 code);
    }
    return template_append_string(render, escape);
}

static bool print_quoted(struct template_render *render, struct template_text text) {
    bool has_single = memchr(text.bytes, '\'', text.length) != NULL;
    bool has_double = memchr(text.bytes, '"', text.length) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    const struct template_text mark = {&quote, 1};
    if (!template_append(render, mark) || !template_spend(render, text.length / 8)) {
        return false;
    }
    for (size_t offset = 0; offset < text.length;) {
        if (!print_quoted_character(render, template_text_next(text, &offset), quote)) {
            return false;
        }
    }
    return template_append(render, mark);
}

/* The items of a list or a view, with commas. */
static bool print_items(struct template_render *render, struct template_value value,
                        const char *open, const char *close) {
    size_t count = 0;
    template_length(value, &count);
    if (!template_append_string(render, open)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct template_value item;
        if ((i > 0 && !template_append_string(render, ", ")) ||
            !template_item_at(render, value, i, &item) || !template_print_repr(render, item)) {
            return false;
        }
    }
    return template_append_string(render, close);
}

static bool print_entries(struct template_render *render, const struct template_dict *dict,
                          const char *open, const char *close) {
    if (!template_append_string(render, open)) {
        return false;
    }
    for (size_t i = 0; i < dict->count; i++) {
        if ((i > 0 && !template_append_string(render, ", ")) ||
            !template_print_repr(render, dict->entries[i].key) ||
            !template_append_string(render, ": ") ||
            !template_print_repr(render, dict->entries[i].value)) {
            return false;
        }
    }
    return template_append_string(render, close);
}

static bool print_range(struct template_render *render, const struct template_range *range) {
    char text[96];
    snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (!template_append_string(render, text)) {
        return false;
    }
    snprintf(text, sizeof text, ", %" PRId64, range->step);
    return (range->step == 1 || template_append_string(render, text)) &&
           template_append_string(render, ")");
}

static bool print_number(struct template_render *render, struct template_value value) {
    char digits[TEMPLATE_NUMBER_BYTES];
    if (value.type == TEMPLATE_INTEGER) {
        snprintf(digits, sizeof digits, "%" PRId64, value.integer);
    } else {
        template_format_number(value.number, digits);
    }
    return template_append_string(render, digits);
}

static bool print_by_type(struct template_render *render, struct template_value value) {
    switch (value.type) {
    case TEMPLATE_UNDEFINED:
        return template_append_string(render, "Undefined");
    case TEMPLATE_NONE:
        return template_append_string(render, "None");
    case TEMPLATE_BOOLEAN:
        return template_append_string(render, value.boolean ? "True" : "False");
    case TEMPLATE_INTEGER:
    case TEMPLATE_FLOAT:
        return print_number(render, value);
    case TEMPLATE_BIG_INTEGER:
        return template_append(render, value.text);
    case TEMPLATE_TEXT:
        return print_quoted(render, value.text);
    case TEMPLATE_LIST:
        return print_items(render, value, "[", "]");
    case TEMPLATE_TUPLE:
        return print_items(render, value, "(", value.list->count == 1 ? ",)" : ")");
    case TEMPLATE_DICT:
        return print_entries(render, value.dict, "{", "}");
    case TEMPLATE_KEYS:
        return print_items(render, value, "dict_keys([", "])");
    case TEMPLATE_VALUES:
        return print_items(render, value, "dict_values([", "])");
    case TEMPLATE_ITEMS:
        return print_items(render, value, "dict_items([", "])");
    case TEMPLATE_RANGE:
        return print_range(render, value.range);
    case TEMPLATE_NAMESPACE:
        return print_entries(render, value.dict, "<Namespace {", "}>");
    default:
        return template_append_string(render, "<") &&
               template_append_string(render, template_type_name(value.type)) &&
               template_append_string(render, " object>");
    }
}

bool template_print_repr(struct template_render *render, struct template_value value) {
    bool fine = template_enter(render) && print_by_type(render, value);
    template_leave(render);
    return fine;
}

/* ---- str() ---- */

bool template_print(struct template_render *render, struct template_value value) {
    switch (value.type) {
    case TEMPLATE_TEXT:
        return template_append(render, value.text);
    case TEMPLATE_UNDEFINED:
        return !render->failed;
    default:
        return template_print_repr(render, value);
    }
}

bool template_to_text(struct template_render *render, struct template_value value,
                      struct template_text *text) {
    if (value.type == TEMPLATE_TEXT) {
        *text = value.text;
        return true;
    }
    size_t begin = template_begin(render);
    struct template_value printed;
    if (!template_print(render, value) || !template_take(render, begin, &printed)) {
        return false;
    }
    *text = printed.text;
    return true;
}

/* ---- HTML ---- */

static const char *html_of(char byte) {
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&#34;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

bool template_escape(struct template_render *render, struct template_value value,
                     struct template_value *result) {
    struct template_text text;
    if (!template_to_text(render, value, &text)) {
        return false;
    }
    *result = template_from(text);
    if (value.type != TEMPLATE_TEXT || !value.escaped) {
        size_t begin = template_begin(render);
        size_t plain = 0; /* begins what needs no escape */
        for (size_t i = 0; i < text.length; i++) {
            const char *html = html_of(text.bytes[i]);
            if (html != NULL) {
                if (!template_append(render, template_text_part(text, plain, i)) ||
                    !template_append_string(render, html) || !template_spend(render, 1)) {
                    return false;
                }
                plain = i + 1;
            }
        }
        if (!template_append(render, template_text_part(text, plain, text.length)) ||
            !template_take(render, begin, result)) {
            return false;
        }
    }
    result->escaped = true;
    return true;
}
