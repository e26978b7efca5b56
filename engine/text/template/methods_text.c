/* Methods of texts, those of Python's str. */
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"
#include "engine/text/template/text_functions.h"

/* An argument that has to be a text. */
static bool need_text(struct template_render *render, struct template_value value,
                      struct template_text *text) {
    *text = value.text;
    if (value.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, value);
    }
    return value.type == TEMPLATE_TEXT ||
           template_fail(render, ERROR_INVALID, "expected a text, found %s",
                         template_type_name(value.type));
}

static bool is_left_out(struct template_value value) {
    return value.type == TEMPLATE_ABSENT || value.type == TEMPLATE_NONE;
}

static bool push_text(struct template_render *render, struct template_list *list,
                      struct template_text text) {
    return template_push(render, list, template_from(text));
}

/* ---- Ends ---- */

static bool text_lstrip(struct template_call *call) {
    return template_strip(call, STRIP_LEFT);
}

static bool text_rstrip(struct template_call *call) {
    return template_strip(call, STRIP_RIGHT);
}

static bool text_removeprefix(struct template_call *call) {
    struct template_text prefix;
    if (!need_text(call->render, call->arguments[0], &prefix)) {
        return false;
    }
    size_t begin = template_text_starts_with(call->self.text, prefix) ? prefix.length : 0;
    call->result =
        template_from(template_text_part(call->self.text, begin, call->self.text.length));
    return true;
}

static bool text_removesuffix(struct template_call *call) {
    struct template_text suffix;
    if (!need_text(call->render, call->arguments[0], &suffix)) {
        return false;
    }
    size_t removed = template_text_ends_with(call->self.text, suffix) ? suffix.length : 0;
    call->result =
        template_from(template_text_part(call->self.text, 0, call->self.text.length - removed));
    return true;
}

/* ---- Looking for texts ---- */

/* self[start:stop], the second and third argument; *start is where it begins, in code points. */
static bool get_window(struct template_call *call, struct template_text *window, int64_t *start) {
    const struct template_value bounds[3] = {call->arguments[1], call->arguments[2]};
    struct template_value part;
    if (!template_get_slice(call->render, call->self, bounds, &part) ||
        !template_read_integer(call->render, bounds[0], 0, start)) {
        return false;
    }
    *window = part.text;
    *start += *start < 0 ? (int64_t)template_text_count(call->self.text) : 0;
    *start = *start < 0 ? 0 : *start;
    return true;
}

/* A text, or one of a tuple of them, at the beginning or the end of self[start:stop]. */
static bool has_affix(struct template_call *call,
                      bool (*has)(struct template_text, struct template_text)) {
    struct template_value affix = call->arguments[0];
    const struct template_list single = {.items = &affix, .count = 1};
    const struct template_list *affixes = affix.type == TEMPLATE_TUPLE ? affix.list : &single;
    struct template_text window;
    struct template_text text;
    int64_t start;
    bool found = false;
    if (!get_window(call, &window, &start)) {
        return false;
    }
    for (size_t i = 0; i < affixes->count; i++) {
        if (!need_text(call->render, affixes->items[i], &text)) {
            return false;
        }
        found = found || has(window, text);
    }
    call->result = template_from_boolean(found);
    return true;
}

static bool text_startswith(struct template_call *call) {
    return has_affix(call, template_text_starts_with);
}

static bool text_endswith(struct template_call *call) {
    return has_affix(call, template_text_ends_with);
}

/* Looking from the end compares at every place, so that both lengths count. */
static bool spend_search(struct template_render *render, struct template_text text,
                         struct template_text wanted, bool backwards) {
    return template_spend_bytes(render, text.length) &&
           (!backwards || template_spend(render, text.length / 64 * wanted.length));
}

/* The index of a text in self[start:stop], counted in self; -1 if it is not there. */
static bool find_text(struct template_call *call, bool backwards) {
    struct template_text window;
    struct template_text wanted;
    int64_t start;
    if (!need_text(call->render, call->arguments[0], &wanted) ||
        !get_window(call, &window, &start) ||
        !spend_search(call->render, window, wanted, backwards)) {
        return false;
    }
    bool beyond = start > (int64_t)template_text_count(call->self.text);
    size_t found = beyond      ? SIZE_MAX
                   : backwards ? template_text_find_last(window, wanted, window.length)
                               : template_text_find(window, wanted, 0);
    int64_t index = -1;
    if (found != SIZE_MAX) {
        index = start + (int64_t)template_text_count(template_text_part(window, 0, found));
    }
    call->result = template_from_integer(index);
    return true;
}

static bool text_find(struct template_call *call) {
    return find_text(call, false);
}

static bool text_rfind(struct template_call *call) {
    return find_text(call, true);
}

static bool text_index(struct template_call *call) {
    return find_text(call, false) &&
           (call->result.integer >= 0 ||
            template_fail(call->render, ERROR_INVALID, "substring not found"));
}

static bool text_rindex(struct template_call *call) {
    return find_text(call, true) &&
           (call->result.integer >= 0 ||
            template_fail(call->render, ERROR_INVALID, "substring not found"));
}

static bool text_count(struct template_call *call) {
    struct template_text window;
    struct template_text wanted;
    int64_t start;
    if (!need_text(call->render, call->arguments[0], &wanted) ||
        !get_window(call, &window, &start) || !spend_search(call->render, window, wanted, false)) {
        return false;
    }
    int64_t count = 0;
    if (wanted.length == 0) { /* between all characters, and at both ends */
        bool beyond = start > (int64_t)template_text_count(call->self.text);
        count = beyond ? 0 : (int64_t)template_text_count(window) + 1;
    } else {
        for (size_t at = template_text_find(window, wanted, 0); at != SIZE_MAX; count++) {
            at = template_text_find(window, wanted, at + wanted.length);
        }
    }
    call->result = template_from_integer(count);
    return true;
}

/* ---- Splitting and joining ---- */

struct splitting {
    struct template_text text;
    struct template_text separator; /* NULL bytes: runs of white space */
    int64_t most;                   /* cuts; negative: any number */
    struct template_list *parts;
};

static bool read_splitting(struct template_call *call, struct splitting *splitting) {
    *splitting = (struct splitting){.text = call->self.text};
    if (!template_read_integer(call->render, call->arguments[1], -1, &splitting->most) ||
        !template_new_list(call->render, &splitting->parts)) {
        return false;
    }
    if (!is_left_out(call->arguments[0])) {
        if (!need_text(call->render, call->arguments[0], &splitting->separator)) {
            return false;
        }
        if (splitting->separator.length == 0) {
            return template_fail(call->render, ERROR_INVALID, "an empty text cannot separate");
        }
    }
    return template_spend_bytes(call->render, call->self.text.length);
}

static bool split_at_separator(struct template_render *render, struct splitting *splitting) {
    struct template_text text = splitting->text;
    size_t begin = 0;
    while (splitting->most < 0 || splitting->most-- > 0) {
        size_t end = template_text_find(text, splitting->separator, begin);
        if (end == SIZE_MAX) {
            break;
        }
        if (!push_text(render, splitting->parts, template_text_part(text, begin, end))) {
            return false;
        }
        begin = end + splitting->separator.length;
    }
    return push_text(render, splitting->parts, template_text_part(text, begin, text.length));
}

static bool split_at_space(struct template_render *render, struct splitting *splitting) {
    struct template_text rest = template_text_strip(splitting->text, STRIP_LEFT, NULL);
    while (rest.length > 0 && (splitting->most < 0 || splitting->most-- > 0)) {
        size_t end = 0;
        for (size_t next = 0; end < rest.length; end = next) {
            if (template_is_space(template_text_next(rest, &next))) {
                break;
            }
        }
        if (!push_text(render, splitting->parts, template_text_part(rest, 0, end))) {
            return false;
        }
        rest = template_text_strip(template_text_part(rest, end, rest.length), STRIP_LEFT, NULL);
    }
    return rest.length == 0 || push_text(render, splitting->parts, rest);
}

/* The parts come last to first. */
static bool rsplit_at_separator(struct template_render *render, struct splitting *splitting) {
    struct template_text text = splitting->text;
    size_t end = text.length;
    while (splitting->most < 0 || splitting->most-- > 0) {
        size_t begin = template_text_find_last(text, splitting->separator, end);
        if (begin == SIZE_MAX) {
            break;
        }
        size_t part = begin + splitting->separator.length;
        if (!push_text(render, splitting->parts, template_text_part(text, part, end))) {
            return false;
        }
        end = begin;
    }
    return push_text(render, splitting->parts, template_text_part(text, 0, end));
}

static bool rsplit_at_space(struct template_render *render, struct splitting *splitting) {
    struct template_text rest = template_text_strip(splitting->text, STRIP_RIGHT, NULL);
    while (rest.length > 0 && (splitting->most < 0 || splitting->most-- > 0)) {
        size_t begin = rest.length;
        for (size_t before = begin; begin > 0; begin = before) {
            if (template_is_space(template_text_previous(rest, &before))) {
                break;
            }
        }
        if (!push_text(render, splitting->parts, template_text_part(rest, begin, rest.length))) {
            return false;
        }
        rest = template_text_strip(template_text_part(rest, 0, begin), STRIP_RIGHT, NULL);
    }
    return rest.length == 0 || push_text(render, splitting->parts, rest);
}

static bool text_split(struct template_call *call) {
    struct splitting splitting;
    if (!read_splitting(call, &splitting)) {
        return false;
    }
    call->result = template_from_list(splitting.parts);
    return splitting.separator.bytes != NULL ? split_at_separator(call->render, &splitting)
                                             : split_at_space(call->render, &splitting);
}

static void reverse(struct template_list *list) {
    for (size_t i = 0, j = list->count; i + 1 < j; i++) {
        struct template_value other = list->items[--j];
        list->items[j] = list->items[i];
        list->items[i] = other;
    }
}

static bool text_rsplit(struct template_call *call) {
    struct splitting splitting;
    if (!read_splitting(call, &splitting) ||
        !spend_search(call->render, call->self.text, splitting.separator, true)) {
        return false;
    }
    bool fine = splitting.separator.bytes != NULL ? rsplit_at_separator(call->render, &splitting)
                                                  : rsplit_at_space(call->render, &splitting);
    reverse(splitting.parts);
    call->result = template_from_list(splitting.parts);
    return fine;
}

static bool text_splitlines(struct template_call *call) {
    bool keeps_ends = template_is_true(call->arguments[0]);
    struct template_list *lines;
    if (!template_new_list(call->render, &lines) ||
        !template_spend_bytes(call->render, call->self.text.length)) {
        return false;
    }
    for (size_t at = 0; at < call->self.text.length;) {
        size_t begin = at;
        struct template_text line = template_text_line(call->self.text, &at);
        if (!push_text(call->render, lines,
                       keeps_ends ? template_text_part(call->self.text, begin, at) : line)) {
            return false;
        }
    }
    call->result = template_from_list(lines);
    return true;
}

/* (what is before, the separator, what is behind) */
static bool partition(struct template_call *call, bool backwards) {
    struct template_text text = call->self.text;
    struct template_text separator;
    struct template_list *parts;
    if (!need_text(call->render, call->arguments[0], &separator) ||
        !spend_search(call->render, text, separator, backwards) ||
        !template_new_list(call->render, &parts)) {
        return false;
    }
    if (separator.length == 0) {
        return template_fail(call->render, ERROR_INVALID, "an empty text cannot separate");
    }
    size_t found = backwards ? template_text_find_last(text, separator, text.length)
                             : template_text_find(text, separator, 0);
    size_t begin = found != SIZE_MAX ? found : backwards ? 0 : text.length;
    size_t end = found != SIZE_MAX ? found + separator.length : begin;
    call->result = (struct template_value){.type = TEMPLATE_TUPLE, .list = parts};
    return push_text(call->render, parts, template_text_part(text, 0, begin)) &&
           push_text(call->render, parts, template_text_part(text, begin, end)) &&
           push_text(call->render, parts, template_text_part(text, end, text.length));
}

static bool text_partition(struct template_call *call) {
    return partition(call, false);
}

static bool text_rpartition(struct template_call *call) {
    return partition(call, true);
}

static bool text_join(struct template_call *call) {
    struct template_iterator *iterator = template_iterate(call->render, call->arguments[0]);
    struct template_value item;
    struct template_text text;
    size_t begin = template_begin(call->render);
    for (bool first = true; iterator != NULL && template_next(call->render, iterator, &item);
         first = false) {
        if (!need_text(call->render, item, &text) ||
            (!first && !template_append(call->render, call->self.text)) ||
            !template_append(call->render, text)) {
            return false;
        }
    }
    return !call->render->failed && template_take(call->render, begin, &call->result);
}

static bool text_format(struct template_call *call) {
    return template_format_braces(call->render, call->self.text, call->given, &call->result);
}

/* ---- Width ---- */

/* The text with `left` and `right` of what is missing to the width before and behind it. */
static bool justify(struct template_call *call, bool left, bool right) {
    int64_t width;
    struct template_text fill = {" ", 1};
    if (!template_read_integer(call->render, call->arguments[0], 0, &width) ||
        (call->arguments[1].type != TEMPLATE_ABSENT &&
         !need_text(call->render, call->arguments[1], &fill))) {
        return false;
    }
    if (template_text_count(fill) != 1) {
        return template_fail(call->render, ERROR_INVALID, "what fills up has to be one character");
    }
    int64_t count = (int64_t)template_text_count(call->self.text);
    int64_t missing = width > count ? width - count : 0;
    /* Python puts the odd one to the left where the width is odd, too. */
    int64_t before = !left ? 0 : !right ? missing : missing / 2 + (missing & width & 1);
    size_t begin = template_begin(call->render);
    return template_append_repeated(call->render, fill, (uint64_t)before) &&
           template_append(call->render, call->self.text) &&
           template_append_repeated(call->render, fill, (uint64_t)(missing - before)) &&
           template_take(call->render, begin, &call->result);
}

static bool text_center(struct template_call *call) {
    return justify(call, true, true);
}

static bool text_ljust(struct template_call *call) {
    return justify(call, false, true);
}

static bool text_rjust(struct template_call *call) {
    return justify(call, true, false);
}

/* Zeros behind the sign. */
static bool text_zfill(struct template_call *call) {
    int64_t width;
    if (!template_read_integer(call->render, call->arguments[0], 0, &width)) {
        return false;
    }
    int64_t count = (int64_t)template_text_count(call->self.text);
    uint64_t missing = width > count ? (uint64_t)(width - count) : 0;
    size_t sign = call->self.text.length > 0 &&
                  (call->self.text.bytes[0] == '-' || call->self.text.bytes[0] == '+');
    size_t begin = template_begin(call->render);
    return template_append(call->render, template_text_part(call->self.text, 0, sign)) &&
           template_append_repeated(call->render, template_literal("0"), missing) &&
           template_append(call->render,
                           template_text_part(call->self.text, sign, call->self.text.length)) &&
           template_take(call->render, begin, &call->result);
}

/* ---- Questions ---- */

/* Are there characters, and are all of them so? */
static bool all_are(struct template_call *call, bool (*is)(uint32_t code)) {
    struct template_text text = call->self.text;
    bool all = text.length > 0;
    for (size_t offset = 0; all && offset < text.length;) {
        all = is(template_text_next(text, &offset));
    }
    call->result = template_from_boolean(all);
    return template_spend_bytes(call->render, text.length);
}

static bool is_alphanumeric(uint32_t code) {
    return template_is_alphabetic(code) || template_is_digit(code);
}

static bool text_isdigit(struct template_call *call) {
    return all_are(call, template_is_digit);
}

static bool text_isalpha(struct template_call *call) {
    return all_are(call, template_is_alphabetic);
}

static bool text_isalnum(struct template_call *call) {
    return all_are(call, is_alphanumeric);
}

static bool text_isspace(struct template_call *call) {
    return all_are(call, template_is_space);
}

static bool text_isupper(struct template_call *call) {
    call->result = template_from_boolean(template_all_cased(call->self.text, template_is_upper));
    return template_spend_bytes(call->render, call->self.text.length);
}

static bool text_islower(struct template_call *call) {
    call->result = template_from_boolean(template_all_cased(call->self.text, template_is_lower));
    return template_spend_bytes(call->render, call->self.text.length);
}

const struct template_builtin template_text_methods[] = {
    {"capitalize", "", template_run_capitalize},
    {"casefold", "", template_run_lower},
    {"center", "width fillchar=", text_center},
    {"count", "sub start= end=", text_count},
    {"endswith", "suffix start= end=", text_endswith},
    {"find", "sub start= end=", text_find},
    {"format", NULL, text_format},
    {"index", "sub start= end=", text_index},
    {"isalnum", "", text_isalnum},
    {"isalpha", "", text_isalpha},
    {"isdecimal", "", text_isdigit},
    {"isdigit", "", text_isdigit},
    {"islower", "", text_islower},
    {"isnumeric", "", text_isdigit},
    {"isspace", "", text_isspace},
    {"isupper", "", text_isupper},
    {"join", "iterable", text_join},
    {"ljust", "width fillchar=", text_ljust},
    {"lower", "", template_run_lower},
    {"lstrip", "chars=", text_lstrip},
    {"partition", "sep", text_partition},
    {"removeprefix", "prefix", text_removeprefix},
    {"removesuffix", "suffix", text_removesuffix},
    {"replace", "old new count=", template_run_replace},
    {"rfind", "sub start= end=", text_rfind},
    {"rindex", "sub start= end=", text_rindex},
    {"rjust", "width fillchar=", text_rjust},
    {"rpartition", "sep", text_rpartition},
    {"rsplit", "sep= maxsplit=", text_rsplit},
    {"rstrip", "chars=", text_rstrip},
    {"split", "sep= maxsplit=", text_split},
    {"splitlines", "keepends=", text_splitlines},
    {"startswith", "prefix start= end=", text_startswith},
    {"strip", "chars=", template_run_strip},
    {"title", "", template_run_title},
    {"upper", "", template_run_upper},
    {"zfill", "width", text_zfill},
    {NULL, NULL, NULL},
};
