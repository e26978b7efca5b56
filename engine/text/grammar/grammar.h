/* Grammars: what a text must look like, byte for byte.
 *
 *     regular expression ─┐
 *     GBNF ───────────────┼─▶ grammar_builder ─▶ grammar ─▶ grammar_matcher ─▶ mask of tokens
 *     rules of others ────┘    expressions        program    state of a text
 *     (JSON Schema)            and rules
 *
 * A grammar is a program for a pushdown automaton over bytes:
 *
 *     BYTES set      goes on with the next instruction if the next byte is one of the set
 *     SPLIT t        goes on with the next instruction and with t
 *     JUMP t         goes on with t
 *     CALL t         goes on with t; what RETURN ends there goes on behind the CALL
 *     LOOP l         goes on with the next instruction, and behind it again from there, at least
 *                    loops[l].least and at most loops[l].most times, then with loops[l].end
 *     RETURN         ends the innermost CALL or LOOP
 *     ACCEPT         the text may end here; instruction 0
 *
 *     root ::= "[" (root ("," root)*)? "]"       1  BYTES [         6  CALL 1
 *                                                2  SPLIT 8         7  JUMP 4
 *                                                3  CALL 1          8  BYTES ]
 *                                                4  SPLIT 8         9  RETURN
 *                                                5  BYTES ,
 *
 * Every rule, and all that an alternative needs, can match something, and no rule begins with
 * itself: so wherever a text has got to by the program, it can be brought to an end, and no way
 * through the program comes back to where it was without a byte. What cannot be spelled with the
 * vocabulary's tokens has been taken out.
 *
 * `costs` say how many bytes it takes, at the least, from an instruction to the RETURN behind it.
 *
 * Constant once made, and shared: held by reference counts. Any thread. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_H

#include "engine/text/grammar/token_trie.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Instructions of one grammar: with all that belongs to it 2 MB. */
enum { GRAMMAR_INSTRUCTIONS_MAX = 1 << 17 };

/* A LOOP without a most. */
#define GRAMMAR_UNBOUNDED UINT32_MAX

enum grammar_operation {
    GRAMMAR_ACCEPT,
    GRAMMAR_BYTES,
    GRAMMAR_SPLIT,
    GRAMMAR_JUMP,
    GRAMMAR_CALL,
    GRAMMAR_LOOP,
    GRAMMAR_RETURN,
};

struct grammar_instruction {
    enum grammar_operation operation;
    uint32_t operand; /* a set, an instruction, or a loop */
};

struct grammar_loop {
    uint32_t least;
    uint32_t most;
    uint32_t end;
    uint32_t cost; /* of one time */
};

/* Bytes that no set tells apart form a class. */
struct byte_set {
    uint64_t bits[4];
};

static inline bool byte_set_has(const struct byte_set *set, size_t byte) {
    return (set->bits[byte / 64] >> byte % 64 & 1) != 0;
}

static inline void byte_set_add(struct byte_set *set, size_t byte) {
    set->bits[byte / 64] |= UINT64_C(1) << byte % 64;
}

struct grammar {
    const struct token_trie *trie; /* borrowed */
    struct grammar_instruction *program;
    uint32_t *costs; /* [length] */
    size_t length;
    uint32_t start;
    struct byte_set *sets; /* of classes */
    size_t set_count;
    struct grammar_loop *loops;
    size_t loop_count;
    uint8_t classes[256]; /* of each byte */
    size_t class_count;
    atomic_size_t holders;
};

struct grammar *grammar_acquire(struct grammar *grammar);
void grammar_release(struct grammar *grammar); /* NULL is nothing */

/* Bytes of memory that it takes. */
size_t grammar_bytes(const struct grammar *grammar);

#endif
