#include "engine/text/template/evaluate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <string.h>

typedef enum template_flow execute_function(struct template_render *render,
                                            const struct template_statement *statement);

static enum template_flow on_if(bool fine) {
    return fine ? FLOW_ON : FLOW_FAILED;
}

/* ---- Assignments ---- */

static bool assign_parts(struct template_render *render, const struct template_target *parts,
                         struct template_value value) {
    struct template_iterator *iterator = template_iterate(render, value);
    struct template_value item;
    size_t found = 0;
    size_t expected = 0;
    for (const struct template_target *part = parts; part != NULL; part = part->next) {
        expected++;
    }
    if (iterator == NULL) {
        return false;
    }
    for (; template_next(render, iterator, &item); found++) {
        if (parts == NULL) {
            return template_fail(render, ERROR_INVALID, "more than %zu values to assign", expected);
        }
        if (!template_assign(render, parts, item)) {
            return false;
        }
        parts = parts->next;
    }
    return parts == NULL
               ? !render->failed
               : template_fail(render, ERROR_INVALID, "expected %zu values to assign, found %zu",
                               expected, found);
}

static bool assign_member(struct template_render *render, const struct template_target *target,
                          struct template_value value) {
    struct template_value object;
    if (!template_get_variable(render, target->symbol, &object)) {
        return false;
    }
    if (object.type != TEMPLATE_NAMESPACE) {
        struct template_text name = template_symbol_name(render->template, target->symbol);
        return template_fail(render, ERROR_INVALID,
                             "'%.*s' is no namespace, which a member can be assigned to",
                             template_shown(name), name.bytes);
    }
    return template_set(render, object.dict, template_from(target->member), value);
}

bool template_assign(struct template_render *render, const struct template_target *target,
                     struct template_value value) {
    if (target->symbol == SYMBOL_NONE) {
        return assign_parts(render, target->parts, value);
    }
    return target->member.bytes != NULL ? assign_member(render, target, value)
                                        : template_bind(render, target->symbol, value);
}

static enum template_flow execute_set(struct template_render *render,
                                      const struct template_statement *statement) {
    struct template_value value;
    return on_if(template_evaluate(render, statement->expression, &value) &&
                 template_assign(render, &statement->target, value));
}

/* ---- Bodies with a scope of their own ---- */

static enum template_flow execute_within(struct template_render *render,
                                         struct template_scope *scope,
                                         const struct template_statement *body) {
    struct template_scope *outer = render->scope;
    if (scope == NULL) {
        return FLOW_FAILED;
    }
    render->scope = scope;
    enum template_flow flow = template_execute(render, body);
    render->scope = outer;
    return flow;
}

/* The text that a body prints, through filters if there are any. A jump out of it loses it. */
static enum template_flow capture(struct template_render *render,
                                  const struct template_statement *statement,
                                  struct template_value *result) {
    size_t begin = template_begin(render);
    enum template_flow flow =
        execute_within(render, template_new_scope(render, render->scope), statement->body);
    if (flow != FLOW_ON) {
        render->text->length = flow == FLOW_FAILED ? render->text->length : begin;
        return flow;
    }
    if (!template_take(render, begin, result)) {
        return FLOW_FAILED;
    }
    if (statement->expression == NULL) {
        return FLOW_ON;
    }
    struct template_value outer = render->block;
    render->block = *result;
    bool fine = template_evaluate(render, statement->expression, result);
    render->block = outer;
    return on_if(fine);
}

static enum template_flow execute_set_block(struct template_render *render,
                                            const struct template_statement *statement) {
    struct template_value text;
    enum template_flow flow = capture(render, statement, &text);
    return flow == FLOW_ON ? on_if(template_assign(render, &statement->target, text)) : flow;
}

static enum template_flow execute_filter(struct template_render *render,
                                         const struct template_statement *statement) {
    struct template_value text;
    enum template_flow flow = capture(render, statement, &text);
    return flow == FLOW_ON ? on_if(template_print(render, text)) : flow;
}

/* The values belong to the scope around, also where a target has a name that they use. */
static enum template_flow execute_with(struct template_render *render,
                                       const struct template_statement *statement) {
    struct template_scope *outer = render->scope;
    struct template_scope *scope = template_new_scope(render, outer);
    const struct template_assignment *assignment =
        statement->kind == STATEMENT_WITH ? statement->assignments : NULL;
    for (; scope != NULL && assignment != NULL; assignment = assignment->next) {
        struct template_value value;
        if (!template_evaluate(render, assignment->value, &value)) {
            return FLOW_FAILED;
        }
        render->scope = scope;
        bool fine = template_assign(render, &assignment->target, value);
        render->scope = outer;
        if (!fine) {
            return FLOW_FAILED;
        }
    }
    return execute_within(render, scope, statement->body);
}

/* ---- Macros ---- */

static enum template_flow execute_macro(struct template_render *render,
                                        const struct template_statement *statement) {
    struct template_value macro;
    return on_if(template_make_macro(render, statement->macro, &macro) &&
                 template_bind(render, statement->macro->symbol, macro));
}

static bool add_caller(struct template_render *render, struct template_value caller,
                       struct template_arguments *arguments) {
    struct template_dict *keywords;
    if (!template_new_dict(render, &keywords)) {
        return false;
    }
    for (size_t i = 0; i < arguments->keyword_count; i++) {
        if (!template_set(render, keywords, arguments->keywords[i].key,
                          arguments->keywords[i].value)) {
            return false;
        }
    }
    if (!template_set(render, keywords, template_from_text("caller", 6), caller)) {
        return false;
    }
    arguments->keywords = keywords->entries;
    arguments->keyword_count = keywords->count;
    return true;
}

static enum template_flow execute_call(struct template_render *render,
                                       const struct template_statement *statement) {
    struct template_value caller;
    struct template_value callee;
    struct template_value result;
    struct template_arguments arguments;
    const struct template_expression *call = statement->expression;
    return on_if(template_make_macro(render, statement->macro, &caller) &&
                 template_evaluate(render, call->operands[0], &callee) &&
                 template_evaluate_arguments(render, call->arguments, &arguments) &&
                 add_caller(render, caller, &arguments) &&
                 template_call(render, callee, &arguments, &result) &&
                 template_print(render, result));
}

/* ---- The others ---- */

static enum template_flow execute_data(struct template_render *render,
                                       const struct template_statement *statement) {
    return on_if(template_append(render, statement->text));
}

static enum template_flow execute_output(struct template_render *render,
                                         const struct template_statement *statement) {
    struct template_value value;
    return on_if(template_evaluate(render, statement->expression, &value) &&
                 template_print(render, value));
}

static enum template_flow execute_if(struct template_render *render,
                                     const struct template_statement *statement) {
    const struct template_branch *branch = statement->branches;
    for (; branch != NULL && branch->condition != NULL; branch = branch->next) {
        struct template_value condition;
        if (!template_evaluate(render, branch->condition, &condition)) {
            return FLOW_FAILED;
        }
        if (template_is_true(condition)) {
            break;
        }
    }
    return branch != NULL ? template_execute(render, branch->body) : FLOW_ON;
}

static enum template_flow execute_for(struct template_render *render,
                                      const struct template_statement *statement) {
    struct template_value source;
    return template_evaluate(render, statement->loop->source, &source)
               ? template_run_loop(render, statement->loop, source, 0)
               : FLOW_FAILED;
}

static enum template_flow execute_break(struct template_render *render,
                                        const struct template_statement *statement) {
    (void)render;
    (void)statement;
    return FLOW_BREAK;
}

static enum template_flow execute_continue(struct template_render *render,
                                           const struct template_statement *statement) {
    (void)render;
    (void)statement;
    return FLOW_CONTINUE;
}

static execute_function *const functions[STATEMENT_KIND_COUNT] = {
    [STATEMENT_DATA] = execute_data,     [STATEMENT_OUTPUT] = execute_output,
    [STATEMENT_IF] = execute_if,         [STATEMENT_FOR] = execute_for,
    [STATEMENT_SET] = execute_set,       [STATEMENT_SET_BLOCK] = execute_set_block,
    [STATEMENT_FILTER] = execute_filter, [STATEMENT_MACRO] = execute_macro,
    [STATEMENT_CALL] = execute_call,     [STATEMENT_WITH] = execute_with,
    [STATEMENT_BREAK] = execute_break,   [STATEMENT_CONTINUE] = execute_continue,
};

enum template_flow template_execute(struct template_render *render,
                                    const struct template_statement *first) {
    enum template_flow flow = on_if(template_enter(render));
    for (; flow == FLOW_ON && first != NULL; first = first->next) {
        flow = template_spend(render, 1) ? functions[first->kind](render, first) : FLOW_FAILED;
        if (flow == FLOW_FAILED) {
            template_fail_at(render, first->line);
        }
    }
    template_leave(render);
    return flow;
}
