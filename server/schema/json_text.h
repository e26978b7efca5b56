/* JSON's strings, keys and constants as expressions of a grammar.
 *
 * In a string each character is written in one way only: as it is, or where JSON does not allow that,
 * by its short escape (\n), or else by \u00XX. U+0000 is never written: most who read it would cut the
 * text there. */
#ifndef QUERN_SERVER_SCHEMA_JSON_TEXT_H
#define QUERN_SERVER_SCHEMA_JSON_TEXT_H

#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_regex.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

/* For patterns that a string's text is to match somewhere, as JSON Schema has it: writes the characters
 * between the quotation marks. */
extern const struct grammar_regex_style json_text_style;

/* A string of so many characters. */
grammar_expression json_text_string(struct grammar_builder *builder, uint32_t least, uint32_t most);

/* Quotation marks around what is between them. */
grammar_expression json_text_quoted(struct grammar_builder *builder, grammar_expression inside);

/* Exactly this value, without white space. */
grammar_expression json_text_constant(struct grammar_builder *builder, const cJSON *value);

/* A string that is none of the names, which must be UTF-8; sorts them. */
grammar_expression json_text_other_than(struct grammar_builder *builder, struct token_text *names,
                                        size_t count);

#endif
