/* Request parameters as a table: what a name must be, which values it may have, and where it goes.
 *
 *     {"top_p", PARAMETER_FLOAT, .least = 0, .greatest = 1, .offset = offsetof(struct request, top_p)}
 *
 * A parameter that is absent or null keeps the default that the target already holds; a name that
 * is not in the table is ignored, as OpenAI's clients expect. */
#ifndef QUERN_SERVER_PARAMETERS_H
#define QUERN_SERVER_PARAMETERS_H

#include "server/api_error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum parameter_type {
    PARAMETER_FLOAT,   /* float */
    PARAMETER_INTEGER, /* int64_t */
    PARAMETER_BOOLEAN, /* bool */
    PARAMETER_TEXT,    /* const char *, borrowed from the JSON */
    PARAMETER_OTHER,   /* whatever `read` makes of it; called with the whole target */
};

struct parameter {
    const char *name;
    enum parameter_type type;
    double least;
    double greatest;
    size_t offset;
    bool (*read)(const cJSON *value, void *target, struct api_error *error);
};

/* An error names the first parameter of the table that is wrong. */
bool parameters_read(const cJSON *object, const struct parameter *table, size_t count, void *target,
                     struct api_error *error);

/* "a string", "an array" …: what a value is, for messages. */
const char *parameters_kind(const cJSON *value);

/* Is the value a whole number from least to greatest? */
bool parameters_is_integer(const cJSON *value, double least, double greatest);

#endif
