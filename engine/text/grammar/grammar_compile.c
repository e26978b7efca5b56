/* Expressions to instructions: each rule that the root needs once, characters as their UTF-8. */
#include "engine/text/grammar/grammar_expressions.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* A repetition of at most so many instructions is written out: shorter than a loop is slow. */
    UNROLLED_MAX = 16,
    /* A rule of at most so many instructions that refers to no other is written where it is used. */
    INLINED_MAX = 24,
    NOT_EMPTY_DEPTH_MAX = 2048, /* functions call themselves for each level */
    SET_PLACES = 1 << 12,       /* of the table that finds equal sets again */
};

struct compiler {
    struct grammar_builder *builder;
    struct grammar *grammar;
    size_t program_capacity;
    size_t loop_capacity;
    size_t set_capacity;
    uint32_t *set_places; /* [SET_PLACES] chains of equal hashes: set + 1 */
    uint32_t *set_next;   /* [GRAMMAR_INSTRUCTIONS_MAX] */
    uint32_t *sizes;      /* instructions of each expression, not less than it will have */
    bool *leaves;         /* expressions that refer to no rule */
    uint32_t *waiting;    /* [rule_count] rules to be written */
    size_t waiting_count;
    bool *
        is_reference; /* [GRAMMAR_INSTRUCTIONS_MAX] the operand is a rule, not yet an instruction */
    size_t depth;     /* of what is not empty */
    struct error *err;
    bool failed;
};

/* ---- Writing instructions ---- */

static size_t here(const struct compiler *compiler) {
    return compiler->grammar->length;
}

/* All arrays have been made as large as they may become: they are touched as far as needed. */
static size_t write_instruction(struct compiler *compiler, enum grammar_operation operation,
                                uint32_t operand) {
    struct grammar *grammar = compiler->grammar;
    if (grammar->length == GRAMMAR_INSTRUCTIONS_MAX) {
        compiler->failed = true;
        return 0;
    }
    grammar->program[grammar->length] = (struct grammar_instruction){operation, operand};
    return grammar->length++;
}

static void set_target(struct compiler *compiler, size_t instruction) {
    if (!compiler->failed) {
        compiler->grammar->program[instruction].operand = (uint32_t)here(compiler);
    }
}

/* Instructions whose target is not yet known are chained through their operands, to UINT32_MAX. */
static void point_all_here(struct compiler *compiler, uint32_t chain) {
    while (chain != UINT32_MAX && !compiler->failed) {
        uint32_t next = compiler->grammar->program[chain].operand;
        set_target(compiler, chain);
        chain = next;
    }
}

static void write_return(struct compiler *compiler, bool tail) {
    if (tail) {
        write_instruction(compiler, GRAMMAR_RETURN, 0);
    }
}

/* ---- Sets ---- */

static size_t hash_set(const struct byte_set *set) {
    uint64_t hash = 0;
    for (size_t i = 0; i < 4; i++) {
        hash = (hash ^ set->bits[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return (size_t)(hash % SET_PLACES);
}

static uint32_t find_set(struct compiler *compiler, const struct byte_set *set) {
    struct grammar *grammar = compiler->grammar;
    size_t place = hash_set(set);
    for (uint32_t i = compiler->set_places[place]; i != 0; i = compiler->set_next[i - 1]) {
        if (memcmp(&grammar->sets[i - 1], set, sizeof *set) == 0) {
            return i - 1;
        }
    }
    grammar->sets[grammar->set_count] = *set;
    compiler->set_next[grammar->set_count] = compiler->set_places[place];
    compiler->set_places[place] = (uint32_t)grammar->set_count + 1;
    return (uint32_t)grammar->set_count++;
}

static void write_set(struct compiler *compiler, const struct byte_set *set) {
    if (here(compiler) < GRAMMAR_INSTRUCTIONS_MAX) {
        write_instruction(compiler, GRAMMAR_BYTES, find_set(compiler, set));
    } else {
        compiler->failed = true;
    }
}

static void write_range(struct compiler *compiler, unsigned first, unsigned last) {
    struct byte_set set = {0};
    for (unsigned byte = first; byte <= last; byte++) {
        byte_set_add(&set, byte);
    }
    write_set(compiler, &set);
}

/* ---- Characters ----
 *
 * A range of code points is some sequences of byte ranges. Most of them end with bytes of which all
 * are allowed, and those ends are shared:
 *
 *        ASCII ──────────────────────────────────────┐
 *        leads of 2 bytes ─────────────────┐         │
 *        leads of 3 bytes ───────┐         │         │
 *        leads of 4 bytes ─▶ 80..BF ─▶ 80..BF ─▶ 80..BF ─▶ end
 *        other sequences, one by one, into whichever of these their rest is */

struct byte_ranges {
    uint8_t first[4];
    uint8_t last[4];
    size_t length;
};

struct characters {
    struct byte_set leads[4]; /* of 1 to 4 bytes, of which all but the lead are 80 to BF */
    struct byte_ranges *others;
    size_t other_count;
    size_t other_capacity;
    bool failed;
};

static size_t encode(uint32_t code, uint8_t bytes[4]) {
    static const uint8_t marks[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) {
        bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    }
    bytes[0] = (uint8_t)(marks[length] | code);
    return length;
}

/* Bytes at the end of which all are allowed. */
static size_t free_end(const struct byte_ranges *ranges) {
    size_t count = 0;
    while (count + 1 < ranges->length && ranges->first[ranges->length - 1 - count] == 0x80 &&
           ranges->last[ranges->length - 1 - count] == 0xBF) {
        count++;
    }
    return count;
}

static void add_sequence(struct characters *characters, uint32_t first, uint32_t last) {
    struct byte_ranges ranges = {.length = encode(first, ranges.first)};
    encode(last, ranges.last);
    if (free_end(&ranges) + 1 == ranges.length) {
        for (unsigned byte = ranges.first[0]; byte <= ranges.last[0]; byte++) {
            byte_set_add(&characters->leads[ranges.length - 1], byte);
        }
        return;
    }
    if (characters->other_count == characters->other_capacity) {
        size_t capacity = 2 * characters->other_capacity + 16;
        struct byte_ranges *grown =
            reallocarray(characters->others, capacity, sizeof *characters->others);
        if (grown == NULL) {
            characters->failed = true;
            return;
        }
        characters->others = grown;
        characters->other_capacity = capacity;
    }
    characters->others[characters->other_count++] = ranges;
}

/* Cuts a range where the number of bytes changes, and where a byte but the last one changes while
 * the bytes behind it do not run from 80 to BF. */
static void add_characters(struct characters *characters, uint32_t first, uint32_t last) {
    static const uint32_t borders[] = {0x7F, 0x7FF, 0xFFFF};
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
        if (first <= borders[i] && last > borders[i]) {
            add_characters(characters, first, borders[i]);
            first = borders[i] + 1;
        }
    }
    size_t bytes = last < 0x80 ? 1 : last < 0x800 ? 2 : last < 0x10000 ? 3 : 4;
    for (size_t i = 1; i < bytes; i++) {
        uint32_t rest = (UINT32_C(1) << 6 * i) - 1;
        if ((first & ~rest) == (last & ~rest)) {
            continue;
        }
        if ((first & rest) != 0) {
            add_characters(characters, first, first | rest);
            add_characters(characters, (first | rest) + 1, last);
            return;
        }
        if ((last & rest) != rest) {
            add_characters(characters, first, (last & ~rest) - 1);
            add_characters(characters, last & ~rest, last);
            return;
        }
    }
    add_sequence(characters, first, last);
}

static bool is_empty(const struct byte_set *set) {
    return (set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]) == 0;
}

/* One alternative; unless it is the last one, a SPLIT goes before it and it goes to the free end. */
struct alternatives {
    size_t left;
    uint32_t *jumps; /* instructions to be pointed at the free end of that length */
    uint8_t *ends;
    size_t jump_count;
};

static void write_alternatives(struct compiler *compiler, const struct characters *characters,
                               struct alternatives *alternatives) {
    for (size_t i = 0; i < 4 + characters->other_count && !compiler->failed; i++) {
        const struct byte_ranges *other = i >= 4 ? &characters->others[i - 4] : NULL;
        if (other == NULL && is_empty(&characters->leads[i])) {
            continue;
        }
        bool last = --alternatives->left == 0;
        size_t split = last ? 0 : write_instruction(compiler, GRAMMAR_SPLIT, 0);
        size_t end = other != NULL ? free_end(other) : i;
        if (other == NULL) {
            write_set(compiler, &characters->leads[i]);
        }
        for (size_t b = 0; other != NULL && b + end < other->length; b++) {
            write_range(compiler, other->first[b], other->last[b]);
        }
        alternatives->ends[alternatives->jump_count] = (uint8_t)end;
        alternatives->jumps[alternatives->jump_count++] =
            (uint32_t)write_instruction(compiler, GRAMMAR_JUMP, 0);
        if (!last) {
            set_target(compiler, split);
        }
    }
}

static void write_ends(struct compiler *compiler, const struct alternatives *alternatives) {
    for (size_t end = 4; end-- > 0;) {
        bool wanted = false; /* by it or by a longer one */
        for (size_t i = 0; i < alternatives->jump_count; i++) {
            wanted = wanted || alternatives->ends[i] >= end;
            if (alternatives->ends[i] == end) {
                set_target(compiler, alternatives->jumps[i]);
            }
        }
        if (wanted && end > 0) {
            write_range(compiler, 0x80, 0xBF);
        }
    }
}

static void write_characters(struct compiler *compiler, const struct expression *expression) {
    struct characters characters = {0};
    for (size_t i = 0; i < expression->count && !characters.failed; i++) {
        const struct code_range *range = &compiler->builder->ranges[expression->first + i];
        add_characters(&characters, range->first, range->last);
    }
    struct alternatives alternatives = {.left = characters.other_count};
    for (size_t i = 0; i < 4; i++) {
        alternatives.left += !is_empty(&characters.leads[i]);
    }
    if (alternatives.left == 1 && !is_empty(&characters.leads[0])) {
        write_set(compiler, &characters.leads[0]);
    } else {
        alternatives.jumps = calloc(alternatives.left, sizeof *alternatives.jumps);
        alternatives.ends = calloc(alternatives.left, sizeof *alternatives.ends);
        characters.failed =
            characters.failed || alternatives.jumps == NULL || alternatives.ends == NULL;
        if (!characters.failed) {
            write_alternatives(compiler, &characters, &alternatives);
            write_ends(compiler, &alternatives);
        }
        free(alternatives.jumps);
        free(alternatives.ends);
    }
    free(characters.others);
    if (characters.failed) {
        error_set(compiler->err, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
        compiler->failed = true;
    }
}

/* ---- Expressions ----
 *
 * `tail`: nothing follows but a RETURN, which is written along; so that a rule's last rule is jumped
 * to and not called, and repetition by recursion needs no stack. */

static void write_expression(struct compiler *compiler, grammar_expression index, bool tail);

/* Of an expression that may be empty, what is not. */
static void write_not_empty(struct compiler *compiler, grammar_expression index, bool tail);

static void write_text(struct compiler *compiler, const struct expression *expression) {
    for (size_t i = 0; i < expression->count && !compiler->failed; i++) {
        unsigned byte = (unsigned char)compiler->builder->text[expression->first + i];
        write_range(compiler, byte, byte);
    }
}

static void write_sequence(struct compiler *compiler, const struct expression *expression,
                           bool tail) {
    const grammar_expression *parts = expression_parts(compiler->builder, expression);
    for (size_t i = 0; i < expression->count; i++) {
        write_expression(compiler, parts[i], tail && i + 1 == expression->count);
    }
    write_return(compiler, tail && expression->count == 0);
}

static void write_choice(struct compiler *compiler, const struct expression *expression,
                         bool tail) {
    const struct grammar_builder *builder = compiler->builder;
    const grammar_expression *parts = expression_parts(builder, expression);
    size_t left = 0;
    for (size_t i = 0; i < expression->count; i++) {
        left += builder->costs[parts[i]] != COST_NONE;
    }
    uint32_t jumps = UINT32_MAX;
    for (size_t i = 0; i < expression->count && !compiler->failed; i++) {
        if (builder->costs[parts[i]] == COST_NONE) {
            continue;
        }
        bool last = --left == 0;
        size_t split = last ? 0 : write_instruction(compiler, GRAMMAR_SPLIT, 0);
        write_expression(compiler, parts[i], tail);
        if (!last) {
            if (!tail) {
                jumps = (uint32_t)write_instruction(compiler, GRAMMAR_JUMP, jumps);
            }
            set_target(compiler, split);
        }
    }
    point_all_here(compiler, jumps);
}

static void write_star(struct compiler *compiler, grammar_expression part) {
    size_t begin = write_instruction(compiler, GRAMMAR_SPLIT, 0);
    write_expression(compiler, part, false);
    write_instruction(compiler, GRAMMAR_JUMP, (uint32_t)begin);
    set_target(compiler, begin);
}

/* least times, then up to `more` times: each of them may be the end. */
static void write_unrolled(struct compiler *compiler, grammar_expression part, uint32_t least,
                           uint32_t more) {
    uint32_t splits = UINT32_MAX;
    for (uint32_t i = 0; i < least; i++) {
        write_expression(compiler, part, false);
    }
    for (uint32_t i = 0; i < more; i++) {
        splits = (uint32_t)write_instruction(compiler, GRAMMAR_SPLIT, splits);
        write_expression(compiler, part, false);
    }
    point_all_here(compiler, splits);
}

/* A time that takes no byte would lead nowhere: where a part may be empty, the loop is of what is not,
 * and may end at once. */
static void write_loop(struct compiler *compiler, grammar_expression part, uint32_t least,
                       uint32_t most) {
    struct grammar *grammar = compiler->grammar;
    uint32_t cost = compiler->builder->costs[part];
    size_t loop = grammar->loop_count;
    write_instruction(compiler, GRAMMAR_LOOP, (uint32_t)loop);
    if (compiler->failed) {
        return;
    }
    grammar->loop_count++;
    grammar->loops[loop] = (struct grammar_loop){.least = least, .most = most, .cost = cost};
    if (cost == 0) {
        write_not_empty(compiler, part, true);
    } else {
        write_expression(compiler, part, true);
    }
    grammar->loops[loop].end = (uint32_t)here(compiler);
}

/* Is it written out? If not, it is a loop. */
static bool is_unrolled(uint32_t size, uint32_t least, uint32_t most) {
    uint32_t times = most == GRAMMAR_UNBOUNDED ? least : most;
    return (uint64_t)size * times <= UNROLLED_MAX || (least <= 1 && most == GRAMMAR_UNBOUNDED) ||
           most == 1;
}

static void write_repeat(struct compiler *compiler, const struct expression *expression) {
    grammar_expression part = compiler->builder->parts[expression->first];
    uint32_t cost = compiler->builder->costs[part];
    uint32_t least = cost == 0 ? 0 : expression->least;
    if (expression->most == 0 || !compiler->builder->more[part]) {
        return; /* it can only be empty */
    }
    if (!is_unrolled(compiler->sizes[part], least, expression->most)) {
        write_loop(compiler, part, least, expression->most);
    } else if (expression->most == GRAMMAR_UNBOUNDED) {
        write_unrolled(compiler, part, least, 0);
        write_star(compiler, part);
    } else {
        write_unrolled(compiler, part, least, expression->most - least);
    }
}

static void write_rule(struct compiler *compiler, uint32_t index, bool tail) {
    struct rule *rule = &compiler->builder->rules[index];
    if (compiler->leaves[rule->definition] && compiler->sizes[rule->definition] <= INLINED_MAX) {
        write_expression(compiler, rule->definition, tail);
        return;
    }
    if (rule->entry == NOT_DEFINED) {
        rule->entry = 0; /* it waits */
        compiler->waiting[compiler->waiting_count++] = index;
    }
    size_t at = write_instruction(compiler, tail ? GRAMMAR_JUMP : GRAMMAR_CALL, index);
    compiler->is_reference[at] = !compiler->failed;
}

static void write_expression(struct compiler *compiler, grammar_expression index, bool tail) {
    const struct expression *expression = &compiler->builder->expressions[index];
    if (compiler->failed || (compiler->sizes[index] == 0 && !tail)) {
        return;
    }
    switch (expression->kind) {
    case EXPRESSION_TEXT:
        write_text(compiler, expression);
        write_return(compiler, tail);
        break;
    case EXPRESSION_CHARACTERS:
        write_characters(compiler, expression);
        write_return(compiler, tail);
        break;
    case EXPRESSION_SEQUENCE:
        write_sequence(compiler, expression, tail);
        break;
    case EXPRESSION_CHOICE:
        write_choice(compiler, expression, tail);
        break;
    case EXPRESSION_REPEAT:
        write_repeat(compiler, expression);
        write_return(compiler, tail);
        break;
    case EXPRESSION_RULE:
        write_rule(compiler, expression->first, tail);
        break;
    }
}

/* ---- What is not empty ---- */

/* One way to be not empty: the first part that is not, then all that follows. A choice has one part a
 * way. */
static void write_way(struct compiler *compiler, const struct expression *expression, size_t first,
                      bool tail) {
    const grammar_expression *parts = expression_parts(compiler->builder, expression);
    size_t end = expression->kind == EXPRESSION_CHOICE ? first + 1 : expression->count;
    write_not_empty(compiler, parts[first], tail && first + 1 == end);
    for (size_t i = first + 1; i < end; i++) {
        write_expression(compiler, parts[i], tail && i + 1 == end);
    }
}

static void write_ways(struct compiler *compiler, const struct expression *expression, bool tail) {
    const grammar_expression *parts = expression_parts(compiler->builder, expression);
    uint32_t jumps = UINT32_MAX;
    size_t left = 0;
    for (size_t i = 0; i < expression->count; i++) {
        left += compiler->builder->more[parts[i]];
    }
    for (size_t i = 0; i < expression->count && !compiler->failed; i++) {
        if (!compiler->builder->more[parts[i]]) {
            continue;
        }
        bool last = --left == 0;
        size_t split = last ? 0 : write_instruction(compiler, GRAMMAR_SPLIT, 0);
        write_way(compiler, expression, i, tail);
        if (!last) {
            if (!tail) {
                jumps = (uint32_t)write_instruction(compiler, GRAMMAR_JUMP, jumps);
            }
            set_target(compiler, split);
        }
    }
    point_all_here(compiler, jumps);
}

/* Rules are written in place: they cannot come back to themselves before a byte. But they may be many,
 * one within the other. */
static void write_not_empty(struct compiler *compiler, grammar_expression index, bool tail) {
    struct grammar_builder *builder = compiler->builder;
    const struct expression expression = builder->expressions[index];
    if (compiler->depth == NOT_EMPTY_DEPTH_MAX) {
        compiler->failed = true;
        error_set(compiler->err, ERROR_TOO_LARGE,
                  "the grammar repeats something that may be empty and nests deeper than %d levels",
                  NOT_EMPTY_DEPTH_MAX);
        return;
    }
    compiler->depth++;
    if (builder->costs[index] > 0) {
        write_expression(compiler, index, tail);
    } else if (expression.kind == EXPRESSION_RULE) {
        write_not_empty(compiler, builder->rules[expression.first].definition, tail);
    } else if (expression.kind == EXPRESSION_REPEAT) {
        grammar_expression part = builder->parts[expression.first];
        struct expression rest = expression;
        rest.least = 0;
        rest.most = expression.most == GRAMMAR_UNBOUNDED ? expression.most : expression.most - 1;
        write_not_empty(compiler, part, false);
        write_repeat(compiler, &rest);
        write_return(compiler, tail);
    } else {
        write_ways(compiler, &expression, tail);
    }
    compiler->depth--;
}

/* ---- Sizes ---- */

static uint32_t add_sizes(uint64_t a, uint64_t b) {
    return a + b < GRAMMAR_INSTRUCTIONS_MAX ? (uint32_t)(a + b) : GRAMMAR_INSTRUCTIONS_MAX;
}

static void measure(struct compiler *compiler, size_t index) {
    const struct expression *expression = &compiler->builder->expressions[index];
    const grammar_expression *parts = expression_parts(compiler->builder, expression);
    const bool has_parts = expression->kind == EXPRESSION_SEQUENCE ||
                           expression->kind == EXPRESSION_CHOICE ||
                           expression->kind == EXPRESSION_REPEAT;
    uint32_t size = 0;
    bool leaf = expression->kind != EXPRESSION_RULE;
    for (size_t i = 0; has_parts && i < expression->count; i++) {
        size = add_sizes(size, compiler->sizes[parts[i]]);
        size = add_sizes(size, expression->kind == EXPRESSION_CHOICE ? 2 : 0);
        leaf = leaf && compiler->leaves[parts[i]];
    }
    if (expression->kind == EXPRESSION_TEXT) {
        size = expression->count;
    } else if (expression->kind == EXPRESSION_CHARACTERS) {
        const struct code_range *ranges = compiler->builder->ranges;
        size_t end = expression->first + expression->count;
        bool ascii = expression->count > 0 && ranges[end - 1].last < 0x80;
        size = ascii ? 1 : add_sizes(16, (uint64_t)expression->count * 8);
    } else if (expression->kind == EXPRESSION_RULE) {
        size = 1;
    } else if (expression->kind == EXPRESSION_REPEAT &&
               (expression->most == 0 || compiler->builder->costs[parts[0]] == COST_NONE)) {
        size = 0; /* it can only be empty */
    } else if (expression->kind == EXPRESSION_REPEAT && size > 0) {
        bool unrolled = is_unrolled(size, expression->least, expression->most);
        uint32_t times =
            expression->most == GRAMMAR_UNBOUNDED ? expression->least + 1 : expression->most;
        size = unrolled ? add_sizes(2, ((uint64_t)size + 1) * times) : add_sizes(2, size);
    }
    compiler->sizes[index] = size;
    compiler->leaves[index] = leaf;
}

/* ---- Classes ---- */

/* Parts the bytes of each class that a set tells apart. */
static void find_classes(struct grammar *grammar) {
    grammar->class_count = 1;
    for (size_t s = 0; s < grammar->set_count && grammar->class_count < 256; s++) {
        int renamed[256];
        memset(renamed, -1, sizeof renamed);
        bool kept[256] = {false}; /* some bytes of the class are outside of the set */
        for (size_t byte = 0; byte < 256; byte++) {
            kept[grammar->classes[byte]] |= !byte_set_has(&grammar->sets[s], byte);
        }
        for (size_t byte = 0; byte < 256; byte++) {
            uint8_t class = grammar->classes[byte];
            if (byte_set_has(&grammar->sets[s], byte) && kept[class]) {
                if (renamed[class] < 0) {
                    renamed[class] = (int)grammar->class_count++;
                }
                grammar->classes[byte] = (uint8_t)renamed[class];
            }
        }
    }
    for (size_t s = 0; s < grammar->set_count; s++) {
        struct byte_set of_classes = {0};
        for (size_t byte = 0; byte < 256; byte++) {
            if (byte_set_has(&grammar->sets[s], byte)) {
                byte_set_add(&of_classes, grammar->classes[byte]);
            }
        }
        grammar->sets[s] = of_classes;
    }
}

/* ---- Costs ---- */

static uint32_t sum_of_costs(uint64_t a, uint64_t b) {
    return a == COST_NONE || b == COST_NONE ? COST_NONE
           : a + b < COST_MOST              ? (uint32_t)(a + b)
                                            : COST_MOST;
}

static uint32_t cost_at(const struct compiler *compiler, size_t at) {
    const struct grammar *grammar = compiler->grammar;
    const struct grammar_instruction *instruction = &grammar->program[at];
    const uint32_t next = at + 1 < grammar->length ? grammar->costs[at + 1] : COST_NONE;
    const uint32_t target =
        compiler->is_reference[at] ? compiler->builder->rules[instruction->operand].cost
        : instruction->operand < grammar->length ? grammar->costs[instruction->operand]
                                                 : COST_NONE;
    switch (instruction->operation) {
    case GRAMMAR_ACCEPT:
    case GRAMMAR_RETURN:
        return 0;
    case GRAMMAR_BYTES:
        return sum_of_costs(1, next);
    case GRAMMAR_SPLIT:
        return next < target ? next : target;
    case GRAMMAR_JUMP:
        return target;
    case GRAMMAR_CALL:
        return sum_of_costs(target, next);
    case GRAMMAR_LOOP: {
        const struct grammar_loop *loop = &grammar->loops[instruction->operand];
        uint64_t body = (uint64_t)loop->cost * loop->least;
        return sum_of_costs(body < COST_MOST ? body : COST_MOST, grammar->costs[loop->end]);
    }
    }
    return COST_NONE;
}

/* Backwards, as most instructions lead forward; the round of a repetition is known only afterwards,
 * but it is never the way to the end that costs the least. */
static void find_instruction_costs(struct compiler *compiler) {
    struct grammar *grammar = compiler->grammar;
    memset(grammar->costs, 0xFF, grammar->length * sizeof *grammar->costs);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t at = grammar->length; at-- > 0;) {
            uint32_t cost = cost_at(compiler, at);
            changed = changed || cost != grammar->costs[at];
            grammar->costs[at] = cost;
        }
    }
}

/* ---- All of it ---- */

static bool open_compiler(struct compiler *compiler) {
    struct grammar_builder *builder = compiler->builder;
    struct grammar *grammar = compiler->grammar = calloc(1, sizeof *grammar);
    compiler->set_places = calloc(SET_PLACES, sizeof *compiler->set_places);
    compiler->set_next = calloc(GRAMMAR_INSTRUCTIONS_MAX, sizeof *compiler->set_next);
    compiler->sizes = calloc(builder->expression_count + 1, sizeof *compiler->sizes);
    compiler->leaves = calloc(builder->expression_count + 1, sizeof *compiler->leaves);
    compiler->waiting = calloc(builder->rule_count + 1, sizeof *compiler->waiting);
    compiler->is_reference = calloc(GRAMMAR_INSTRUCTIONS_MAX, sizeof *compiler->is_reference);
    if (grammar == NULL || compiler->set_places == NULL || compiler->set_next == NULL ||
        compiler->sizes == NULL || compiler->leaves == NULL || compiler->waiting == NULL ||
        compiler->is_reference == NULL) {
        return false;
    }
    atomic_init(&grammar->holders, 1);
    grammar->trie = builder->trie;
    grammar->program = calloc(GRAMMAR_INSTRUCTIONS_MAX, sizeof *grammar->program);
    grammar->sets = calloc(GRAMMAR_INSTRUCTIONS_MAX, sizeof *grammar->sets);
    grammar->loops = calloc(GRAMMAR_INSTRUCTIONS_MAX, sizeof *grammar->loops);
    return grammar->program != NULL && grammar->sets != NULL && grammar->loops != NULL;
}

static void close_compiler(struct compiler *compiler) {
    free(compiler->set_places);
    free(compiler->set_next);
    free(compiler->sizes);
    free(compiler->leaves);
    free(compiler->waiting);
    free(compiler->is_reference);
    grammar_release(compiler->grammar);
}

static void write_program(struct compiler *compiler, grammar_expression root) {
    struct grammar_builder *builder = compiler->builder;
    struct grammar *grammar = compiler->grammar;
    for (size_t i = 0; i < builder->expression_count; i++) {
        measure(compiler, i);
    }
    for (size_t i = 0; i < builder->rule_count; i++) {
        builder->rules[i].entry = NOT_DEFINED;
    }
    write_instruction(compiler, GRAMMAR_ACCEPT, 0);
    grammar->start = (uint32_t)here(compiler);
    write_expression(compiler, root, true);
    for (size_t i = 0; i < compiler->waiting_count && !compiler->failed; i++) {
        struct rule *rule = &builder->rules[compiler->waiting[i]];
        rule->entry = (uint32_t)here(compiler);
        write_expression(compiler, rule->definition, true);
    }
}

static void *shrink(void *memory, size_t count, size_t size) {
    void *shrunk = reallocarray(memory, count + 1, size);
    return shrunk != NULL ? shrunk : memory;
}

/* Gives back what was reserved and not needed, and makes instructions of rules. */
static bool finish_program(struct compiler *compiler) {
    struct grammar *grammar = compiler->grammar;
    grammar->costs = calloc(grammar->length, sizeof *grammar->costs);
    if (grammar->costs == NULL) {
        return false;
    }
    find_instruction_costs(compiler);
    for (size_t i = 0; i < grammar->length; i++) {
        struct grammar_instruction *instruction = &grammar->program[i];
        if (compiler->is_reference[i]) {
            instruction->operand = compiler->builder->rules[instruction->operand].entry;
        }
    }
    find_classes(grammar);
    grammar->program = shrink(grammar->program, grammar->length, sizeof *grammar->program);
    grammar->sets = shrink(grammar->sets, grammar->set_count, sizeof *grammar->sets);
    grammar->loops = shrink(grammar->loops, grammar->loop_count, sizeof *grammar->loops);
    return true;
}

bool grammar_compile(struct grammar_builder *builder, grammar_expression root, struct grammar **out,
                     struct error *err) {
    struct error failure = {0};
    struct compiler compiler = {.builder = builder, .err = &failure};
    bool ok = open_compiler(&compiler);
    if (ok) {
        write_program(&compiler, root);
        if (compiler.failed && failure.code == ERROR_NONE) {
            error_set(&failure, ERROR_TOO_LARGE,
                      "the grammar is too large: it has more than %d instructions",
                      GRAMMAR_INSTRUCTIONS_MAX);
        }
        ok = !compiler.failed && finish_program(&compiler);
    }
    if (ok) {
        *out = grammar_acquire(compiler.grammar);
    } else if (failure.code == ERROR_NONE) {
        error_set(&failure, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    close_compiler(&compiler);
    return ok || error_set(err, failure.code, "%s", failure.text);
}
