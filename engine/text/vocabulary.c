#include "engine/text/vocabulary.h"

#include "engine/secret_hash.h"

#include <assert.h>
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

/* FNV-1a (Fowler, Noll, Vo), which is fast on short texts, but for where it begins. */
static uint32_t hash_text(const struct vocabulary *vocabulary, const char *bytes, size_t length) {
    uint32_t hash = vocabulary->hash_start;
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
    vocabulary->hash_start = (uint32_t)secret_number();
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
    /* One more, so that an empty text has an address too. */
    size_t needed = vocabulary->pool_used + length + 1;
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

static bool no_memory(const struct vocabulary *vocabulary, struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a vocabulary of %zu tokens",
                     vocabulary->size);
}

bool vocabulary_name(struct vocabulary *vocabulary, int32_t id, const char *bytes, size_t length,
                     struct error *err) {
    if (id < 0 || id >= TOKEN_ID_LIMIT) {
        return error_set(err, ERROR_BAD_FILE, "token \"%.*s\" has id %d; ids are 0 to %d",
                         token_text_shown(length), bytes, id, TOKEN_ID_LIMIT - 1);
    }
    if (!grow_entries(vocabulary, (size_t)id + 1) || !grow_pool(vocabulary, length)) {
        return no_memory(vocabulary, err);
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
    return true;
}

bool vocabulary_add(struct vocabulary *vocabulary, int32_t id, const char *bytes, size_t length,
                    struct error *err) {
    if (2 * vocabulary->table_used >= vocabulary->table_size && !grow_table(vocabulary)) {
        return no_memory(vocabulary, err);
    }
    if (!vocabulary_name(vocabulary, id, bytes, length, err)) {
        return false;
    }
    vocabulary->table_used++;
    insert(vocabulary, (struct vocabulary_place){hash_text(vocabulary, bytes, length), id});
    return true;
}

void vocabulary_deinit(struct vocabulary *vocabulary) {
    free(vocabulary->pool);
    free(vocabulary->entries);
    free(vocabulary->table);
    *vocabulary = (struct vocabulary){0};
}

static bool is_text_of(const struct vocabulary *vocabulary, int32_t id, struct token_text text) {
    const struct vocabulary_entry *entry = &vocabulary->entries[id];
    return entry->length == text.length &&
           memcmp(vocabulary->pool + entry->offset, text.bytes, text.length) == 0;
}

/* The id of the first text with this hash; where there are two such texts, it may be the other. */
static int32_t likely_id(const struct vocabulary *vocabulary, uint32_t hash) {
    size_t at = first_place(vocabulary, hash);
    while (vocabulary->table[at].id >= 0 && vocabulary->table[at].hash != hash) {
        at = (at + 1) & (vocabulary->table_size - 1);
    }
    return vocabulary->table[at].id;
}

static int32_t find_hashed(const struct vocabulary *vocabulary, uint32_t hash,
                           struct token_text text) {
    size_t at = first_place(vocabulary, hash);
    for (; vocabulary->table[at].id >= 0; at = (at + 1) & (vocabulary->table_size - 1)) {
        const struct vocabulary_place *place = &vocabulary->table[at];
        if (place->hash == hash && is_text_of(vocabulary, place->id, text)) {
            return place->id;
        }
    }
    return -1;
}

int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t length) {
    return vocabulary->table_size == 0
               ? -1
               : find_hashed(vocabulary, hash_text(vocabulary, bytes, length),
                             (struct token_text){bytes, length});
}

/* One pass for each of the three places in memory that a lookup waits for: the table, the entry,
 * the text. A pass asks for all of its memory before the next one needs any. */
void vocabulary_find_batch(const struct vocabulary *vocabulary, const struct token_text *texts,
                           size_t count, int32_t *ids) {
    uint32_t hashes[VOCABULARY_BATCH];
    assert(count <= VOCABULARY_BATCH);
    for (size_t i = 0; i < count; i++) {
        ids[i] = -1;
        hashes[i] = hash_text(vocabulary, texts[i].bytes, texts[i].length);
        if (vocabulary->table_size > 0) {
            __builtin_prefetch(&vocabulary->table[first_place(vocabulary, hashes[i])]);
        }
    }
    if (vocabulary->table_size == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] = likely_id(vocabulary, hashes[i]);
        if (ids[i] >= 0) {
            __builtin_prefetch(&vocabulary->entries[ids[i]]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= 0) {
            __builtin_prefetch(vocabulary->pool + vocabulary->entries[ids[i]].offset);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= 0 && !is_text_of(vocabulary, ids[i], texts[i])) {
            ids[i] = find_hashed(vocabulary, hashes[i], texts[i]);
        }
    }
}

struct token_text vocabulary_text(const struct vocabulary *vocabulary, int32_t id) {
    if (id < 0 || (size_t)id >= vocabulary->size || !vocabulary->entries[id].present) {
        return (struct token_text){NULL, 0};
    }
    return (struct token_text){vocabulary->pool + vocabulary->entries[id].offset,
                               vocabulary->entries[id].length};
}
