#include "engine/text/grammar/grammar_automaton.h"
#include "engine/text/grammar/grammar_matcher.h"
#include "importer/model.h"
#include "vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static bool has(const uint64_t *mask, size_t token) {
    return (mask[token / 64] >> token % 64 & 1) != 0;
}

static struct grammar_matcher *open_matcher(struct grammar *grammar,
                                            const struct token_trie *trie) {
    struct grammar_matcher *matcher = NULL;
    struct error err = {0};
    cr_assert(grammar_matcher_open(&matcher, grammar, trie->tokens->size + 5, &err), "%s",
              err.text);
    return matcher;
}

static uint32_t draw(uint32_t *random, size_t below) {
    *random = *random * 1664525u + 1013904223u;
    return (uint32_t)((*random >> 8) % below);
}

/* ---- Masks, against each token tried on its own ---- */

/* Where a text leads from `state`, which gets a new number where there is no room for more. */
static uint32_t follow(struct grammar_automaton *automaton, uint32_t *state,
                       struct token_text text) {
    uint32_t at = *state;
    for (size_t i = 0; i < text.length && at != AUTOMATON_DEAD; i++) {
        uint32_t next = grammar_automaton_step(automaton, at, (uint8_t)text.bytes[i]);
        if (next == AUTOMATON_FULL) {
            uint32_t kept[2] = {*state, at};
            grammar_automaton_collect(automaton, kept, 2, false);
            *state = kept[0];
            next = grammar_automaton_step(automaton, kept[1], (uint8_t)text.bytes[i]);
            cr_assert_neq(next, AUTOMATON_FULL);
        }
        at = next;
    }
    return at;
}

/* A walk of random tokens through the grammar. */
static void check_masks(const struct token_trie *trie, struct grammar *grammar, const char *what,
                        size_t steps) {
    struct grammar_matcher *matcher = open_matcher(grammar, trie);
    struct grammar_automaton *automaton = NULL;
    size_t size = trie->tokens->size;
    int32_t *allowed = calloc(size, sizeof *allowed);
    uint32_t random = 1;
    cr_assert(grammar_automaton_open(&automaton, grammar, NULL));
    uint32_t state = grammar_automaton_start(automaton);
    for (size_t step = 0; step < steps && !grammar_matcher_is_finished(matcher); step++) {
        const uint64_t *mask = grammar_matcher_mask(matcher, SIZE_MAX);
        size_t count = 0;
        for (size_t id = 0; id < size + 5; id++) {
            struct token_text text =
                id < size ? token_bytes_of(trie->tokens, id) : (struct token_text){"", 0};
            bool fits = text.length > 0 && follow(automaton, &state, text) != AUTOMATON_DEAD;
            cr_assert_eq(has(mask, id), fits, "%s, step %zu: token %zu \"%.*s\" %s", what, step, id,
                         (int)text.length, text.bytes, fits ? "is missing" : "does not fit");
            if (fits) {
                allowed[count++] = (int32_t)id;
            }
        }
        cr_assert_eq(grammar_matcher_accepts(matcher), automaton->states[state].accepts);
        cr_assert(count > 0, "%s, step %zu: dead end", what, step);
        int32_t token = allowed[draw(&random, count)];
        state = follow(automaton, &state, token_bytes_of(trie->tokens, (size_t)token));
        cr_assert(grammar_matcher_advance(matcher, token));
    }
    free(allowed);
    grammar_automaton_close(automaton);
    grammar_matcher_close(matcher);
}

static const char *const grammars[] = {
    "root ::= ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\nt])* \"\\\"\"",
    "root ::= [a-z]{3,9} (\" \" [a-z]{1,9}){2,20} \".\"",
    "root ::= .{5,40} \"!\"",
    "root ::= [^\\U00010000-\\U0010FFFF]{1,30}",
    "root ::= [\\u0080-\\U0010FFFF]{1,20} | [0-9a-f]+",
    "root ::= [A-Za-z\u00e9]+ (\",\" root)?",
    "root ::= ([^a][^b])*",
    "root ::= \"once\" (\" upon\" | \" a\" | \" time\")* \"\\n\"",
    "root ::= \"\u65e5\u672c\" [\u3040-\u30ff]{0,5} \"\U0001F600\"",
};

Test(grammar_matcher, masks_are_the_tokens_that_fit_one_by_one) {
    static const char *const texts[] = {"the",
                                        "then",
                                        "quick",
                                        "a",
                                        "ab",
                                        "abc",
                                        "abcd\"",
                                        "\":",
                                        "\\n",
                                        "\\\"x",
                                        "12",
                                        "12f",
                                        "  ",
                                        "\t\n",
                                        "Zed",
                                        "e\u00e9",
                                        "\u00e9\u00e9a",
                                        "\u65e5",
                                        "\u65e5\u672c",
                                        "\xe6",
                                        "\xe6\x97",
                                        "x\xe6\x97",
                                        "\xa5\xe6",
                                        "\U0001F600",
                                        "\xf0\x9f\x98",
                                        "\xff",
                                        "a\xff",
                                        "once upon",
                                        " upon a",
                                        "the",
                                        "!",
                                        ".",
                                        ", and",
                                        "\x7f",
                                        "\xc3",
                                        "longer than any other token here"};
    struct vocabulary_fixture vocabulary =
        vocabulary_open(true, texts, sizeof texts / sizeof *texts);
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        struct grammar *grammar = compile_gbnf(vocabulary.trie, grammars[i]);
        check_masks(vocabulary.trie, grammar, grammars[i], 60);
        grammar_release(grammar);
    }
    vocabulary_close(&vocabulary);
}

Test(grammar_matcher, so_are_masks_of_a_real_vocabulary) {
    struct model *model = NULL;
    struct token_bytes *tokens = NULL;
    struct token_trie *trie = NULL;
    struct error err = {0};
    cr_assert(model_open(&model, NULL, NULL, &err), "%s", err.text);
    cr_assert(token_bytes_open(&tokens, model->tokenizer, &err), "%s", err.text);
    cr_assert(token_trie_open(&trie, tokens, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        struct grammar *grammar = compile_gbnf(trie, grammars[i]);
        check_masks(trie, grammar, grammars[i], 25);
        grammar_release(grammar);
    }
    token_trie_close(trie);
    token_bytes_close(tokens);
    model_close(model);
}

/* ---- Grammars that nobody has written ---- */

/* Some thousand tokens: words of few letters, with blanks, capitals, accents, digits, quotation marks,
 * halves of characters; so many that whole slices are judged at once. */
static struct vocabulary_fixture open_random_vocabulary(void) {
    static const char *const pieces[] = {"a",  "b",  "c",      "d",      "e",  "B",
                                         "E",  "1",  "2",      ",",      "\"", " ",
                                         "\n", "\\", "\u00e9", "\u65e5", "-",  "\xe6"};
    enum { TOKENS = 3000, KINDS = 6, BYTES_MAX = 80 };
    static const size_t ends[KINDS] = {5, 7, 11, 15, 17, sizeof pieces / sizeof *pieces};
    static char pool[TOKENS][BYTES_MAX];
    static const char *texts[TOKENS];
    uint32_t random = 7;
    for (size_t i = 0; i < TOKENS; i++) {
        size_t kind = draw(&random, KINDS);
        size_t length = 1 + draw(&random, draw(&random, 10) == 0 ? 24 : 6);
        strcpy(pool[i], draw(&random, 3) == 0 ? " " : "");
        for (size_t n = 0; n < length; n++) {
            strcat(pool[i], pieces[draw(&random, ends[kind])]);
        }
        texts[i] = pool[i];
    }
    return vocabulary_open(true, texts, TOKENS);
}

struct grammar_text {
    char text[2048];
    uint32_t random;
};

static void append(struct grammar_text *grammar, const char *text) {
    size_t length = strlen(grammar->text);
    snprintf(grammar->text + length, sizeof grammar->text - length, "%s", text);
}

static void append_random(struct grammar_text *grammar, size_t depth) {
    static const char *const ends[] = {
        "[a-d]",   "[^e]",         "\"ab\"",    "[^\"\\\\\\x00-\\x1f]",
        "\" \"",   "[a-e0-9]",     ".",         "[\u00e0-\u00ff]",
        "\",\"",   "[^a-c\u65e5]", "[A-Za-z ]", "[1-2]+",
        "\"\\\"\""};
    static const char *const few[] = {"", "*", "?", "{2,4}"};
    static const char *const many[] = {"", "*", "+", "?", "{2,40}", "{3}", "{0,5}", "{30,60}"};
    size_t parts = 1 + draw(&grammar->random, 3);
    for (size_t i = 0; i < parts; i++) {
        append(grammar, i == 0 ? "" : draw(&grammar->random, 3) == 0 ? " | " : " ");
        if (depth == 0 || draw(&grammar->random, 2) == 0) {
            append(grammar, ends[draw(&grammar->random, sizeof ends / sizeof *ends)]);
            append(grammar, many[draw(&grammar->random, sizeof many / sizeof *many)]);
        } else {
            append(grammar, "(");
            append_random(grammar, depth - 1);
            append(grammar, ")");
            append(grammar, few[draw(&grammar->random, sizeof few / sizeof *few)]);
        }
    }
}

/* A rule that refers to itself behind a character, and one of repetitions within repetitions. */
static struct grammar_text make_grammar(uint32_t seed) {
    struct grammar_text grammar = {.random = seed};
    append(&grammar, "root ::= other \";\" | \"[\" root? \"]\" root? | \"x\"\nother ::= ");
    append_random(&grammar, 2);
    append(&grammar, "\n");
    return grammar;
}

/* Texts of so many tokens, each followed to its end. */
static void check_end(const struct token_trie *trie, struct grammar *grammar, const char *what,
                      uint32_t seed, size_t left) {
    struct grammar_matcher *matcher = open_matcher(grammar, trie);
    uint32_t random = seed;
    for (; left > 0 && !grammar_matcher_is_finished(matcher); left--) {
        const uint64_t *mask = grammar_matcher_mask(matcher, left);
        int32_t token = -1;
        size_t seen = 0;
        for (size_t id = 0; id < trie->tokens->size; id++) {
            token = has(mask, id) && draw(&random, ++seen) == 0 ? (int32_t)id : token;
        }
        if (token < 0) {
            cr_assert(grammar_matcher_accepts(matcher), "%s: dead end, %zu left", what, left);
            break;
        }
        cr_assert(grammar_matcher_advance(matcher, token), "%s: %zu left", what, left);
    }
    cr_assert(grammar_matcher_accepts(matcher), "%s: no end", what);
    grammar_matcher_close(matcher);
}

Test(grammar_matcher, masks_of_random_grammars_are_the_tokens_that_fit_and_lead_to_an_end) {
    enum { GRAMMARS = 150, STEPS = 12, TOKENS = 30 };
    struct vocabulary_fixture vocabulary = open_random_vocabulary();
    for (uint32_t seed = 0; seed < GRAMMARS; seed++) {
        struct grammar_text text = make_grammar(seed);
        struct grammar *grammar = compile_gbnf(vocabulary.trie, text.text);
        check_masks(vocabulary.trie, grammar, text.text, STEPS);
        size_t least = grammar->costs[grammar->start];
        check_end(vocabulary.trie, grammar, text.text, seed, least);
        check_end(vocabulary.trie, grammar, text.text, seed, least + TOKENS);
        grammar_release(grammar);
    }
    vocabulary_close(&vocabulary);
}

/* ---- An end in time ---- */

static const char json[] = "root ::= object\n"
                           "value ::= object | array | string | number | \"true\" | \"null\"\n"
                           "object ::= \"{\" (pair (\", \" pair)*)? \"}\"\n"
                           "pair ::= string \": \" value\n"
                           "array ::= \"[\" (value (\", \" value)*)? \"]\"\n"
                           "string ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]* \"\\\"\"\n"
                           "number ::= \"-\"? [1-9] [0-9]{0,5} (\".\" [0-9]{2})?\n";

Test(grammar_matcher, a_text_ends_with_as_many_tokens_as_it_may_have) {
    static const char *const texts[] = {"{\"",  "\": ", "\": {\"",  "[[",      "]]",
                                        "}}",   "name", "-1",       ".",       "true",
                                        "null", ", \"", "[[[[[[[[", "\": [{\""};
    struct vocabulary_fixture vocabulary =
        vocabulary_open(true, texts, sizeof texts / sizeof *texts);
    struct grammar *grammar = compile_gbnf(vocabulary.trie, json);
    size_t hurried = 0;
    for (uint32_t seed = 0; seed < 300; seed++) {
        struct grammar_matcher *matcher = open_matcher(grammar, vocabulary.trie);
        uint32_t random = seed;
        size_t left = 2 + seed % 60;
        for (; left > 0 && !grammar_matcher_is_finished(matcher); left--) {
            const uint64_t *mask = grammar_matcher_mask(matcher, left);
            int32_t allowed[300];
            size_t count = 0;
            for (size_t id = 0; id < vocabulary.tokens.size; id++) {
                if (has(mask, id)) {
                    allowed[count++] = (int32_t)id;
                }
            }
            cr_assert_gt(count, 0, "seed %u: dead end with %zu tokens left", seed, left);
            cr_assert(grammar_matcher_advance(matcher, allowed[draw(&random, count)]));
        }
        cr_assert(grammar_matcher_is_finished(matcher), "seed %u did not come to an end", seed);
        hurried += grammar_matcher_was_hurried(matcher);
        grammar_matcher_close(matcher);
    }
    cr_assert(hurried > 100 && hurried < 300, "%zu of 300 were hurried", hurried);
    grammar_release(grammar);
    vocabulary_close(&vocabulary);
}

Test(grammar_matcher, where_the_end_is_out_of_reach_all_that_fits_is_allowed) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar *grammar = compile_gbnf(vocabulary.trie, "root ::= [ab]{5} | \"cdefg\"");
    struct grammar_matcher *matcher = open_matcher(grammar, vocabulary.trie);
    const uint64_t *mask = grammar_matcher_mask(matcher, 3);
    cr_assert(has(mask, 'a') && has(mask, 'c') && !has(mask, 'd'));
    cr_assert_not(grammar_matcher_was_hurried(matcher));
    cr_assert_not(grammar_matcher_advance(matcher, 'd'));
    cr_assert_not(grammar_matcher_advance(matcher, 256), "it has no bytes");
    cr_assert_not(grammar_matcher_advance(matcher, -1));
    cr_assert_not(grammar_matcher_advance(matcher, 100000));
    cr_assert(grammar_matcher_advance(matcher, 'c'));
    cr_assert_not(grammar_matcher_accepts(matcher));
    grammar_matcher_close(matcher);
    grammar_release(grammar);
    vocabulary_close(&vocabulary);
}

/* ---- Vocabularies without bytes ---- */

Test(grammar_matcher, what_the_vocabulary_cannot_spell_is_never_begun) {
    static const char *const texts[] = {"a", "b", "ab", "\u00e9", "\xc3", "\"", "xa", "a\u00e8b"};
    struct vocabulary_fixture vocabulary =
        vocabulary_open(false, texts, sizeof texts / sizeof *texts);
    struct grammar *grammar =
        compile_gbnf(vocabulary.trie, "root ::= \"\\\"\" [^\"]{0,5} \"\\\"\" | \"x\" | [\u00e8]+");
    for (uint32_t seed = 0; seed < 50; seed++) {
        struct grammar_matcher *matcher = open_matcher(grammar, vocabulary.trie);
        uint32_t random = seed;
        while (!grammar_matcher_is_finished(matcher)) {
            const uint64_t *mask = grammar_matcher_mask(matcher, SIZE_MAX);
            cr_assert_not(has(mask, 5), "half a character that has no other half");
            size_t token;
            size_t tries = 0;
            do {
                token = draw(&random, vocabulary.tokens.size);
                cr_assert_lt(tries++, 10000, "dead end");
            } while (!has(mask, token));
            cr_assert(grammar_matcher_advance(matcher, (int32_t)token));
        }
        grammar_matcher_close(matcher);
    }
    grammar_release(grammar);
    struct error err = refuse_gbnf(vocabulary.trie, "root ::= \"ac\"");
    cr_assert(strstr(err.text, "vocabulary can spell") != NULL, "%s", err.text);
    vocabulary_close(&vocabulary);
}
