#include "engine/text/grammar/grammar_expressions.h"

#include <stdlib.h>

/* Steps of the search for costs: expressions times rounds. */
enum { ANALYSIS_STEPS_MAX = 1 << 26 };

/* ---- Costs ---- */

static uint32_t add_costs(uint32_t a, uint32_t b) {
    if (a == COST_NONE || b == COST_NONE) {
        return COST_NONE;
    }
    return a + b < COST_MOST ? a + b : COST_MOST;
}

static uint32_t multiply_cost(uint32_t cost, uint32_t times) {
    if (cost == COST_NONE) {
        return COST_NONE;
    }
    uint64_t product = (uint64_t)cost * times;
    return product < COST_MOST ? (uint32_t)product : COST_MOST;
}

static uint32_t cost_of_characters(const struct grammar_builder *builder,
                                   const struct expression *expression) {
    if (expression->count == 0) {
        return COST_NONE;
    }
    uint32_t code = builder->ranges[expression->first].first; /* ranges ascend */
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static uint32_t cost_of(const struct grammar_builder *builder,
                        const struct expression *expression) {
    const grammar_expression *parts = builder->parts + expression->first;
    uint32_t cost = expression->kind == EXPRESSION_CHOICE ? COST_NONE : 0;
    switch (expression->kind) {
    case EXPRESSION_TEXT:
        return expression->count;
    case EXPRESSION_CHARACTERS:
        return cost_of_characters(builder, expression);
    case EXPRESSION_SEQUENCE:
        for (size_t i = 0; i < expression->count; i++) {
            cost = add_costs(cost, builder->costs[parts[i]]);
        }
        return cost;
    case EXPRESSION_CHOICE:
        for (size_t i = 0; i < expression->count; i++) {
            cost = builder->costs[parts[i]] < cost ? builder->costs[parts[i]] : cost;
        }
        return cost;
    case EXPRESSION_REPEAT:
        if (expression->least > expression->most) {
            return COST_NONE;
        }
        return expression->least == 0 ? 0
                                      : multiply_cost(builder->costs[parts[0]], expression->least);
    case EXPRESSION_RULE:
        return builder->rules[expression->first].cost;
    }
    return COST_NONE;
}

/* One round: expressions in the order in which they were made, which is parts first; then what that
 * means for the rules. */
static bool lower_costs(struct grammar_builder *builder) {
    bool lowered = false;
    for (size_t i = 0; i < builder->expression_count; i++) {
        builder->costs[i] = cost_of(builder, &builder->expressions[i]);
    }
    for (size_t i = builder->rule_count; i-- > 0;) {
        struct rule *rule = &builder->rules[i];
        uint32_t cost =
            rule->definition != NOT_DEFINED ? builder->costs[rule->definition] : COST_NONE;
        lowered = lowered || cost < rule->cost;
        rule->cost = cost;
    }
    return lowered;
}

/* Costs fall from round to round, to the least that satisfies all rules. */
static bool find_costs(struct grammar_builder *builder, struct error *err) {
    for (size_t i = 0; i < builder->rule_count; i++) {
        builder->rules[i].cost = COST_NONE;
    }
    size_t steps = 0;
    while (lower_costs(builder)) {
        steps += builder->expression_count;
        if (steps > ANALYSIS_STEPS_MAX) {
            return error_set(err, ERROR_TOO_LARGE,
                             "the grammar's %zu rules depend on each other over too many others",
                             builder->rule_count);
        }
    }
    return true;
}

/* ---- Rules that begin with themselves ---- */

enum mark { UNSEEN, OPEN, DONE };

struct frame {
    grammar_expression expression;
    uint32_t next; /* of its parts */
    bool over;     /* a part that needs a byte has come */
};

/* What an expression may begin with, part by part; false when there is nothing more. */
static bool next_beginning(const struct grammar_builder *builder, struct frame *frame,
                           grammar_expression *beginning) {
    const struct expression *expression = &builder->expressions[frame->expression];
    if (expression->kind == EXPRESSION_RULE) {
        *beginning = builder->rules[expression->first].definition;
        return frame->next++ == 0;
    }
    bool has_parts = expression->kind == EXPRESSION_SEQUENCE ||
                     expression->kind == EXPRESSION_CHOICE ||
                     (expression->kind == EXPRESSION_REPEAT && expression->most > 0);
    while (has_parts && !frame->over && frame->next < expression->count) {
        *beginning = builder->parts[expression->first + frame->next++];
        uint32_t cost = builder->costs[*beginning];
        frame->over = expression->kind == EXPRESSION_SEQUENCE && cost > 0;
        if (cost != COST_NONE) {
            return true;
        }
    }
    return false;
}

/* A walk, depth first, from each expression to those that it may begin with. */
static bool find_left_recursion(const struct grammar_builder *builder, grammar_expression root,
                                unsigned char *marks, struct frame *stack, struct error *err) {
    size_t depth = 0;
    stack[depth++] = (struct frame){.expression = root};
    marks[root] = OPEN;
    while (depth > 0) {
        struct frame *frame = &stack[depth - 1];
        grammar_expression beginning;
        if (!next_beginning(builder, frame, &beginning)) {
            marks[frame->expression] = DONE;
            depth--;
        } else if (marks[beginning] == UNSEEN) {
            marks[beginning] = OPEN;
            stack[depth++] = (struct frame){.expression = beginning};
        } else if (marks[beginning] == OPEN) {
            while (builder->expressions[stack[depth - 1].expression].kind != EXPRESSION_RULE) {
                depth--;
            }
            size_t rule = builder->expressions[stack[depth - 1].expression].first;
            return error_set(err, ERROR_INVALID,
                             "the grammar's rule \"%s\" begins with itself (left recursion): "
                             "write it as a repetition",
                             builder->rules[rule].name);
        }
    }
    return true;
}

/* All expressions that can be reached, not only at the beginning: each is the root of a walk. */
static bool check_left_recursion(const struct grammar_builder *builder, struct error *err) {
    size_t count = builder->expression_count;
    unsigned char *marks = calloc(count, 1);
    struct frame *stack = calloc(count, sizeof *stack);
    bool ok = marks != NULL && stack != NULL;
    if (!ok) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    for (size_t i = 0; ok && i < count; i++) {
        if (marks[i] == UNSEEN && builder->costs[i] != COST_NONE) {
            ok = find_left_recursion(builder, (grammar_expression)i, marks, stack, err);
        }
    }
    free(marks);
    free(stack);
    return ok;
}

/* ---- All of it ---- */

static bool check_defined(const struct grammar_builder *builder, struct error *err) {
    for (size_t i = 0; i < builder->expression_count; i++) {
        const struct expression *expression = &builder->expressions[i];
        if (expression->kind == EXPRESSION_RULE &&
            builder->rules[expression->first].definition == NOT_DEFINED) {
            return error_set(err, ERROR_INVALID, "the grammar's rule \"%s\" is not defined",
                             builder->rules[expression->first].name);
        }
    }
    return true;
}

bool grammar_analyze(struct grammar_builder *builder, grammar_expression root, struct error *err) {
    if (!check_defined(builder, err) || !find_costs(builder, err) ||
        !check_left_recursion(builder, err)) {
        return false;
    }
    if (builder->costs[root] == COST_NONE) {
        return error_set(err, ERROR_INVALID,
                         "the grammar matches no text at all, or none that this model's "
                         "vocabulary can spell");
    }
    return true;
}
