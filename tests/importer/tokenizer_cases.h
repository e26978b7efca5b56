/* Holds a tokenizer.json against reference cases: {"encode": [{"text", "ids", "ids_with_special",
 * "decoded", "decoded_skip_special"}], "random_ids_decode": [...]}. */
#ifndef QUERN_TESTS_IMPORTER_TOKENIZER_CASES_H
#define QUERN_TESTS_IMPORTER_TOKENIZER_CASES_H

#include "engine/text/tokenizer.h"

#include <stddef.h>

/* The whole file; the caller frees it. */
char *read_file(const char *path, size_t *size);
struct tokenizer *load_tokenizer(const char *path);

/* Asserts that every case comes out as it should, and returns how many there are. */
size_t check_cases(const char *tokenizer_path, const char *cases_path);

#endif
