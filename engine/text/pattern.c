#include "engine/text/pattern.h"

#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

#include <string.h>

bool pattern_init(struct pattern *pattern, const struct pattern_definition *definition,
                  struct error *err) {
    *pattern = (struct pattern){.kind = definition->kind};
    if (definition->kind == PATTERN_REGEX) {
        return regex_open(&pattern->regex, definition->text, err);
    }
    if (definition->kind == PATTERN_STRING && definition->text.length == 0) {
        return error_set(err, ERROR_BAD_FILE, "a pattern is empty");
    }
    return text_buffer_append(&pattern->string, definition->text.bytes, definition->text.length) ||
           error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a pattern");
}

void pattern_deinit(struct pattern *pattern) {
    text_buffer_deinit(&pattern->string);
    regex_close(pattern->regex);
    *pattern = (struct pattern){0};
}

bool pattern_search_init(struct pattern_search *search, const struct pattern *pattern,
                         struct error *err) {
    *search = (struct pattern_search){.pattern = pattern};
    return pattern->kind != PATTERN_REGEX || regex_search_open(&search->regex, pattern->regex, err);
}

void pattern_search_deinit(struct pattern_search *search) {
    regex_search_close(search->regex);
}

void pattern_search_begin(struct pattern_search *search, struct token_text text) {
    search->text = text;
    search->at = 0;
    if (search->regex != NULL) {
        regex_search_begin(search->regex, text);
    }
}

static bool next_string(struct pattern_search *search, size_t *begin, size_t *end) {
    const struct text_buffer *string = &search->pattern->string;
    const char *from = search->text.bytes + search->at;
    size_t left = search->text.length - search->at;
    /* Most are one space. ThreadSanitizer looks at all that is left of the text for each memmem. */
    const char *match = string->length == 1 ? memchr(from, string->bytes[0], left)
                                            : memmem(from, left, string->bytes, string->length);
    if (match == NULL) {
        return false;
    }
    *begin = (size_t)(match - search->text.bytes);
    *end = *begin + string->length;
    search->at = *end;
    return true;
}

static bool next_character(struct pattern_search *search, bool (*is_member)(uint32_t code),
                           size_t *begin, size_t *end) {
    while (search->at < search->text.length) {
        const char *from = search->text.bytes + search->at;
        size_t bytes = utf8_character(from, search->text.length - search->at);
        *begin = search->at;
        *end = search->at + bytes;
        search->at = *end;
        if (is_member(utf8_decode(from, bytes))) {
            return true;
        }
    }
    return false;
}

bool pattern_search_next(struct pattern_search *search, bool *found, size_t *begin, size_t *end,
                         struct error *err) {
    switch (search->pattern->kind) {
    case PATTERN_STRING:
        *found = next_string(search, begin, end);
        return true;
    case PATTERN_REGEX:
        return regex_search_next(search->regex, found, begin, end, err);
    case PATTERN_SPACE:
        *found = next_character(search, unicode_is_space, begin, end);
        return true;
    case PATTERN_NUMBER:
        *found = next_character(search, unicode_is_number, begin, end);
        return true;
    case PATTERN_PUNCTUATION:
        *found = next_character(search, unicode_is_punctuation, begin, end);
        return true;
    }
    return true;
}
