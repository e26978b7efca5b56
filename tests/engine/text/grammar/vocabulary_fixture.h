/* A vocabulary made for a test: its tokens are whatever bytes the test wants. */
#ifndef QUERN_TESTS_ENGINE_TEXT_GRAMMAR_VOCABULARY_FIXTURE_H
#define QUERN_TESTS_ENGINE_TEXT_GRAMMAR_VOCABULARY_FIXTURE_H

#include "engine/text/grammar/grammar_automaton.h"
#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/token_trie.h"

#include <stdbool.h>
#include <stddef.h>

struct vocabulary_fixture {
    struct token_bytes tokens;
    struct token_trie *trie;
};

/* Tokens 0 to 255 are the bytes, if `bytes`; token 256, or 0, has none, as a special one; then follow
 * the texts. */
struct vocabulary_fixture vocabulary_open(bool bytes, const char *const *texts, size_t count);
void vocabulary_close(struct vocabulary_fixture *vocabulary);

/* GBNF and regular expressions; fails the test if they are wrong. */
struct grammar *compile_gbnf(const struct token_trie *trie, const char *text);
struct grammar *compile_regex(const struct token_trie *trie, const char *pattern, bool search);

/* The error that they are refused with. */
struct error refuse_gbnf(const struct token_trie *trie, const char *text);
struct error refuse_regex(const struct token_trie *trie, const char *pattern);

/* An automaton that holds the grammar, which its caller lets go. */
struct grammar_automaton *run_grammar(struct grammar *grammar);

/* Does the grammar match all of the text? */
bool matches(struct grammar_automaton *automaton, const char *text, size_t length);

#endif
