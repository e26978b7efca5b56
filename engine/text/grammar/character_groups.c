#include "engine/text/grammar/character_groups.h"

#include "engine/text/utf8.h"

#include <stdbool.h>

enum character_group character_group_of_ascii(uint8_t byte) {
    return byte == '\t'                 ? GROUP_TAB
           : byte == '\n'               ? GROUP_NEWLINE
           : byte == '\r'               ? GROUP_RETURN
           : byte < ' ' || byte == 0x7F ? GROUP_CONTROL
                                        : (enum character_group)GROUP_OF(byte);
}

/* clang-format off */
const struct character_piece character_pieces[CHARACTER_PIECES] = {
    {0x0080, 0x0084, GROUP_2_BYTES}, {0x0085, 0x0085, GROUP_BLANK_BEYOND_ASCII},
    {0x0086, 0x009F, GROUP_2_BYTES}, {0x00A0, 0x00A0, GROUP_BLANK_BEYOND_ASCII},
    {0x00A1, 0x07FF, GROUP_2_BYTES},
    {0x0800, 0x167F, GROUP_3_BYTES}, {0x1680, 0x1680, GROUP_BLANK_BEYOND_ASCII},
    {0x1681, 0x1FFF, GROUP_3_BYTES}, {0x2000, 0x200A, GROUP_BLANK_BEYOND_ASCII},
    {0x200B, 0x2027, GROUP_3_BYTES}, {0x2028, 0x2029, GROUP_BLANK_BEYOND_ASCII},
    {0x202A, 0x202E, GROUP_3_BYTES}, {0x202F, 0x202F, GROUP_BLANK_BEYOND_ASCII},
    {0x2030, 0x205E, GROUP_3_BYTES}, {0x205F, 0x205F, GROUP_BLANK_BEYOND_ASCII},
    {0x2060, 0x2FFF, GROUP_3_BYTES}, {0x3000, 0x3000, GROUP_BLANK_BEYOND_ASCII},
    {0x3001, 0xD7FF, GROUP_3_BYTES}, {0xE000, 0xFEFE, GROUP_3_BYTES},
    {0xFEFF, 0xFEFF, GROUP_BLANK_BEYOND_ASCII},
    {0xFF00, 0xFFFF, GROUP_3_BYTES}, {0x10000, 0x10FFFF, GROUP_4_BYTES},
};
/* clang-format on */

static enum character_group group_of(const char *bytes, size_t length) {
    if (length == 1) {
        return character_group_of_ascii((uint8_t)bytes[0]);
    }
    const uint32_t code = utf8_decode(bytes, length);
    size_t piece = 0;
    while (character_pieces[piece].last < code) {
        piece++;
    }
    return character_pieces[piece].group;
}

character_set character_groups_of(const char *text, size_t length, size_t *characters) {
    character_set groups = 0;
    *characters = 0;
    for (size_t at = 0; at < length; ++*characters) {
        const char *rest = text + at;
        size_t left = length - at;
        size_t width = utf8_character(rest, left);
        groups |= GROUP_BIT(width > 0                       ? group_of(rest, width)
                            : utf8_may_continue(rest, left) ? GROUP_BEGINNING
                                                            : GROUP_MALFORMED);
        at += width > 0 ? width : left;
    }
    return groups;
}

static const character_set families[FAMILY_COUNT] = {
    [0] = GROUPS_SMALL | GROUPS_CAPITAL, /* FAMILY_LETTER, the first of them */
    [FAMILY_DIGIT - FAMILY_LETTER] = GROUPS_DIGIT,
    [FAMILY_CONTROL - FAMILY_LETTER] = GROUPS_CONTROL,
    [FAMILY_PUNCTUATION - FAMILY_LETTER] = GROUPS_PUNCTUATION,
    [FAMILY_BEYOND_ASCII - FAMILY_LETTER] = GROUPS_BEYOND_ASCII,
    [FAMILY_NO_WORD - FAMILY_LETTER] =
        GROUPS_CONTROL | GROUPS_PUNCTUATION | GROUPS_BEYOND_ASCII | GROUPS_DIGIT,
};

character_set character_families_with(character_set groups) {
    character_set found = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        found |= (groups & families[i]) != 0 ? GROUP_BIT(FAMILY_LETTER + i) : 0;
    }
    return found;
}

character_set character_families_within(character_set groups) {
    character_set found = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        found |= (families[i] & ~groups) == 0 ? GROUP_BIT(FAMILY_LETTER + i) : 0;
    }
    return found;
}
