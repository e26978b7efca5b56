#include "engine/text/template/iterate.h"

#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

bool template_item_at(struct template_render *render, struct template_value value, size_t index,
                      struct template_value *item) {
    switch (value.type) {
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        *item = value.list->items[index];
        return true;
    case TEMPLATE_DICT:
    case TEMPLATE_KEYS:
        *item = value.dict->entries[index].key;
        return true;
    case TEMPLATE_VALUES:
        *item = value.dict->entries[index].value;
        return true;
    case TEMPLATE_ITEMS:
        return template_new_pair(render, value.dict->entries[index].key,
                                 value.dict->entries[index].value, item);
    default: /* a range */
        *item = template_from_integer(value.range->start + (int64_t)index * value.range->step);
        return true;
    }
}

static bool next_item(struct template_render *render, struct template_iterator *iterator,
                      struct template_value *item) {
    size_t count;
    return template_length(iterator->source, &count) && iterator->at < count &&
           template_item_at(render, iterator->source, iterator->at++, item);
}

static bool next_item_backwards(struct template_render *render, struct template_iterator *iterator,
                                struct template_value *item) {
    return iterator->at > 0 && template_item_at(render, iterator->source, --iterator->at, item);
}

static bool next_character(struct template_render *render, struct template_iterator *iterator,
                           struct template_value *item) {
    (void)render;
    size_t begin = iterator->at;
    if (begin == iterator->source.text.length) {
        return false;
    }
    template_text_next(iterator->source.text, &iterator->at);
    *item = template_from(template_text_part(iterator->source.text, begin, iterator->at));
    return true;
}

static bool next_character_backwards(struct template_render *render,
                                     struct template_iterator *iterator,
                                     struct template_value *item) {
    (void)render;
    size_t end = iterator->at;
    if (end == 0) {
        return false;
    }
    template_text_previous(iterator->source.text, &iterator->at);
    *item = template_from(template_text_part(iterator->source.text, iterator->at, end));
    return true;
}

static bool next_of_nothing(struct template_render *render, struct template_iterator *iterator,
                            struct template_value *item) {
    (void)render;
    (void)iterator;
    (void)item;
    return false;
}

bool template_is_iterable(struct template_value value) {
    return value.type == TEMPLATE_UNDEFINED || value.type == TEMPLATE_LOOP ||
           (value.type >= TEMPLATE_TEXT && value.type <= TEMPLATE_ITERATOR);
}

struct template_iterator *template_iterate(struct template_render *render,
                                           struct template_value value) {
    if (value.type == TEMPLATE_ITERATOR) {
        return value.iterator;
    }
    if (!template_is_iterable(value) || value.type == TEMPLATE_LOOP) {
        template_fail(render, ERROR_INVALID, "a value of type %s cannot be iterated",
                      template_type_name(value.type));
        return NULL;
    }
    struct template_iterator *iterator = template_allocate(render, 1, sizeof *iterator);
    if (iterator != NULL) {
        iterator->source = value;
        iterator->next = value.type == TEMPLATE_UNDEFINED ? next_of_nothing
                         : value.type == TEMPLATE_TEXT    ? next_character
                                                          : next_item;
    }
    return iterator;
}

struct template_iterator *template_iterate_backwards(struct template_render *render,
                                                     struct template_value value) {
    size_t count = 0;
    if (value.type == TEMPLATE_ITERATOR || !template_length(value, &count)) {
        template_fail(render, ERROR_INVALID, "a value of type %s cannot be reversed",
                      template_type_name(value.type));
        return NULL;
    }
    struct template_iterator *iterator = template_allocate(render, 1, sizeof *iterator);
    if (iterator != NULL) {
        iterator->source = value;
        bool is_text = value.type == TEMPLATE_TEXT;
        iterator->at = is_text ? value.text.length : count;
        iterator->next = count == 0 ? next_of_nothing
                         : is_text  ? next_character_backwards
                                    : next_item_backwards;
    }
    return iterator;
}

bool template_next(struct template_render *render, struct template_iterator *iterator,
                   struct template_value *item) {
    return template_spend(render, 1) && iterator->next(render, iterator, item) && !render->failed;
}

bool template_collect(struct template_render *render, struct template_value value,
                      struct template_list **list) {
    struct template_iterator *iterator = template_iterate(render, value);
    struct template_value item;
    if (iterator == NULL || !template_new_list(render, list)) {
        return false;
    }
    while (template_next(render, iterator, &item)) {
        if (!template_push(render, *list, item)) {
            return false;
        }
    }
    return !render->failed;
}
