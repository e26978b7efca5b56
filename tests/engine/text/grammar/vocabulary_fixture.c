#include "vocabulary_fixture.h"

#include "engine/text/grammar/grammar_gbnf.h"
#include "engine/text/grammar/grammar_regex.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void add_token(struct token_bytes *tokens, const char *bytes, size_t length) {
    size_t end = tokens->offsets[tokens->size];
    tokens->pool = realloc(tokens->pool, end + length + 1);
    tokens->offsets = realloc(tokens->offsets, (tokens->size + 2) * sizeof *tokens->offsets);
    cr_assert(tokens->pool != NULL && tokens->offsets != NULL);
    memcpy(tokens->pool + end, bytes, length);
    tokens->offsets[++tokens->size] = (uint32_t)(end + length);
}

struct vocabulary_fixture vocabulary_open(bool bytes, const char *const *texts, size_t count) {
    struct vocabulary_fixture vocabulary = {0};
    struct token_bytes *tokens = malloc(sizeof *tokens);
    struct error err = {0};
    *tokens = (struct token_bytes){.offsets = calloc(1, sizeof *tokens->offsets)};
    for (int byte = 0; bytes && byte < 256; byte++) {
        char character = (char)byte;
        add_token(tokens, &character, 1);
    }
    add_token(tokens, "", 0);
    for (size_t i = 0; i < count; i++) {
        add_token(tokens, texts[i], strlen(texts[i]));
    }
    cr_assert(token_trie_open(&vocabulary.trie, tokens, &err), "%s", err.text);
    vocabulary.tokens = *tokens;
    return vocabulary;
}

void vocabulary_close(struct vocabulary_fixture *vocabulary) {
    struct token_bytes *tokens = NULL;
    memcpy(&tokens, &vocabulary->trie->tokens, sizeof tokens);
    token_trie_close(vocabulary->trie);
    token_bytes_close(tokens);
}

static bool compile(const struct token_trie *trie, const char *text, bool gbnf, bool search,
                    struct grammar **grammar, struct error *err) {
    struct grammar_builder *builder = NULL;
    cr_assert(grammar_builder_open(&builder, trie, err));
    const struct grammar_regex_style style = {.search = search};
    grammar_expression root = gbnf ? grammar_gbnf(builder, text, strlen(text))
                                   : grammar_regex(builder, text, strlen(text), &style);
    bool ok = grammar_builder_finish(builder, root, grammar, err);
    grammar_builder_close(builder);
    return ok;
}

static struct grammar *compile_well(const struct token_trie *trie, const char *text, bool gbnf,
                                    bool search) {
    struct grammar *grammar = NULL;
    struct error err = {0};
    cr_assert(compile(trie, text, gbnf, search, &grammar, &err), "%s: %s", text, err.text);
    return grammar;
}

struct grammar *compile_gbnf(const struct token_trie *trie, const char *text) {
    return compile_well(trie, text, true, false);
}

struct grammar *compile_regex(const struct token_trie *trie, const char *pattern, bool search) {
    return compile_well(trie, pattern, false, search);
}

static struct error refuse(const struct token_trie *trie, const char *text, bool gbnf) {
    struct grammar *grammar = NULL;
    struct error err = {0};
    cr_assert_not(compile(trie, text, gbnf, false, &grammar, &err), "%s was taken", text);
    return err;
}

struct error refuse_gbnf(const struct token_trie *trie, const char *text) {
    return refuse(trie, text, true);
}

struct error refuse_regex(const struct token_trie *trie, const char *pattern) {
    return refuse(trie, pattern, false);
}

struct grammar_automaton *run_grammar(struct grammar *grammar) {
    struct grammar_automaton *automaton = NULL;
    cr_assert(grammar_automaton_open(&automaton, grammar, NULL));
    grammar_release(grammar);
    return automaton;
}

bool matches(struct grammar_automaton *automaton, const char *text, size_t length) {
    uint32_t state = grammar_automaton_start(automaton);
    for (size_t i = 0; i < length && state != AUTOMATON_DEAD; i++) {
        state = grammar_automaton_step(automaton, state, (uint8_t)text[i]);
    }
    return automaton->states[state].accepts;
}
