/* JSON Schema as rules of a grammar: JSON texts that are valid.
 *
 *     schema ─▶ schema_reader ─▶ alternatives ─▶ rules ─▶ expression
 *               references        types, bounds,
 *               followed          properties
 *
 * All that matches is valid; not all that is valid matches:
 *
 * - White space is one blank behind a colon or a comma, or none.
 * - Properties come in the order in which the schema has them, then others, if additionalProperties
 *   allows them. Where it says nothing, there are none beside the properties that the schema has.
 * - Where no type is given, keywords that only make sense for one imply it.
 * - Numbers have at most 15 digits before the point and behind it.
 *
 * docs/structured-output.md lists the keywords. The expression can stand within a larger grammar, also
 * several in one: a function's arguments within the text of a call. */
#ifndef QUERN_SERVER_SCHEMA_JSON_SCHEMA_H
#define QUERN_SERVER_SCHEMA_JSON_SCHEMA_H

#include "engine/text/grammar/grammar_builder.h"

#include <cjson/cJSON.h>

/* An error makes the builder fail, with ERROR_UNSUPPORTED or ERROR_INVALID and the place in the schema,
 * or ERROR_TOO_LARGE. A schema that no value satisfies gives an expression that matches nothing. The
 * schema is not needed afterwards. */
grammar_expression json_schema(struct grammar_builder *builder, const cJSON *schema);

/* Any JSON object. */
grammar_expression json_schema_any_object(struct grammar_builder *builder);

#endif
