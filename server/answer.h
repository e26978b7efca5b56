/* Building the JSON of answers: what the endpoints in OpenAI's manner say alike.
 *
 *     {"id": "cmpl-…", "object": "text_completion", "created": 1795455997, "model": "demo",
 *      "choices": [ … ], "usage": { … }}
 *
 * Memory that runs out is noticed once, at the end: functions say false then and go on. */
#ifndef QUERN_SERVER_ANSWER_H
#define QUERN_SERVER_ANSWER_H

#include "server/job.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Takes over `item`, which may be NULL. */
bool answer_add(cJSON *object, const char *name, cJSON *item);
bool answer_append(cJSON *array, cJSON *item);

/* A string, or null for NULL. */
bool answer_add_text(cJSON *object, const char *name, const char *text);

/* A string of any UTF-8, also with zero bytes. */
bool answer_add_bytes(cJSON *object, const char *name, const struct text_buffer *text);

/* The tokens of a choice since the last time, if the request wants them. */
bool answer_add_tokens(cJSON *choice, struct completion *completion);

/* The times that all completions have taken so far, if the request wants them. */
bool answer_add_timings(cJSON *root, const struct job *job);

/* What a whole answer and every event of a stream begin with, timings included; *choices is empty, NULL when memory is out. */
cJSON *answer_create(const struct job *job, const char *object, cJSON **choices);

bool answer_add_usage(cJSON *root, const struct job *job);

/* The text, to be freed; releases `root`. NULL if it is not complete or memory is out. */
char *answer_print(cJSON *root, bool complete);

/* A stream ends with an error (dialect.fail). */
void answer_fail(struct http_exchange *exchange, struct job *job, const struct api_error *error);

#endif
