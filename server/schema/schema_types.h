/* What the schemas of one alternative (schema_reader.h) say together of a value of each type. */
#ifndef QUERN_SERVER_SCHEMA_SCHEMA_TYPES_H
#define QUERN_SERVER_SCHEMA_SCHEMA_TYPES_H

#include "server/schema/number_range.h"
#include "server/schema/schema_reader.h"

#include <stdbool.h>
#include <stdint.h>

/* A set of types. */
enum schema_type {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_INTEGER = 1 << 2,
    TYPE_FRACTION = 1 << 3, /* numbers that are no integers */
    TYPE_STRING = 1 << 4,
    TYPE_ARRAY = 1 << 5,
    TYPE_OBJECT = 1 << 6,
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_ALL = (1 << 7) - 1,
};

/* The types that `type` allows, or where none of the schemas has it, those that other keywords imply;
 * all where there are none of these either. */
unsigned schema_types(struct schema_list schemas);

/* The greatest value of a keyword like minLength, the least one of one like maxLength. */
uint32_t schema_greatest(struct schema_list schemas, const char *keyword);
uint32_t schema_least(struct schema_list schemas, const char *keyword);

struct number_range schema_number_range(struct schema_list schemas);

/* Does any of the schemas have the keyword? */
bool schema_has(struct schema_list schemas, const char *keyword);

/* The type of a constant. */
enum schema_type schema_type_of(const cJSON *value);

#endif
