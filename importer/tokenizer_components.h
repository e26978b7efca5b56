/* The components of tokenizer.json: {"type": NAME, ...} under normalizer, pre_tokenizer, post_processor
 * and decoder.
 *
 * Each of the four kinds has a table of its types; a type says which steps of the engine it is made of.
 * A type that no table has is refused by name. One thread. */
#ifndef QUERN_IMPORTER_TOKENIZER_COMPONENTS_H
#define QUERN_IMPORTER_TOKENIZER_COMPONENTS_H

#include "engine/error.h"
#include "engine/text/tokenizer_builder.h"
#include "importer/json_reader.h"

#include <stdbool.h>

struct component_kind;

/* The kind that the file's member of that name holds; NULL: it holds something else. */
const struct component_kind *component_kind_find(struct token_text key);

/* Reads a component of that kind, or null, and adds its steps to the builder. False with an error in
 * err or in the reader: ERROR_UNSUPPORTED for a component that is not known. */
bool component_read(const struct component_kind *kind, struct json_reader *json,
                    struct tokenizer_builder *builder, struct error *err);

#endif
