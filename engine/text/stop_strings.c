#include "engine/text/stop_strings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Each stop string is a small Knuth-Morris-Pratt automaton that reads every byte: `matched` is the
 * length of the longest prefix of the string with which the text so far ends. The held bytes are
 * the longest of these prefixes; whatever lies before it can be in no match any more. */
struct stop_string {
    char *bytes;
    size_t
        *border; /* border[i]: the longest proper prefix of bytes[0..i] that is also its suffix */
    size_t length;
    size_t matched;
};

struct stop_strings {
    struct stop_string *strings;
    size_t count;
    const struct stop_string *found; /* NULL: none so far */
    struct text_buffer held;
};

/* ---- One string ---- */

/* The matched length after one more byte, from `matched` < length. */
static size_t step(const struct stop_string *string, size_t matched, char byte) {
    while (matched > 0 && string->bytes[matched] != byte) {
        matched = string->border[matched - 1];
    }
    return string->bytes[matched] == byte ? matched + 1 : 0;
}

static bool compile(struct stop_string *string, const char *bytes) {
    string->length = strlen(bytes);
    assert(string->length > 0);
    string->bytes = strdup(bytes);
    string->border = calloc(string->length, sizeof *string->border);
    if (string->bytes == NULL || string->border == NULL) {
        return false;
    }
    for (size_t i = 1; i < string->length; i++) {
        string->border[i] = step(string, string->border[i - 1], bytes[i]);
    }
    return true;
}

/* ---- All of them ---- */

bool stop_strings_open(struct stop_strings **out, const char *const *strings, size_t count,
                       struct error *err) {
    struct stop_strings *stops = calloc(1, sizeof *stops);
    if (stops == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the stop strings");
    }
    stops->strings = calloc(count > 0 ? count : 1, sizeof *stops->strings);
    bool compiled = stops->strings != NULL;
    for (size_t i = 0; i < count && compiled; i++) {
        stops->count++;
        compiled = compile(&stops->strings[i], strings[i]);
    }
    if (!compiled) {
        stop_strings_close(stops);
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for %zu stop strings", count);
    }
    *out = stops;
    return true;
}

void stop_strings_close(struct stop_strings *stops) {
    if (stops == NULL) {
        return;
    }
    for (size_t i = 0; i < stops->count; i++) {
        free(stops->strings[i].bytes);
        free(stops->strings[i].border);
    }
    free(stops->strings);
    text_buffer_deinit(&stops->held);
    free(stops);
}

/* Reads one byte; the stop string that it completes (the longest, should several end here: it starts
 * first), or NULL. */
static const struct stop_string *read_byte(struct stop_strings *stops, char byte) {
    const struct stop_string *completed = NULL;
    for (size_t i = 0; i < stops->count; i++) {
        struct stop_string *string = &stops->strings[i];
        string->matched = step(string, string->matched, byte);
        if (string->matched == string->length &&
            (completed == NULL || string->length > completed->length)) {
            completed = string;
        }
    }
    return completed;
}

static size_t longest_prefix(const struct stop_strings *stops) {
    size_t longest = 0;
    for (size_t i = 0; i < stops->count; i++) {
        if (stops->strings[i].matched > longest) {
            longest = stops->strings[i].matched;
        }
    }
    return longest;
}

/* Moves all but the last `kept` held bytes to `text`. */
static bool let_go(struct stop_strings *stops, size_t kept, struct text_buffer *text,
                   struct error *err) {
    struct text_buffer *held = &stops->held;
    size_t free_length = held->length - kept;
    if (free_length == 0) {
        return true;
    }
    if (!text_buffer_append(text, held->bytes, free_length)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the text of a reply");
    }
    memmove(held->bytes, held->bytes + free_length, kept);
    held->length = kept;
    return true;
}

bool stop_strings_push(struct stop_strings *stops, const char *bytes, size_t length,
                       struct text_buffer *text, bool *stopped, struct error *err) {
    *stopped = false;
    for (size_t i = 0; i < length; i++) {
        stops->found = read_byte(stops, bytes[i]);
        if (stops->found != NULL) {
            size_t consumed = i + 1;
            *stopped = true;
            if (!text_buffer_append(&stops->held, bytes, consumed)) {
                return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the text of a reply");
            }
            bool done = let_go(stops, stops->found->length, text, err);
            stops->held.length = 0;
            return done;
        }
    }
    if (!text_buffer_append(&stops->held, bytes, length)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the text of a reply");
    }
    return let_go(stops, longest_prefix(stops), text, err);
}

bool stop_strings_finish(struct stop_strings *stops, struct text_buffer *text, struct error *err) {
    return let_go(stops, 0, text, err);
}

const char *stop_strings_found(const struct stop_strings *stops) {
    return stops->found != NULL ? stops->found->bytes : NULL;
}
