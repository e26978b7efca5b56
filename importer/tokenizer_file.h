/* tokenizer.json, as Hugging Face tokenizers write it, to a tokenizer.
 *
 * Models of type BPE; its components are those of tokenizer_components.h. Nothing of the file is
 * kept. */
#ifndef QUERN_IMPORTER_TOKENIZER_FILE_H
#define QUERN_IMPORTER_TOKENIZER_FILE_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ERROR_BAD_FILE where the file contradicts itself or JSON, ERROR_UNSUPPORTED for a component that
 * is not known. */
bool tokenizer_file_load(struct tokenizer **out, const uint8_t *bytes, size_t size,
                         struct error *err);

#endif
