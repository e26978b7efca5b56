#include "server/grammar_cache.h"

#include <stdlib.h>
#include <string.h>

struct grammar_cache_entry {
    struct grammar_cache_entry *next; /* older */
    struct grammar *grammar;
    size_t bytes;
    size_t length;
    char key[];
};

static void free_entry(struct grammar_cache *cache, struct grammar_cache_entry *entry) {
    cache->bytes -= entry->bytes;
    grammar_release(entry->grammar);
    free(entry);
}

void grammar_cache_deinit(struct grammar_cache *cache) {
    while (cache->newest != NULL) {
        struct grammar_cache_entry *entry = cache->newest;
        cache->newest = entry->next;
        free_entry(cache, entry);
    }
}

static void prepend(struct grammar_cache *cache, struct grammar_cache_entry *entry) {
    entry->next = cache->newest;
    cache->newest = entry;
}

struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t length) {
    for (struct grammar_cache_entry **link = &cache->newest; *link != NULL; link = &(*link)->next) {
        struct grammar_cache_entry *entry = *link;
        if (entry->length == length && memcmp(entry->key, key, length) == 0) {
            *link = entry->next;
            prepend(cache, entry);
            return grammar_acquire(entry->grammar);
        }
    }
    return NULL;
}

/* Forgets what is oldest, until there are no more bytes than may be. */
static void shrink(struct grammar_cache *cache) {
    size_t bytes = 0;
    struct grammar_cache_entry **link = &cache->newest;
    while (*link != NULL && bytes + (*link)->bytes <= GRAMMAR_CACHE_BYTES) {
        bytes += (*link)->bytes;
        link = &(*link)->next;
    }
    struct grammar_cache_entry *old = *link;
    *link = NULL;
    while (old != NULL) {
        struct grammar_cache_entry *next = old->next;
        free_entry(cache, old);
        old = next;
    }
}

void grammar_cache_keep(struct grammar_cache *cache, const char *key, size_t length,
                        struct grammar *grammar) {
    struct grammar_cache_entry *entry = malloc(sizeof *entry + length);
    if (entry == NULL) {
        return;
    }
    *entry = (struct grammar_cache_entry){
        .grammar = grammar_acquire(grammar),
        .bytes = sizeof *entry + length + grammar_bytes(grammar),
        .length = length,
    };
    memcpy(entry->key, key, length);
    prepend(cache, entry);
    cache->bytes += entry->bytes;
    shrink(cache);
}

static bool build(struct vocabulary_index *index, const struct grammar_source *source,
                  struct grammar **out, struct error *err) {
    const struct token_trie *trie = vocabulary_index_trie(index, err);
    struct grammar_builder *builder;
    if (trie == NULL || !grammar_builder_open(&builder, trie, err)) {
        return false;
    }
    bool built = grammar_builder_finish(builder, source->build(builder, source->context), out, err);
    grammar_builder_close(builder);
    return built;
}

bool grammar_cache_get(struct grammar_cache *cache, struct vocabulary_index *index,
                       const struct grammar_source *source, struct grammar **out,
                       struct error *err) {
    *out = grammar_cache_find(cache, source->key, source->key_length);
    if (*out == NULL && build(index, source, out, err)) {
        grammar_cache_keep(cache, source->key, source->key_length, *out);
    }
    return *out != NULL;
}
