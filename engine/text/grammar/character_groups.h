/* Groups of characters, as sets: what a grammar says of a group holds for all tokens of such characters.
 * Each character of ASCII that is printed is a group of its own. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_CHARACTER_GROUPS_H
#define QUERN_ENGINE_TEXT_GRAMMAR_CHARACTER_GROUPS_H

#include <stddef.h>
#include <stdint.h>

enum character_group {
    GROUP_PRINTED, /* from the blank to ~: 95 groups */
    GROUP_TAB = GROUP_PRINTED + 95,
    GROUP_NEWLINE,
    GROUP_RETURN,
    GROUP_CONTROL,
    GROUP_ASCII_COUNT,
    GROUP_BLANK_BEYOND_ASCII = GROUP_ASCII_COUNT, /* also the ends of lines and U+FEFF */
    GROUP_2_BYTES,
    GROUP_3_BYTES,
    GROUP_4_BYTES,
    GROUP_WHOLE_COUNT,
    GROUP_BEGINNING = GROUP_WHOLE_COUNT, /* a text's end in the middle of a character */
    GROUP_MALFORMED,                     /* bytes that are no character */
    GROUP_COUNT,
};

/* One bit for each group and each family. */
__extension__ typedef unsigned __int128 character_set;

#define GROUP_OF(printed)         (GROUP_PRINTED + (printed) - ' ')
#define GROUP_BIT(group)          ((character_set)1 << (group))
#define GROUP_BITS(first, last)   (GROUP_BIT((last) + 1) - GROUP_BIT(first))
#define GROUPS_SMALL              GROUP_BITS(GROUP_OF('a'), GROUP_OF('z'))
#define GROUPS_CAPITAL            GROUP_BITS(GROUP_OF('A'), GROUP_OF('Z'))
#define GROUPS_DIGIT              GROUP_BITS(GROUP_OF('0'), GROUP_OF('9'))
#define GROUPS_CONTROL            GROUP_BITS(GROUP_TAB, GROUP_CONTROL)
#define GROUPS_OTHER_SCRIPTS      GROUP_BITS(GROUP_2_BYTES, GROUP_4_BYTES)
#define GROUPS_WHOLE_BEYOND_ASCII GROUP_BITS(GROUP_BLANK_BEYOND_ASCII, GROUP_4_BYTES)
#define GROUPS_BEYOND_ASCII       GROUP_BITS(GROUP_BLANK_BEYOND_ASCII, GROUP_MALFORMED)
#define GROUPS_PUNCTUATION                                                                         \
    (GROUP_BITS(GROUP_OF('!'), GROUP_OF('~')) & ~(GROUPS_SMALL | GROUPS_CAPITAL | GROUPS_DIGIT))

/* Groups in common: a text has a family if it has one of its groups. */
enum character_family {
    FAMILY_LETTER = GROUP_COUNT,
    FAMILY_DIGIT,
    FAMILY_CONTROL,
    FAMILY_PUNCTUATION,
    FAMILY_BEYOND_ASCII,
    FAMILY_NO_WORD, /* anything but letters of ASCII and the blank */
    FAMILY_COUNT = FAMILY_NO_WORD + 1 - FAMILY_LETTER,
};

/* The group of a character of ASCII. */
enum character_group character_group_of_ascii(uint8_t byte);

/* The other characters, in pieces that ascend; surrogates are no characters. */
struct character_piece {
    uint32_t first;
    uint32_t last;
    enum character_group group;
};
enum { CHARACTER_PIECES = 22 };
extern const struct character_piece character_pieces[CHARACTER_PIECES];

/* The groups of a text's characters, of which there are so many, an unfinished one included. */
character_set character_groups_of(const char *text, size_t length, size_t *characters);

/* The families that have one of the groups, and those that have no others. */
character_set character_families_with(character_set groups);
character_set character_families_within(character_set groups);

#endif
