/* Iteration: what gives one item after the other, and no more once it gave none.
 *
 * The filters map, select and their kin make iterators that work as they are read, as Python's
 * generators do: what is never asked for is never computed, and what was read is gone. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_ITERATE_H
#define QUERN_ENGINE_TEXT_TEMPLATE_ITERATE_H

#include "engine/text/template/builtin.h"
#include "engine/text/template/render.h"

struct template_iterator;

/* False: there is none, or the render failed. */
typedef bool template_next_item(struct template_render *render, struct template_iterator *iterator,
                                struct template_value *item);

struct template_iterator {
    template_next_item *next;
    struct template_value source; /* of the items, */
    size_t at;                    /* of which so many were read (of a text, bytes) */

    /* For filters: */
    struct template_iterator *inner;        /* what gives the items of the source */
    const struct template_builtin *builtin; /* what they go through, */
    const struct template_arguments *arguments;
    struct template_value path;     /* or which of their members is meant */
    struct template_value fallback; /* for what is not there */
    bool wanted;                    /* what a test has to give for an item to stay */
    struct template_dict *seen;     /* keys */
};

bool template_is_iterable(struct template_value value);

/* NULL, and the render has failed, for what is not iterable. */
struct template_iterator *template_iterate(struct template_render *render,
                                           struct template_value value);

/* while (template_next(...)) { ... }  if (render->failed) ... */
bool template_next(struct template_render *render, struct template_iterator *iterator,
                   struct template_value *item);

/* All items, in a new list. */
bool template_collect(struct template_render *render, struct template_value value,
                      struct template_list **list);

/* The items from last to first, for what can be read so; of others, ERROR_INVALID. */
struct template_iterator *template_iterate_backwards(struct template_render *render,
                                                     struct template_value value);

/* The item of a list, a tuple, a range, a view or a dict (a key); index < template_length. */
bool template_item_at(struct template_render *render, struct template_value value, size_t index,
                      struct template_value *item);

static inline struct template_value template_from_iterator(struct template_iterator *iterator) {
    return (struct template_value){.type = TEMPLATE_ITERATOR, .iterator = iterator};
}

#endif
