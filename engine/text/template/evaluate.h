/* Running a template: variables, expressions, calls, statements and loops. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_EVALUATE_H
#define QUERN_ENGINE_TEXT_TEMPLATE_EVALUATE_H

#include "engine/text/template/builtin.h"
#include "engine/text/template/iterate.h"
#include "engine/text/template/render.h"

/* ---- Variables ---- */

struct template_binding {
    uint32_t symbol;
    struct template_value value;
};

/* What statements assign. The body of a loop, of a macro and of some others is a scope of its own,
 * within the one where it stands in the source. */
struct template_scope {
    struct template_scope *outer;
    struct template_binding *bindings;
    size_t count;
    size_t capacity;
    bool kept; /* a macro was made in it or within it, and may be called later */
};

struct template_scope *template_new_scope(struct template_render *render,
                                          struct template_scope *outer);

/* In the innermost scope. */
bool template_bind(struct template_render *render, uint32_t symbol, struct template_value value);

/* Of the scopes, the inputs and the language's functions, the first that has it. */
bool template_get_variable(struct template_render *render, uint32_t symbol,
                           struct template_value *result);

/* ---- Expressions and calls ---- */

bool template_evaluate(struct template_render *render, const struct template_expression *expression,
                       struct template_value *result);

bool template_evaluate_arguments(struct template_render *render,
                                 const struct template_argument *first,
                                 struct template_arguments *arguments);

bool template_call(struct template_render *render, struct template_value callee,
                   const struct template_arguments *arguments, struct template_value *result);

struct template_macro {
    const struct template_macro_syntax *syntax;
    struct template_scope *scope; /* where it was made */
};

/* Of the innermost scope. */
bool template_make_macro(struct template_render *render, const struct template_macro_syntax *syntax,
                         struct template_value *result);

bool template_call_macro(struct template_render *render, const struct template_macro *macro,
                         const struct template_arguments *arguments, struct template_value *result);

/* ---- Statements and loops ---- */

/* What they print comes at the end of render->text. */
enum template_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAILED };
enum template_flow template_execute(struct template_render *render,
                                    const struct template_statement *first);

/* The value of the variable `loop`. */
struct template_loop {
    const struct template_loop_syntax *syntax;
    struct template_scope *scope; /* around the loop */
    struct template_value source;
    struct template_iterator *iterator;
    struct template_value previous; /* absent before the first item */
    struct template_value current;
    struct template_value following; /* if has_following: the item after, which was read early */
    bool has_following;
    bool counted;
    size_t length; /* once counted */
    size_t index;  /* from 0 */
    size_t depth;  /* of recursion, from 0 */
};

/* FLOW_ON, unless the part for no items jumps in the loop around. */
enum template_flow template_run_loop(struct template_render *render,
                                     const struct template_loop_syntax *syntax,
                                     struct template_value source, size_t depth);

/* loop(children): the body of the loop for these items, as text. */
bool template_call_loop(struct template_render *render, struct template_loop *loop,
                        const struct template_arguments *arguments, struct template_value *result);

bool template_get_loop_attribute(struct template_render *render, struct template_loop *loop,
                                 struct template_text name, struct template_value *result);

bool template_assign(struct template_render *render, const struct template_target *target,
                     struct template_value value);

#endif
