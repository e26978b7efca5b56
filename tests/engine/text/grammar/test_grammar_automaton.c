/* Random grammars against a slow obvious matcher: which texts match, and how far from the end each
 * beginning of one is. */
#include "engine/text/grammar/grammar_automaton.h"
#include "vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

enum { NODES = 400, TEXT_MAX = 5, RULES = 3, BYTES = 4, TEXTS = 1 << 11 };

/* Texts are of these bytes: two letters and the two halves of a third. */
static const char alphabet[BYTES + 1] = "ab\xC3\xA9";

/* ---- Random expressions, and what they match, slowly ---- */

enum kind { LETTER, ANY_OF, SEQUENCE, CHOICE, REPEAT, REFERENCE };

struct node {
    enum kind kind;
    const char *text; /* LETTER */
    bool letters[3];  /* ANY_OF: a, b, é */
    size_t parts[3];
    size_t part_count;
    uint32_t least;
    uint32_t most;
    size_t rule;
};

struct random_grammar {
    struct node nodes[NODES];
    size_t node_count;
    size_t rules[RULES];
    uint32_t random;
};

static uint32_t draw(struct random_grammar *g, uint32_t below) {
    g->random = g->random * 1664525u + 1013904223u;
    return (g->random >> 8) % below;
}

/* A reference always comes behind a letter, so that no rule begins with itself. */
static size_t make_node(struct random_grammar *g, size_t depth) {
    static const char *const letters[] = {"a", "b", "\xC3\xA9", "ab"};
    size_t index = g->node_count++;
    struct node node = {.text = letters[draw(g, 4)]};
    uint32_t kind = depth == 0 || g->node_count > NODES - 100 ? draw(g, 2) : draw(g, 7);
    if (kind == 0) {
        node.kind = LETTER;
    } else if (kind == 1) {
        node.kind = ANY_OF;
        for (size_t i = 0; i < 3; i++) {
            node.letters[i] = draw(g, 2) == 0;
        }
    } else if (kind == 2 || kind == 3) {
        node.kind = kind == 2 ? SEQUENCE : CHOICE;
        node.part_count = draw(g, 4);
        for (size_t i = 0; i < node.part_count; i++) {
            node.parts[i] = make_node(g, depth - 1);
        }
    } else if (kind == 4 || kind == 5) {
        static const uint32_t bounds[][2] = {{0, GRAMMAR_UNBOUNDED},
                                             {1, GRAMMAR_UNBOUNDED},
                                             {0, 1},
                                             {2, 2},
                                             {1, 3},
                                             {2, GRAMMAR_UNBOUNDED},
                                             {0, 20},
                                             {3, 50},
                                             {0, 2},
                                             {0, 0},
                                             {1, 30},
                                             {2, 30}};
        const uint32_t *bound = bounds[draw(g, 12)];
        node.kind = REPEAT;
        node.least = bound[0];
        node.most = bound[1];
        node.parts[0] = make_node(g, depth - 1);
        node.part_count = 1;
    } else {
        size_t letter = g->node_count++;
        size_t reference = g->node_count++;
        g->nodes[letter] = (struct node){.kind = LETTER, .text = letters[draw(g, 3)]};
        g->nodes[reference] = (struct node){.kind = REFERENCE, .rule = draw(g, RULES)};
        node.kind = SEQUENCE;
        node.parts[0] = letter;
        node.parts[1] = reference;
        node.part_count = 2;
    }
    g->nodes[index] = node;
    return index;
}

/* Sets of positions in the text are bits. */
static unsigned ends_of(const struct random_grammar *g, size_t index, const char *text,
                        size_t length, unsigned begins);

static unsigned ends_of_text(const char *wanted, const char *text, size_t length, unsigned begins) {
    unsigned ends = 0;
    size_t size = strlen(wanted);
    for (size_t i = 0; i + size <= length; i++) {
        bool here = (begins >> i & 1) != 0 && memcmp(text + i, wanted, size) == 0;
        ends |= here ? 1u << (i + size) : 0;
    }
    return ends;
}

static unsigned ends_of_repeat(const struct random_grammar *g, const struct node *node,
                               const char *text, size_t length, unsigned begins) {
    unsigned now = begins;
    unsigned ends = node->least == 0 ? begins : 0;
    /* Of more times, some would be empty, and might as well not be. */
    uint32_t enough = node->least + TEXT_MAX + 1;
    for (uint32_t times = 1; times <= node->most && times <= enough && now != 0; times++) {
        now = ends_of(g, node->parts[0], text, length, now);
        ends |= times >= node->least ? now : 0;
    }
    return ends;
}

static unsigned ends_of(const struct random_grammar *g, size_t index, const char *text,
                        size_t length, unsigned begins) {
    static const char *const letters[] = {"a", "b", "\xC3\xA9"};
    const struct node *node = &g->nodes[index];
    unsigned ends = 0;
    if (begins == 0) {
        return 0;
    }
    switch (node->kind) {
    case LETTER:
        return ends_of_text(node->text, text, length, begins);
    case ANY_OF:
        for (size_t i = 0; i < 3; i++) {
            ends |= node->letters[i] ? ends_of_text(letters[i], text, length, begins) : 0;
        }
        return ends;
    case SEQUENCE:
        for (size_t i = 0; i < node->part_count; i++) {
            begins = ends_of(g, node->parts[i], text, length, begins);
        }
        return begins;
    case CHOICE:
        for (size_t i = 0; i < node->part_count; i++) {
            ends |= ends_of(g, node->parts[i], text, length, begins);
        }
        return ends;
    case REPEAT:
        return ends_of_repeat(g, node, text, length, begins);
    case REFERENCE:
        return ends_of(g, g->rules[node->rule], text, length, begins);
    }
    return 0;
}

/* ---- The same for the builder ---- */

static grammar_expression build_node(struct grammar_builder *builder,
                                     const struct random_grammar *g, const grammar_rule *rules,
                                     size_t index) {
    static const uint32_t codes[] = {'a', 'b', 0xE9};
    const struct node *node = &g->nodes[index];
    grammar_expression parts[3];
    struct code_range ranges[3];
    size_t count = 0;
    for (size_t i = 0; i < node->part_count; i++) {
        parts[i] = build_node(builder, g, rules, node->parts[i]);
    }
    switch (node->kind) {
    case LETTER:
        return grammar_text(builder, node->text, strlen(node->text));
    case ANY_OF:
        for (size_t i = 0; i < 3; i++) {
            if (node->letters[i]) {
                ranges[count++] = (struct code_range){codes[i], codes[i]};
            }
        }
        return grammar_characters(builder, ranges, count);
    case SEQUENCE:
        return grammar_sequence(builder, parts, node->part_count);
    case CHOICE:
        return grammar_choice(builder, parts, node->part_count);
    case REPEAT:
        return grammar_repeat(builder, parts[0], node->least, node->most);
    case REFERENCE:
        return grammar_reference(builder, rules[node->rule]);
    }
    return 0;
}

static bool build(const struct random_grammar *g, const struct token_trie *trie,
                  struct grammar **grammar, struct error *err) {
    struct grammar_builder *builder = NULL;
    grammar_rule rules[RULES];
    cr_assert(grammar_builder_open(&builder, trie, err));
    for (size_t i = 0; i < RULES; i++) {
        rules[i] = grammar_rule_create(builder, "rule", 4);
    }
    for (size_t i = 0; i < RULES; i++) {
        grammar_rule_define(builder, rules[i], build_node(builder, g, rules, g->rules[i]));
    }
    bool ok = grammar_builder_finish(builder, grammar_reference(builder, rules[0]), grammar, err);
    grammar_builder_close(builder);
    return ok;
}

/* ---- The comparison ---- */

/* For each beginning, the length of the shortest text up to TEXT_MAX that begins so and matches, or
 * more. Beginnings are numbered like a heap of BYTES children. */
static unsigned char shortest[TEXTS];

static void find_shortest(const struct random_grammar *g, char *text, size_t length,
                          size_t number) {
    unsigned ends = ends_of(g, g->rules[0], text, length, 1);
    shortest[number] = (ends >> length & 1) != 0 ? (unsigned char)length : TEXT_MAX + 1;
    for (size_t i = 0; i < BYTES && length < TEXT_MAX; i++) {
        text[length] = alphabet[i];
        find_shortest(g, text, length + 1, number * BYTES + 1 + i);
    }
    for (size_t i = 0; i < BYTES && length < TEXT_MAX; i++) {
        unsigned char below = shortest[number * BYTES + 1 + i];
        shortest[number] = below < shortest[number] ? below : shortest[number];
    }
}

static size_t compare(struct grammar_automaton *automaton, uint32_t state, size_t length,
                      size_t number, uint32_t seed) {
    const struct automaton_state *at = &automaton->states[state];
    if (shortest[number] > TEXT_MAX) {
        cr_assert(state == AUTOMATON_DEAD || at->cost > TEXT_MAX - length,
                  "grammar %u: text %zu is %u bytes from an end that is not there", seed, number,
                  at->cost);
    } else {
        cr_assert(state != AUTOMATON_DEAD, "grammar %u: text %zu is dead", seed, number);
        cr_assert_eq(at->cost, shortest[number] - length, "grammar %u: text %zu, %u bytes, not %zu",
                     seed, number, at->cost, shortest[number] - length);
        cr_assert_eq(at->accepts, at->cost == 0);
    }
    size_t compared = 1;
    for (size_t i = 0; i < BYTES && length < TEXT_MAX && state != AUTOMATON_DEAD; i++) {
        uint32_t next = grammar_automaton_step(automaton, state, (uint8_t)alphabet[i]);
        compared += compare(automaton, next, length + 1, number * BYTES + 1 + i, seed);
    }
    return compared;
}

Test(grammar_automaton, random_grammars_match_what_a_slow_matcher_matches) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    size_t built = 0;
    size_t compared = 0;
    for (uint32_t seed = 0; seed < 300; seed++) {
        static struct random_grammar g;
        g = (struct random_grammar){.random = seed};
        for (size_t i = 0; i < RULES; i++) {
            g.rules[i] = make_node(&g, 4);
        }
        char text[TEXT_MAX];
        struct grammar *grammar = NULL;
        struct error err = {0};
        find_shortest(&g, text, 0, 0);
        if (!build(&g, vocabulary.trie, &grammar, &err)) {
            cr_assert(strstr(err.text, "matches no text") != NULL, "grammar %u: %s", seed,
                      err.text);
            cr_assert_gt(shortest[0], TEXT_MAX, "grammar %u matches something", seed);
            continue;
        }
        struct grammar_automaton *automaton = NULL;
        cr_assert(grammar_automaton_open(&automaton, grammar, &err));
        compared += compare(automaton, grammar_automaton_start(automaton), 0, 0, seed);
        built++;
        grammar_automaton_close(automaton);
        grammar_release(grammar);
    }
    cr_assert(built > 200 && compared > 5000, "%zu grammars, %zu texts", built, compared);
    vocabulary_close(&vocabulary);
}

/* ---- Grammars that could explode ---- */

static void check_text(const char *gbnf, const char *unit, size_t times, const char *end,
                       bool accepts) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar *grammar = compile_gbnf(vocabulary.trie, gbnf);
    struct grammar_automaton *automaton = NULL;
    cr_assert(grammar_automaton_open(&automaton, grammar, NULL));
    uint32_t state = grammar_automaton_start(automaton);
    for (size_t i = 0; i < times * strlen(unit) + strlen(end); i++) {
        size_t in_units = times * strlen(unit);
        char byte = i < in_units ? unit[i % strlen(unit)] : end[i - in_units];
        uint32_t next = grammar_automaton_step(automaton, state, (uint8_t)byte);
        if (next == AUTOMATON_FULL) {
            grammar_automaton_collect(automaton, &state, 1, false);
            next = grammar_automaton_step(automaton, state, (uint8_t)byte);
        }
        cr_assert(next != AUTOMATON_DEAD && next != AUTOMATON_FULL, "%s: stuck at byte %zu", gbnf,
                  i);
        state = next;
    }
    cr_assert_eq(automaton->states[state].accepts, accepts, "%s", gbnf);
    cr_assert_lt(automaton->work, 50000000, "%s: %llu instructions", gbnf,
                 (unsigned long long)automaton->work);
    grammar_automaton_close(automaton);
    grammar_release(grammar);
    vocabulary_close(&vocabulary);
}

Test(grammar_automaton, ambiguity_and_depth_take_bounded_work) {
    check_text("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"", "a", 300, "x", false);
    check_text("root ::= (\"a\" | \"aa\"){1,500}", "a", 700, "", true);
    check_text("root ::= (\"a\"? \"a\"?){1,100000} \"b\"", "a", 2000, "b", true);
    check_text("root ::= (((\"a\"*)*)*)* \"b\"", "a", 1000, "b", true);
    check_text("root ::= ((\"a\"{0,40}){0,40}){0,40} \"b\"", "a", 500, "b", true);
    check_text("root ::= \"[\" root? \"]\"", "[", 5000, "]", false);
    check_text("root ::= \"a\" root | \"\"", "a", 20000, "", true);
    check_text("root ::= x\nx ::= y \"1\" | y \"2\"\ny ::= z \"1\" | z \"2\"\nz ::= \"(\" x? \")\"",
               "(", 100, ")1", false);
}

Test(grammar_automaton, a_full_memory_is_collected_and_the_text_goes_on) {
    /* Every count is a state of its own: more than there is room for. */
    check_text("root ::= ([a-z] | \"--\"){60000,70000} \"!\"", "a", 60000, "!", true);
    check_text("root ::= \"(\" root \")\" | \"(\" root \"]\" | \".\"", "(", 3000, ".", false);
}
