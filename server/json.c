#include "server/json.h"

#include "engine/text/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Before cJSON: one pass over the bytes ---- */

struct span {
    size_t begin;
    size_t length;
};

struct scan {
    const char *text;
    size_t length;
    size_t at;
    size_t depth;
    size_t values;      /* at least the number of values: separators and openings */
    struct span string; /* the last one directly in the outermost object ... */
    struct span member; /* ... and the name of its member that is being scanned; length 0: none */
};

/* " in "prompt"", for messages, or nothing. */
struct place {
    char text[48];
};

static struct place place_of(const struct scan *scan) {
    struct place place = {""};
    if (scan->member.length > 0 && scan->member.length < 40) {
        snprintf(place.text, sizeof place.text, " in \"%.*s\"", (int)scan->member.length,
                 scan->text + scan->member.begin);
    }
    return place;
}

/* The code unit of \uXXXX at a place, or -1: cJSON's parser reports what is no escape. */
static int32_t code_unit(const struct scan *scan, size_t at) {
    char digits[5] = "";
    if (at + 6 > scan->length || scan->text[at] != '\\' || scan->text[at + 1] != 'u') {
        return -1;
    }
    memcpy(digits, scan->text + at + 2, 4);
    return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (int32_t)strtol(digits, NULL, 16) : -1;
}

/* An escape within a string, `at` on the backslash. Only what cJSON cannot represent is refused. */
static bool scan_escape(struct scan *scan, struct error *err) {
    int32_t unit = code_unit(scan, scan->at);
    bool high = unit >= 0xD800 && unit <= 0xDBFF;
    int32_t next = high ? code_unit(scan, scan->at + 6) : -1;
    if (unit == 0) {
        return error_set(err, ERROR_INVALID,
                         "The string at byte %zu%s contains \\u0000, which is not accepted",
                         scan->at, place_of(scan).text);
    }
    if (high && next >= 0xDC00 && next <= 0xDFFF) {
        scan->at += 12;
        return true;
    }
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        return error_set(err, ERROR_INVALID,
                         "The string at byte %zu%s contains a lone surrogate, \\u%04x: that is no "
                         "character",
                         scan->at, place_of(scan).text, (unsigned)unit);
    }
    scan->at += 2;
    return true;
}

static bool scan_string(struct scan *scan, struct error *err) {
    size_t start = scan->at++;
    while (scan->at < scan->length) {
        char byte = scan->text[scan->at];
        if (byte == '"') {
            if (scan->depth == 1) {
                scan->string = (struct span){start + 1, scan->at - start - 1};
            }
            scan->at++;
            return true;
        }
        if (byte == '\\') {
            if (!scan_escape(scan, err)) {
                return false;
            }
            continue;
        }
        size_t width = utf8_character(scan->text + scan->at, scan->length - scan->at);
        if (width == 0) {
            return error_set(err, ERROR_INVALID, "The body is not UTF-8 at byte %zu", scan->at);
        }
        if ((unsigned char)byte < 0x20) {
            return error_set(err, ERROR_INVALID,
                             "Malformed JSON: control character 0x%02x at byte %zu is not escaped",
                             (unsigned char)byte, scan->at);
        }
        scan->at += width;
    }
    return error_set(err, ERROR_INVALID, "Malformed JSON: the string at byte %zu does not end",
                     start);
}

/* How many digits stand at a place; 0 is none. */
static size_t digits_at(const char *text) {
    return strspn(text, "0123456789");
}

/* The length of the number at a place that RFC 8259 has; 0: none. */
static size_t number_length(const char *text) {
    const char *at = text + (text[0] == '-');
    size_t digits = at[0] == '0' ? 1 : digits_at(at);
    at += digits;
    if (digits > 0 && at[0] == '.') {
        digits = digits_at(at + 1);
        at += 1 + digits;
    }
    if (digits > 0 && (at[0] == 'e' || at[0] == 'E')) {
        at += 1 + (at[1] == '+' || at[1] == '-');
        digits = digits_at(at);
        at += digits;
    }
    return digits > 0 ? (size_t)(at - text) : 0;
}

/* cJSON takes what strtod does: "01", "1.", "-.5". */
static bool scan_number(struct scan *scan, struct error *err) {
    const char *text = scan->text + scan->at;
    size_t length = strspn(text, "0123456789+-.eE");
    if (number_length(text) != length) {
        return error_set(err, ERROR_INVALID,
                         "Malformed JSON: \"%.*s\" at byte %zu%s is not how JSON writes a number",
                         (int)(length < 40 ? length : 40), text, scan->at, place_of(scan).text);
    }
    scan->at += length;
    return true;
}

static bool scan_structure(struct scan *scan, struct error *err) {
    char byte = scan->text[scan->at];
    if (byte == '{' || byte == '[') {
        if (++scan->depth > JSON_DEPTH_MAX) {
            return error_set(err, ERROR_INVALID, "The JSON nests deeper than %d levels at byte %zu",
                             JSON_DEPTH_MAX, scan->at);
        }
        scan->values++;
    } else if (byte == '}' || byte == ']') {
        scan->depth -= scan->depth > 0;
    } else if (byte == ',') {
        scan->values++;
        scan->member.length = scan->depth == 1 ? 0 : scan->member.length;
    } else if (byte == ':' && scan->depth == 1) {
        scan->member = scan->string;
    } else if (byte == '\0' || (unsigned char)byte >= 0x80) {
        return error_set(err, ERROR_INVALID, "Malformed JSON: unexpected byte 0x%02x at byte %zu",
                         (unsigned char)byte, scan->at);
    }
    if (scan->values > JSON_VALUES_MAX) {
        return error_set(err, ERROR_INVALID, "The JSON holds more than %d values", JSON_VALUES_MAX);
    }
    scan->at++;
    return true;
}

static bool scan_text(const char *text, size_t length, struct error *err) {
    struct scan scan = {.text = text, .length = length};
    while (scan.at < length) {
        char byte = text[scan.at];
        bool number = byte == '-' || (byte >= '0' && byte <= '9');
        bool fine = byte == '"' ? scan_string(&scan, err)
                    : number    ? scan_number(&scan, err)
                                : scan_structure(&scan, err);
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* ---- After cJSON ---- */

static int compare_names(const void *one, const void *other) {
    const char *const *left = one;
    const char *const *right = other;
    return strcmp(*left, *right);
}

static bool check_names(const cJSON *object, struct error *err) {
    size_t count = (size_t)cJSON_GetArraySize(object);
    const char **names = count > 1 ? malloc(count * sizeof *names) : NULL;
    if (names == NULL) {
        return count < 2 || error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the body's names");
    }
    size_t filled = 0;
    const cJSON *member;
    cJSON_ArrayForEach(member, object) {
        names[filled++] = member->string;
    }
    qsort(names, count, sizeof *names, compare_names);
    bool fine = true;
    for (size_t i = 1; i < count && fine; i++) {
        fine = strcmp(names[i - 1], names[i]) != 0 ||
               error_set(err, ERROR_INVALID, "The name \"%.100s\" is given twice in one object",
                         names[i]);
    }
    free(names);
    return fine;
}

/* Which of two equal names counts, readers of JSON do not agree upon. */
static bool check_all_names(const cJSON *value, struct error *err) {
    if (cJSON_IsObject(value) && !check_names(value, err)) {
        return false;
    }
    const cJSON *child;
    cJSON_ArrayForEach(child, value) {
        if (child->child != NULL && !check_all_names(child, err)) {
            return false;
        }
    }
    return true;
}

/* ---- Public ---- */

bool json_parse(cJSON **out, const char *text, size_t length, struct error *err) {
    if (length == 0) {
        return error_set(err, ERROR_INVALID, "There must be JSON, but there is nothing");
    }
    if (!scan_text(text, length, err)) {
        return false;
    }
    const char *end = text;
    *out = cJSON_ParseWithLengthOpts(text, length + 1, &end, true);
    if (*out == NULL) {
        return error_set(err, ERROR_INVALID, "Malformed JSON at byte %zu of %zu",
                         (size_t)(end - text), length);
    }
    if (cJSON_IsObject(*out) && cJSON_GetArraySize(*out) > JSON_MEMBERS_MAX) {
        return error_set(err, ERROR_INVALID, "The JSON object has more than %d names",
                         JSON_MEMBERS_MAX);
    }
    return check_all_names(*out, err);
}

/* Writes the escape that the character needs; 0: it needs none. */
static size_t escape(const char *text, size_t width, char escaped[8]) {
    uint32_t code = utf8_decode(text, width);
    if (code == '"' || code == '\\') {
        return (size_t)snprintf(escaped, 8, "\\%c", (char)code);
    }
    if (code < 0x20 || code == 0x85 || code == 0x2028 || code == 0x2029) {
        return (size_t)snprintf(escaped, 8, "\\u%04x", code);
    }
    return 0;
}

bool json_append_text(struct text_buffer *json, const char *bytes, size_t length) {
    size_t plain = 0; /* where the stretch begins that needs no escape */
    bool fine = text_buffer_append(json, "\"", 1);
    for (size_t at = 0; fine && at < length;) {
        char escaped[8];
        size_t width = utf8_character(bytes + at, length - at);
        size_t written = width > 0 ? escape(bytes + at, width, escaped) : 0;
        if (written > 0) {
            fine = text_buffer_append(json, bytes + plain, at - plain) &&
                   text_buffer_append(json, escaped, written);
            plain = at + width;
        }
        at += width > 0 ? width : 1;
    }
    return fine && text_buffer_append(json, bytes + plain, length - plain) &&
           text_buffer_append(json, "\"", 1);
}

cJSON *json_create_text(const char *bytes, size_t length) {
    struct text_buffer text = {0};
    cJSON *item = NULL;
    if (length > 0 && memchr(bytes, '\0', length) != NULL) {
        item = json_append_text(&text, bytes, length) ? cJSON_CreateRaw(text.bytes) : NULL;
    } else if (text_buffer_append(&text, bytes, length)) {
        item = cJSON_CreateString(text.bytes);
    }
    text_buffer_deinit(&text);
    return item;
}
