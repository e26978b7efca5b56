/* What the language brings along: filters, tests, methods and functions, in tables of name,
 * parameters and what to run.
 *
 *     {"replace", "old new count=", filter_replace},
 *
 * A call's arguments are put into the order of the parameters, absent where one that may be left
 * out ("=") is; a call that does not fit is refused in words before anything runs. Names, parameters
 * and meaning are those of Jinja's filters, tests and functions and of Python's methods. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_BUILTIN_H
#define QUERN_ENGINE_TEXT_TEMPLATE_BUILTIN_H

#include "engine/text/template/value.h"

#include <stdbool.h>
#include <stddef.h>

struct template_render;

struct template_arguments {
    const struct template_value *positional;
    size_t count;
    const struct template_entry *keywords; /* keys are texts, each once */
    size_t keyword_count;
};

/* What runs, with what it gets and what it gives. */
struct template_call {
    struct template_render *render;
    struct template_value self; /* what a filter or test stands behind, a method belongs to */
    const struct template_value *arguments; /* for the parameters, in their order; or NULL */
    const struct template_arguments *given; /* as the call has them */
    struct template_value result;           /* of a test, a boolean */
};

/* False once the render has failed. */
typedef bool template_run(struct template_call *call);

struct template_builtin {
    const char *name;
    const char *parameters; /* NULL: whatever is given */
    template_run *run;      /* NULL: a method that would change its value, which none may */
};

/* A function as a value: template_value.function. */
struct template_function {
    const struct template_builtin *builtin;
    struct template_value self;
};

/* NULL: there is none of that name. */
const struct template_builtin *template_find_filter(struct template_text name);
const struct template_builtin *template_find_test(struct template_text name);
const struct template_builtin *template_find_function(struct template_text name);
const struct template_builtin *template_find_method(enum template_type type,
                                                    struct template_text name);

/* The tables that these look into, each in a file of its name; a NULL name ends them. */
extern const struct template_builtin template_value_filters[];
extern const struct template_builtin template_list_filters[];
extern const struct template_builtin template_text_methods[];
extern const struct template_builtin template_dict_methods[];
extern const struct template_builtin template_list_methods[];
extern const struct template_builtin template_tuple_methods[];

const struct template_builtin *template_find_in_table(const struct template_builtin *table,
                                                      struct template_text name);

/* Puts the arguments in order and runs. */
bool template_run_builtin(struct template_render *render, const struct template_builtin *builtin,
                          struct template_value self, const struct template_arguments *arguments,
                          struct template_value *result);

#endif
