/* The values of a chat template: what JSON can say, and what expressions make of it.
 *
 * A value has 24 bytes and is copied freely. What it points to (bytes, items, entries) lives in an
 * arena that whoever builds the values owns, and is shared by any number of them: nothing is
 * changed once it is part of another value, but for the members of a namespace. Whoever renders a
 * template builds its variables with the functions here:
 *
 *     struct template_dict *message = template_dict_new(arena);
 *     template_dict_set(arena, message, key, template_from_text(bytes, length));
 *     template_list_push(arena, messages, template_from_dict(message));
 *
 * Texts are UTF-8, without exception. One thread at a time. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_VALUE_H
#define QUERN_ENGINE_TEXT_TEMPLATE_VALUE_H

#include "engine/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum template_type {
    TEMPLATE_ABSENT,    /* no value: an argument that was not given */
    TEMPLATE_UNDEFINED, /* what looking up a name or a member that is not there gives */
    TEMPLATE_NONE,
    TEMPLATE_BOOLEAN,
    TEMPLATE_INTEGER,
    TEMPLATE_BIG_INTEGER, /* beyond 64 bits: digits, that can be printed and compared */
    TEMPLATE_FLOAT,
    TEMPLATE_TEXT,
    TEMPLATE_LIST,
    TEMPLATE_TUPLE,
    TEMPLATE_DICT,
    TEMPLATE_KEYS, /* views of a dict */
    TEMPLATE_VALUES,
    TEMPLATE_ITEMS,
    TEMPLATE_RANGE,
    TEMPLATE_ITERATOR, /* gives its items once */
    TEMPLATE_NAMESPACE,
    TEMPLATE_MACRO,
    TEMPLATE_FUNCTION, /* of the language; a method comes with the value that it belongs to */
    TEMPLATE_LOOP,     /* the variable `loop` */
    TEMPLATE_TYPE_COUNT,
};

/* Where an undefined value was looked for, which the message about its use says. */
enum template_origin {
    ORIGIN_VARIABLE,    /* .text is its name */
    ORIGIN_PARAMETER,   /* the same, of a macro that was called without it */
    ORIGIN_MEMBER,      /* .text is its name, .owner the type of what has no such member */
    ORIGIN_ELEMENT,     /* the same with a number */
    ORIGIN_EXPLANATION, /* .text is the message */
};

struct template_text {
    const char *bytes; /* not terminated */
    size_t length;
};

struct template_value {
    uint8_t type;    /* enum template_type */
    uint8_t origin;  /* of an undefined value: enum template_origin */
    uint8_t owner;   /* of an undefined value: enum template_type */
    uint8_t escaped; /* of a text: 1 where the filter `safe` or `escape` vouches for it as HTML */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct template_text text;  /* also of a big integer and an undefined value */
        struct template_list *list; /* also of a tuple */
        struct template_dict *dict; /* also of a view and a namespace */
        const struct template_range *range;
        struct template_iterator *iterator;
        const struct template_macro *macro;
        const struct template_function *function;
        struct template_loop *loop;
    };
};

struct template_list {
    struct template_value *items;
    size_t count;
    size_t capacity;
};

struct template_entry {
    struct template_value key;
    struct template_value value;
};

/* Entries in the order in which their keys came, as in Python. Few are compared one by one; more
 * are found by a table of their hashes:
 *
 *     table    [ 0, 2, 0, 1, 3, 0, ... ]   1 + index into entries, 0: free; a power of two, at
 *                     \                    most half full
 *     entries  [ key value, key value, key value ] */
struct template_dict {
    struct template_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *table; /* NULL while there are few */
    size_t table_size;
};

struct template_range {
    int64_t start;
    int64_t stop;
    int64_t step;
    int64_t count;
};

static inline struct template_value template_none(void) {
    return (struct template_value){.type = TEMPLATE_NONE};
}

static inline struct template_value template_from_boolean(bool boolean) {
    return (struct template_value){.type = TEMPLATE_BOOLEAN, .boolean = boolean};
}

static inline struct template_value template_from_integer(int64_t integer) {
    return (struct template_value){.type = TEMPLATE_INTEGER, .integer = integer};
}

static inline struct template_value template_from_number(double number) {
    return (struct template_value){.type = TEMPLATE_FLOAT, .number = number};
}

/* Borrows the bytes, which are UTF-8. */
static inline struct template_value template_from_text(const char *bytes, size_t length) {
    return (struct template_value){.type = TEMPLATE_TEXT, .text = {bytes, length}};
}

/* Borrows the digits, with a sign or without; for numbers that no int64_t holds. */
static inline struct template_value template_from_digits(const char *digits, size_t length) {
    return (struct template_value){.type = TEMPLATE_BIG_INTEGER, .text = {digits, length}};
}

static inline struct template_value template_from_list(struct template_list *list) {
    return (struct template_value){.type = TEMPLATE_LIST, .list = list};
}

static inline struct template_value template_from_dict(struct template_dict *dict) {
    return (struct template_value){.type = TEMPLATE_DICT, .dict = dict};
}

static inline struct template_text template_literal(const char *terminated) {
    return (struct template_text){terminated, strlen(terminated)};
}

bool template_text_is(struct template_text text, const char *expected);
bool template_text_equal(struct template_text a, struct template_text b);

/* NULL or false when memory is out, in all of these. */
struct template_list *template_list_new(struct arena *arena);
bool template_list_push(struct arena *arena, struct template_list *list,
                        struct template_value value);

/* A key is a text, a number, a boolean or none. 1, 1.0 and true are the same key. An entry that is
 * there keeps its place and its key and gets the value. */
struct template_dict *template_dict_new(struct arena *arena);
bool template_dict_set(struct arena *arena, struct template_dict *dict, struct template_value key,
                       struct template_value value);
bool template_dict_set_text(struct arena *arena, struct template_dict *dict, const char *key,
                            struct template_value value);

/* NULL where there is none, and for a key of another type. */
struct template_value *template_dict_find(const struct template_dict *dict,
                                          struct template_value key);
struct template_value *template_dict_find_text(const struct template_dict *dict, const char *key);

bool template_is_key(struct template_value value);

#endif
