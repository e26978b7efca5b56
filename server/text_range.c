#include "server/text_range.h"

#include "engine/text/utf8.h"

#include <string.h>

bool text_range_push(struct text_range *range, const char *bytes, size_t length) {
    return text_buffer_append(&range->raw, bytes, length);
}

static void skip(struct text_range *range, size_t length) {
    if (length == 0) {
        return; /* there may be no bytes at all */
    }
    range->skipped += utf8_count(range->raw.bytes, length);
    range->raw.length -= length;
    memmove(range->raw.bytes, range->raw.bytes + length, range->raw.length);
}

/* The last one: behind it is no more than what is held back. */
bool text_range_find(struct text_range *range, const char *text, size_t length) {
    const struct text_buffer *raw = &range->raw;
    size_t left = raw->length >= length ? raw->length - length + 1 : 0;
    while (left > 0 && memcmp(raw->bytes + left - 1, text, length) != 0) {
        left--;
    }
    if (left == 0) {
        return false;
    }
    range->begin = range->skipped + utf8_count(raw->bytes, left - 1);
    skip(range, left - 1 + length);
    range->end = range->skipped;
    return true;
}

void text_range_skip(struct text_range *range) {
    skip(range, range->raw.length);
}

void text_range_deinit(struct text_range *range) {
    text_buffer_deinit(&range->raw);
}
