#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <math.h>

/* ---- Equality ---- */

static bool equal_lists(struct template_render *render, const struct template_list *left,
                        const struct template_list *right, bool *equal) {
    *equal = left->count == right->count;
    for (size_t i = 0; *equal && i < left->count; i++) {
        if (!template_equal(render, left->items[i], right->items[i], equal)) {
            return false;
        }
    }
    return true;
}

static bool equal_dicts(struct template_render *render, const struct template_dict *left,
                        const struct template_dict *right, bool *equal) {
    *equal = left->count == right->count;
    for (size_t i = 0; *equal && i < left->count; i++) {
        const struct template_value *other = template_dict_find(right, left->entries[i].key);
        *equal = other != NULL;
        if (*equal && !template_equal(render, left->entries[i].value, *other, equal)) {
            return false;
        }
    }
    return true;
}

/* The integer of 64 bits and the float, or the big integer, without rounding either. */
static bool equal_numbers(struct template_value left, struct template_value right) {
    if (left.type == TEMPLATE_BIG_INTEGER || right.type == TEMPLATE_BIG_INTEGER) {
        return left.type == right.type && template_text_equal(left.text, right.text);
    }
    if (template_is_integer(left) && template_is_integer(right)) {
        return template_to_integer(left) == template_to_integer(right);
    }
    return template_to_number(left) == template_to_number(right);
}

static bool equal_ranges(const struct template_range *left, const struct template_range *right) {
    return left->count == right->count &&
           (left->count == 0 ||
            (left->start == right->start && (left->count == 1 || left->step == right->step)));
}

static bool equal_of_type(struct template_render *render, struct template_value left,
                          struct template_value right, bool *equal) {
    switch (left.type) {
    case TEMPLATE_TEXT:
        *equal = template_text_equal(left.text, right.text);
        return template_spend_bytes(render, left.text.length);
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        return equal_lists(render, left.list, right.list, equal);
    case TEMPLATE_DICT:
        return equal_dicts(render, left.dict, right.dict, equal);
    case TEMPLATE_RANGE:
        *equal = equal_ranges(left.range, right.range);
        return true;
    case TEMPLATE_UNDEFINED:
    case TEMPLATE_NONE:
        *equal = true;
        return true;
    default: /* the same object */
        *equal = left.list == right.list;
        return true;
    }
}

bool template_equal(struct template_render *render, struct template_value left,
                    struct template_value right, bool *equal) {
    if (template_is_number(left) && template_is_number(right)) {
        *equal = equal_numbers(left, right);
        return template_spend(render, 1);
    }
    if (left.type != right.type) {
        *equal = false;
        return template_spend(render, 1);
    }
    bool fine = template_enter(render) && equal_of_type(render, left, right, equal);
    template_leave(render);
    return fine;
}

/* ---- Order ---- */

static bool order(struct template_render *render, struct template_value left,
                  struct template_value right, int *sign);

static bool order_lists(struct template_render *render, const struct template_list *left,
                        const struct template_list *right, int *sign) {
    for (size_t i = 0; i < left->count && i < right->count; i++) {
        bool equal;
        if (!template_equal(render, left->items[i], right->items[i], &equal)) {
            return false;
        }
        if (!equal) {
            return order(render, left->items[i], right->items[i], sign);
        }
    }
    *sign = (left->count > right->count) - (left->count < right->count);
    return true;
}

/* The sign of left - right; NAN_SIGN where one is not a number. */
enum { NAN_SIGN = 2 };

static bool order(struct template_render *render, struct template_value left,
                  struct template_value right, int *sign) {
    if (left.type == TEMPLATE_BIG_INTEGER || right.type == TEMPLATE_BIG_INTEGER) {
        return template_fail(render, ERROR_INVALID, "an integer of more than 64 bits");
    }
    if (template_is_integer(left) && template_is_integer(right)) {
        int64_t a = template_to_integer(left);
        int64_t b = template_to_integer(right);
        *sign = (a > b) - (a < b);
        return template_spend(render, 1);
    }
    if (template_is_number(left) && template_is_number(right)) {
        double a = template_to_number(left);
        double b = template_to_number(right);
        *sign = isnan(a) || isnan(b) ? NAN_SIGN : (a > b) - (a < b);
        return template_spend(render, 1);
    }
    if (left.type == TEMPLATE_TEXT && right.type == TEMPLATE_TEXT) {
        int difference = template_text_compare(left.text, right.text);
        *sign = (difference > 0) - (difference < 0);
        return template_spend_bytes(render, left.text.length);
    }
    if (left.type == right.type && (left.type == TEMPLATE_LIST || left.type == TEMPLATE_TUPLE)) {
        bool fine = template_enter(render) && order_lists(render, left.list, right.list, sign);
        template_leave(render);
        return fine;
    }
    return template_fail_operands(render, "<", left, right);
}

/* ---- Membership ---- */

static bool is_in_list(struct template_render *render, struct template_value wanted,
                       struct template_value iterable, bool *found) {
    struct template_iterator *iterator = template_iterate(render, iterable);
    struct template_value item;
    *found = false;
    while (iterator != NULL && !*found && template_next(render, iterator, &item)) {
        if (!template_equal(render, item, wanted, found)) {
            return false;
        }
    }
    return !render->failed;
}

static bool is_in(struct template_render *render, struct template_value wanted,
                  struct template_value container, bool *found) {
    switch (container.type) {
    case TEMPLATE_TEXT:
        if (wanted.type != TEMPLATE_TEXT) {
            return wanted.type == TEMPLATE_UNDEFINED
                       ? template_fail_undefined(render, wanted)
                       : template_fail(render, ERROR_INVALID,
                                       "only a text can be in a text, found %s",
                                       template_type_name(wanted.type));
        }
        *found = template_text_find(container.text, wanted.text, 0) != SIZE_MAX;
        return template_spend_bytes(render, container.text.length);
    case TEMPLATE_DICT:
    case TEMPLATE_KEYS:
        *found = template_dict_find(container.dict, wanted) != NULL;
        return template_spend(render, 1);
    default:
        return is_in_list(render, wanted, container, found);
    }
}

bool template_compare(struct template_render *render, enum template_comparison comparison,
                      struct template_value left, struct template_value right, bool *holds) {
    int sign = 0;
    switch (comparison) {
    case COMPARE_EQUAL:
        return template_equal(render, left, right, holds);
    case COMPARE_NOT_EQUAL:
        if (!template_equal(render, left, right, holds)) {
            return false;
        }
        *holds = !*holds;
        return true;
    case COMPARE_IN:
    case COMPARE_NOT_IN:
        if (!is_in(render, left, right, holds)) {
            return false;
        }
        *holds = *holds == (comparison == COMPARE_IN);
        return true;
    default:
        break;
    }
    if (!order(render, left, right, &sign)) {
        return false;
    }
    *holds = comparison == COMPARE_LESS         ? sign < 0
             : comparison == COMPARE_LESS_EQUAL ? sign <= 0
             : comparison == COMPARE_GREATER    ? sign > 0 && sign != NAN_SIGN
                                                : sign >= 0 && sign != NAN_SIGN;
    return true;
}

/* ---- Sorting ---- */

struct sorted {
    struct template_value *items;
    struct template_value *keys;
};

/* Merges the sorted runs [begin, middle) and [middle, end) of `from` into `to`. Of equal keys the
 * one from the left run comes first, in either direction. */
static bool merge(struct template_render *render, struct sorted from, struct sorted to,
                  size_t begin, size_t middle, size_t end, bool descending) {
    size_t left = begin;
    size_t right = middle;
    for (size_t at = begin; at < end; at++) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
            struct template_value a = descending ? from.keys[left] : from.keys[right];
            struct template_value b = descending ? from.keys[right] : from.keys[left];
            if (!template_compare(render, COMPARE_LESS, a, b, &take_right)) {
                return false;
            }
        }
        size_t taken = take_right ? right++ : left++;
        to.items[at] = from.items[taken];
        to.keys[at] = from.keys[taken];
    }
    return true;
}

bool template_sort(struct template_render *render, struct template_list *items,
                   struct template_list *keys, bool descending) {
    const size_t count = items->count;
    struct sorted from = {items->items, keys->items};
    struct sorted to = {template_allocate(render, count, sizeof *to.items),
                        template_allocate(render, count, sizeof *to.keys)};
    if (to.items == NULL || to.keys == NULL) {
        return false;
    }
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin < count; begin += 2 * width) {
            size_t middle = begin + width < count ? begin + width : count;
            size_t end = middle + width < count ? middle + width : count;
            if (!merge(render, from, to, begin, middle, end, descending)) {
                return false;
            }
        }
        struct sorted other = from;
        from = to;
        to = other;
    }
    *items = (struct template_list){from.items, count, count};
    *keys = (struct template_list){from.keys, count, count};
    return true;
}
