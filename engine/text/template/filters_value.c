/* Filters of single values: texts, numbers, and what becomes one. */
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"
#include "engine/text/template/text_functions.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_given(struct template_value argument) {
    return argument.type != TEMPLATE_ABSENT && argument.type != TEMPLATE_NONE;
}

/* ---- Any value ---- */

static bool filter_default(struct template_call *call) {
    struct template_value fallback = call->arguments[0];
    bool also_false = template_is_true(call->arguments[1]);
    bool missing =
        call->self.type == TEMPLATE_UNDEFINED || (also_false && !template_is_true(call->self));
    call->result = !missing                           ? call->self
                   : fallback.type == TEMPLATE_ABSENT ? template_from_text("", 0)
                                                      : fallback;
    return true;
}

static bool filter_length(struct template_call *call) {
    size_t length = 0;
    if (!template_length(call->self, &length)) {
        return template_fail(call->render, ERROR_INVALID, "a value of type %s has no length",
                             template_type_name(call->self.type));
    }
    call->result = template_from_integer((int64_t)length);
    return call->self.type != TEMPLATE_TEXT ||
           template_spend_bytes(call->render, call->self.text.length);
}

static bool filter_string(struct template_call *call) {
    struct template_text text = {"", 0};
    bool fine = template_to_text(call->render, call->self, &text);
    call->result = call->self.type == TEMPLATE_TEXT ? call->self : template_from(text);
    return fine;
}

static bool filter_safe(struct template_call *call) {
    bool fine = filter_string(call);
    call->result.escaped = true;
    return fine;
}

static bool filter_escape(struct template_call *call) {
    return template_escape(call->render, call->self, &call->result);
}

/* An indent of so many spaces, or this text. */
static bool read_indent(struct template_render *render, struct template_value argument,
                        size_t fallback, struct template_text *indent) {
    int64_t width;
    struct template_value spaces;
    if (argument.type == TEMPLATE_TEXT) {
        *indent = argument.text;
        return true;
    }
    size_t begin = template_begin(render);
    if (!template_read_integer(render, argument, (int64_t)fallback, &width) ||
        !template_append_repeated(render, template_literal(" "), width > 0 ? (uint64_t)width : 0) ||
        !template_take(render, begin, &spaces)) {
        return false;
    }
    *indent = spaces.text;
    return true;
}

static bool read_separators(struct template_render *render, struct template_value argument,
                            struct template_json_style *style) {
    bool is_pair = (argument.type == TEMPLATE_TUPLE || argument.type == TEMPLATE_LIST) &&
                   argument.list->count == 2 && argument.list->items[0].type == TEMPLATE_TEXT &&
                   argument.list->items[1].type == TEMPLATE_TEXT;
    if (!is_pair) {
        return template_fail(render, ERROR_INVALID, "tojson's separators have to be two texts");
    }
    style->item_separator = argument.list->items[0].text;
    style->key_separator = argument.list->items[1].text;
    return true;
}

static bool filter_tojson(struct template_call *call) {
    struct template_value indent = call->arguments[1];
    struct template_value separators = call->arguments[2];
    struct template_json_style style = {
        .item_separator = {is_given(indent) ? "," : ", ", is_given(indent) ? 1 : 2},
        .key_separator = {": ", 2},
        .ensure_ascii = template_is_true(call->arguments[0]),
        .sort_keys = template_is_true(call->arguments[3]),
    };
    if ((is_given(indent) && !read_indent(call->render, indent, 0, &style.indent)) ||
        (is_given(separators) && !read_separators(call->render, separators, &style))) {
        return false;
    }
    size_t begin = template_begin(call->render);
    return template_print_json(call->render, &style, call->self) &&
           template_take(call->render, begin, &call->result);
}

/* ---- Texts ---- */

static bool filter_indent(struct template_call *call) {
    struct template_text indent;
    bool first = template_is_true(call->arguments[1]);
    bool blank = template_is_true(call->arguments[2]);
    if (call->self.type != TEMPLATE_TEXT) {
        return call->self.type == TEMPLATE_UNDEFINED
                   ? template_fail_undefined(call->render, call->self)
                   : template_fail(call->render, ERROR_INVALID,
                                   "only texts can be indented, found %s",
                                   template_type_name(call->self.type));
    }
    if (!read_indent(call->render, call->arguments[0], 4, &indent)) {
        return false;
    }
    size_t begin = template_begin(call->render);
    size_t at = 0;
    bool ends_line = false; /* the line before did: an empty one follows the last */
    for (bool is_first = true; is_first || at < call->self.text.length || ends_line;
         is_first = false) {
        struct template_text line = template_text_line(call->self.text, &at);
        ends_line = at > 0 && line.bytes + line.length < call->self.text.bytes + at;
        bool indented = is_first ? first : blank || line.length > 0;
        if ((!is_first && !template_append_string(call->render, "\n")) ||
            (indented && !template_append(call->render, indent)) ||
            !template_append(call->render, line) || !template_spend(call->render, 1)) {
            return false;
        }
    }
    return template_take(call->render, begin, &call->result);
}

static bool filter_format(struct template_call *call) {
    struct template_text format;
    struct template_dict *named;
    struct template_list *positional;
    if (!template_to_text(call->render, call->self, &format) ||
        !template_new_dict(call->render, &named) || !template_new_list(call->render, &positional)) {
        return false;
    }
    for (size_t i = 0; i < call->given->count; i++) {
        if (!template_push(call->render, positional, call->given->positional[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < call->given->keyword_count; i++) {
        if (!template_set(call->render, named, call->given->keywords[i].key,
                          call->given->keywords[i].value)) {
            return false;
        }
    }
    struct template_value tuple = {.type = TEMPLATE_TUPLE, .list = positional};
    return template_format_percent(
        call->render, format, named->count > 0 ? template_from_dict(named) : tuple, &call->result);
}

/* ---- Numbers ---- */

/* Digits as Python reads them into a number: white space around them, underscores between. */
static bool clean_digits(struct template_text text, const char *allowed, char *digits,
                         size_t size) {
    size_t length = 0;
    text = template_text_strip(text, STRIP_BOTH, NULL);
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '_' && length > 0 && i + 1 < text.length) {
            continue;
        }
        if (length + 1 == size || text.bytes[i] == '\0' || strchr(allowed, text.bytes[i]) == NULL) {
            return false;
        }
        digits[length++] = text.bytes[i];
    }
    digits[length] = '\0';
    return length > 0;
}

static bool read_integer(struct template_text text, int base, int64_t *integer) {
    char digits[128];
    char *end;
    if (!clean_digits(text, "+-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                      digits, sizeof digits)) {
        return false;
    }
    errno = 0;
    *integer = strtoll(digits, &end, base);
    return *end == '\0' && end != digits && errno == 0;
}

static bool read_float(struct template_text text, double *number) {
    char digits[512];
    char *end;
    if (!clean_digits(text, "+-.0123456789eEinfatyINFATY", digits, sizeof digits)) {
        return false;
    }
    *number = strtod(digits, &end);
    return *end == '\0' && end != digits;
}

/* The value as a number, if it is one or reads as one. */
static bool to_float(struct template_value value, double *number) {
    if (value.type == TEMPLATE_BIG_INTEGER || value.type == TEMPLATE_TEXT) {
        return read_float(value.text, number);
    }
    if (template_is_number(value)) {
        *number = template_to_number(value);
        return true;
    }
    return false;
}

static bool filter_float(struct template_call *call) {
    double number = 0;
    if (call->self.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(call->render, call->self);
    }
    bool has_fallback = call->arguments[0].type != TEMPLATE_ABSENT;
    call->result = to_float(call->self, &number) ? template_from_number(number)
                   : has_fallback                ? call->arguments[0]
                                                 : template_from_number(0);
    return true;
}

/* A float without its fraction. */
static bool truncate(struct template_render *render, double number, struct template_value *result) {
    char digits[400];
    struct template_value text;
    if (fabs(number) < 0x1p63) {
        *result = template_from_integer((int64_t)number);
        return true;
    }
    size_t begin = template_begin(render);
    snprintf(digits, sizeof digits, "%.0f", number);
    if (!template_append_string(render, digits) || !template_take(render, begin, &text)) {
        return false;
    }
    *result = template_from_digits(text.text.bytes, text.text.length);
    return true;
}

static bool filter_int(struct template_call *call) {
    int64_t base;
    int64_t integer;
    double number;
    struct template_value fallback = call->arguments[0];
    if (call->self.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(call->render, call->self);
    }
    if (!template_read_integer(call->render, call->arguments[1], 10, &base)) {
        return false;
    }
    if (template_is_integer(call->self)) {
        call->result = template_from_integer(template_to_integer(call->self));
    } else if (call->self.type == TEMPLATE_TEXT && base >= 2 && base <= 36 &&
               read_integer(call->self.text, (int)base, &integer)) {
        call->result = template_from_integer(integer);
    } else if (call->self.type == TEMPLATE_BIG_INTEGER) {
        call->result = call->self;
    } else if (to_float(call->self, &number) && isfinite(number)) {
        return truncate(call->render, number, &call->result);
    } else {
        call->result = fallback.type != TEMPLATE_ABSENT ? fallback : template_from_integer(0);
    }
    return true;
}

static bool need_number(struct template_render *render, struct template_value value) {
    if (value.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, value);
    }
    return (template_is_number(value) && value.type != TEMPLATE_BIG_INTEGER) ||
           template_fail(render, ERROR_INVALID, "expected a number, found %s",
                         template_type_name(value.type));
}

static bool filter_abs(struct template_call *call) {
    if (!need_number(call->render, call->self)) {
        return false;
    }
    if (call->self.type == TEMPLATE_FLOAT) {
        call->result = template_from_number(fabs(call->self.number));
        return true;
    }
    struct template_value integer = template_from_integer(template_to_integer(call->self));
    call->result = integer;
    return integer.integer >= 0 ||
           template_sign(call->render, TOKEN_SUBTRACT, integer, &call->result);
}

/* To so many digits behind the point, the even neighbour where both are as near: printf rounds the
 * exact value of the double so. Before the point, the power of ten is exact as well. */
static double round_to(double number, int64_t digits) {
    char text[400];
    if (!isfinite(number) || digits > 308) {
        return number;
    }
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, number);
        return strtod(text, NULL);
    }
    double unit = pow(10, (double)(digits < -310 ? 310 : -digits));
    return isinf(unit) ? 0 * number : nearbyint(number / unit) * unit;
}

static bool filter_round(struct template_call *call) {
    int64_t digits;
    struct template_value method = call->arguments[1];
    bool up = method.type == TEMPLATE_TEXT && template_text_is(method.text, "ceil");
    bool down = method.type == TEMPLATE_TEXT && template_text_is(method.text, "floor");
    bool common = method.type == TEMPLATE_ABSENT ||
                  (method.type == TEMPLATE_TEXT && template_text_is(method.text, "common"));
    if (!need_number(call->render, call->self) ||
        !template_read_integer(call->render, call->arguments[0], 0, &digits)) {
        return false;
    }
    if (!up && !down && !common) {
        return template_fail(call->render, ERROR_INVALID,
                             "round's method has to be common, ceil or floor");
    }
    if (common && call->self.type != TEMPLATE_FLOAT) {
        call->result = template_from_integer(template_to_integer(call->self));
        return digits >= 0 ||
               truncate(call->render, round_to(template_to_number(call->self), digits),
                        &call->result);
    }
    double unit = pow(10, (double)digits);
    double number = template_to_number(call->self);
    call->result = template_from_number(common ? round_to(number, digits)
                                        : up   ? ceil(number * unit) / unit
                                               : floor(number * unit) / unit);
    return true;
}

const struct template_builtin template_value_filters[] = {
    {"abs", "", filter_abs},
    {"capitalize", "", template_run_capitalize},
    {"count", "", filter_length},
    {"d", "default_value= boolean=", filter_default},
    {"default", "default_value= boolean=", filter_default},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"float", "default=", filter_float},
    {"format", NULL, filter_format},
    {"indent", "width= first= blank=", filter_indent},
    {"int", "default= base=", filter_int},
    {"length", "", filter_length},
    {"lower", "", template_run_lower},
    {"replace", "old new count=", template_run_replace},
    {"round", "precision= method=", filter_round},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"title", "", template_run_title_words},
    {"tojson", "ensure_ascii= indent= separators= sort_keys=", filter_tojson},
    {"trim", "chars=", template_run_strip},
    {"upper", "", template_run_upper},
    {NULL, NULL, NULL},
};
