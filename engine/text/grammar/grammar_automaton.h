/* A grammar's automaton, made deterministic while it runs: for each place that a text can have got
 * to, a state; for each state and class of bytes, the state that follows, found when it is first
 * asked for.
 *
 *     state        pairs of an instruction, at which a byte is due, and what is to return to: a stack
 *     stack        the places, any of which may be returned to; each has a stack of its own
 *
 *         (BYTES a, ·)──┬──(behind a CALL, ·)──(ACCEPT)
 *                       └──(LOOP, third time, ·)──┬──(behind another CALL, ·)──(ACCEPT)
 *         (BYTES b, ·)────────────────────────────┘
 *
 * Equal stacks and equal states are the same: they are found again by their content. So a text that a
 * grammar can be read in many ways costs as many pairs as there are instructions, not as many as
 * there are ways. A state knows the least number of bytes that bring its text to an end.
 *
 * All memory is taken at open and touched as it is needed, at most 13 MB. When it is full, whoever
 * steps collects: all is forgotten but the states that he names.
 *
 * One thread at a time. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_AUTOMATON_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_AUTOMATON_H

#include "engine/error.h"
#include "engine/text/grammar/character_groups.h"
#include "engine/text/grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTOMATON_DEAD    UINT32_C(0)      /* the text cannot go on so */
#define AUTOMATON_FULL    UINT32_MAX       /* there is no room: collect */
#define AUTOMATON_UNKNOWN (UINT32_MAX - 1) /* in tables */

/* Where all characters of some groups lead: see grammar_flow.h. */
struct automaton_flow {
    character_set groups;
    uint32_t next; /* the state behind any of them */
    bool known;
    character_set dead; /* groups and families all characters of which lead nowhere */
};

struct automaton_state {
    uint32_t first_pair;
    uint32_t pair_count;
    uint32_t hash;
    uint32_t chain; /* the next state with such a hash */
    uint32_t cost;  /* bytes to the end of the text, at the least */
    bool accepts;   /* the text may end here */
    struct automaton_flow flow;
};

struct grammar_automaton {
    struct grammar *grammar;        /* held */
    struct automaton_state *states; /* [states_max] */
    uint32_t *next;                 /* [states_max, class_count] */
    size_t state_count;
    size_t states_max;
    uint64_t work; /* instructions looked at so far */
    struct automaton_memory *memory;
};

bool grammar_automaton_open(struct grammar_automaton **out, struct grammar *grammar,
                            struct error *err);
void grammar_automaton_close(struct grammar_automaton *automaton);

/* The state of an empty text. */
uint32_t grammar_automaton_start(struct grammar_automaton *automaton);

/* What follows a state that is not dead, where the table does not have it. May be AUTOMATON_FULL. */
uint32_t grammar_automaton_find(struct grammar_automaton *automaton, uint32_t state, uint8_t class);

static inline uint32_t grammar_automaton_step(struct grammar_automaton *automaton, uint32_t state,
                                              uint8_t byte) {
    const struct grammar *grammar = automaton->grammar;
    uint8_t class = grammar->classes[byte];
    uint32_t next = automaton->next[state * grammar->class_count + class];
    return next != AUTOMATON_UNKNOWN ? next : grammar_automaton_find(automaton, state, class);
}

/* Can the text go on? */
static inline bool grammar_automaton_continues(const struct grammar_automaton *automaton,
                                               uint32_t state) {
    return automaton->states[state].pair_count > 0;
}

/* Forgets all states but these, at most AUTOMATON_KEPT_MAX, which get new numbers. `thin`: of these,
 * forgets all ways to read the text but some of the shortest to its end, so that there is room again. */
enum { AUTOMATON_KEPT_MAX = TRIE_DEPTH_MAX + 2 };
void grammar_automaton_collect(struct grammar_automaton *automaton, uint32_t *states, size_t count,
                               bool thin);

/* Are the states the same but for how often loops have been gone through, and do they stay so for `times`
 * times more? Then the same texts lead on from both, as long as no loop ends more often. *shift is what
 * that makes of a difference in costs, at the most. */
bool grammar_automaton_are_twins(struct grammar_automaton *automaton, uint32_t a, uint32_t b,
                                 uint32_t times, uint32_t *shift);

#endif
