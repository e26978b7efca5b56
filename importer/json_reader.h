/* A pull reader of JSON (RFC 8259) in memory: the caller asks for what it expects next, nothing is
 * built.
 *
 *     struct token_text key;
 *     json_begin_object(&json);
 *     while (json_next_key(&json, &key)) {
 *         if (token_text_is(key, "vocab")) read_vocabulary(&json); else json_skip(&json);
 *     }
 *     if (json.error.code != ERROR_NONE) ...
 *
 * For files of tens of megabytes, where a tree would cost a multiple of that. The first error
 * sticks: from then on every call returns false, so that loops end and the error is looked at once.
 * One thread. */
#ifndef QUERN_IMPORTER_JSON_READER_H
#define QUERN_IMPORTER_JSON_READER_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 64 };

enum json_type {
    JSON_NOTHING,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOLEAN,
    JSON_NULL
};

struct json_reader {
    const char *begin;
    const char *at;
    const char *end;
    size_t depth;
    bool first[JSON_DEPTH_MAX + 1]; /* nothing of this object or array has been read */
    struct text_buffer unescaped;
    struct error error;
};

/* The bytes must outlive the reader. */
void json_reader_init(struct json_reader *json, const char *bytes, size_t size);
void json_reader_deinit(struct json_reader *json);

/* What comes next; JSON_NOTHING at the end or where no value begins. */
enum json_type json_peek(struct json_reader *json);

/* Enters an object; then for each member, its key. False after the last one, and the object is
 * left. */
bool json_begin_object(struct json_reader *json);
bool json_next_key(struct json_reader *json, struct token_text *key);

/* Enters an array; then true before each element. False after the last one, and the array is left.
 */
bool json_begin_array(struct json_reader *json);
bool json_next_element(struct json_reader *json);

/* A string's bytes; they stay until the next string or key is read. \u0000 is kept; half a
 * surrogate pair becomes U+FFFD. Always UTF-8: bytes that are not are an error. */
bool json_string(struct json_reader *json, struct token_text *text);
bool json_integer(struct json_reader *json,
                  int64_t *number); /* also of a number written 1.0 or 1e3 */
bool json_number(struct json_reader *json, struct token_text *digits); /* any, as it is written */
bool json_boolean(struct json_reader *json, bool *truth);

/* Passes over a value of any type; and says where its bytes are, which another reader may read. */
bool json_skip(struct json_reader *json);
bool json_value(struct json_reader *json, struct token_text *value);

/* Replace what the caller has by a value of the type, and pass over one of any other type. */
bool json_optional_string(struct json_reader *json, struct text_buffer *text);
bool json_optional_boolean(struct json_reader *json, bool *truth);
bool json_optional_integer(struct json_reader *json, int64_t *number);

/* After the last value: nothing but white space may follow. */
bool json_end(struct json_reader *json);

bool token_text_is(struct token_text text, const char *expected);

#endif
