#include "server/grammar_cache.h"

#include "../engine/text/grammar/vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct grammar_cache *open_cache(void) {
    struct grammar_cache *cache = NULL;
    cr_assert(grammar_cache_open(&cache, NULL));
    return cache;
}

static bool is_kept(struct grammar_cache *cache, const char *key, size_t length) {
    struct grammar *grammar = grammar_cache_find(cache, key, length);
    grammar_release(grammar);
    return grammar != NULL;
}

Test(grammar_cache, a_grammar_is_found_by_its_whole_key_and_outlives_the_cache) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar *grammar = compile_gbnf(vocabulary.trie, "root ::= \"a\"");
    struct grammar_cache *cache = open_cache();
    grammar_cache_keep(cache, "key", 3, grammar);
    cr_assert(!is_kept(cache, "ke", 2) && !is_kept(cache, "kez", 3));
    struct grammar *found = grammar_cache_find(cache, "key", 3);
    cr_assert_eq(found, grammar);
    grammar_cache_keep(cache, "key", 3, grammar);
    cr_assert(is_kept(cache, "key", 3), "kept twice");
    grammar_release(grammar);
    grammar_cache_close(cache);
    struct grammar_automaton *automaton = run_grammar(found);
    cr_assert(matches(automaton, "a", 1));
    grammar_automaton_close(automaton);
    vocabulary_close(&vocabulary);
}

Test(grammar_cache, what_was_not_asked_for_the_longest_goes_first) {
    enum { KEYS = 5, LENGTH = GRAMMAR_CACHE_BYTES / 4 };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar *grammar = compile_gbnf(vocabulary.trie, "root ::= \"a\"");
    struct grammar_cache *cache = open_cache();
    char *key = calloc(1, LENGTH);
    for (char i = 0; i < KEYS; i++) {
        key[0] = i;
        grammar_cache_keep(cache, key, LENGTH, grammar);
        key[0] = 0;
        cr_assert(is_kept(cache, key, LENGTH), "key 0 is gone behind key %d", i);
    }
    cr_assert_leq(grammar_cache_bytes(cache), GRAMMAR_CACHE_BYTES);
    for (char i = 0; i < KEYS; i++) {
        key[0] = i;
        cr_assert_eq(is_kept(cache, key, LENGTH), i == 0 || i >= 3, "key %d", i);
    }
    free(key);
    grammar_release(grammar);
    grammar_cache_close(cache);
    vocabulary_close(&vocabulary);
}
