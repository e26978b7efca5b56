/* Reading JSON that a stranger sent.
 *
 * cJSON parses; before it, one pass over the bytes refuses what cJSON would take in silence or pay
 * too much for: bytes that are not UTF-8, NUL in a string (cJSON ends strings there), numbers that
 * JSON writes otherwise (01, 1.), nesting that costs stack, and so many values that the tree
 * outweighs its text by far; those errors name the byte, and the member of the outermost object
 * that it is in. After it, an object in which a name stands twice is refused. */
#ifndef QUERN_SERVER_JSON_H
#define QUERN_SERVER_JSON_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "importer/json_reader.h" /* JSON_DEPTH_MAX */

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    JSON_VALUES_MAX = 1 << 20,  /* 64 bytes each in the tree; a prompt of ids is far below */
    JSON_MEMBERS_MAX = 1 << 12, /* of the outermost object, in which each parameter is looked for */
};

/* `text` must be followed by a zero byte that `length` does not count. Free *out with cJSON_Delete,
 * also after an error. */
bool json_parse(cJSON **out, const char *text, size_t length, struct error *err);

/* Any UTF-8, also with zero bytes, where cJSON's strings end: such a text becomes a raw item, to be
 * printed and not to be read. NULL when memory is out. */
cJSON *json_create_text(const char *bytes, size_t length);

/* Appends the text as a JSON string, quotes included; U+0085, U+2028 and U+2029, which some readers
 * take for the end of a line, are escaped like control characters. False when memory is out. */
bool json_append_text(struct text_buffer *json, const char *bytes, size_t length);

#endif
