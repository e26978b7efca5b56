/* The tokens of a vocabulary as a trie over their bytes, so that what a grammar says of a byte is said
 * once for all tokens that share it.
 *
 *     tokens 7 "a", 3 "an", 9 "and", 4 "i"          nodes                        order
 *
 *                 ()─┬─a(7)──n(3)──d(9)                byte children own first     7 3 9 4
 *                    └─i(4)                         0        n, 2     0    0       ^
 *                                                   n   a    n+2, 1   1    0       ^
 *     The children of a node lie side by side,      n+1 i    -        1    3             ^
 *     so that a walk reads memory in order.         n+2 n    n+3, 1   1    1         ^
 *     The tokens below a node are neighbours in     n+3 d    -        1    2           ^
 *     `order`, the node's own ones first.           nodes 0 to n - 1 are the roots of n slices
 *
 * `kinds` say which kinds of characters occur below a node: where all of them lead a grammar to the
 * same place, or where one that every token has leads nowhere, the subtree need not be walked.
 *
 * So that subtrees are of one kind, there is not one tree but one for each slice of the vocabulary: words in
 * small letters, words in other scripts, what has a quotation mark, and so on.
 *
 * Tokens without bytes (special ones) and tokens of more than 255 bytes are not in it. For 262144
 * tokens it has 600000 nodes, 20 MB. Constant once built; any thread. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_TOKEN_TRIE_H
#define QUERN_ENGINE_TEXT_GRAMMAR_TOKEN_TRIE_H

#include "engine/error.h"
#include "engine/text/grammar/character_groups.h"
#include "engine/text/grammar/code_ranges.h"
#include "engine/text/token_bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIE_DEPTH_MAX = 255, TRIE_SHORT_CHARACTERS = 16 };

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
    character_set groups; /* of all tokens below */
    character_set common; /* those of them, and the families, that each token below has */
    uint8_t characters;   /* at most on one way down, an unfinished one included */
};

/* Tokens of the vocabulary that have a tree of their own. A word is of letters alone, but may begin with a
 * blank. */
enum token_slice {
    SLICE_SMALL,
    SLICE_BLANK_SMALL,
    SLICE_CAPITAL, /* the first letter is a capital */
    SLICE_BLANK_CAPITAL,
    SLICE_MIXED,  /* other words of ASCII */
    SLICE_BEYOND, /* of characters beyond ASCII */
    SLICE_BLANK_BEYOND,
    SLICE_ACCENTED, /* of both */
    SLICE_CONTROL,  /* with a line's end or another control character */
    SLICE_PLAIN,    /* what needs no escape in a JSON string */
    SLICE_OTHER,
    SLICE_LONG, /* whatever has more than TRIE_SHORT_CHARACTERS, so that few steps judge the others */
    SLICE_COUNT,
};

struct token_trie {
    const struct token_bytes *tokens;
    struct token_trie_node *nodes; /* [node_count]; the first SLICE_COUNT are the roots */
    size_t node_count;
    struct token_trie_kinds *kinds; /* [kinds_count] */
    size_t kinds_count;
    int32_t *order; /* [token_count] */
    character_set
        *groups; /* [token_count] in that order, but for the blank of slices that have one */
    size_t token_count;
    size_t words;     /* of a set of tokens: one bit for each of the vocabulary */
    uint64_t *slices; /* [SLICE_COUNT, words] the tokens of each slice */

    /* The characters that can be spelled: most vocabularies have a token for each byte, some only
     * characters. */
    struct code_range *spelled; /* ascending, apart */
    size_t spelled_count;
    bool finishes; /* every character that has begun can be finished byte by byte */
};

static inline bool token_slice_has_blank(size_t slice) {
    return slice == SLICE_BLANK_SMALL || slice == SLICE_BLANK_CAPITAL ||
           slice == SLICE_BLANK_BEYOND;
}

/* The tokens must outlive the trie. */
bool token_trie_open(struct token_trie **out, const struct token_bytes *tokens, struct error *err);
void token_trie_close(struct token_trie *trie);

#endif
