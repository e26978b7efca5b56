#include "server/grammar_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next; /* older */
    struct grammar *grammar;
    size_t bytes;
    size_t length;
    char key[];
};

struct grammar_cache {
    pthread_mutex_t mutex; /* guards what follows; held for a few microseconds */
    struct entry *newest;
    size_t bytes;
};

bool grammar_cache_open(struct grammar_cache **out, struct error *err) {
    struct grammar_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a cache of grammars");
    }
    pthread_mutex_init(&cache->mutex, NULL);
    *out = cache;
    return true;
}

static void free_entry(struct grammar_cache *cache, struct entry *entry) {
    cache->bytes -= entry->bytes;
    grammar_release(entry->grammar);
    free(entry);
}

/* All from an entry on. */
static void free_entries(struct grammar_cache *cache, struct entry *entry) {
    while (entry != NULL) {
        struct entry *next = entry->next;
        free_entry(cache, entry);
        entry = next;
    }
}

void grammar_cache_close(struct grammar_cache *cache) {
    if (cache == NULL) {
        return;
    }
    free_entries(cache, cache->newest);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

size_t grammar_cache_bytes(struct grammar_cache *cache) {
    pthread_mutex_lock(&cache->mutex);
    size_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->mutex);
    return bytes;
}

/* Takes the entry of a key out of the list. */
static struct entry *take(struct grammar_cache *cache, const char *key, size_t length) {
    for (struct entry **link = &cache->newest; *link != NULL; link = &(*link)->next) {
        struct entry *entry = *link;
        if (entry->length == length && memcmp(entry->key, key, length) == 0) {
            *link = entry->next;
            return entry;
        }
    }
    return NULL;
}

static void prepend(struct grammar_cache *cache, struct entry *entry) {
    entry->next = cache->newest;
    cache->newest = entry;
}

struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t length) {
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = take(cache, key, length);
    struct grammar *grammar = NULL;
    if (entry != NULL) {
        prepend(cache, entry);
        grammar = grammar_acquire(entry->grammar);
    }
    pthread_mutex_unlock(&cache->mutex);
    return grammar;
}

/* Forgets what is oldest, until there are no more bytes than may be. */
static void shrink(struct grammar_cache *cache) {
    size_t bytes = 0;
    struct entry **link = &cache->newest;
    while (*link != NULL && bytes + (*link)->bytes <= GRAMMAR_CACHE_BYTES) {
        bytes += (*link)->bytes;
        link = &(*link)->next;
    }
    struct entry *old = *link;
    *link = NULL;
    free_entries(cache, old);
}

void grammar_cache_keep(struct grammar_cache *cache, const char *key, size_t length,
                        struct grammar *grammar) {
    struct entry *entry = malloc(sizeof *entry + length);
    if (entry == NULL) {
        return;
    }
    *entry = (struct entry){
        .grammar = grammar_acquire(grammar),
        .bytes = sizeof *entry + length + grammar_bytes(grammar),
        .length = length,
    };
    memcpy(entry->key, key, length);
    pthread_mutex_lock(&cache->mutex);
    struct entry *before = take(cache, key, length);
    if (before != NULL) {
        free_entry(cache, before);
    }
    prepend(cache, entry);
    cache->bytes += entry->bytes;
    shrink(cache);
    pthread_mutex_unlock(&cache->mutex);
}
