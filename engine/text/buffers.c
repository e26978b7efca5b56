#include "engine/text/tokenizer.h"

#include "engine/checked.h"
#include "engine/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

bool token_list_push(struct token_list *list, int32_t id) {
    if (list->length == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
        size_t bytes;
        int32_t *ids =
            checked_multiply(capacity, sizeof *ids, &bytes) ? realloc(list->ids, bytes) : NULL;
        if (ids == NULL) {
            return false;
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->length++] = id;
    return true;
}

bool token_list_append(struct token_list *list, const struct token_list *more) {
    for (size_t i = 0; i < more->length; i++) {
        if (!token_list_push(list, more->ids[i])) {
            return false;
        }
    }
    return true;
}

void token_list_deinit(struct token_list *list) {
    free(list->ids);
    *list = (struct token_list){0};
}

bool text_buffer_reserve(struct text_buffer *buffer, size_t more) {
    size_t needed;
    if (!checked_add(buffer->length, more, &needed) || !checked_add(needed, 1, &needed)) {
        return false;
    }
    if (needed > buffer->capacity) {
        size_t capacity = needed > 2 * buffer->capacity ? needed : 2 * buffer->capacity;
        char *grown = realloc(buffer->bytes, capacity);
        if (grown == NULL) {
            return false;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    return true;
}

bool text_buffer_append(struct text_buffer *buffer, const char *bytes, size_t length) {
    if (!text_buffer_reserve(buffer, length)) {
        return false;
    }
    if (length > 0) {
        memcpy(buffer->bytes + buffer->length, bytes, length);
    }
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
    return true;
}

void text_buffer_deinit(struct text_buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct text_buffer){0};
}

struct token_text text_buffer_text(const struct text_buffer *buffer) {
    return (struct token_text){buffer->bytes != NULL ? buffer->bytes : "", buffer->length};
}
