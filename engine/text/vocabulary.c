#include "engine/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

struct vocabulary_entry {
    uint32_t offset;
    uint32_t length;
    bool present;
};

/* The hash beside the id: most texts that are not the one sought are told apart without a look at
 * their entries, which are far away in memory. */
struct vocabulary_place {
    uint32_t hash;
    int32_t id; /* -1: empty */
};

enum {
    TABLE_SIZE_FIRST = 1024,
    POOL_LIMIT = 1 << 30, /* offsets are 32 bits wide */
};

static const uint32_t HASH_START = 2166136261U;

/* FNV-1a (Fowler, Noll, Vo), which can be continued: the hash of two texts joined needs no copy. */
static uint32_t hash_bytes(uint32_t hash, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (uint8_t)bytes[i]) * 16777619U;
    }
    return hash;
}

static size_t first_place(const struct vocabulary *vocabulary, uint32_t hash) {
    return (hash ^ hash >> 15) & (vocabulary->table_size - 1);
}

static void insert(struct vocabulary *vocabulary, struct vocabulary_place place) {
    size_t at = first_place(vocabulary, place.hash);
    while (vocabulary->table[at].id >= 0) {
        at = (at + 1) & (vocabulary->table_size - 1);
    }
    vocabulary->table[at] = place;
}

static bool grow_table(struct vocabulary *vocabulary) {
    struct vocabulary_place *old = vocabulary->table;
    size_t old_size = vocabulary->table_size;
    size_t size = old_size > 0 ? 2 * old_size : TABLE_SIZE_FIRST;
    struct vocabulary_place *table = malloc(size * sizeof *table);
    if (table == NULL) {
        return false;
    }
    memset(table, 0xFF, size * sizeof *table); /* ids of -1: empty */
    vocabulary->table = table;
    vocabulary->table_size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].id >= 0) {
            insert(vocabulary, old[i]);
        }
    }
    free(old);
    return true;
}

static bool grow_entries(struct vocabulary *vocabulary, size_t size) {
    if (size > vocabulary->capacity) {
        size_t capacity = size > 2 * vocabulary->capacity ? size : 2 * vocabulary->capacity;
        struct vocabulary_entry *entries = realloc(vocabulary->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            return false;
        }
        memset(entries + vocabulary->capacity, 0,
               (capacity - vocabulary->capacity) * sizeof *entries);
        vocabulary->entries = entries;
        vocabulary->capacity = capacity;
    }
    vocabulary->size = size > vocabulary->size ? size : vocabulary->size;
    return true;
}

static bool grow_pool(struct vocabulary *vocabulary, size_t length) {
    size_t needed = vocabulary->pool_used + length;
    if (length > POOL_LIMIT || needed > POOL_LIMIT) {
        return false;
    }
    if (needed > vocabulary->pool_capacity) {
        size_t capacity =
            needed > 2 * vocabulary->pool_capacity ? needed : 2 * vocabulary->pool_capacity;
        char *pool = realloc(vocabulary->pool, capacity);
        if (pool == NULL) {
            return false;
        }
        vocabulary->pool = pool;
        vocabulary->pool_capacity = capacity;
    }
    return true;
}

bool vocabulary_add(struct vocabulary *vocabulary, int32_t id, const char *bytes, size_t length,
                    struct error *err) {
    if (id < 0 || id >= TOKEN_ID_LIMIT) {
        return error_set(err, ERROR_BAD_FILE, "token \"%.*s\" has id %d; ids are 0 to %d",
                         token_text_shown(length), bytes, id, TOKEN_ID_LIMIT - 1);
    }
    bool ok = grow_entries(vocabulary, (size_t)id + 1) && grow_pool(vocabulary, length) &&
              (2 * vocabulary->table_used < vocabulary->table_size || grow_table(vocabulary));
    if (!ok) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a vocabulary of %zu tokens",
                         vocabulary->size);
    }
    struct vocabulary_entry *entry = &vocabulary->entries[id];
    int32_t other = vocabulary_find(vocabulary, bytes, length);
    if (entry->present || other >= 0) {
        return error_set(
            err, ERROR_BAD_FILE, "token \"%.*s\" with id %d: %s %d is in the vocabulary already",
            token_text_shown(length), bytes, id, entry->present ? "id" : "the same text with id",
            entry->present ? id : other);
    }
    memcpy(vocabulary->pool + vocabulary->pool_used, bytes, length);
    *entry = (struct vocabulary_entry){
        .offset = (uint32_t)vocabulary->pool_used, .length = (uint32_t)length, .present = true};
    vocabulary->pool_used += length;
    vocabulary->table_used++;
    insert(vocabulary, (struct vocabulary_place){hash_bytes(HASH_START, bytes, length), id});
    return true;
}

void vocabulary_deinit(struct vocabulary *vocabulary) {
    free(vocabulary->pool);
    free(vocabulary->entries);
    free(vocabulary->table);
    *vocabulary = (struct vocabulary){0};
}

int32_t vocabulary_find_joined(const struct vocabulary *vocabulary, struct token_text left,
                               struct token_text right) {
    if (vocabulary->table_size == 0) {
        return -1;
    }
    uint32_t hash =
        hash_bytes(hash_bytes(HASH_START, left.bytes, left.length), right.bytes, right.length);
    size_t at = first_place(vocabulary, hash);
    for (; vocabulary->table[at].id >= 0; at = (at + 1) & (vocabulary->table_size - 1)) {
        if (vocabulary->table[at].hash != hash) {
            continue;
        }
        const struct vocabulary_entry *entry = &vocabulary->entries[vocabulary->table[at].id];
        const char *text = vocabulary->pool + entry->offset;
        if (entry->length == left.length + right.length &&
            memcmp(text, left.bytes, left.length) == 0 &&
            memcmp(text + left.length, right.bytes, right.length) == 0) {
            return vocabulary->table[at].id;
        }
    }
    return -1;
}

int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t length) {
    return vocabulary_find_joined(vocabulary, (struct token_text){bytes, length},
                                  (struct token_text){"", 0});
}

struct token_text vocabulary_text(const struct vocabulary *vocabulary, int32_t id) {
    if (id < 0 || (size_t)id >= vocabulary->size || !vocabulary->entries[id].present) {
        return (struct token_text){NULL, 0};
    }
    return (struct token_text){vocabulary->pool + vocabulary->entries[id].offset,
                               vocabulary->entries[id].length};
}
