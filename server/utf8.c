#include "server/utf8.h"

static size_t expected_length(unsigned char lead) {
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        return 3;
    }
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

/* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
static int second_byte_fits(unsigned char lead, unsigned char second) {
    switch (lead) {
    case 0xE0:
        return second >= 0xA0;
    case 0xED:
        return second <= 0x9F;
    case 0xF0:
        return second >= 0x90;
    case 0xF4:
        return second <= 0x8F;
    default:
        return 1;
    }
}

size_t utf8_character_length(const char *bytes, size_t length) {
    if (length == 0) {
        return 0;
    }
    size_t expected = expected_length((unsigned char)bytes[0]);
    if (expected == 0 || expected > length) {
        return 0;
    }
    for (size_t i = 1; i < expected; i++) {
        if (((unsigned char)bytes[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if (expected > 1 && !second_byte_fits((unsigned char)bytes[0], (unsigned char)bytes[1])) {
        return 0;
    }
    return expected;
}
