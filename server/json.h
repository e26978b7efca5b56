/* Reading JSON that a stranger sent.
 *
 * cJSON parses; before it, one pass over the bytes refuses what cJSON would take in silence or pay
 * too much for: bytes that are not UTF-8, NUL in a string (cJSON ends strings there), nesting that
 * costs stack, and so many values that the tree outweighs its text by far. Every error names the
 * byte. */
#ifndef QUERN_SERVER_JSON_H
#define QUERN_SERVER_JSON_H

#include "engine/error.h"
#include "importer/json_reader.h" /* JSON_DEPTH_MAX */

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* 64 bytes each in the tree; a prompt of ids is far below. */
enum { JSON_VALUES_MAX = 1 << 20 };

/* `text` must be followed by a zero byte that `length` does not count. Free *out with
 * cJSON_Delete. */
bool json_parse(cJSON **out, const char *text, size_t length, struct error *err);

/* Text without a zero byte: what generated text may contain is replaced by U+FFFD, because cJSON's
 * strings end at zero. NULL when memory is out. */
cJSON *json_create_text(const char *bytes, size_t length);

#endif
