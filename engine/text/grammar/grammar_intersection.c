#include "engine/text/grammar/grammar_intersection.h"

#include "engine/text/grammar/grammar_automaton.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BORDERS_MAX = 1 << 12,
    CLASSES_MAX = 127, /* each is a character of ASCII while the patterns are run */
    COMBINATIONS_MAX = 1 << 13,
    PLACES = 1 << 14,       /* of the table of combinations */
    OPENING_WORK = 1 << 15, /* what it costs to begin */
};

/* Where each condition is. */
struct combination {
    uint32_t states[INTERSECTION_PATTERNS_MAX];
    uint32_t length; /* from the least on, where there is no most, always the least */
    uint32_t remainder;
};

struct intersector {
    struct grammar_builder *builder; /* of the result */
    const struct grammar_intersection *intersection;
    const struct grammar_regex_style *style;

    /* Characters that no condition tells apart: class i is [borders[i], borders[i + 1]). */
    uint32_t borders[BORDERS_MAX];
    size_t border_count;

    struct grammar_automaton *automata[INTERSECTION_PATTERNS_MAX];
    struct combination *combinations;
    uint32_t *next; /* [COMBINATIONS_MAX, classes] combination + 1, or 0 */
    size_t count;
    uint32_t places[PLACES]; /* combination + 1 */
    bool *live;              /* it can be brought to an end */
};

static grammar_expression fail(struct intersector *in) {
    return grammar_fail(in->builder, ERROR_TOO_LARGE,
                        "a text is to satisfy conditions that have too many combinations");
}

static bool failed(const struct intersector *in) {
    return grammar_builder_failed(in->builder);
}

static bool work(struct intersector *in, uint64_t steps) {
    return grammar_builder_work(in->builder, steps);
}

static size_t class_count(const struct intersector *in) {
    return in->border_count - 1;
}

/* ---- Classes ---- */

static void add_border(struct intersector *in, uint32_t code) {
    if (in->border_count < BORDERS_MAX) {
        in->borders[in->border_count++] = code;
    } else {
        fail(in);
    }
}

static grammar_expression note_borders(struct grammar_builder *builder,
                                       const struct code_range *ranges, size_t count,
                                       void *context) {
    for (size_t i = 0; i < count; i++) {
        add_border(context, ranges[i].first);
        add_border(context, ranges[i].last + 1);
    }
    return grammar_characters(builder, ranges, count);
}

static int compare_codes(const void *a, const void *b) {
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void sort_borders(struct intersector *in) {
    size_t kept = 0;
    qsort(in->borders, in->border_count, sizeof *in->borders, compare_codes);
    for (size_t i = 0; i < in->border_count; i++) {
        if (kept == 0 || in->borders[i] != in->borders[kept - 1]) {
            in->borders[kept++] = in->borders[i];
        }
    }
    in->border_count = kept;
    assert(class_count(in) > 0); /* two borders are always there */
    if (class_count(in) > CLASSES_MAX) {
        fail(in);
    }
}

/* Ranges of characters as the classes that make them up. */
static grammar_expression write_classes(struct grammar_builder *builder,
                                        const struct code_range *ranges, size_t count,
                                        void *context) {
    const struct intersector *in = context;
    struct code_range classes[CLASSES_MAX];
    size_t found = 0;
    size_t range = 0;
    for (uint32_t class = 0; class < class_count(in); class ++) {
        while (range < count && ranges[range].last < in->borders[class]) {
            range++;
        }
        if (range < count && ranges[range].first <= in->borders[class]) {
            classes[found++] = (struct code_range){class, class};
        }
    }
    return grammar_characters(builder, classes, found);
}

/* ---- Patterns ---- */

/* All that can be written: what a vocabulary can spell is not asked until the result is made. */
static struct code_range every_code[] = {{0, CODE_LAST}};
static const struct token_trie every_character = {
    .spelled = every_code, .spelled_count = 1, .finishes = true};

/* Passes a builder's error on. */
static void pass_error(struct intersector *in, const struct error *err) {
    grammar_fail(in->builder, err->code, "%s", err->text);
}

/* Reads pattern i with the given way to write characters; if `out`, to the end. */
static void read_pattern(struct intersector *in, size_t i,
                         grammar_expression (*characters)(struct grammar_builder *,
                                                          const struct code_range *, size_t,
                                                          void *),
                         struct grammar **out) {
    const struct token_text text = in->intersection->patterns[i].text;
    const struct grammar_regex_style style = {
        .characters = characters, .context = in, .search = in->intersection->patterns[i].search};
    struct grammar_builder *builder = NULL;
    struct error err = {0};
    if (!grammar_builder_open(&builder, &every_character, &err)) {
        pass_error(in, &err);
        return;
    }
    grammar_expression root = grammar_regex(builder, text.bytes, text.length, &style);
    struct grammar *grammar = NULL;
    if (!grammar_builder_finish(builder, root, &grammar, &err)) {
        pass_error(in, &err);
    } else if (out != NULL) {
        *out = grammar_acquire(grammar);
    }
    grammar_release(grammar);
    grammar_builder_close(builder);
}

static void find_classes(struct intersector *in) {
    add_border(in, 0);
    add_border(in, CODE_LAST + 1);
    for (uint32_t digit = '0'; in->intersection->multiple_of != 0 && digit <= '9' + 1; digit++) {
        add_border(in, digit);
    }
    for (size_t i = 0; i < in->intersection->pattern_count && !failed(in); i++) {
        read_pattern(in, i, note_borders, NULL);
    }
    sort_borders(in);
}

static void open_automata(struct intersector *in) {
    for (size_t i = 0; i < in->intersection->pattern_count && !failed(in); i++) {
        struct grammar *grammar = NULL;
        struct error err = {0};
        read_pattern(in, i, write_classes, &grammar);
        if (grammar != NULL && !grammar_automaton_open(&in->automata[i], grammar, &err)) {
            pass_error(in, &err);
        }
        grammar_release(grammar);
    }
}

/* ---- Combinations ---- */

static size_t hash_combination(const struct combination *combination) {
    uint64_t hash = combination->length;
    for (size_t i = 0; i < INTERSECTION_PATTERNS_MAX; i++) {
        hash = (hash ^ combination->states[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    hash = (hash ^ combination->remainder) * 0x9e3779b97f4a7c15u;
    return (size_t)((hash ^ hash >> 32) % PLACES);
}

/* The combination's number + 1; 0 if there are too many. */
static uint32_t find_combination(struct intersector *in, const struct combination *combination) {
    size_t place = hash_combination(combination);
    for (; in->places[place] != 0; place = (place + 1) % PLACES) {
        if (memcmp(&in->combinations[in->places[place] - 1], combination, sizeof *combination) ==
            0) {
            return in->places[place];
        }
    }
    if (in->count == COMBINATIONS_MAX) {
        fail(in);
        return 0;
    }
    in->combinations[in->count++] = *combination;
    in->places[place] = (uint32_t)in->count;
    return in->places[place];
}

/* One character of a class further. False if a condition cannot go on. */
static bool step(struct intersector *in, struct combination *combination, size_t class) {
    const struct grammar_intersection *intersection = in->intersection;
    for (size_t i = 0; i < intersection->pattern_count; i++) {
        uint32_t *state = &combination->states[i];
        const uint64_t before = in->automata[i]->work;
        *state = grammar_automaton_step(in->automata[i], *state, (uint8_t) class);
        work(in, 1 + in->automata[i]->work - before);
        if (*state == AUTOMATON_FULL) {
            fail(in);
        }
        if (*state == AUTOMATON_DEAD || *state == AUTOMATON_FULL) {
            return false;
        }
    }
    if (intersection->most != GRAMMAR_UNBOUNDED || combination->length < intersection->least) {
        combination->length++;
    }
    const uint32_t code = in->borders[class];
    if (intersection->multiple_of != 0 && code >= '0' && code <= '9') {
        uint64_t number = combination->remainder * UINT64_C(10) + (code - '0');
        combination->remainder = (uint32_t)(number % intersection->multiple_of);
    }
    return combination->length <= intersection->most;
}

static bool accepts(const struct intersector *in, const struct combination *combination) {
    for (size_t i = 0; i < in->intersection->pattern_count; i++) {
        if (!in->automata[i]->states[combination->states[i]].accepts) {
            return false;
        }
    }
    return combination->length >= in->intersection->least && combination->remainder == 0;
}

static void find_combinations(struct intersector *in) {
    struct combination first = {0};
    for (size_t i = 0; i < in->intersection->pattern_count; i++) {
        first.states[i] = grammar_automaton_start(in->automata[i]);
    }
    find_combination(in, &first);
    for (size_t i = 0; i < in->count && !failed(in); i++) {
        for (size_t class = 0; class < class_count(in) && !failed(in); class ++) {
            struct combination next = in->combinations[i];
            if (step(in, &next, class)) {
                in->next[i * class_count(in) + class] = find_combination(in, &next);
            }
        }
    }
}

/* Backwards, as most ways lead to later ones. */
static void find_live(struct intersector *in) {
    for (bool changed = true; changed && work(in, in->count * class_count(in) / 8);) {
        changed = false;
        for (size_t i = in->count; i-- > 0;) {
            bool live = in->live[i] || accepts(in, &in->combinations[i]);
            for (size_t class = 0; class < class_count(in) && !live; class ++) {
                uint32_t next = in->next[i * class_count(in) + class];
                live = next != 0 && in->live[next - 1];
            }
            changed = changed || live != in->live[i];
            in->live[i] = live;
        }
    }
}

/* ---- Rules ---- */

/* The characters that lead from a combination to the one that the given class leads to; takes them
 * off. */
static size_t take_ways(struct intersector *in, size_t from, size_t class,
                        struct code_range ranges[CLASSES_MAX]) {
    uint32_t *ways = in->next + from * class_count(in);
    const uint32_t next = ways[class];
    size_t count = 0;
    for (; class < class_count(in); class ++) {
        if (ways[class] == next) {
            ranges[count++] = (struct code_range){in->borders[class], in->borders[class + 1] - 1};
            ways[class] = 0;
        }
    }
    return code_ranges_join(ranges, count);
}

static grammar_expression write_characters(struct intersector *in, const struct code_range *ranges,
                                           size_t count) {
    return in->style->characters != NULL
               ? in->style->characters(in->builder, ranges, count, in->style->context)
               : grammar_characters(in->builder, ranges, count);
}

static void define_rule(struct intersector *in, size_t from, const grammar_rule *rules) {
    struct grammar_parts ways = {0};
    if (accepts(in, &in->combinations[from])) {
        grammar_parts_add(in->builder, &ways, grammar_text(in->builder, "", 0));
    }
    for (size_t class = 0; class < class_count(in) && !failed(in); class ++) {
        struct code_range ranges[CLASSES_MAX];
        uint32_t next = in->next[from * class_count(in) + class];
        if (next != 0 && in->live[next - 1]) {
            size_t count = take_ways(in, from, class, ranges);
            grammar_parts_add(in->builder, &ways,
                              GRAMMAR_SEQUENCE(in->builder, write_characters(in, ranges, count),
                                               grammar_reference(in->builder, rules[next - 1])));
        }
    }
    if (!failed(in)) {
        grammar_rule_define(in->builder, rules[from],
                            grammar_choice(in->builder, ways.items, ways.count));
    }
    free(ways.items);
}

static grammar_expression define_rules(struct intersector *in) {
    if (!in->live[0]) {
        return grammar_characters(in->builder, NULL, 0);
    }
    grammar_rule *rules = calloc(in->count, sizeof *rules);
    if (rules == NULL) {
        return grammar_fail(in->builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    for (size_t i = 0; i < in->count; i++) {
        rules[i] = in->live[i] ? grammar_rule_create(in->builder, "conditions", 10) : 0;
    }
    for (size_t i = 0; i < in->count && !failed(in); i++) {
        if (in->live[i]) {
            define_rule(in, i, rules);
        }
    }
    grammar_expression root = grammar_reference(in->builder, rules[0]);
    free(rules);
    return root;
}

/* ---- All of it ---- */

static grammar_expression run(struct intersector *in) {
    find_classes(in);
    if (failed(in)) {
        return 0;
    }
    in->combinations = calloc(COMBINATIONS_MAX, sizeof *in->combinations);
    in->next = calloc(COMBINATIONS_MAX * class_count(in), sizeof *in->next);
    in->live = calloc(COMBINATIONS_MAX, sizeof *in->live);
    if (in->combinations == NULL || in->next == NULL || in->live == NULL) {
        return grammar_fail(in->builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    open_automata(in);
    if (!failed(in)) {
        find_combinations(in);
    }
    if (failed(in)) {
        return 0;
    }
    find_live(in);
    return failed(in) ? 0 : define_rules(in);
}

grammar_expression grammar_intersect(struct grammar_builder *builder,
                                     const struct grammar_intersection *intersection,
                                     const struct grammar_regex_style *style) {
    struct intersector *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    in->builder = builder;
    in->intersection = intersection;
    in->style = style;
    grammar_expression expression = work(in, OPENING_WORK) ? run(in) : 0;
    for (size_t i = 0; i < INTERSECTION_PATTERNS_MAX; i++) {
        grammar_automaton_close(in->automata[i]);
    }
    free(in->combinations);
    free(in->next);
    free(in->live);
    free(in);
    return expression;
}
