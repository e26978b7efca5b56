#include "engine/text/template/evaluate.h"
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <assert.h>

/* ---- Members ---- */

static bool get_method(struct template_render *render, const struct template_builtin *builtin,
                       struct template_value object, struct template_value *result) {
    if (builtin->run == NULL) {
        *result = template_undefined_because(
            "a template may not change lists and dicts, so it cannot use methods that do");
        return true;
    }
    struct template_function *function = template_allocate(render, 1, sizeof *function);
    if (function == NULL) {
        return false;
    }
    *function = (struct template_function){builtin, object};
    *result = (struct template_value){.type = TEMPLATE_FUNCTION, .function = function};
    return true;
}

/* What an object has by a name, other than items; absent if nothing. */
static bool get_own(struct template_render *render, struct template_value object,
                    struct template_text name, struct template_value *result) {
    const struct template_builtin *method = template_find_method(object.type, name);
    *result = (struct template_value){.type = TEMPLATE_ABSENT};
    if (method != NULL) {
        return get_method(render, method, object, result);
    }
    if (object.type == TEMPLATE_LOOP) {
        return template_get_loop_attribute(render, object.loop, name, result);
    }
    if (object.type == TEMPLATE_NAMESPACE) {
        const struct template_value *member = template_dict_find(object.dict, template_from(name));
        *result = member != NULL ? *member : *result;
    }
    return true;
}

bool template_get_attribute(struct template_render *render, struct template_value object,
                            struct template_text name, struct template_value *result) {
    if (object.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, object);
    }
    if (!get_own(render, object, name, result)) {
        return false;
    }
    if (result->type == TEMPLATE_ABSENT && object.type == TEMPLATE_DICT) {
        const struct template_value *item = template_dict_find(object.dict, template_from(name));
        *result = item != NULL ? *item : *result;
    }
    if (result->type == TEMPLATE_ABSENT) {
        *result = template_undefined(ORIGIN_MEMBER, name, object.type);
    }
    return true;
}

/* ---- Items ---- */

/* An index from the front or, negative, from the back; false where nothing is. */
static bool find_index(int64_t index, size_t count, size_t *found) {
    *found = (size_t)(index < 0 ? index + (int64_t)count : index);
    return index >= -(int64_t)count && index < (int64_t)count;
}

static bool get_character(struct template_render *render, struct template_text text, int64_t index,
                          struct template_value *result) {
    size_t place;
    if (!template_spend_bytes(render, text.length)) {
        return false;
    }
    if (find_index(index, template_text_count(text), &place)) {
        size_t begin = template_text_offset(text, place);
        size_t end = begin;
        template_text_next(text, &end);
        *result = template_from(template_text_part(text, begin, end));
    }
    return true;
}

/* The item at an index; absent if there is none. */
static bool get_indexed(struct template_render *render, struct template_value object, int64_t index,
                        struct template_value *result) {
    size_t count;
    size_t place;
    switch (object.type) {
    case TEMPLATE_TEXT:
        return get_character(render, object.text, index, result);
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_RANGE:
        return !template_length(object, &count) || !find_index(index, count, &place) ||
               template_item_at(render, object, place, result);
    default:
        return true;
    }
}

static struct template_value no_element(struct template_render *render, struct template_value key,
                                        enum template_type owner) {
    struct template_value shown = key;
    if (key.type == TEMPLATE_TEXT) {
        return template_undefined(ORIGIN_MEMBER, key.text, owner);
    }
    size_t begin = template_begin(render);
    if (!template_print_repr(render, key) || !template_take(render, begin, &shown)) {
        return (struct template_value){.type = TEMPLATE_ABSENT};
    }
    return template_undefined(ORIGIN_ELEMENT, shown.text, owner);
}

bool template_get_item(struct template_render *render, struct template_value object,
                       struct template_value key, struct template_value *result) {
    *result = (struct template_value){.type = TEMPLATE_ABSENT};
    if (object.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, object);
    }
    if (object.type == TEMPLATE_DICT) {
        const struct template_value *item = template_dict_find(object.dict, key);
        *result = item != NULL ? *item : *result;
    } else if (template_is_integer(key)) {
        if (!get_indexed(render, object, template_to_integer(key), result)) {
            return false;
        }
    }
    if (result->type == TEMPLATE_ABSENT && key.type == TEMPLATE_TEXT &&
        !get_own(render, object, key.text, result)) {
        return false;
    }
    if (result->type == TEMPLATE_ABSENT) {
        *result = no_element(render, key, object.type);
    }
    return !render->failed;
}

/* ---- Slices ---- */

/* One bound of a slice, moved into what the sequence has (Python's PySlice_AdjustIndices). */
static bool read_bound(struct template_render *render, struct template_value bound, int64_t count,
                       bool backwards, int64_t fallback, int64_t *index) {
    if (bound.type == TEMPLATE_ABSENT || bound.type == TEMPLATE_NONE) {
        *index = fallback;
        return true;
    }
    if (bound.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, bound);
    }
    if (!template_is_integer(bound)) {
        return template_fail(render, ERROR_INVALID, "a slice needs integers, found %s",
                             template_type_name(bound.type));
    }
    int64_t least = backwards ? -1 : 0;
    int64_t most = backwards ? count - 1 : count;
    int64_t value = template_to_integer(bound);
    value += value < 0 ? count : 0;
    *index = value < least ? least : value > most ? most : value;
    return true;
}

static bool read_step(struct template_render *render, struct template_value bound, int64_t *step) {
    int64_t ignored;
    if (!read_bound(render, bound, 1, false, 1, &ignored)) {
        return false;
    }
    *step = template_is_integer(bound) ? template_to_integer(bound) : 1;
    return *step != 0 || template_fail(render, ERROR_INVALID, "a slice's step cannot be zero");
}

static bool slice_text(struct template_render *render, struct template_text text, int64_t start,
                       int64_t stop, int64_t step, struct template_value *result) {
    if (step == 1) {
        size_t begin = template_text_offset(text, (size_t)start);
        struct template_text rest = template_text_part(text, begin, text.length);
        size_t length = start < stop ? template_text_offset(rest, (size_t)(stop - start)) : 0;
        *result = template_from(template_text_part(rest, 0, length));
        return true;
    }
    size_t text_begin = template_begin(render);
    size_t offset = template_text_offset(text, (size_t)start);
    for (int64_t at = start; step > 0 ? at < stop : at > stop; at += step) {
        size_t end = offset;
        template_text_next(text, &end);
        if (!template_append(render, template_text_part(text, offset, end)) ||
            !template_spend(render, 1)) {
            return false;
        }
        /* To the next character of the slice, or to an end of the text. */
        for (int64_t moved = 0; moved < step && offset < text.length; moved++) {
            template_text_next(text, &offset);
        }
        for (int64_t moved = 0; moved > step && offset > 0; moved--) {
            template_text_previous(text, &offset);
        }
    }
    return template_take(render, text_begin, result);
}

/* base + index * step, where that has 64 bits. */
static bool step_from(struct template_render *render, int64_t base, int64_t index, int64_t step,
                      int64_t *result) {
    int64_t distance;
    return (!__builtin_mul_overflow(index, step, &distance) &&
            !__builtin_add_overflow(base, distance, result)) ||
           template_fail(render, ERROR_INVALID, "a range beyond 64 bits");
}

static bool slice_range(struct template_render *render, const struct template_range *range,
                        int64_t start, int64_t stop, int64_t step, struct template_value *result) {
    struct template_range *part = template_allocate(render, 1, sizeof *part);
    if (part == NULL) {
        return false;
    }
    assert(step != 0);
    int64_t distance = step > 0 ? stop - start : start - stop;
    int64_t size = step > 0 ? step : -step;
    part->count = distance > 0 ? (distance + size - 1) / size : 0;
    *result = (struct template_value){.type = TEMPLATE_RANGE, .range = part};
    return step_from(render, range->start, start, range->step, &part->start) &&
           step_from(render, range->start, stop, range->step, &part->stop) &&
           step_from(render, 0, step, range->step, &part->step);
}

static bool slice_list(struct template_render *render, struct template_value object, int64_t start,
                       int64_t stop, int64_t step, struct template_value *result) {
    struct template_list *list;
    if (!template_new_list(render, &list)) {
        return false;
    }
    if (step == 1) { /* shares the items */
        size_t count = start < stop ? (size_t)(stop - start) : 0;
        *list = (struct template_list){count > 0 ? object.list->items + start : NULL, count, count};
    } else {
        for (int64_t at = start; step > 0 ? at < stop : at > stop; at += step) {
            if (!template_push(render, list, object.list->items[at])) {
                return false;
            }
        }
    }
    *result = (struct template_value){.type = object.type, .list = list};
    return true;
}

bool template_get_slice(struct template_render *render, struct template_value object,
                        const struct template_value bounds[3], struct template_value *result) {
    size_t count = 0;
    int64_t step = 1;
    int64_t start = 0;
    int64_t stop = 0;
    switch (object.type) {
    case TEMPLATE_UNDEFINED:
        return template_fail_undefined(render, object);
    case TEMPLATE_TEXT:
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_RANGE:
        template_length(object, &count);
        break;
    default:
        return template_fail(render, ERROR_INVALID, "a value of type %s cannot be sliced",
                             template_type_name(object.type));
    }
    const int64_t n = (int64_t)count;
    if (!read_step(render, bounds[2], &step) ||
        !read_bound(render, bounds[0], n, step < 0, step < 0 ? n - 1 : 0, &start) ||
        !read_bound(render, bounds[1], n, step < 0, step < 0 ? -1 : n, &stop)) {
        return false;
    }
    /* Further than this no step goes, and sums with it do not overflow. */
    step = step > n + 1 ? n + 1 : step < -n - 1 ? -n - 1 : step;
    if (object.type == TEMPLATE_TEXT) {
        return template_spend_bytes(render, object.text.length) &&
               slice_text(render, object.text, start, stop, step, result);
    }
    return object.type == TEMPLATE_RANGE
               ? slice_range(render, object.range, start, stop, step, result)
               : slice_list(render, object, start, stop, step, result);
}

/* ---- Paths ---- */

/* One part of a path: digits are an index. */
static struct template_value read_part(struct template_text part) {
    int64_t index = 0;
    for (size_t i = 0; i < part.length; i++) {
        if (part.bytes[i] < '0' || part.bytes[i] > '9' || i == 18) {
            return template_from(part);
        }
        index = 10 * index + (part.bytes[i] - '0');
    }
    return part.length > 0 ? template_from_integer(index) : template_from(part);
}

bool template_get_path(struct template_render *render, struct template_value object,
                       struct template_value path, struct template_value *result) {
    *result = object;
    if (path.type == TEMPLATE_ABSENT || path.type == TEMPLATE_NONE) {
        return true;
    }
    if (path.type != TEMPLATE_TEXT) {
        return template_get_item(render, object, path, result);
    }
    for (size_t begin = 0; begin <= path.text.length;) {
        size_t end = template_text_find(path.text, template_literal("."), begin);
        end = end == SIZE_MAX ? path.text.length : end;
        struct template_value part = read_part(template_text_part(path.text, begin, end));
        if (!template_get_item(render, *result, part, result)) {
            return false;
        }
        begin = end + 1;
    }
    return true;
}
