/* Where whole groups of characters lead from a state, so that masks need not look at each token. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_FLOW_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_FLOW_H

#include "engine/text/grammar/character_groups.h"
#include "engine/text/grammar/grammar_automaton.h"

/* Finds out; NULL if the automaton has no room. */
const struct automaton_flow *grammar_automaton_flow(struct grammar_automaton *automaton,
                                                    uint32_t state);

#endif
