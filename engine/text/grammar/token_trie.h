/* The tokens of a vocabulary as a trie over their bytes, so that what a grammar says of a byte is said
 * once for all tokens that share it.
 *
 *     tokens 7 "a", 3 "an", 9 "and", 4 "i"          nodes                        order
 *
 *                 ()─┬─a(7)──n(3)──d(9)                byte children own first     7 3 9 4
 *                    └─i(4)                         0        1, 2     0    0       ^
 *                                                   1   a    3, 1     1    0       ^
 *     The children of a node lie side by side,      2   i    -        1    3             ^
 *     so that a walk reads memory in order.         3   n    4, 1     1    1         ^
 *     The tokens below a node are neighbours in     4   d    -        1    2           ^
 *     `order`, the node's own ones first.
 *
 * For nodes with many tokens, `kinds` say which kinds of characters occur below: where all of them
 * lead a grammar to the same place, the subtree need not be walked.
 *
 * Tokens without bytes (special ones) and tokens of more than 255 bytes are not in it. For 262144
 * tokens it has 600000 nodes, 11 MB. Constant once built; any thread. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_TOKEN_TRIE_H
#define QUERN_ENGINE_TEXT_GRAMMAR_TOKEN_TRIE_H

#include "engine/error.h"
#include "engine/text/grammar/code_ranges.h"
#include "engine/text/token_bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of characters. Kinds of ASCII come first: letters that are hexadecimal digits and others,
 * digits, kinds of white space, each other character on its own. */
enum character_group {
    GROUP_HEX_LOWER, /* a-f */
    GROUP_LOWER,
    GROUP_HEX_UPPER,
    GROUP_UPPER,
    GROUP_DIGIT,
    GROUP_TAB,
    GROUP_NEWLINE,
    GROUP_RETURN,
    GROUP_CONTROL,
    GROUP_SPACE,
    GROUP_PUNCTUATION, /* 32 groups from here on */
    GROUP_ASCII_COUNT = GROUP_PUNCTUATION + 32,
    GROUP_2_BYTES = GROUP_ASCII_COUNT,
    GROUP_3_BYTES,
    GROUP_4_BYTES,
    GROUP_BEGINNING, /* a token's end in the middle of a character */
    GROUP_MALFORMED, /* bytes that are no character */
};

static inline uint64_t character_group_bit(enum character_group group) {
    return UINT64_C(1) << group;
}

/* The groups of the 128 characters of ASCII. */
void character_groups_of_ascii(uint8_t groups[128]);

enum { TRIE_DEPTH_MAX = 255 };

struct token_trie_node {
    uint32_t first;    /* of order[]: its tokens, then those below it */
    uint32_t children; /* the first one */
    uint32_t kinds;    /* KINDS_UNKNOWN, KINDS_INSIDE, or which */
    uint16_t child_count;
    uint8_t byte; /* that leads to it */
    uint8_t own;  /* tokens that end here */
};

enum { KINDS_UNKNOWN, KINDS_INSIDE /* the middle of a character */ };

struct token_trie_kinds {
    uint64_t groups;    /* bits of character_group */
    uint8_t characters; /* at most on one way down, an unfinished one included */
};

struct token_trie {
    const struct token_bytes *tokens;
    struct token_trie_node *nodes; /* [node_count]; the first one is the root */
    size_t node_count;
    struct token_trie_kinds *kinds; /* [kinds_count] */
    size_t kinds_count;
    int32_t *order; /* [token_count] */
    size_t token_count;
    uint64_t *all; /* one bit for each token of the vocabulary: is it in the trie? */

    /* The characters that can be spelled: most vocabularies have a token for each byte, some only
     * characters. */
    struct code_range *spelled; /* ascending, apart */
    size_t spelled_count;
    bool finishes; /* every character that has begun can be finished byte by byte */
};

/* The tokens must outlive the trie. */
bool token_trie_open(struct token_trie **out, const struct token_bytes *tokens, struct error *err);
void token_trie_close(struct token_trie *trie);

#endif
