/* The alphabet of byte-level tokens: each of the 256 bytes is written as a character that can be
 * seen, so that a vocabulary of bytes is text.
 *
 *     " the" ──▶ "Ġthe"      "é" = C3 A9 ──▶ "Ã©"
 *
 *     bytes        00..20    21..7E   7F..A0    A1..AC   AD     AE..FF
 *     characters  100..120   21..7E  121..142   A1..AC  143     AE..FF
 *
 * Printable Latin-1 characters stand for themselves. (GPT-2, bytes_to_unicode) */
#ifndef QUERN_ENGINE_TEXT_BYTE_ALPHABET_H
#define QUERN_ENGINE_TEXT_BYTE_ALPHABET_H

#include <stdint.h>

/* The code point that a byte is written as. */
static inline uint32_t byte_alphabet_character(uint8_t byte) {
    return byte <= 0x20                   ? 0x100U + byte
           : byte >= 0x7F && byte <= 0xA0 ? 0x121U + (byte - 0x7FU)
           : byte == 0xAD                 ? 0x143U
                                          : byte;
}

/* The byte that a code point stands for, or -1. */
static inline int byte_alphabet_byte(uint32_t code) {
    if (code >= 0x144) {
        return -1;
    }
    uint8_t byte = (uint8_t)(code < 0x100   ? code
                             : code < 0x121 ? code - 0x100
                             : code < 0x143 ? code - 0x121 + 0x7F
                                            : 0xAD);
    return byte_alphabet_character(byte) == code ? byte : -1;
}

#endif
