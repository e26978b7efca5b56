#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <math.h>
#include <string.h>

/* ---- Types ---- */

const char *template_type_name(enum template_type type) {
    static const char *const names[TEMPLATE_TYPE_COUNT] = {
        [TEMPLATE_ABSENT] = "nothing",      [TEMPLATE_UNDEFINED] = "Undefined",
        [TEMPLATE_NONE] = "NoneType",       [TEMPLATE_BOOLEAN] = "bool",
        [TEMPLATE_INTEGER] = "int",         [TEMPLATE_BIG_INTEGER] = "int",
        [TEMPLATE_FLOAT] = "float",         [TEMPLATE_TEXT] = "str",
        [TEMPLATE_LIST] = "list",           [TEMPLATE_TUPLE] = "tuple",
        [TEMPLATE_DICT] = "dict",           [TEMPLATE_KEYS] = "dict_keys",
        [TEMPLATE_VALUES] = "dict_values",  [TEMPLATE_ITEMS] = "dict_items",
        [TEMPLATE_RANGE] = "range",         [TEMPLATE_ITERATOR] = "generator",
        [TEMPLATE_NAMESPACE] = "Namespace", [TEMPLATE_MACRO] = "Macro",
        [TEMPLATE_FUNCTION] = "function",   [TEMPLATE_LOOP] = "LoopContext",
    };
    return names[type];
}

bool template_length(struct template_value value, size_t *length) {
    switch (value.type) {
    case TEMPLATE_UNDEFINED:
        *length = 0;
        return true;
    case TEMPLATE_TEXT:
        *length = template_text_count(value.text);
        return true;
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        *length = value.list->count;
        return true;
    case TEMPLATE_DICT:
    case TEMPLATE_KEYS:
    case TEMPLATE_VALUES:
    case TEMPLATE_ITEMS:
        *length = value.dict->count;
        return true;
    case TEMPLATE_RANGE:
        *length = (size_t)value.range->count;
        return true;
    default:
        return false;
    }
}

bool template_is_true(struct template_value value) {
    size_t length;
    switch (value.type) {
    case TEMPLATE_ABSENT:
    case TEMPLATE_UNDEFINED:
    case TEMPLATE_NONE:
        return false;
    case TEMPLATE_BOOLEAN:
        return value.boolean;
    case TEMPLATE_INTEGER:
        return value.integer != 0;
    case TEMPLATE_FLOAT:
        return value.number != 0;
    case TEMPLATE_TEXT:
        return value.text.length > 0;
    default:
        return !template_length(value, &length) || length > 0;
    }
}

bool template_is_number(struct template_value value) {
    return value.type >= TEMPLATE_BOOLEAN && value.type <= TEMPLATE_FLOAT;
}

bool template_is_integer(struct template_value value) {
    return value.type == TEMPLATE_BOOLEAN || value.type == TEMPLATE_INTEGER;
}

int64_t template_to_integer(struct template_value value) {
    return value.type == TEMPLATE_BOOLEAN ? value.boolean : value.integer;
}

double template_to_number(struct template_value value) {
    return value.type == TEMPLATE_FLOAT ? value.number : (double)template_to_integer(value);
}

bool template_fail_undefined(struct template_render *render, struct template_value value) {
    int shown = template_shown(value.text);
    switch (value.origin) {
    case ORIGIN_VARIABLE:
        return template_fail(render, ERROR_INVALID, "'%.*s' is undefined", shown, value.text.bytes);
    case ORIGIN_PARAMETER:
        return template_fail(render, ERROR_INVALID, "parameter '%.*s' was not provided", shown,
                             value.text.bytes);
    case ORIGIN_MEMBER:
        return template_fail(render, ERROR_INVALID, "'%s object' has no attribute '%.*s'",
                             template_type_name(value.owner), shown, value.text.bytes);
    case ORIGIN_ELEMENT:
        return template_fail(render, ERROR_INVALID, "%s object has no element %.*s",
                             template_type_name(value.owner), shown, value.text.bytes);
    default:
        return template_fail(render, ERROR_INVALID, "%.*s", shown, value.text.bytes);
    }
}

/* ---- Arithmetic ---- */

static const char *operator_text(enum template_token_kind operation) {
    switch (operation) {
    case TOKEN_ADD:
        return "+";
    case TOKEN_SUBTRACT:
        return "-";
    case TOKEN_MULTIPLY:
        return "*";
    case TOKEN_DIVIDE:
        return "/";
    case TOKEN_FLOOR_DIVIDE:
        return "//";
    case TOKEN_REMAINDER:
        return "%";
    default:
        return "**";
    }
}

bool template_fail_operands(struct template_render *render, const char *operation,
                            struct template_value left, struct template_value right) {
    if (left.type == TEMPLATE_UNDEFINED || right.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, left.type == TEMPLATE_UNDEFINED ? left : right);
    }
    return template_fail(render, ERROR_INVALID, "unsupported operands for %s: %s and %s", operation,
                         template_type_name(left.type), template_type_name(right.type));
}

static bool fail_range(struct template_render *render) {
    return template_fail(render, ERROR_INVALID, "an integer of more than 64 bits");
}

static bool is_zero_division(enum template_token_kind operation, double divisor) {
    return divisor == 0 && (operation == TOKEN_DIVIDE || operation == TOKEN_FLOOR_DIVIDE ||
                            operation == TOKEN_REMAINDER);
}

static bool power_of_integers(struct template_render *render, int64_t base, int64_t exponent,
                              struct template_value *result) {
    if (exponent < 0) {
        *result = template_from_number(pow((double)base, (double)exponent));
        return base != 0 || template_fail(render, ERROR_INVALID, "division by zero");
    }
    int64_t product = 1;
    for (;; exponent >>= 1) {
        if ((exponent & 1) != 0 && __builtin_mul_overflow(product, base, &product)) {
            return fail_range(render);
        }
        if (exponent <= 1) {
            break;
        }
        if (__builtin_mul_overflow(base, base, &base)) {
            return fail_range(render);
        }
    }
    *result = template_from_integer(product);
    return true;
}

/* Rounded down, and the remainder that goes with it: of the divisor's sign. */
static int64_t floor_remainder(int64_t left, int64_t right) {
    int64_t remainder = right == -1 ? 0 : left % right;
    return remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder;
}

static bool integer_arithmetic(struct template_render *render, enum template_token_kind operation,
                               int64_t left, int64_t right, struct template_value *result) {
    int64_t integer = 0;
    bool overflow = false;
    switch (operation) {
    case TOKEN_ADD:
        overflow = __builtin_add_overflow(left, right, &integer);
        break;
    case TOKEN_SUBTRACT:
        overflow = __builtin_sub_overflow(left, right, &integer);
        break;
    case TOKEN_MULTIPLY:
        overflow = __builtin_mul_overflow(left, right, &integer);
        break;
    case TOKEN_DIVIDE:
        *result = template_from_number((double)left / (double)right);
        return true;
    case TOKEN_FLOOR_DIVIDE:
        overflow = left == INT64_MIN && right == -1;
        integer = overflow ? 0 : left / right - (left % right != 0 && (left < 0) != (right < 0));
        break;
    case TOKEN_REMAINDER:
        integer = floor_remainder(left, right);
        break;
    default:
        return power_of_integers(render, left, right, result);
    }
    *result = template_from_integer(integer);
    return !overflow || fail_range(render);
}

static bool float_arithmetic(struct template_render *render, enum template_token_kind operation,
                             double left, double right, struct template_value *result) {
    double number = 0;
    switch (operation) {
    case TOKEN_ADD:
        number = left + right;
        break;
    case TOKEN_SUBTRACT:
        number = left - right;
        break;
    case TOKEN_MULTIPLY:
        number = left * right;
        break;
    case TOKEN_DIVIDE:
        number = left / right;
        break;
    case TOKEN_FLOOR_DIVIDE:
    case TOKEN_REMAINDER: {
        double remainder = fmod(left, right);
        if (remainder == 0) {
            remainder = copysign(0, right);
        } else if ((remainder < 0) != (right < 0)) {
            remainder += right;
        }
        double quotient = floor((left - remainder) / right + 0.5);
        number = operation == TOKEN_REMAINDER ? remainder : quotient;
        break;
    }
    default:
        if (left == 0 && right < 0) {
            return template_fail(render, ERROR_INVALID, "division by zero");
        }
        number = pow(left, right);
        if (isnan(number) && left < 0) {
            return template_fail(render, ERROR_INVALID, "a power that is no real number");
        }
        break;
    }
    *result = template_from_number(number);
    return true;
}

static bool add_texts(struct template_render *render, struct template_value left,
                      struct template_value right, struct template_value *result) {
    size_t begin = template_begin(render);
    /* What one side vouches for as HTML makes the other one be escaped. */
    bool escaped = left.escaped || right.escaped;
    if (escaped &&
        (!template_escape(render, left, &left) || !template_escape(render, right, &right))) {
        return false;
    }
    bool fine = template_append(render, left.text) && template_append(render, right.text) &&
                template_take(render, begin, result);
    result->escaped = escaped;
    return fine;
}

static bool add_lists(struct template_render *render, struct template_value left,
                      struct template_value right, struct template_value *result) {
    size_t count = left.list->count + right.list->count;
    struct template_list *list;
    struct template_value *items = template_allocate(render, count, sizeof *items);
    if (items == NULL || !template_spend(render, count) || !template_new_list(render, &list)) {
        return false;
    }
    if (left.list->count > 0) {
        memcpy(items, left.list->items, left.list->count * sizeof *items);
    }
    if (right.list->count > 0) {
        memcpy(items + left.list->count, right.list->items, right.list->count * sizeof *items);
    }
    *list = (struct template_list){items, count, count};
    *result = (struct template_value){.type = left.type, .list = list};
    return true;
}

static bool repeat(struct template_render *render, struct template_value sequence, int64_t times,
                   struct template_value *result) {
    uint64_t count = times > 0 ? (uint64_t)times : 0;
    if (sequence.type == TEMPLATE_TEXT) {
        size_t begin = template_begin(render);
        bool fine = template_append_repeated(render, sequence.text, count) &&
                    template_take(render, begin, result);
        result->escaped = sequence.escaped;
        return fine;
    }
    struct template_list *list;
    if (!template_new_list(render, &list)) {
        return false;
    }
    for (uint64_t i = 0; sequence.list->count > 0 && i < count; i++) {
        for (size_t j = 0; j < sequence.list->count; j++) {
            if (!template_push(render, list, sequence.list->items[j])) {
                return false;
            }
        }
    }
    *result = (struct template_value){.type = sequence.type, .list = list};
    return true;
}

static bool is_sequence(struct template_value value) {
    return value.type == TEMPLATE_TEXT || value.type == TEMPLATE_LIST ||
           value.type == TEMPLATE_TUPLE;
}

bool template_arithmetic(struct template_render *render, enum template_token_kind operation,
                         struct template_value left, struct template_value right,
                         struct template_value *result) {
    bool numbers = template_is_number(left) && template_is_number(right);
    if (numbers && (left.type == TEMPLATE_BIG_INTEGER || right.type == TEMPLATE_BIG_INTEGER)) {
        return fail_range(render);
    }
    if (numbers && is_zero_division(operation, template_to_number(right))) {
        return template_fail(render, ERROR_INVALID, "division by zero");
    }
    if (numbers && template_is_integer(left) && template_is_integer(right)) {
        return integer_arithmetic(render, operation, template_to_integer(left),
                                  template_to_integer(right), result);
    }
    if (numbers) {
        return float_arithmetic(render, operation, template_to_number(left),
                                template_to_number(right), result);
    }
    if (operation == TOKEN_ADD && left.type == right.type && is_sequence(left)) {
        return left.type == TEMPLATE_TEXT ? add_texts(render, left, right, result)
                                          : add_lists(render, left, right, result);
    }
    if (operation == TOKEN_MULTIPLY && is_sequence(left) && template_is_integer(right)) {
        return repeat(render, left, template_to_integer(right), result);
    }
    if (operation == TOKEN_MULTIPLY && template_is_integer(left) && is_sequence(right)) {
        return repeat(render, right, template_to_integer(left), result);
    }
    if (operation == TOKEN_REMAINDER && left.type == TEMPLATE_TEXT) {
        return template_format_percent(render, left.text, right, result);
    }
    return template_fail_operands(render, operator_text(operation), left, right);
}

bool template_sign(struct template_render *render, enum template_token_kind operation,
                   struct template_value value, struct template_value *result) {
    struct template_value zero = template_from_integer(0);
    if (value.type == TEMPLATE_FLOAT) {
        *result = template_from_number(operation == TOKEN_SUBTRACT ? -value.number : value.number);
        return true;
    }
    return template_is_number(value) || value.type == TEMPLATE_UNDEFINED
               ? template_arithmetic(render, operation, zero, value, result)
               : template_fail(render, ERROR_INVALID, "%s does not take a sign",
                               template_type_name(value.type));
}
