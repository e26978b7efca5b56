#include "engine/text/template/value.h"

#include "engine/checked.h"
#include "engine/secret_hash.h"

#include <string.h>

bool template_text_equal(struct template_text a, struct template_text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

bool template_text_is(struct template_text text, const char *expected) {
    return template_text_equal(text, template_literal(expected));
}

/* ---- Arrays that grow in an arena, where the smaller ones stay behind ---- */

static void *grow(struct arena *arena, const void *old, size_t count, size_t capacity,
                  size_t size) {
    void *items = arena_allocate(arena, capacity, size);
    if (items != NULL && count > 0) {
        memcpy(items, old, count * size);
    }
    return items;
}

struct template_list *template_list_new(struct arena *arena) {
    return arena_allocate(arena, 1, sizeof(struct template_list));
}

bool template_list_push(struct arena *arena, struct template_list *list,
                        struct template_value value) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 4;
        struct template_value *items =
            grow(arena, list->items, list->count, capacity, sizeof *items);
        if (items == NULL) {
            return false;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = value;
    return true;
}

/* ---- Keys ---- */

enum { FEW_ENTRIES = 8 }; /* compared one by one about as fast as looked up by hash */

bool template_is_key(struct template_value value) {
    return value.type >= TEMPLATE_NONE && value.type <= TEMPLATE_TEXT;
}

/* A float that is a whole number is the same key as that integer. */
static struct template_value plain_key(struct template_value key) {
    if (key.type == TEMPLATE_BOOLEAN) {
        return template_from_integer(key.boolean);
    }
    if (key.type == TEMPLATE_FLOAT && key.number >= -0x1p63 && key.number < 0x1p63 &&
        (double)(int64_t)key.number == key.number) {
        return template_from_integer((int64_t)key.number);
    }
    return key;
}

static bool plain_keys_equal(struct template_value a, struct template_value b) {
    if (a.type != b.type) {
        return false;
    }
    switch (a.type) {
    case TEMPLATE_INTEGER:
        return a.integer == b.integer;
    case TEMPLATE_FLOAT:
        return a.number == b.number;
    case TEMPLATE_TEXT:
    case TEMPLATE_BIG_INTEGER:
        return template_text_equal(a.text, b.text);
    default:
        return true; /* none */
    }
}

static uint64_t hash_key(struct template_value key) {
    switch (key.type) {
    case TEMPLATE_TEXT:
    case TEMPLATE_BIG_INTEGER:
        return secret_hash(key.text.bytes, key.text.length);
    case TEMPLATE_INTEGER:
        return secret_hash((const char *)&key.integer, sizeof key.integer);
    case TEMPLATE_FLOAT:
        return secret_hash((const char *)&key.number, sizeof key.number);
    default:
        return 0;
    }
}

/* ---- Dicts ---- */

struct template_dict *template_dict_new(struct arena *arena) {
    return arena_allocate(arena, 1, sizeof(struct template_dict));
}

/* Where the key is in the table, or the free place where it belongs. */
static uint32_t *find_place(const struct template_dict *dict, struct template_value plain) {
    size_t place = hash_key(plain) & (dict->table_size - 1);
    while (dict->table[place] != 0 &&
           !plain_keys_equal(plain_key(dict->entries[dict->table[place] - 1].key), plain)) {
        place = (place + 1) & (dict->table_size - 1);
    }
    return &dict->table[place];
}

static struct template_entry *find_entry(const struct template_dict *dict,
                                         struct template_value plain) {
    if (dict->table != NULL) {
        uint32_t found = *find_place(dict, plain);
        return found != 0 ? &dict->entries[found - 1] : NULL;
    }
    for (size_t i = 0; i < dict->count; i++) {
        if (plain_keys_equal(plain_key(dict->entries[i].key), plain)) {
            return &dict->entries[i];
        }
    }
    return NULL;
}

static bool make_table(struct arena *arena, struct template_dict *dict) {
    dict->table_size = 2 * dict->capacity;
    dict->table = arena_allocate(arena, dict->table_size, sizeof *dict->table);
    if (dict->table == NULL) {
        return false;
    }
    for (size_t i = 0; i < dict->count; i++) {
        *find_place(dict, plain_key(dict->entries[i].key)) = (uint32_t)(i + 1);
    }
    return true;
}

bool template_dict_set(struct arena *arena, struct template_dict *dict, struct template_value key,
                       struct template_value value) {
    struct template_value plain = plain_key(key);
    struct template_entry *entry = find_entry(dict, plain);
    if (entry != NULL) {
        entry->value = value;
        return true;
    }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity > 0 ? 2 * dict->capacity : FEW_ENTRIES / 2;
        struct template_entry *entries =
            grow(arena, dict->entries, dict->count, capacity, sizeof *entries);
        if (entries == NULL || capacity >= UINT32_MAX / 2) {
            return false;
        }
        dict->entries = entries;
        dict->capacity = capacity;
        if (capacity > FEW_ENTRIES && !make_table(arena, dict)) {
            return false;
        }
    }
    if (dict->table != NULL) {
        *find_place(dict, plain) = (uint32_t)(dict->count + 1);
    }
    dict->entries[dict->count++] = (struct template_entry){key, value};
    return true;
}

struct template_value *template_dict_find(const struct template_dict *dict,
                                          struct template_value key) {
    struct template_entry *entry = template_is_key(key) ? find_entry(dict, plain_key(key)) : NULL;
    return entry != NULL ? &entry->value : NULL;
}

bool template_dict_set_text(struct arena *arena, struct template_dict *dict, const char *key,
                            struct template_value value) {
    return template_dict_set(arena, dict, template_from_text(key, strlen(key)), value);
}

struct template_value *template_dict_find_text(const struct template_dict *dict, const char *key) {
    return template_dict_find(dict, template_from_text(key, strlen(key)));
}
