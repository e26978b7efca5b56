/* The vocabulary: token texts by id and ids by text.
 *
 * Texts lie one behind the other in one pool; an open-addressing table of ids finds them again.
 * Built by one thread, constant afterwards. */
#ifndef QUERN_ENGINE_TEXT_VOCABULARY_H
#define QUERN_ENGINE_TEXT_VOCABULARY_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ids index tables, so a file that names a huge id would cost memory out of proportion to its size.
 */
enum { TOKEN_ID_LIMIT = 1 << 21 };

struct token_text {
    const char *bytes; /* not terminated */
    size_t length;
};

/* How many bytes of a text of that length a message shows, for %.*s. */
static inline int token_text_shown(size_t length) {
    return length < 60 ? (int)length : 60;
}

struct vocabulary {
    char *pool;
    size_t pool_used;
    size_t pool_capacity;
    struct vocabulary_entry *entries; /* [size], by id */
    size_t size;                      /* greatest id + 1 */
    size_t capacity;
    struct vocabulary_place *table; /* [table_size], a power of two */
    size_t table_size;
    size_t table_used;
    uint32_t hash_start; /* of this process's own */
};

/* Adds a text under an id. An id that has a text already, or a text under another id, is
 * ERROR_BAD_FILE. */
bool vocabulary_add(struct vocabulary *vocabulary, int32_t id, const char *bytes, size_t length,
                    struct error *err);

/* Gives an id a text by which it is not found: that of an added token, which the model must not make
 * of a word that happens to read like it. */
bool vocabulary_name(struct vocabulary *vocabulary, int32_t id, const char *bytes, size_t length,
                     struct error *err);
void vocabulary_deinit(struct vocabulary *vocabulary);

/* The id of a text, or -1. */
int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t length);

/* The same for up to VOCABULARY_BATCH texts, several times as fast as one by one: their memory is
 * waited for together. */
enum { VOCABULARY_BATCH = 192 };
void vocabulary_find_batch(const struct vocabulary *vocabulary, const struct token_text *texts,
                           size_t count, int32_t *ids);

/* The text of an id; NULL bytes if the id has none. */
struct token_text vocabulary_text(const struct vocabulary *vocabulary, int32_t id);

#endif
