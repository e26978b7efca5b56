/* Request parameters as a table: what a name must be, which values it may have, where it goes, and what
 * it means. Requests are read by it, and GET /openapi.json is made of it.
 *
 *     {"top_p", PARAMETER_FLOAT, .least = 0, .greatest = 1, .offset = offsetof(struct request, top_p),
 *      .help = "Of the most likely tokens, the fewest that together reach this probability."}
 *
 * A parameter that is absent or null keeps the default that the target already holds; a name that
 * is not in the table is ignored, as OpenAI's clients expect. Where ignoring a name would change the
 * meaning of the answer, the table has a row that refuses it. */
#ifndef QUERN_SERVER_PARAMETERS_H
#define QUERN_SERVER_PARAMETERS_H

#include "server/api_error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum parameter_type {
    PARAMETER_FLOAT,    /* float */
    PARAMETER_INTEGER,  /* int64_t */
    PARAMETER_BOOLEAN,  /* bool */
    PARAMETER_TEXT,     /* const char *, borrowed from the JSON */
    PARAMETER_OTHER,    /* whatever `read` makes of it, called with the whole target; without one,
                           the endpoint reads it itself */
    PARAMETER_REQUIRED, /* must be there; read by the endpoint itself, when it knows the others */
    PARAMETER_REFUSED,  /* not supported: only values that ask for nothing are accepted */
};

struct parameter {
    const char *name;
    enum parameter_type type;
    double least;
    double greatest;
    size_t offset;
    bool (*read)(const cJSON *value, void *target, struct api_error *error);
    const char *help; /* a sentence: what it does, or why it is refused */
    const char
        *schema; /* of OTHER and REQUIRED, what it may be, as JSON Schema; of REFUSED, a value
                           that is accepted besides null, false, 0 and what is empty, or NULL */
};

/* Text of JSON, without the backslashes of a C string. */
#define JSON(...) #__VA_ARGS__

/* An error names the first parameter of the table that is wrong. */
bool parameters_read(const cJSON *object, const struct parameter *table, size_t count, void *target,
                     struct api_error *error);

/* Adds each parameter to an object of JSON Schema, {"properties", "required"}. `defaults` is a target
 * that nothing was read into; NULL if no parameter of the table has a place there. False when memory is out. */
bool parameters_describe(const struct parameter *table, size_t count, const void *defaults,
                         cJSON *schema);

/* "a string", "an array" …: what a value is, for messages; "missing" for NULL. */
const char *parameters_kind(const cJSON *value);

/* The same, but strings as they begin, in quotes, and numbers as they are. */
struct parameter_found {
    char text[64];
};
struct parameter_found parameters_found(const cJSON *value);

/* Is the value a whole number from least to greatest? */
bool parameters_is_integer(const cJSON *value, double least, double greatest);

#endif
