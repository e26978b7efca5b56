#include "importer/json_reader.h"

#include "engine/text/hexadecimal.h"
#include "engine/text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_reader_init(struct json_reader *json, const char *bytes, size_t size) {
    *json = (struct json_reader){.begin = bytes, .at = bytes, .end = bytes + size};
}

void json_reader_deinit(struct json_reader *json) {
    text_buffer_deinit(&json->unescaped);
}

static bool failed(const struct json_reader *json) {
    return json->error.code != ERROR_NONE;
}

static bool fail(struct json_reader *json, const char *expected) {
    if (!failed(json)) {
        size_t offset = (size_t)(json->at - json->begin);
        if (json->at == json->end) {
            error_set(&json->error, ERROR_BAD_FILE, "expected %s at byte %zu, found the end",
                      expected, offset);
        } else {
            /* Half a character or a control character would spoil the message. */
            const unsigned char found = (unsigned char)*json->at;
            const bool readable = found >= 0x20 && found < 0x7F;
            error_set(&json->error, ERROR_BAD_FILE,
                      readable ? "expected %s at byte %zu, found '%c'"
                               : "expected %s at byte %zu, found the byte 0x%02X",
                      expected, offset, found);
        }
    }
    return false;
}

static bool no_memory(struct json_reader *json) {
    return error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for a string");
}

static void skip_space(struct json_reader *json) {
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t')) {
        json->at++;
    }
}

static bool next_is(struct json_reader *json, char c) {
    skip_space(json);
    if (failed(json) || json->at == json->end || *json->at != c) {
        return false;
    }
    json->at++;
    return true;
}

enum json_type json_peek(struct json_reader *json) {
    skip_space(json);
    if (failed(json) || json->at == json->end) {
        return JSON_NOTHING;
    }
    switch (*json->at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOLEAN;
    case 'n':
        return JSON_NULL;
    default:
        return *json->at == '-' || (*json->at >= '0' && *json->at <= '9') ? JSON_NUMBER
                                                                          : JSON_NOTHING;
    }
}

/* ---- Objects and arrays ---- */

static bool enter(struct json_reader *json, char bracket, const char *expected) {
    if (!next_is(json, bracket)) {
        return fail(json, expected);
    }
    if (json->depth == JSON_DEPTH_MAX) {
        return fail(json, "no more than 64 levels of nesting");
    }
    json->first[++json->depth] = true;
    return true;
}

/* True before another member or element; false, with the bracket read, after the last one. */
static bool another(struct json_reader *json, char bracket) {
    if (failed(json)) {
        return false;
    }
    if (next_is(json, bracket)) {
        json->depth--;
        return false;
    }
    if (!json->first[json->depth] && !next_is(json, ',')) {
        return fail(json, "a comma or the closing bracket");
    }
    json->first[json->depth] = false;
    return true;
}

bool json_begin_object(struct json_reader *json) {
    return enter(json, '{', "an object");
}

bool json_next_key(struct json_reader *json, struct token_text *key) {
    if (!another(json, '}') || !json_string(json, key)) {
        return false;
    }
    return next_is(json, ':') || fail(json, "a colon");
}

bool json_begin_array(struct json_reader *json) {
    return enter(json, '[', "an array");
}

bool json_next_element(struct json_reader *json) {
    return another(json, ']');
}

/* ---- Strings ---- */

static bool append(struct json_reader *json, const char *bytes, size_t length) {
    return text_buffer_append(&json->unescaped, bytes, length) || no_memory(json);
}

static bool append_code_point(struct json_reader *json, uint32_t code) {
    char utf8[4];
    if (code >= 0xD800 && code < 0xE000) {
        return append(json, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
    }
    return append(json, utf8, utf8_encode(code, utf8));
}

/* The four digits after \u. */
static bool four_digits(struct json_reader *json, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        int digit = json->at < json->end ? hexadecimal_digit(*json->at) : -1;
        if (digit < 0) {
            return fail(json, "four hexadecimal digits");
        }
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

static bool unicode_escape(struct json_reader *json) {
    uint32_t code;
    if (!four_digits(json, &code)) {
        return false;
    }
    bool high = code >= 0xD800 && code < 0xDC00;
    if (high && json->end - json->at >= 2 && json->at[0] == '\\' && json->at[1] == 'u') {
        const char *before = json->at;
        uint32_t low;
        json->at += 2;
        if (!four_digits(json, &low)) {
            return false;
        }
        if (low >= 0xDC00 && low < 0xE000) {
            return append_code_point(json, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
        }
        json->at = before; /* not the other half: it is read again as what it is */
    }
    return append_code_point(json, code);
}

/* The character behind a backslash. */
static bool escape(struct json_reader *json) {
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char c = json->at < json->end ? *json->at : '\0';
    const char *name = c == '\0' ? NULL : strchr(names, c);
    if (name != NULL) {
        json->at++;
        return append(json, &meanings[name - names], 1);
    }
    if (c != 'u') {
        return fail(json, "an escaped character");
    }
    json->at++;
    return unicode_escape(json);
}

static bool ends_run(char c) {
    return c == '"' || c == '\\' || (uint8_t)c < 0x20;
}

/* Whoever takes strings apart and joins them relies on it that all are UTF-8 (RFC 8259, 8.1). */
static bool is_utf8(struct json_reader *json, struct token_text text) {
    return utf8_valid_prefix(text.bytes, text.length) == text.length ||
           fail(json, "valid UTF-8 in the string before");
}

bool json_string(struct json_reader *json, struct token_text *text) {
    if (!next_is(json, '"')) {
        return fail(json, "a string");
    }
    json->unescaped.length = 0;
    bool escaped = false;
    for (;;) {
        const char *run = json->at;
        while (json->at < json->end && !ends_run(*json->at)) {
            json->at++;
        }
        size_t length = (size_t)(json->at - run);
        bool closes = json->at < json->end && *json->at == '"';
        if (closes && !escaped) {
            *text = (struct token_text){run, length};
            json->at++;
            return is_utf8(json, *text);
        }
        if (!append(json, run, length)) {
            return false;
        }
        if (closes) {
            *text = (struct token_text){json->unescaped.bytes, json->unescaped.length};
            json->at++;
            return is_utf8(json, *text);
        }
        if (json->at == json->end || *json->at != '\\') {
            return fail(json, "the end of a string");
        }
        json->at++;
        escaped = true;
        if (!escape(json)) {
            return false;
        }
    }
}

/* ---- Numbers, words ---- */

bool json_integer(struct json_reader *json, int64_t *number) {
    char digits[40]; /* strtod wants a terminated text */
    size_t length = 0;
    if (json_peek(json) != JSON_NUMBER) {
        return fail(json, "a number");
    }
    while (json->at + length < json->end && length + 1 < sizeof digits &&
           json->at[length] != '\0' && strchr("+-.0123456789eE", json->at[length]) != NULL) {
        digits[length] = json->at[length];
        length++;
    }
    digits[length] = '\0';
    char *end;
    double value = strtod(digits, &end);
    if (end != digits + length || !(fabs(value) <= 0x1p53) || value != floor(value)) {
        return fail(json, "an integer");
    }
    json->at += length;
    *number = (int64_t)value;
    return true;
}

/* Passes digits; how many? */
static size_t skip_digits(struct json_reader *json) {
    const char *begin = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        json->at++;
    }
    return (size_t)(json->at - begin);
}

static bool skip_one_of(struct json_reader *json, const char *characters) {
    bool found = json->at < json->end && *json->at != '\0' && strchr(characters, *json->at) != NULL;
    json->at += found;
    return found;
}

bool json_number(struct json_reader *json, struct token_text *digits) {
    if (json_peek(json) != JSON_NUMBER) {
        return fail(json, "a number");
    }
    const char *begin = json->at;
    skip_one_of(json, "-");
    bool zero = skip_one_of(json, "0");
    if (!zero && skip_digits(json) == 0) {
        return fail(json, "a digit");
    }
    if (skip_one_of(json, ".") && skip_digits(json) == 0) {
        return fail(json, "a digit");
    }
    if (skip_one_of(json, "eE")) {
        skip_one_of(json, "+-");
        if (skip_digits(json) == 0) {
            return fail(json, "a digit");
        }
    }
    *digits = (struct token_text){begin, (size_t)(json->at - begin)};
    return true;
}

static bool word(struct json_reader *json, const char *expected) {
    size_t length = strlen(expected);
    skip_space(json);
    if (failed(json) || (size_t)(json->end - json->at) < length ||
        memcmp(json->at, expected, length) != 0) {
        return false;
    }
    json->at += length;
    return true;
}

bool json_boolean(struct json_reader *json, bool *truth) {
    *truth = word(json, "true");
    return *truth || word(json, "false") || fail(json, "true or false");
}

/* ---- Skipping ---- */

static bool skip_scalar(struct json_reader *json) {
    struct token_text text;
    switch (json_peek(json)) {
    case JSON_STRING:
        return json_string(json, &text);
    case JSON_NUMBER:
        while (json->at < json->end && *json->at != '\0' &&
               strchr("+-.0123456789eE", *json->at) != NULL) {
            json->at++;
        }
        return true;
    default:
        return word(json, "true") || word(json, "false") || word(json, "null") ||
               fail(json, "a value");
    }
}

/* Enters what can be entered and leaves when it ends, until the level on which it began. */
bool json_skip(struct json_reader *json) {
    size_t depth = json->depth;
    bool in_object[JSON_DEPTH_MAX + 1];
    do {
        enum json_type type = json_peek(json);
        struct token_text key;
        if (type == JSON_OBJECT && json_begin_object(json)) {
            in_object[json->depth] = true;
        } else if (type == JSON_ARRAY && json_begin_array(json)) {
            in_object[json->depth] = false;
        } else if (!skip_scalar(json)) {
            return false;
        }
        while (json->depth > depth &&
               !(in_object[json->depth] ? json_next_key(json, &key) : json_next_element(json))) {
            if (failed(json)) {
                return false;
            }
        }
    } while (json->depth > depth);
    return !failed(json);
}

bool json_value(struct json_reader *json, struct token_text *value) {
    json_peek(json); /* moves to where the value begins */
    const char *begin = json->at;
    bool ok = json_skip(json);
    *value = (struct token_text){begin, (size_t)(json->at - begin)};
    return ok;
}

bool json_optional_string(struct json_reader *json, struct text_buffer *text) {
    struct token_text string;
    if (json_peek(json) != JSON_STRING) {
        return json_skip(json);
    }
    text->length = 0;
    return json_string(json, &string) &&
           (text_buffer_append(text, string.bytes, string.length) || no_memory(json));
}

bool json_optional_boolean(struct json_reader *json, bool *truth) {
    return json_peek(json) == JSON_BOOLEAN ? json_boolean(json, truth) : json_skip(json);
}

bool json_optional_integer(struct json_reader *json, int64_t *number) {
    return json_peek(json) == JSON_NUMBER ? json_integer(json, number) : json_skip(json);
}

bool json_end(struct json_reader *json) {
    skip_space(json);
    return !failed(json) && (json->at == json->end || fail(json, "the end"));
}

bool token_text_is(struct token_text text, const char *expected) {
    return text.length == strlen(expected) && memcmp(text.bytes, expected, text.length) == 0;
}
