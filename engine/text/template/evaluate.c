#include "engine/text/template/evaluate.h"

#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <string.h>

/* ---- Variables ---- */

struct template_scope *template_new_scope(struct template_render *render,
                                          struct template_scope *outer) {
    struct template_scope *scope = template_allocate(render, 1, sizeof *scope);
    if (scope != NULL) {
        scope->outer = outer;
    }
    return scope;
}

bool template_bind(struct template_render *render, uint32_t symbol, struct template_value value) {
    struct template_scope *scope = render->scope;
    for (size_t i = 0; i < scope->count; i++) {
        if (scope->bindings[i].symbol == symbol) {
            scope->bindings[i].value = value;
            return true;
        }
    }
    if (scope->count == scope->capacity) {
        size_t capacity = scope->capacity > 0 ? 2 * scope->capacity : 4;
        struct template_binding *bindings = template_allocate(render, capacity, sizeof *bindings);
        if (bindings == NULL) {
            return false;
        }
        if (scope->count > 0) {
            memcpy(bindings, scope->bindings, scope->count * sizeof *bindings);
        }
        scope->bindings = bindings;
        scope->capacity = capacity;
    }
    scope->bindings[scope->count++] = (struct template_binding){symbol, value};
    return template_spend(render, scope->count / 8);
}

static bool find_bound(struct template_render *render, uint32_t symbol,
                       struct template_value *result) {
    for (const struct template_scope *scope = render->scope; scope != NULL; scope = scope->outer) {
        for (size_t i = 0; i < scope->count; i++) {
            if (scope->bindings[i].symbol == symbol) {
                *result = scope->bindings[i].value;
                return true;
            }
        }
        template_spend(render, scope->count / 8);
    }
    return false;
}

bool template_get_variable(struct template_render *render, uint32_t symbol,
                           struct template_value *result) {
    if (find_bound(render, symbol, result)) {
        return true;
    }
    struct template_text name = template_symbol_name(render->template, symbol);
    const struct template_value *input =
        template_dict_find(render->inputs->variables, template_from(name));
    if (input != NULL) {
        *result = *input;
        return !render->failed;
    }
    const struct template_builtin *builtin = template_find_function(name);
    if (builtin == NULL) {
        *result = template_undefined(ORIGIN_VARIABLE, name, TEMPLATE_ABSENT);
        return !render->failed;
    }
    struct template_function *function = template_allocate(render, 1, sizeof *function);
    if (function == NULL) {
        return false;
    }
    function->builtin = builtin;
    *result = (struct template_value){.type = TEMPLATE_FUNCTION, .function = function};
    return true;
}

/* ---- Expressions, a function for each kind ---- */

typedef bool evaluate_function(struct template_render *render,
                               const struct template_expression *expression,
                               struct template_value *result);

static bool evaluate_constant(struct template_render *render,
                              const struct template_expression *expression,
                              struct template_value *result) {
    (void)render;
    *result = expression->constant;
    return true;
}

static bool evaluate_name(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    return template_get_variable(render, expression->symbol, result);
}

static bool evaluate_block(struct template_render *render,
                           const struct template_expression *expression,
                           struct template_value *result) {
    (void)expression;
    *result = render->block;
    return true;
}

static bool evaluate_list(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    struct template_list *list;
    if (!template_new_list(render, &list)) {
        return false;
    }
    for (uint32_t i = 0; i < expression->operand_count; i++) {
        struct template_value item;
        if (!template_evaluate(render, expression->operands[i], &item) ||
            !template_push(render, list, item)) {
            return false;
        }
    }
    *result = template_from_list(list);
    return true;
}

static bool evaluate_tuple(struct template_render *render,
                           const struct template_expression *expression,
                           struct template_value *result) {
    bool fine = evaluate_list(render, expression, result);
    result->type = TEMPLATE_TUPLE;
    return fine;
}

static bool evaluate_dict(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    struct template_dict *dict;
    if (!template_new_dict(render, &dict)) {
        return false;
    }
    for (uint32_t i = 0; i < expression->operand_count; i += 2) {
        struct template_value key;
        struct template_value value;
        if (!template_evaluate(render, expression->operands[i], &key) ||
            !template_evaluate(render, expression->operands[i + 1], &value) ||
            !template_set(render, dict, key, value)) {
            return false;
        }
    }
    *result = template_from_dict(dict);
    return true;
}

static bool evaluate_attribute(struct template_render *render,
                               const struct template_expression *expression,
                               struct template_value *result) {
    struct template_value object;
    return template_evaluate(render, expression->operands[0], &object) &&
           template_get_attribute(render, object, expression->name, result);
}

static bool evaluate_item(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    struct template_value object;
    struct template_value key;
    return template_evaluate(render, expression->operands[0], &object) &&
           template_evaluate(render, expression->operands[1], &key) &&
           template_get_item(render, object, key, result);
}

static bool evaluate_slice(struct template_render *render,
                           const struct template_expression *expression,
                           struct template_value *result) {
    struct template_value object;
    struct template_value bounds[3] = {{.type = TEMPLATE_ABSENT}};
    if (!template_evaluate(render, expression->operands[0], &object)) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        if (expression->operands[i + 1] != NULL &&
            !template_evaluate(render, expression->operands[i + 1], &bounds[i])) {
            return false;
        }
    }
    return template_get_slice(render, object, bounds, result);
}

static bool evaluate_call(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    struct template_value callee;
    struct template_arguments arguments;
    return template_evaluate(render, expression->operands[0], &callee) &&
           template_evaluate_arguments(render, expression->arguments, &arguments) &&
           template_call(render, callee, &arguments, result);
}

/* A filter, or a test. */
static bool evaluate_builtin(struct template_render *render,
                             const struct template_expression *expression,
                             struct template_value *result) {
    struct template_value input;
    struct template_arguments arguments;
    if (expression->builtin == NULL) {
        return template_fail(render, ERROR_INVALID, "there is no %s '%.*s'",
                             expression->kind == EXPRESSION_FILTER ? "filter" : "test",
                             template_shown(expression->builtin_name),
                             expression->builtin_name.bytes);
    }
    return template_evaluate(render, expression->operands[0], &input) &&
           template_evaluate_arguments(render, expression->arguments, &arguments) &&
           template_run_builtin(render, expression->builtin, input, &arguments, result);
}

static bool evaluate_not(struct template_render *render,
                         const struct template_expression *expression,
                         struct template_value *result) {
    struct template_value operand;
    bool fine = template_evaluate(render, expression->operands[0], &operand);
    *result = template_from_boolean(fine && !template_is_true(operand));
    return fine;
}

/* The last operand that had to be looked at, as in Python. */
static bool evaluate_and(struct template_render *render,
                         const struct template_expression *expression,
                         struct template_value *result) {
    return template_evaluate(render, expression->operands[0], result) &&
           (!template_is_true(*result) ||
            template_evaluate(render, expression->operands[1], result));
}

static bool evaluate_or(struct template_render *render,
                        const struct template_expression *expression,
                        struct template_value *result) {
    return template_evaluate(render, expression->operands[0], result) &&
           (template_is_true(*result) ||
            template_evaluate(render, expression->operands[1], result));
}

static bool evaluate_conditional(struct template_render *render,
                                 const struct template_expression *expression,
                                 struct template_value *result) {
    struct template_value condition;
    if (!template_evaluate(render, expression->operands[0], &condition)) {
        return false;
    }
    if (template_is_true(condition)) {
        return template_evaluate(render, expression->operands[1], result);
    }
    if (expression->operands[2] != NULL) {
        return template_evaluate(render, expression->operands[2], result);
    }
    *result = template_undefined_because("the condition before is false, and no else follows");
    return true;
}

static bool evaluate_sign(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    struct template_value operand;
    return template_evaluate(render, expression->operands[0], &operand) &&
           template_sign(render, expression->operation, operand, result);
}

static bool evaluate_arithmetic(struct template_render *render,
                                const struct template_expression *expression,
                                struct template_value *result) {
    struct template_value left;
    struct template_value right;
    return template_evaluate(render, expression->operands[0], &left) &&
           template_evaluate(render, expression->operands[1], &right) &&
           template_arithmetic(render, expression->operation, left, right, result);
}

static bool evaluate_join(struct template_render *render,
                          const struct template_expression *expression,
                          struct template_value *result) {
    size_t begin = template_begin(render);
    for (uint32_t i = 0; i < expression->operand_count; i++) {
        struct template_value part;
        if (!template_evaluate(render, expression->operands[i], &part) ||
            !template_print(render, part)) {
            return false;
        }
    }
    return template_take(render, begin, result);
}

static bool evaluate_compare(struct template_render *render,
                             const struct template_expression *expression,
                             struct template_value *result) {
    struct template_value left;
    bool holds = true;
    if (!template_evaluate(render, expression->operands[0], &left)) {
        return false;
    }
    for (uint32_t i = 1; holds && i < expression->operand_count; i++) {
        struct template_value right;
        if (!template_evaluate(render, expression->operands[i], &right) ||
            !template_compare(render, expression->comparisons[i - 1], left, right, &holds)) {
            return false;
        }
        left = right;
    }
    *result = template_from_boolean(holds);
    return true;
}

static evaluate_function *const functions[EXPRESSION_KIND_COUNT] = {
    [EXPRESSION_CONSTANT] = evaluate_constant,
    [EXPRESSION_NAME] = evaluate_name,
    [EXPRESSION_BLOCK] = evaluate_block,
    [EXPRESSION_LIST] = evaluate_list,
    [EXPRESSION_TUPLE] = evaluate_tuple,
    [EXPRESSION_DICT] = evaluate_dict,
    [EXPRESSION_ATTRIBUTE] = evaluate_attribute,
    [EXPRESSION_ITEM] = evaluate_item,
    [EXPRESSION_SLICE] = evaluate_slice,
    [EXPRESSION_CALL] = evaluate_call,
    [EXPRESSION_FILTER] = evaluate_builtin,
    [EXPRESSION_TEST] = evaluate_builtin,
    [EXPRESSION_NOT] = evaluate_not,
    [EXPRESSION_AND] = evaluate_and,
    [EXPRESSION_OR] = evaluate_or,
    [EXPRESSION_CONDITIONAL] = evaluate_conditional,
    [EXPRESSION_SIGN] = evaluate_sign,
    [EXPRESSION_ARITHMETIC] = evaluate_arithmetic,
    [EXPRESSION_JOIN] = evaluate_join,
    [EXPRESSION_COMPARE] = evaluate_compare,
};

bool template_evaluate(struct template_render *render, const struct template_expression *expression,
                       struct template_value *result) {
    *result = (struct template_value){.type = TEMPLATE_ABSENT};
    bool fine = template_enter(render) && functions[expression->kind](render, expression, result);
    template_leave(render);
    return fine || template_fail_at(render, expression->line);
}
