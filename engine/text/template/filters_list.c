/* Filters of what has items. */
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"
#include "engine/text/template/text_functions.h"

#include <string.h>

/* ---- One item, or all of them ---- */

static bool filter_first(struct template_call *call) {
    struct template_iterator *iterator = template_iterate(call->render, call->self);
    if (iterator != NULL && !template_next(call->render, iterator, &call->result)) {
        call->result = template_undefined_because("there is no first item, because there is none");
    }
    return !call->render->failed;
}

static bool filter_last(struct template_call *call) {
    struct template_iterator *iterator = template_iterate_backwards(call->render, call->self);
    if (iterator != NULL && !template_next(call->render, iterator, &call->result)) {
        call->result = template_undefined_because("there is no last item, because there is none");
    }
    return !call->render->failed;
}

static bool filter_list(struct template_call *call) {
    struct template_list *list = NULL;
    bool fine = template_collect(call->render, call->self, &list);
    call->result = template_from_list(list);
    return fine;
}

static bool reverse_text(struct template_render *render, struct template_text text,
                         struct template_value *result) {
    size_t begin = template_begin(render);
    for (size_t end = text.length, at = end; at > 0; end = at) {
        template_text_previous(text, &at);
        if (!template_append(render, template_text_part(text, at, end)) ||
            !template_spend(render, 1)) {
            return false;
        }
    }
    return template_take(render, begin, result);
}

static bool filter_reverse(struct template_call *call) {
    if (call->self.type == TEMPLATE_TEXT) {
        return reverse_text(call->render, call->self.text, &call->result);
    }
    struct template_list *list = NULL;
    size_t count;
    bool is_sized = template_length(call->self, &count);
    if (!is_sized && !template_collect(call->render, call->self, &list)) {
        return false;
    }
    struct template_iterator *iterator =
        template_iterate_backwards(call->render, is_sized ? call->self : template_from_list(list));
    if (iterator == NULL) {
        return false;
    }
    call->result = template_from_iterator(iterator);
    if (is_sized) {
        return true;
    }
    /* What can be read only once gives a list. */
    bool fine = template_collect(call->render, call->result, &list);
    call->result = template_from_list(list);
    return fine;
}

static bool filter_join(struct template_call *call) {
    struct template_text separator = {"", 0};
    struct template_value item;
    if (call->arguments[0].type != TEMPLATE_ABSENT &&
        !template_to_text(call->render, call->arguments[0], &separator)) {
        return false;
    }
    struct template_iterator *iterator = template_iterate(call->render, call->self);
    size_t begin = template_begin(call->render);
    for (bool first = true; iterator != NULL && template_next(call->render, iterator, &item);
         first = false) {
        if ((!first && !template_append(call->render, separator)) ||
            !template_get_path(call->render, item, call->arguments[1], &item) ||
            !template_print(call->render, item)) {
            return false;
        }
    }
    return !call->render->failed && template_take(call->render, begin, &call->result);
}

static bool filter_sum(struct template_call *call) {
    struct template_value item;
    struct template_iterator *iterator = template_iterate(call->render, call->self);
    call->result =
        call->arguments[1].type == TEMPLATE_ABSENT ? template_from_integer(0) : call->arguments[1];
    while (iterator != NULL && template_next(call->render, iterator, &item)) {
        if (!template_get_path(call->render, item, call->arguments[0], &item) ||
            !template_arithmetic(call->render, TOKEN_ADD, call->result, item, &call->result)) {
            return false;
        }
    }
    return !call->render->failed;
}

/* ---- Order ---- */

/* What an item is compared by: texts in lower case, unless case matters. */
static bool make_key(struct template_render *render, struct template_value item,
                     struct template_value path, bool case_matters, struct template_value *key) {
    if (!template_get_path(render, item, path, key)) {
        return false;
    }
    return case_matters || key->type != TEMPLATE_TEXT || template_lower(render, *key, key);
}

/* The keys of "a,b": one for each path, in a list. */
static bool make_keys(struct template_render *render, struct template_value item,
                      struct template_value paths, bool case_matters,
                      struct template_value *result) {
    if (paths.type != TEMPLATE_TEXT) {
        return make_key(render, item, paths, case_matters, result);
    }
    struct template_list *keys;
    if (!template_new_list(render, &keys)) {
        return false;
    }
    for (size_t begin = 0; begin <= paths.text.length;) {
        size_t end = template_text_find(paths.text, template_literal(","), begin);
        end = end == SIZE_MAX ? paths.text.length : end;
        struct template_value path = template_from(template_text_part(paths.text, begin, end));
        struct template_value key;
        if (!make_key(render, item, path, case_matters, &key) ||
            !template_push(render, keys, key)) {
            return false;
        }
        begin = end + 1;
    }
    *result = template_from_list(keys);
    return true;
}

static bool sort_by(struct template_render *render, struct template_list *items,
                    struct template_value paths, bool case_matters, bool descending) {
    struct template_list *keys;
    if (!template_new_list(render, &keys)) {
        return false;
    }
    for (size_t i = 0; i < items->count; i++) {
        struct template_value key;
        if (!make_keys(render, items->items[i], paths, case_matters, &key) ||
            !template_push(render, keys, key)) {
            return false;
        }
    }
    return template_sort(render, items, keys, descending);
}

static bool filter_sort(struct template_call *call) {
    struct template_list *items;
    if (!template_collect(call->render, call->self, &items)) {
        return false;
    }
    call->result = template_from_list(items);
    return sort_by(call->render, items, call->arguments[2], template_is_true(call->arguments[1]),
                   template_is_true(call->arguments[0]));
}

static bool filter_dictsort(struct template_call *call) {
    struct template_list *items;
    struct template_value by = call->arguments[1];
    bool by_value = by.type == TEMPLATE_TEXT && template_text_is(by.text, "value");
    if (by.type != TEMPLATE_ABSENT && !by_value &&
        !(by.type == TEMPLATE_TEXT && template_text_is(by.text, "key"))) {
        return template_fail(call->render, ERROR_INVALID, "dictsort sorts by \"key\" or \"value\"");
    }
    if (call->self.type != TEMPLATE_DICT) {
        return call->self.type == TEMPLATE_UNDEFINED
                   ? template_fail_undefined(call->render, call->self)
                   : template_fail(call->render, ERROR_INVALID, "dictsort needs a dict, found %s",
                                   template_type_name(call->self.type));
    }
    call->self.type = TEMPLATE_ITEMS;
    if (!template_collect(call->render, call->self, &items)) {
        return false;
    }
    call->result = template_from_list(items);
    return sort_by(call->render, items, template_from_integer(by_value),
                   template_is_true(call->arguments[0]), template_is_true(call->arguments[2]));
}

/* The least item by `comparison`, the first of several. */
static bool find_extreme(struct template_call *call, enum template_comparison comparison) {
    struct template_iterator *iterator = template_iterate(call->render, call->self);
    bool case_matters = template_is_true(call->arguments[0]);
    struct template_value item;
    struct template_value key;
    struct template_value best = {.type = TEMPLATE_ABSENT};
    call->result = template_undefined_because("there is no such item, because there is none");
    while (iterator != NULL && template_next(call->render, iterator, &item)) {
        bool better = best.type == TEMPLATE_ABSENT;
        if (!make_key(call->render, item, call->arguments[1], case_matters, &key) ||
            (!better && !template_compare(call->render, comparison, key, best, &better))) {
            return false;
        }
        if (better) {
            best = key;
            call->result = item;
        }
    }
    return !call->render->failed;
}

static bool filter_min(struct template_call *call) {
    return find_extreme(call, COMPARE_LESS);
}

static bool filter_max(struct template_call *call) {
    return find_extreme(call, COMPARE_GREATER);
}

/* ---- Iterators over iterators ---- */

/* The arguments behind the first `used`, kept for as long as the iterator may be read. */
static const struct template_arguments *keep_arguments(struct template_render *render,
                                                       const struct template_arguments *arguments,
                                                       size_t used) {
    struct template_arguments *kept = template_allocate(render, 1, sizeof *kept);
    if (kept != NULL) {
        *kept = *arguments;
        kept->positional += used;
        kept->count -= used;
    }
    return kept;
}

/* An iterator over what another gives, which is opened with the first item that is asked for. */
static struct template_iterator *make_iterator(struct template_call *call,
                                               template_next_item *next) {
    struct template_iterator *iterator = template_allocate(call->render, 1, sizeof *iterator);
    if (iterator != NULL) {
        iterator->source = call->self;
        iterator->next = next;
        call->result = template_from_iterator(iterator);
    }
    return iterator;
}

static bool next_inner(struct template_render *render, struct template_iterator *iterator,
                       struct template_value *item) {
    if (iterator->inner == NULL) {
        iterator->inner = template_iterate(render, iterator->source);
    }
    return iterator->inner != NULL && template_next(render, iterator->inner, item);
}

/* Nothing is read of what is false, be it iterable or not. */
static void make_false_empty(struct template_iterator *iterator) {
    if (!template_is_true(iterator->source)) {
        iterator->source = template_from_text("", 0);
    }
}

static bool next_mapped(struct template_render *render, struct template_iterator *iterator,
                        struct template_value *item) {
    if (!next_inner(render, iterator, item)) {
        return false;
    }
    if (iterator->builtin != NULL) {
        return template_run_builtin(render, iterator->builtin, *item, iterator->arguments, item);
    }
    if (!template_get_path(render, *item, iterator->path, item)) {
        return false;
    }
    bool falls_back =
        item->type == TEMPLATE_UNDEFINED && iterator->fallback.type != TEMPLATE_ABSENT;
    *item = falls_back ? iterator->fallback : *item;
    return true;
}

/* map(attribute="path", default=...) */
static bool map_members(struct template_render *render, struct template_iterator *iterator,
                        const struct template_arguments *arguments) {
    for (size_t i = 0; i < arguments->keyword_count; i++) {
        const struct template_entry *keyword = &arguments->keywords[i];
        if (template_text_is(keyword->key.text, "attribute")) {
            iterator->path = keyword->value;
        } else if (template_text_is(keyword->key.text, "default")) {
            iterator->fallback = keyword->value.type != TEMPLATE_NONE
                                     ? keyword->value
                                     : (struct template_value){.type = TEMPLATE_ABSENT};
        } else {
            return template_fail(render, ERROR_INVALID, "'map' knows no argument '%.*s'",
                                 template_shown(keyword->key.text), keyword->key.text.bytes);
        }
    }
    return iterator->path.type != TEMPLATE_ABSENT ||
           template_fail(render, ERROR_INVALID, "'map' needs a filter or an attribute");
}

static const struct template_builtin *
find_named(struct template_render *render, struct template_value name,
           const struct template_builtin *(*find)(struct template_text), const char *what) {
    const struct template_builtin *builtin = NULL;
    if (name.type == TEMPLATE_TEXT) {
        builtin = find(name.text);
    }
    if (builtin == NULL) {
        struct template_text shown = {"", 0};
        template_to_text(render, name, &shown);
        template_fail(render, ERROR_INVALID, "there is no %s '%.*s'", what, template_shown(shown),
                      shown.bytes);
    }
    return builtin;
}

static bool filter_map(struct template_call *call) {
    struct template_iterator *iterator = make_iterator(call, next_mapped);
    if (iterator == NULL) {
        return false;
    }
    make_false_empty(iterator);
    if (call->given->count == 0) {
        return map_members(call->render, iterator, call->given);
    }
    iterator->builtin =
        find_named(call->render, call->given->positional[0], template_find_filter, "filter");
    iterator->arguments = keep_arguments(call->render, call->given, 1);
    return iterator->builtin != NULL && iterator->arguments != NULL;
}

static bool next_selected(struct template_render *render, struct template_iterator *iterator,
                          struct template_value *item) {
    while (next_inner(render, iterator, item)) {
        struct template_value looked_at;
        if (!template_get_path(render, *item, iterator->path, &looked_at)) {
            return false;
        }
        if (iterator->builtin != NULL && !template_run_builtin(render, iterator->builtin, looked_at,
                                                               iterator->arguments, &looked_at)) {
            return false;
        }
        if (template_is_true(looked_at) == iterator->wanted) {
            return true;
        }
    }
    return false;
}

/* The items whose members at the path in the first argument, if `by_path`, pass the test in the
 * next one or, without one, are true; or, if not `wanted`, those that do not. */
static bool select_items(struct template_call *call, bool by_path, bool wanted) {
    const struct template_arguments *given = call->given;
    struct template_iterator *iterator = make_iterator(call, next_selected);
    size_t used = by_path;
    if (iterator == NULL) {
        return false;
    }
    if (given->count < used) {
        return template_fail(call->render, ERROR_INVALID, "a filter by attribute needs its name");
    }
    make_false_empty(iterator);
    iterator->wanted = wanted;
    iterator->path = by_path ? given->positional[0] : iterator->path;
    if (given->count == used) {
        return true;
    }
    iterator->builtin =
        find_named(call->render, given->positional[used], template_find_test, "test");
    iterator->arguments = keep_arguments(call->render, given, used + 1);
    return iterator->builtin != NULL && iterator->arguments != NULL;
}

static bool filter_select(struct template_call *call) {
    return select_items(call, false, true);
}

static bool filter_reject(struct template_call *call) {
    return select_items(call, false, false);
}

static bool filter_selectattr(struct template_call *call) {
    return select_items(call, true, true);
}

static bool filter_rejectattr(struct template_call *call) {
    return select_items(call, true, false);
}

static bool next_entry(struct template_render *render, struct template_iterator *iterator,
                       struct template_value *item) {
    if (iterator->source.type == TEMPLATE_DICT) {
        iterator->source.type = TEMPLATE_ITEMS;
    } else if (iterator->source.type != TEMPLATE_ITEMS &&
               iterator->source.type != TEMPLATE_UNDEFINED) {
        return template_fail(render, ERROR_INVALID, "items needs a dict, found %s",
                             template_type_name(iterator->source.type));
    }
    return next_inner(render, iterator, item);
}

static bool filter_items(struct template_call *call) {
    return make_iterator(call, next_entry) != NULL;
}

static bool next_unique(struct template_render *render, struct template_iterator *iterator,
                        struct template_value *item) {
    struct template_value key;
    while (next_inner(render, iterator, item)) {
        if (!make_key(render, *item, iterator->path, iterator->wanted, &key)) {
            return false;
        }
        if (template_dict_find(iterator->seen, key) == NULL) {
            return template_set(render, iterator->seen, key, template_none());
        }
    }
    return false;
}

static bool filter_unique(struct template_call *call) {
    struct template_iterator *iterator = make_iterator(call, next_unique);
    if (iterator == NULL || !template_new_dict(call->render, &iterator->seen)) {
        return false;
    }
    iterator->wanted = template_is_true(call->arguments[0]);
    iterator->path = call->arguments[1];
    return true;
}

/* A list of the next `at` items; the last list is filled up if there is something for it. */
static bool next_batch(struct template_render *render, struct template_iterator *iterator,
                       struct template_value *batch) {
    struct template_list *list;
    struct template_value item;
    if (!template_new_list(render, &list)) {
        return false;
    }
    while (list->count < iterator->at && next_inner(render, iterator, &item)) {
        if (!template_push(render, list, item)) {
            return false;
        }
    }
    bool fills = iterator->fallback.type != TEMPLATE_ABSENT &&
                 iterator->fallback.type != TEMPLATE_NONE && list->count > 0;
    while (fills && list->count < iterator->at) {
        if (!template_push(render, list, iterator->fallback)) {
            return false;
        }
    }
    *batch = template_from_list(list);
    return list->count > 0;
}

static bool filter_batch(struct template_call *call) {
    struct template_iterator *iterator = make_iterator(call, next_batch);
    int64_t count;
    if (iterator == NULL || !template_read_integer(call->render, call->arguments[0], 0, &count)) {
        return false;
    }
    if (count < 1) {
        return template_fail(call->render, ERROR_INVALID, "batch needs a count of at least one");
    }
    iterator->at = (size_t)count;
    iterator->fallback = call->arguments[1];
    return true;
}

const struct template_builtin template_list_filters[] = {
    {"batch", "linecount fill_with=", filter_batch},
    {"dictsort", "case_sensitive= by= reverse=", filter_dictsort},
    {"first", "", filter_first},
    {"items", "", filter_items},
    {"join", "d= attribute=", filter_join},
    {"last", "", filter_last},
    {"list", "", filter_list},
    {"map", NULL, filter_map},
    {"max", "case_sensitive= attribute=", filter_max},
    {"min", "case_sensitive= attribute=", filter_min},
    {"reject", NULL, filter_reject},
    {"rejectattr", NULL, filter_rejectattr},
    {"reverse", "", filter_reverse},
    {"select", NULL, filter_select},
    {"selectattr", NULL, filter_selectattr},
    {"sort", "reverse= case_sensitive= attribute=", filter_sort},
    {"sum", "attribute= start=", filter_sum},
    {"unique", "case_sensitive= attribute=", filter_unique},
    {NULL, NULL, NULL},
};
