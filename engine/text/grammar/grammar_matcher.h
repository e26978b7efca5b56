/* Where one text stands in a grammar, and which tokens may follow.
 *
 *     grammar_matcher_mask ─▶ tokens that may follow, one bit each
 *     grammar_matcher_advance(token) ─▶ the next place
 *
 * A mask is found by a walk through the vocabulary's trie, step by step with the automaton; a subtree is
 * taken as it is where all its characters lead to the same place, or left out where each token has one
 * that leads nowhere. What was much work is kept: most texts come back to a few places, like the inside
 * of a string, or to places that differ only in how often something has been repeated.
 *
 * Wherever a text has got to, some token may follow or the text may end. And it comes to an end in
 * time: a matcher is told how many tokens may still come, and leaves out those behind which the end
 * would be too far away.
 *
 * Takes no memory after open: 13 MB at the most, of which it touches 0.5 MB as a rule. One thread at
 * a time. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_MATCHER_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_MATCHER_H

#include "engine/error.h"
#include "engine/text/grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grammar_matcher;

/* Holds the grammar. Masks are of vocabulary_size bits. */
bool grammar_matcher_open(struct grammar_matcher **out, struct grammar *grammar,
                          size_t vocabulary_size, struct error *err);
void grammar_matcher_close(struct grammar_matcher *matcher);

/* The tokens that may follow where at most `left` may, this one included: zero bits where the text
 * must end. If the end is too far away already, all that the grammar allows may follow. The caller
 * may set bits, those of tokens that end the text; the mask is his until he asks for the next one. */
uint64_t *grammar_matcher_mask(struct grammar_matcher *matcher, size_t left);

/* Goes on behind a token. False, and nothing has changed, if the grammar does not allow it. */
bool grammar_matcher_advance(struct grammar_matcher *matcher, int32_t token);

/* May the text end here? Must it? */
bool grammar_matcher_accepts(const struct grammar_matcher *matcher);
bool grammar_matcher_is_finished(const struct grammar_matcher *matcher);

/* Has a token been left out because the end would have been too far away? */
bool grammar_matcher_was_hurried(const struct grammar_matcher *matcher);

#endif
