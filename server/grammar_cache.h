/* Compiled grammars that may be asked for again: most clients send the same schema with each request.
 *
 *     key "json_schema:{...}" ─▶ grammar      newest ─▶ entry ─▶ entry ─▶ oldest
 *
 * Bounded by bytes, keys included: what has not been asked for the longest goes first. An entry holds
 * its grammar; sessions that still use one that has gone hold it, too. Any thread. */
#ifndef QUERN_SERVER_GRAMMAR_CACHE_H
#define QUERN_SERVER_GRAMMAR_CACHE_H

#include "engine/error.h"
#include "engine/text/grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>

/* Some 1000 schemas of the usual size, or 16 of the greatest. */
enum { GRAMMAR_CACHE_BYTES = 32 << 20 };

struct grammar_cache;

bool grammar_cache_open(struct grammar_cache **out, struct error *err);
void grammar_cache_close(struct grammar_cache *cache); /* NULL is nothing */

/* Bytes that are kept. */
size_t grammar_cache_bytes(struct grammar_cache *cache);

/* The grammar of a key, to be released; NULL if it is not there. */
struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t length);

/* Keeps a grammar, in the place of another one of that key. Where memory is out, it does not. */
void grammar_cache_keep(struct grammar_cache *cache, const char *key, size_t length,
                        struct grammar *grammar);

#endif
