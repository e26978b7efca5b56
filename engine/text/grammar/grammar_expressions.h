/* What a grammar_builder has collected: shared by the builder, the analysis and the compiler. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_EXPRESSIONS_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_EXPRESSIONS_H

#include "engine/text/grammar/grammar_builder.h"

enum {
    EXPRESSIONS_MAX = 1 << 18,
    PARTS_MAX = 1 << 20,
    TEXT_BYTES_MAX = 1 << 22,
    RANGES_MAX = 1 << 18,
    RULES_MAX = 1 << 14,
    EXPRESSION_DEPTH_MAX = 512, /* functions call themselves for each level */
};

enum expression_kind {
    EXPRESSION_TEXT,       /* text[first, first + count) */
    EXPRESSION_CHARACTERS, /* ranges[first, first + count): ascending, apart, spelled */
    EXPRESSION_SEQUENCE,   /* parts[first, first + count) */
    EXPRESSION_CHOICE,     /* the same */
    EXPRESSION_REPEAT,     /* parts[first], least to most times */
    EXPRESSION_RULE,       /* rules[first] */
};

struct expression {
    enum expression_kind kind;
    uint32_t first;
    uint32_t count;
    uint32_t least;
    uint32_t most;
    uint32_t depth;
};

/* Bytes that an expression takes at the least; more than there are count as COST_MOST. */
#define COST_NONE UINT32_MAX /* it matches nothing */
#define COST_MOST (UINT32_C(1) << 30)

#define NOT_DEFINED UINT32_MAX

struct rule {
    char name[48];
    grammar_expression definition; /* or NOT_DEFINED */
    uint32_t cost;
    uint32_t entry; /* instruction, or NOT_DEFINED */
};

struct grammar_builder {
    const struct token_trie *trie;
    struct expression *expressions; /* parts come before what they are part of */
    size_t expression_count;
    size_t expression_capacity;
    grammar_expression *parts;
    size_t part_count;
    size_t part_capacity;
    struct code_range *ranges;
    size_t range_count;
    size_t range_capacity;
    char *text;
    size_t text_length;
    size_t text_capacity;
    struct rule *rules;
    size_t rule_count;
    size_t rule_capacity;
    struct error error;
    uint64_t work;

    /* Of the expressions, from grammar_analyze on. */
    uint32_t *costs;
    bool *more; /* can match something that is not empty */
};

/* The parts of an expression that has some; NULL of any other. */
static inline const grammar_expression *expression_parts(const struct grammar_builder *builder,
                                                         const struct expression *expression) {
    switch (expression->kind) {
    case EXPRESSION_SEQUENCE:
    case EXPRESSION_CHOICE:
    case EXPRESSION_REPEAT:
        return expression->count > 0 ? builder->parts + expression->first : NULL;
    case EXPRESSION_TEXT:
    case EXPRESSION_CHARACTERS:
    case EXPRESSION_RULE:
        break;
    }
    return NULL;
}

/* Finds the costs, and what can only be empty; checks that all rules that are used are defined, that
 * none begins with itself, and that the root can match something. */
bool grammar_analyze(struct grammar_builder *builder, grammar_expression root, struct error *err);

/* After grammar_analyze. */
bool grammar_compile(struct grammar_builder *builder, grammar_expression root, struct grammar **out,
                     struct error *err);

#endif
