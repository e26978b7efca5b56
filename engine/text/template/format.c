/* Python's two ways to put values into a text: "%05.1f" % x, and "{:05.1f}".format(x). */
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION_MAX = 100, WIDTH_MAX = 1 << 16 };

/* What stands between "%" or ":" and the type. */
struct specification {
    uint32_t fill;
    char align; /* '<', '>', '^', '=' (behind the sign), or 0: as the type has it */
    char sign;  /* '+', ' ' or 0 */
    bool alternate;
    bool grouped;
    size_t width;
    int precision; /* -1: none */
    char type;     /* 0: none */
};

static bool fail_format(struct template_render *render) {
    return template_fail(render, ERROR_INVALID, "a format that is not known, or cut off");
}

static bool fail_type(struct template_render *render, char type, struct template_value value) {
    return template_fail(render, ERROR_INVALID, "format '%c' does not fit a value of type %s", type,
                         template_type_name(value.type));
}

/* ---- Values to text ---- */

/* The text since `begin`, of which the first `head` bytes are a sign and a base, to the width. */
static bool pad(struct template_render *render, const struct specification *specification,
                size_t begin, size_t head, char natural_align) {
    struct template_value body;
    char fill[4];
    if (!template_take(render, begin, &body)) {
        return false;
    }
    size_t count = template_text_count(body.text);
    size_t missing = specification->width > count ? specification->width - count : 0;
    char align = specification->align != 0 ? specification->align : natural_align;
    size_t before = align == '<' || align == '=' ? 0 : align == '^' ? missing / 2 : missing;
    size_t within = align == '=' ? missing : 0;
    const struct template_text mark = {fill, template_encode(specification->fill, fill)};
    return template_append_repeated(render, mark, before) &&
           template_append(render, template_text_part(body.text, 0, head)) &&
           template_append_repeated(render, mark, within) &&
           template_append(render, template_text_part(body.text, head, body.text.length)) &&
           template_append_repeated(render, mark, missing - before - within);
}

/* Digits, with commas between thousands if so wanted, and what follows them. */
static bool append_digits(struct template_render *render, const char *digits, bool grouped) {
    size_t count = strspn(digits, "0123456789");
    for (size_t i = 0; grouped && i + 3 < count; i++) {
        bool comma = (count - i) % 3 == 1;
        if (!template_append(render, (struct template_text){digits + i, 1}) ||
            (comma && !template_append_string(render, ","))) {
            return false;
        }
    }
    return template_append_string(render, digits + (grouped && count > 3 ? count - 3 : 0));
}

static bool format_digits(struct template_render *render, const struct specification *specification,
                          bool negative, const char *base, const char *digits) {
    size_t begin = template_begin(render);
    char sign[2] = {negative ? '-' : specification->sign, '\0'};
    return template_append_string(render, sign) && template_append_string(render, base) &&
           append_digits(render, digits, specification->grouped) &&
           pad(render, specification, begin, strlen(sign) + strlen(base), '>');
}

static bool format_integer(struct template_render *render,
                           const struct specification *specification, int64_t integer) {
    char digits[72];
    uint64_t size = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    const char *base = "";
    switch (specification->type) {
    case 'x':
        snprintf(digits, sizeof digits, "%" PRIx64, size);
        base = specification->alternate ? "0x" : "";
        break;
    case 'X':
        snprintf(digits, sizeof digits, "%" PRIX64, size);
        base = specification->alternate ? "0X" : "";
        break;
    case 'o':
        snprintf(digits, sizeof digits, "%" PRIo64, size);
        base = specification->alternate ? "0o" : "";
        break;
    default:
        snprintf(digits, sizeof digits, "%" PRIu64, size);
        break;
    }
    return format_digits(render, specification, integer < 0, base, digits);
}

static bool format_float(struct template_render *render, const struct specification *specification,
                         double number) {
    char digits[PRECISION_MAX + 320]; /* the largest double has 309 digits before the point */
    int precision = specification->precision >= 0 ? specification->precision : 6;
    double size = fabs(number);
    switch (specification->type) {
    case 'f':
    case 'F':
        snprintf(digits, sizeof digits, "%.*f", precision, size);
        break;
    case 'e':
        snprintf(digits, sizeof digits, "%.*e", precision, size);
        break;
    case 'E':
        snprintf(digits, sizeof digits, "%.*E", precision, size);
        break;
    case 'G':
        snprintf(digits, sizeof digits, "%.*G", precision, size);
        break;
    case '%':
        snprintf(digits, sizeof digits, "%.*f%%", precision, size * 100);
        break;
    default:
        if (specification->type == '\0' && specification->precision < 0) {
            template_format_number(size, digits);
        } else {
            snprintf(digits, sizeof digits, "%.*g", precision, size);
        }
        break;
    }
    return format_digits(render, specification, signbit(number) != 0, "", digits);
}

static bool format_text(struct template_render *render, const struct specification *specification,
                        struct template_text text, char natural_align) {
    size_t begin = template_begin(render);
    if (specification->precision >= 0) {
        text.length = template_text_offset(text, (size_t)specification->precision);
    }
    return template_append(render, text) && pad(render, specification, begin, 0, natural_align);
}

static bool is_one_of(char type, const char *types) {
    return type != '\0' && strchr(types, type) != NULL;
}

static bool format_number(struct template_render *render, const struct specification *specification,
                          struct template_value value) {
    char type = specification->type;
    if (value.type == TEMPLATE_BIG_INTEGER) {
        return format_text(render, specification, value.text, '>');
    }
    bool as_float = is_one_of(type, "eEfFgG%") || (type == '\0' && value.type == TEMPLATE_FLOAT);
    return as_float ? format_float(render, specification, template_to_number(value))
                    : format_integer(render, specification, template_to_integer(value));
}

/* ---- Reading a specification ---- */

static size_t read_digits(struct template_text text, size_t *at, size_t limit) {
    size_t number = 0;
    for (; *at < text.length && text.bytes[*at] >= '0' && text.bytes[*at] <= '9'; ++*at) {
        number = number < limit ? 10 * number + (size_t)(text.bytes[*at] - '0') : number;
    }
    return number;
}

static char byte_at(struct template_text text, size_t at) {
    return at < text.length ? text.bytes[at] : '\0';
}

static bool fits(struct template_render *render, const struct specification *specification) {
    return (specification->width <= WIDTH_MAX && specification->precision <= PRECISION_MAX) ||
           template_fail(render, ERROR_TOO_LARGE,
                         "a format may have up to %d characters and %d digits", WIDTH_MAX,
                         PRECISION_MAX);
}

/* ---- Percent ---- */

struct percent {
    struct template_text format;
    size_t at;
    struct template_value values;
    size_t used; /* of a tuple */
    bool named;
};

static bool next_value(struct template_render *render, struct percent *percent,
                       struct template_value *value) {
    bool is_tuple = percent->values.type == TEMPLATE_TUPLE;
    if (percent->used >= (is_tuple ? percent->values.list->count : 1)) {
        return template_fail(render, ERROR_INVALID, "fewer values than the format has places");
    }
    *value = is_tuple ? percent->values.list->items[percent->used] : percent->values;
    percent->used++;
    return true;
}

/* "(name)" */
static bool named_value(struct template_render *render, struct percent *percent,
                        struct template_value *value) {
    size_t begin = percent->at + 1;
    size_t end = template_text_find(percent->format, template_literal(")"), begin);
    if (end == SIZE_MAX || percent->values.type != TEMPLATE_DICT) {
        return end == SIZE_MAX ? fail_format(render)
                               : template_fail(render, ERROR_INVALID,
                                               "a format with names needs a dict of values");
    }
    struct template_text name = template_text_part(percent->format, begin, end);
    const struct template_value *found =
        template_dict_find(percent->values.dict, template_from(name));
    if (found == NULL) {
        return template_fail(render, ERROR_INVALID, "the format names '%.*s', which is not given",
                             template_shown(name), name.bytes);
    }
    *value = *found;
    percent->at = end + 1;
    percent->named = true;
    return true;
}

static void read_percent_specification(struct percent *percent,
                                       struct specification *specification) {
    struct template_text format = percent->format;
    *specification = (struct specification){.fill = ' ', .align = '>', .precision = -1};
    for (char flag; is_one_of(flag = byte_at(format, percent->at), "#0- +"); percent->at++) {
        specification->alternate |= flag == '#';
        if (flag == '0' && specification->align != '<') {
            specification->fill = '0';
            specification->align = '=';
        } else if (flag == '-') {
            specification->fill = ' ';
            specification->align = '<';
        } else if (flag == '+' || (flag == ' ' && specification->sign == 0)) {
            specification->sign = flag;
        }
    }
    specification->width = read_digits(format, &percent->at, WIDTH_MAX + 1);
    if (byte_at(format, percent->at) == '.') {
        percent->at++;
        specification->precision = (int)read_digits(format, &percent->at, PRECISION_MAX + 1);
    }
    while (is_one_of(byte_at(format, percent->at), "hlL")) {
        percent->at++;
    }
    specification->type = byte_at(format, percent->at);
    percent->at += percent->at < format.length;
}

static bool format_percent_value(struct template_render *render,
                                 struct specification *specification, struct template_value value) {
    struct template_text text;
    char type = specification->type;
    bool is_number = template_is_number(value);
    if (type == 's' || type == 'r') {
        size_t begin = template_begin(render);
        struct template_value printed;
        specification->fill = ' '; /* zeros are for numbers */
        specification->align = specification->align == '=' ? '>' : specification->align;
        return (type == 's' ? template_print(render, value) : template_print_repr(render, value)) &&
               template_take(render, begin, &printed) &&
               format_text(render, specification, printed.text, '>');
    }
    if (is_one_of(type, "diu") && is_number) {
        if (value.type == TEMPLATE_FLOAT && fabs(value.number) < 0x1p63) {
            value = template_from_integer((int64_t)value.number);
        }
        specification->type = 'd';
        return value.type != TEMPLATE_FLOAT ? format_number(render, specification, value)
                                            : fail_type(render, type, value);
    }
    if (is_one_of(type, "xXo") && template_is_integer(value)) {
        return format_number(render, specification, value);
    }
    if (is_one_of(type, "eEfFgG") && is_number && value.type != TEMPLATE_BIG_INTEGER) {
        return format_number(render, specification, value);
    }
    if (type == 'c' && value.type == TEMPLATE_TEXT && template_text_count(value.text) == 1) {
        text = value.text;
        return format_text(render, specification, text, '>');
    }
    return is_one_of(type, "diuxXoeEfFgGc") ? fail_type(render, type, value) : fail_format(render);
}

/* What stands behind a "%". */
static bool format_place(struct template_render *render, struct percent *percent) {
    struct specification specification;
    struct template_value value = {.type = TEMPLATE_ABSENT};
    if (byte_at(percent->format, percent->at) == '(' && !named_value(render, percent, &value)) {
        return false;
    }
    read_percent_specification(percent, &specification);
    if (specification.type == '%') {
        return template_append_string(render, "%");
    }
    return fits(render, &specification) &&
           (value.type != TEMPLATE_ABSENT || next_value(render, percent, &value)) &&
           format_percent_value(render, &specification, value);
}

bool template_format_percent(struct template_render *render, struct template_text format,
                             struct template_value values, struct template_value *result) {
    struct percent percent = {.format = format, .values = values};
    size_t begin = template_begin(render);
    while (percent.at < format.length) {
        size_t place = template_text_find(format, template_literal("%"), percent.at);
        size_t end = place == SIZE_MAX ? format.length : place;
        if (!template_append(render, template_text_part(format, percent.at, end))) {
            return false;
        }
        percent.at = end + 1;
        if (place != SIZE_MAX && !format_place(render, &percent)) {
            return false;
        }
    }
    bool may_be_unused = percent.named || values.type == TEMPLATE_DICT ||
                         values.type == TEMPLATE_LIST || values.type == TEMPLATE_UNDEFINED;
    size_t given = values.type == TEMPLATE_TUPLE ? values.list->count : 1;
    if (percent.used < given && !may_be_unused) {
        return template_fail(render, ERROR_INVALID, "more values than the format has places");
    }
    return template_take(render, begin, result);
}

/* ---- Braces ---- */

struct braces {
    const struct template_arguments *arguments;
    size_t used; /* of those without a name */
};

/* The value that a field's name starts from: nothing, a number or a keyword. */
static bool first_value(struct template_render *render, struct braces *braces,
                        struct template_text name, struct template_value *value) {
    const struct template_arguments *arguments = braces->arguments;
    size_t at = 0;
    size_t index = read_digits(name, &at, SIZE_MAX / 16);
    if (at == name.length) {
        index = name.length == 0 ? braces->used++ : index;
        if (index >= arguments->count) {
            return template_fail(render, ERROR_INVALID, "format() has no argument %zu", index);
        }
        *value = arguments->positional[index];
        return true;
    }
    for (size_t i = 0; i < arguments->keyword_count; i++) {
        if (template_text_equal(arguments->keywords[i].key.text, name)) {
            *value = arguments->keywords[i].value;
            return true;
        }
    }
    return template_fail(render, ERROR_INVALID, "format() has no argument '%.*s'",
                         template_shown(name), name.bytes);
}

/* name.member[key]… */
static bool field_value(struct template_render *render, struct braces *braces,
                        struct template_text path, struct template_value *value) {
    size_t at = 0;
    while (at < path.length && !is_one_of(path.bytes[at], ".[")) {
        at++;
    }
    if (!first_value(render, braces, template_text_part(path, 0, at), value)) {
        return false;
    }
    while (at < path.length) {
        bool is_item = path.bytes[at] == '[';
        size_t begin = ++at;
        while (at < path.length && !is_one_of(path.bytes[at], is_item ? "]" : ".[")) {
            at++;
        }
        struct template_text part = template_text_part(path, begin, at);
        size_t digits = 0;
        int64_t index = (int64_t)read_digits(part, &digits, (size_t)INT32_MAX);
        struct template_value key = digits == part.length && digits > 0
                                        ? template_from_integer(index)
                                        : template_from(part);
        if (is_item ? !template_get_item(render, *value, key, value)
                    : !template_get_attribute(render, *value, part, value)) {
            return false;
        }
        at += is_item;
    }
    return true;
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static bool read_braces_specification(struct template_render *render, struct template_text text,
                                      struct specification *specification) {
    size_t at = 0;
    size_t second = 0;
    *specification = (struct specification){.fill = ' ', .precision = -1};
    if (text.length > 0) {
        uint32_t fill = template_text_next(text, &second);
        bool has_fill = is_one_of(byte_at(text, second), "<>^=");
        specification->fill = has_fill ? fill : ' ';
        at = has_fill ? second : 0;
        if (is_one_of(byte_at(text, at), "<>^=")) {
            specification->align = byte_at(text, at++);
        }
    }
    if (is_one_of(byte_at(text, at), "+- ")) {
        specification->sign = byte_at(text, at) == '-' ? 0 : byte_at(text, at);
        at++;
    }
    specification->alternate = byte_at(text, at) == '#';
    at += specification->alternate;
    if (byte_at(text, at) == '0' && specification->align == 0) {
        specification->fill = '0';
        specification->align = '=';
    }
    specification->width = read_digits(text, &at, WIDTH_MAX + 1);
    specification->grouped = byte_at(text, at) == ',';
    at += specification->grouped;
    if (byte_at(text, at) == '.') {
        at++;
        specification->precision = (int)read_digits(text, &at, PRECISION_MAX + 1);
    }
    specification->type = byte_at(text, at);
    at += at < text.length;
    return at == text.length ? fits(render, specification) : fail_format(render);
}

static bool format_braces_value(struct template_render *render,
                                const struct specification *specification,
                                struct template_value value) {
    char type = specification->type;
    struct template_text text;
    bool is_number = template_is_number(value) && value.type != TEMPLATE_BOOLEAN;
    if (is_number || (value.type == TEMPLATE_BOOLEAN && type != '\0')) {
        bool known = is_one_of(type, "eEfFgG%") || type == '\0' ||
                     (value.type != TEMPLATE_FLOAT && is_one_of(type, "dxXo"));
        return known ? format_number(render, specification, value) : fail_type(render, type, value);
    }
    if (type != 's' && type != '\0') {
        return fail_type(render, type, value);
    }
    return template_to_text(render, value, &text) && format_text(render, specification, text, '<');
}

/* What stands between braces: path, !conversion, :specification. */
static bool format_field(struct template_render *render, struct braces *braces,
                         struct template_text field) {
    struct specification specification;
    struct template_value value = {.type = TEMPLATE_ABSENT};
    size_t colon = template_text_find(field, template_literal(":"), 0);
    size_t path_end = colon == SIZE_MAX ? field.length : colon;
    char conversion = '\0';
    if (path_end >= 2 && field.bytes[path_end - 2] == '!') {
        conversion = field.bytes[path_end - 1];
        path_end -= 2;
    }
    struct template_text rest =
        template_text_part(field, colon == SIZE_MAX ? field.length : colon + 1, field.length);
    if (!field_value(render, braces, template_text_part(field, 0, path_end), &value) ||
        !read_braces_specification(render, rest, &specification)) {
        return false;
    }
    size_t begin = template_begin(render);
    if (conversion != '\0' && (!(conversion == 'r' ? template_print_repr(render, value)
                                                   : template_print(render, value)) ||
                               !template_take(render, begin, &value))) {
        return false;
    }
    return format_braces_value(render, &specification, value);
}

bool template_format_braces(struct template_render *render, struct template_text format,
                            const struct template_arguments *arguments,
                            struct template_value *result) {
    struct braces braces = {.arguments = arguments};
    size_t begin = template_begin(render);
    for (size_t at = 0; at < format.length;) {
        char byte = format.bytes[at];
        if ((byte == '{' || byte == '}') && byte_at(format, at + 1) == byte) {
            if (!template_append(render, template_text_part(format, at, at + 1))) {
                return false;
            }
            at += 2;
        } else if (byte == '{') {
            size_t end = template_text_find(format, template_literal("}"), at);
            if (end == SIZE_MAX ||
                !format_field(render, &braces, template_text_part(format, at + 1, end))) {
                return fail_format(render);
            }
            at = end + 1;
        } else if (byte == '}') {
            return fail_format(render);
        } else {
            size_t plain = at;
            while (at < format.length && format.bytes[at] != '{' && format.bytes[at] != '}') {
                at++;
            }
            if (!template_append(render, template_text_part(format, plain, at))) {
                return false;
            }
        }
    }
    return template_take(render, begin, result);
}
