#include "server/json.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- Before cJSON: one pass over the bytes ---- */

struct scan {
    const char *text;
    size_t length;
    size_t at;
    size_t depth;
    size_t values; /* at least the number of values: separators and openings */
};

/* An escape within a string, `at` on the backslash. Only what cJSON cannot represent is refused;
 * its own parser reports the rest. */
static bool scan_escape(struct scan *scan, struct error *err) {
    static const char nul_escape[] = "\\u0000";
    size_t length = sizeof nul_escape - 1;
    if (scan->length - scan->at >= length &&
        memcmp(scan->text + scan->at, nul_escape, length) == 0) {
        return error_set(err, ERROR_INVALID,
                         "The string at byte %zu contains \\u0000, which is not accepted",
                         scan->at);
    }
    scan->at += 2;
    return true;
}

static bool scan_string(struct scan *scan, struct error *err) {
    size_t start = scan->at++;
    while (scan->at < scan->length) {
        char byte = scan->text[scan->at];
        if (byte == '"') {
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
        bool fine = text[scan.at] == '"' ? scan_string(&scan, err) : scan_structure(&scan, err);
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* ---- Public ---- */

bool json_parse(cJSON **out, const char *text, size_t length, struct error *err) {
    if (!scan_text(text, length, err)) {
        return false;
    }
    const char *end = text;
    *out = cJSON_ParseWithLengthOpts(text, length + 1, &end, true);
    if (*out == NULL) {
        return error_set(err, ERROR_INVALID, "Malformed JSON at byte %zu of %zu",
                         (size_t)(end - text), length);
    }
    return true;
}

cJSON *json_create_text(const char *bytes, size_t length) {
    static const char replacement[] = "\xEF\xBF\xBD";
    size_t zeros = 0;
    for (size_t i = 0; i < length; i++) {
        zeros += bytes[i] == '\0';
    }
    char *text = malloc(length + 2 * zeros + 1);
    if (text == NULL) {
        return NULL;
    }
    size_t end = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\0') {
            memcpy(text + end, replacement, sizeof replacement - 1);
            end += sizeof replacement - 1;
        } else {
            text[end++] = bytes[i];
        }
    }
    text[end] = '\0';
    cJSON *string = cJSON_CreateString(text);
    free(text);
    return string;
}
