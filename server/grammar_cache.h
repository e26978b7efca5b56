/* Compiled grammars that may be asked for again: most clients send the same schema with each request.
 *
 *     key "json_schema:{...}" ─▶ grammar      newest ─▶ entry ─▶ entry ─▶ oldest
 *
 * Bounded by bytes, keys included: what has not been asked for the longest goes first. An entry holds
 * its grammar; sessions that still use one that has gone hold it, too. Loop thread. */
#ifndef QUERN_SERVER_GRAMMAR_CACHE_H
#define QUERN_SERVER_GRAMMAR_CACHE_H

#include "engine/text/grammar/grammar_builder.h"
#include "server/vocabulary_index.h"

#include <stdbool.h>
#include <stddef.h>

/* Some 1000 schemas of the usual size, or 16 of the greatest. */
enum { GRAMMAR_CACHE_BYTES = 32 << 20 };

struct grammar_cache_entry;

/* Start from {0}. */
struct grammar_cache {
    struct grammar_cache_entry *newest;
    size_t bytes;
};

void grammar_cache_deinit(struct grammar_cache *cache);

/* The grammar of a key, to be released; NULL if it is not there. */
struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t length);

/* Keeps a grammar that was not found. Where memory is out, it does not. */
void grammar_cache_keep(struct grammar_cache *cache, const char *key, size_t length,
                        struct grammar *grammar);

/* A grammar that may have to be made: what finds it again, and what builds it. */
struct grammar_source {
    const char *key;
    size_t key_length;
    grammar_expression (*build)(struct grammar_builder *builder, const void *context);
    const void *context;
};

/* The grammar of the source's key, to be released: kept before, or built and kept now. */
bool grammar_cache_get(struct grammar_cache *cache, struct vocabulary_index *index,
                       const struct grammar_source *source, struct grammar **out,
                       struct error *err);

#endif
