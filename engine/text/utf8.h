/* UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef QUERN_ENGINE_TEXT_UTF8_H
#define QUERN_ENGINE_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Bytes of the character that begins here: 1 to 4, or 0 if the bytes begin no whole valid
 * character. */
static inline size_t utf8_character(const char *text, size_t left) {
    const uint8_t *b = (const uint8_t *)text;
    if (left == 0) {
        return 0;
    }
    if (b[0] < 0x80) {
        return 1;
    }
    size_t length = b[0] >= 0xF0 ? 4 : b[0] >= 0xE0 ? 3 : 2;
    if (b[0] < 0xC2 || b[0] > 0xF4 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xF0 && b[1] < 0x90);
    bool beyond = (b[0] == 0xED && b[1] > 0x9F) || (b[0] == 0xF4 && b[1] > 0x8F);
    return overlong || beyond ? 0 : length;
}

/* Could more bytes still make a whole character of these, which are none yet? */
static inline bool utf8_may_continue(const char *text, size_t length) {
    char padded[4];
    const uint8_t first = (uint8_t)text[0];
    size_t whole = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (length == 0 || length >= whole || first < 0xC2 || first > 0xF4) {
        return false;
    }
    /* The second byte has a narrower range after some first bytes; both ends of the range are
     * tried. */
    for (unsigned filler = 0x80; filler <= 0xBF; filler += 0x3F) {
        for (size_t i = 0; i < whole; i++) {
            padded[i] = i < length ? text[i] : (char)filler;
        }
        if (utf8_character(padded, whole) == whole) {
            return true;
        }
    }
    return false;
}

/* The length of the longest prefix that is valid UTF-8. */
static inline size_t utf8_valid_prefix(const char *text, size_t length) {
    size_t at = 0;
    while (at < length) {
        size_t character = utf8_character(text + at, length - at);
        if (character == 0) {
            break;
        }
        at += character;
    }
    return at;
}

/* The characters of valid UTF-8, or of any part of it that begins with one. */
static inline size_t utf8_count(const char *text, size_t length) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        count += ((uint8_t)text[i] & 0xC0) != 0x80;
    }
    return count;
}

/* The code point of a valid character of `bytes` bytes, as utf8_character counted them. */
static inline uint32_t utf8_decode(const char *text, size_t bytes) {
    static const uint8_t first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07}; /* of the first byte */
    uint32_t code = (uint8_t)text[0] & first_bits[bytes];
    for (size_t i = 1; i < bytes; i++) {
        code = code << 6 | ((uint8_t)text[i] & 0x3F);
    }
    return code;
}

/* Writes a code point below 0x110000 that is no surrogate; returns how many bytes it has. */
static inline size_t utf8_encode(uint32_t code, char text[4]) {
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t first_marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = bytes - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    text[0] = (char)(first_marks[bytes] | code);
    return bytes;
}

#endif
