#include "engine/text/grammar/grammar_expressions.h"

#include <stdlib.h>
#include <string.h>

/* Steps of the search for costs: expressions and parts times rounds; some 100 ms. */
enum { ANALYSIS_STEPS_MAX = 1 << 24 };

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
    const grammar_expression *parts = expression_parts(builder, expression);
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
        return builder->costs[builder->rules[expression->first].definition];
    }
    return COST_NONE;
}

/* Can something match that is not empty? */
static bool may_be_more(const struct grammar_builder *builder, size_t index) {
    const struct expression *expression = &builder->expressions[index];
    const grammar_expression *parts = expression_parts(builder, expression);
    if (builder->costs[index] == COST_NONE) {
        return false;
    }
    switch (expression->kind) {
    case EXPRESSION_TEXT:
    case EXPRESSION_CHARACTERS:
        return expression->count > 0;
    case EXPRESSION_REPEAT:
        return expression->most > 0 && builder->more[parts[0]];
    case EXPRESSION_RULE:
        return builder->more[builder->rules[expression->first].definition];
    case EXPRESSION_SEQUENCE:
    case EXPRESSION_CHOICE:
        break;
    }
    for (size_t i = 0; i < expression->count; i++) {
        if (builder->more[parts[i]]) {
            return true;
        }
    }
    return false;
}

struct frame {
    grammar_expression expression;
    uint32_t next; /* of its parts */
    bool over;     /* a part that needs a byte has come */
};

static bool next_part(const struct grammar_builder *builder, struct frame *frame,
                      grammar_expression *part) {
    const struct expression *expression = &builder->expressions[frame->expression];
    if (expression->kind == EXPRESSION_TEXT || expression->kind == EXPRESSION_CHARACTERS) {
        return false;
    }
    if (expression->kind == EXPRESSION_RULE) {
        *part = builder->rules[expression->first].definition;
        return frame->next++ == 0;
    }
    if (frame->next == expression->count) {
        return false;
    }
    *part = builder->parts[expression->first + frame->next++];
    return true;
}

/* All expressions below one, parts first; but where rules come back to themselves, that cannot be. */
static void order_from(const struct grammar_builder *builder, grammar_expression root, bool *seen,
                       struct frame *stack, grammar_expression *order, size_t *ordered) {
    size_t depth = 0;
    stack[depth++] = (struct frame){.expression = root};
    seen[root] = true;
    while (depth > 0) {
        grammar_expression part;
        if (!next_part(builder, &stack[depth - 1], &part)) {
            order[(*ordered)++] = stack[--depth].expression;
        } else if (!seen[part]) {
            seen[part] = true;
            stack[depth++] = (struct frame){.expression = part};
        }
    }
}

static bool lower_costs(struct grammar_builder *builder, const grammar_expression *order) {
    bool changed = false;
    for (size_t i = 0; i < builder->expression_count; i++) {
        grammar_expression index = order[i];
        uint32_t cost = cost_of(builder, &builder->expressions[index]);
        changed = changed || cost != builder->costs[index];
        builder->costs[index] = cost;
        bool more = may_be_more(builder, index);
        changed = changed || more != builder->more[index];
        builder->more[index] = more;
    }
    return changed;
}

/* Costs fall from round to round, to the least that satisfies all rules. Rules that do not come back to
 * themselves take one round. */
static bool find_costs(struct grammar_builder *builder, const grammar_expression *order,
                       struct error *err) {
    size_t steps = 0;
    memset(builder->costs, 0xFF, builder->expression_count * sizeof *builder->costs);
    while (lower_costs(builder, order)) {
        steps += builder->expression_count + builder->part_count;
        if (steps > ANALYSIS_STEPS_MAX) {
            return error_set(err, ERROR_TOO_LARGE,
                             "the grammar's %zu rules depend on each other over too many others",
                             builder->rule_count);
        }
    }
    for (size_t i = 0; i < builder->rule_count; i++) {
        struct rule *rule = &builder->rules[i];
        rule->cost = rule->definition != NOT_DEFINED ? builder->costs[rule->definition] : COST_NONE;
    }
    return true;
}

static bool find_costs_in_order(struct grammar_builder *builder, struct error *err) {
    size_t count = builder->expression_count;
    bool *seen = calloc(count, sizeof *seen);
    struct frame *stack = calloc(count, sizeof *stack);
    grammar_expression *order = calloc(count, sizeof *order);
    bool ok = seen != NULL && stack != NULL && order != NULL;
    size_t ordered = 0;
    for (size_t i = 0; ok && i < count; i++) {
        if (!seen[i]) {
            order_from(builder, (grammar_expression)i, seen, stack, order, &ordered);
        }
    }
    ok = ok ? find_costs(builder, order, err)
            : error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    free(seen);
    free(stack);
    free(order);
    return ok;
}

/* ---- Rules that begin with themselves ---- */

enum mark { UNSEEN, OPEN, DONE };

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
    if (!check_defined(builder, err) || !find_costs_in_order(builder, err) ||
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
