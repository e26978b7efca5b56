/* What a JSON Schema says of a value, laid out: its references followed, its alternatives apart.
 *
 *     {"$ref": "#/$defs/a", "anyOf": [B, C]}   ─▶   A and B, or A and C
 *
 * Each alternative is a list of schemas that all hold; of these, only what they say themselves is left
 * to look at: type, enum, properties … but no longer $ref, allOf, anyOf, oneOf and nullable.
 *
 * oneOf is read as anyOf. What is not supported, and would change which values are valid, makes the
 * builder fail with the keyword and the place in the schema; so does a schema that is none.
 *
 * One thread. All memory is the reader's, given back by schema_reader_close. */
#ifndef QUERN_SERVER_SCHEMA_SCHEMA_READER_H
#define QUERN_SERVER_SCHEMA_SCHEMA_READER_H

#include "engine/arena.h"
#include "engine/text/grammar/grammar_builder.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    SCHEMA_REFERENCES_MAX = 100,   /* one leading to the next, without a property or item between */
    SCHEMA_ALTERNATIVES_MAX = 512, /* of one value */
};

struct schema_list {
    const cJSON **items;
    size_t count;
};

struct schema_alternatives {
    struct schema_list *items;
    size_t count;
};

struct schema_reader {
    struct grammar_builder *builder;
    const cJSON *root;
    cJSON *null; /* {"type": "null"}: what `nullable` adds */
    struct arena arena;
    const cJSON
        *open[SCHEMA_REFERENCES_MAX]; /* schemas that are being laid out, each within the last */
    size_t open_count;
};

/* The schema must outlive the reader. */
void schema_reader_open(struct schema_reader *reader, struct grammar_builder *builder,
                        const cJSON *root);
void schema_reader_close(struct schema_reader *reader);

/* The alternatives of a value of which all the schemas hold: none if no value is valid, an empty list if
 * any is. After an error what comes out is empty. */
struct schema_alternatives schema_reader_expand(struct schema_reader *reader,
                                                struct schema_list schemas);

/* Counts schemas put into lists, keywords, properties and items looked at; false, and the builder fails,
 * when there are too many: a million. */
bool schema_reader_work(struct schema_reader *reader, size_t steps);

/* Makes the builder fail: the place of `schema`, the keyword, and what is wrong with it. */
grammar_expression schema_reader_fail(struct schema_reader *reader, enum error_code code,
                                      const cJSON *schema, const char *keyword, const char *what);

/* `count` zeroed elements; NULL, and the builder fails, when memory is out. */
void *schema_reader_allocate(struct schema_reader *reader, size_t count, size_t size);

#endif
