#include "engine/text/template/evaluate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

#include <string.h>

/* ---- The arguments of a call ---- */

static bool add_all_of_list(struct template_render *render, struct template_value value,
                            struct template_list *positional) {
    struct template_iterator *iterator = template_iterate(render, value);
    struct template_value item;
    while (iterator != NULL && template_next(render, iterator, &item)) {
        if (!template_push(render, positional, item)) {
            return false;
        }
    }
    return !render->failed;
}

static bool add_all_of_dict(struct template_render *render, struct template_value value,
                            struct template_dict *keywords) {
    if (value.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, value);
    }
    if (value.type != TEMPLATE_DICT) {
        return template_fail(render, ERROR_INVALID, "'**' needs a dict, found %s",
                             template_type_name(value.type));
    }
    for (size_t i = 0; i < value.dict->count; i++) {
        const struct template_entry *entry = &value.dict->entries[i];
        if (entry->key.type != TEMPLATE_TEXT) {
            return template_fail(render, ERROR_INVALID, "the keys of '**' have to be texts");
        }
        if (!template_set(render, keywords, entry->key, entry->value)) {
            return false;
        }
    }
    return true;
}

static bool add_argument(struct template_render *render, const struct template_argument *argument,
                         struct template_list *positional, struct template_dict *keywords) {
    struct template_value value;
    if (!template_evaluate(render, argument->value, &value)) {
        return false;
    }
    switch (argument->kind) {
    case ARGUMENT_POSITIONAL:
        return template_push(render, positional, value);
    case ARGUMENT_KEYWORD:
        return template_set(render, keywords, template_from(argument->name), value);
    case ARGUMENT_ALL_OF_LIST:
        return add_all_of_list(render, value, positional);
    case ARGUMENT_ALL_OF_DICT:
        return add_all_of_dict(render, value, keywords);
    }
    return false;
}

bool template_evaluate_arguments(struct template_render *render,
                                 const struct template_argument *first,
                                 struct template_arguments *arguments) {
    struct template_list *positional;
    struct template_dict *keywords;
    *arguments = (struct template_arguments){0};
    if (first == NULL) {
        return true;
    }
    if (!template_new_list(render, &positional) || !template_new_dict(render, &keywords)) {
        return false;
    }
    for (; first != NULL; first = first->next) {
        if (!add_argument(render, first, positional, keywords)) {
            return false;
        }
    }
    *arguments = (struct template_arguments){positional->items, positional->count,
                                             keywords->entries, keywords->count};
    return true;
}

/* ---- Builtins ---- */

enum { PARAMETERS_MAX = 8 };

/* The names of a builtin's parameters: "old new count=" has three, the last of which may be left
 * out. */
struct parameters {
    struct template_text names[PARAMETERS_MAX];
    bool optional[PARAMETERS_MAX];
    size_t count;
};

static void read_parameters(const char *text, struct parameters *parameters) {
    parameters->count = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, " =");
        parameters->names[parameters->count] = (struct template_text){text, length};
        parameters->optional[parameters->count++] = text[length] == '=';
        text += length;
        text += strspn(text, " =");
    }
}

static bool bind_keyword(struct template_render *render, const char *name,
                         const struct parameters *parameters, const struct template_entry *keyword,
                         struct template_value *values) {
    for (size_t i = 0; i < parameters->count; i++) {
        if (template_text_equal(parameters->names[i], keyword->key.text)) {
            if (values[i].type != TEMPLATE_ABSENT) {
                return template_fail(render, ERROR_INVALID, "'%s' is given '%.*s' twice", name,
                                     template_shown(keyword->key.text), keyword->key.text.bytes);
            }
            values[i] = keyword->value;
            return true;
        }
    }
    return template_fail(render, ERROR_INVALID, "'%s' knows no argument '%.*s'", name,
                         template_shown(keyword->key.text), keyword->key.text.bytes);
}

/* The arguments in the order of the parameters, those that are left out absent. */
static bool bind_parameters(struct template_render *render, const struct template_builtin *builtin,
                            const struct template_arguments *arguments,
                            struct template_value values[PARAMETERS_MAX]) {
    struct parameters parameters;
    read_parameters(builtin->parameters, &parameters);
    if (arguments->count > parameters.count) {
        return template_fail(render, ERROR_INVALID, "'%s' takes at most %zu arguments, found %zu",
                             builtin->name, parameters.count, arguments->count);
    }
    for (size_t i = 0; i < PARAMETERS_MAX; i++) {
        values[i] = i < arguments->count ? arguments->positional[i] : (struct template_value){0};
    }
    for (size_t i = 0; i < arguments->keyword_count; i++) {
        if (!bind_keyword(render, builtin->name, &parameters, &arguments->keywords[i], values)) {
            return false;
        }
    }
    for (size_t i = 0; i < parameters.count; i++) {
        if (values[i].type == TEMPLATE_ABSENT && !parameters.optional[i]) {
            return template_fail(render, ERROR_INVALID, "'%s' needs an argument '%.*s'",
                                 builtin->name, template_shown(parameters.names[i]),
                                 parameters.names[i].bytes);
        }
    }
    return true;
}

bool template_run_builtin(struct template_render *render, const struct template_builtin *builtin,
                          struct template_value self, const struct template_arguments *arguments,
                          struct template_value *result) {
    struct template_value values[PARAMETERS_MAX];
    struct template_call call = {.render = render,
                                 .self = self,
                                 .given = arguments,
                                 .arguments = builtin->parameters != NULL ? values : NULL};
    bool fine =
        (builtin->parameters == NULL || bind_parameters(render, builtin, arguments, values)) &&
        builtin->run(&call);
    *result = call.result;
    return fine;
}

/* ---- Macros ---- */

/* Marks what the macro can see as needed for as long as it can be called. */
static void keep_scopes(struct template_scope *scope) {
    for (; scope != NULL && !scope->kept; scope = scope->outer) {
        scope->kept = true;
    }
}

bool template_make_macro(struct template_render *render, const struct template_macro_syntax *syntax,
                         struct template_value *result) {
    struct template_macro *macro = template_allocate(render, 1, sizeof *macro);
    if (macro == NULL) {
        return false;
    }
    *macro = (struct template_macro){syntax, render->scope};
    keep_scopes(render->scope);
    *result = (struct template_value){.type = TEMPLATE_MACRO, .macro = macro};
    return true;
}

static struct template_text macro_name(const struct template_render *render,
                                       const struct template_macro *macro) {
    return macro->syntax->symbol == SYMBOL_NONE
               ? template_literal("caller")
               : template_symbol_name(render->template, macro->syntax->symbol);
}

/* The keyword of that name, taken out. */
static struct template_value take_keyword(struct template_entry *keywords, size_t *count,
                                          struct template_text name) {
    for (size_t i = 0; i < *count; i++) {
        if (template_text_equal(keywords[i].key.text, name)) {
            struct template_value value = keywords[i].value;
            memmove(&keywords[i], &keywords[i + 1], (--*count - i) * sizeof *keywords);
            return value;
        }
    }
    return (struct template_value){.type = TEMPLATE_ABSENT};
}

/* Binds the parameters in the macro's scope: what the call gives, else the default, which may name
 * the parameters before. */
static bool bind_macro_parameters(struct template_render *render,
                                  const struct template_macro *macro,
                                  const struct template_arguments *arguments,
                                  struct template_entry *keywords, size_t *keyword_count) {
    size_t place = 0;
    for (const struct template_parameter *parameter = macro->syntax->parameters; parameter != NULL;
         parameter = parameter->next, place++) {
        struct template_text name = template_symbol_name(render->template, parameter->symbol);
        struct template_value value = place < arguments->count
                                          ? arguments->positional[place]
                                          : take_keyword(keywords, keyword_count, name);
        if (value.type == TEMPLATE_ABSENT && parameter->fallback != NULL) {
            if (!template_evaluate(render, parameter->fallback, &value)) {
                return false;
            }
        } else if (value.type == TEMPLATE_ABSENT) {
            value = template_undefined(ORIGIN_PARAMETER, name, TEMPLATE_ABSENT);
        }
        if (!template_bind(render, parameter->symbol, value)) {
            return false;
        }
    }
    return true;
}

static size_t count_parameters(const struct template_macro *macro) {
    size_t count = 0;
    for (const struct template_parameter *parameter = macro->syntax->parameters; parameter != NULL;
         parameter = parameter->next) {
        count++;
    }
    return count;
}

/* What is left of the arguments, for the macros that ask for it by name. */
static bool bind_rest(struct template_render *render, const struct template_macro *macro,
                      const struct template_arguments *arguments, struct template_entry *keywords,
                      size_t keyword_count) {
    struct template_text name = macro_name(render, macro);
    size_t count = count_parameters(macro);
    struct template_list *rest;
    struct template_dict *named;
    if (macro->syntax->uses_caller) {
        struct template_value caller =
            take_keyword(keywords, &keyword_count, template_literal("caller"));
        if (caller.type == TEMPLATE_ABSENT) {
            caller = template_undefined_because("the macro is not called by a call block");
        }
        if (!template_bind(render, SYMBOL_CALLER, caller)) {
            return false;
        }
    }
    if (!template_new_list(render, &rest) || !template_new_dict(render, &named)) {
        return false;
    }
    for (size_t i = count; i < arguments->count; i++) {
        if (!template_push(render, rest, arguments->positional[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < keyword_count; i++) {
        if (!template_set(render, named, keywords[i].key, keywords[i].value)) {
            return false;
        }
    }
    if (!macro->syntax->uses_varargs && rest->count > 0) {
        return template_fail(render, ERROR_INVALID,
                             "macro '%.*s' takes at most %zu arguments, found %zu",
                             template_shown(name), name.bytes, count, arguments->count);
    }
    if (!macro->syntax->uses_kwargs && named->count > 0) {
        return template_fail(render, ERROR_INVALID, "macro '%.*s' knows no argument '%.*s'",
                             template_shown(name), name.bytes, template_shown(keywords[0].key.text),
                             keywords[0].key.text.bytes);
    }
    struct template_value tuple = {.type = TEMPLATE_TUPLE, .list = rest};
    return (!macro->syntax->uses_varargs || template_bind(render, SYMBOL_VARARGS, tuple)) &&
           (!macro->syntax->uses_kwargs ||
            template_bind(render, SYMBOL_KWARGS, template_from_dict(named)));
}

static bool bind_macro(struct template_render *render, const struct template_macro *macro,
                       const struct template_arguments *arguments) {
    size_t keyword_count = arguments->keyword_count;
    struct template_entry *keywords = template_allocate(render, keyword_count, sizeof *keywords);
    if (keywords == NULL) {
        return false;
    }
    if (keyword_count > 0) {
        memcpy(keywords, arguments->keywords, keyword_count * sizeof *keywords);
    }
    return bind_macro_parameters(render, macro, arguments, keywords, &keyword_count) &&
           bind_rest(render, macro, arguments, keywords, keyword_count);
}

bool template_call_macro(struct template_render *render, const struct template_macro *macro,
                         const struct template_arguments *arguments,
                         struct template_value *result) {
    struct template_scope *caller = render->scope;
    size_t begin = template_begin(render);
    render->scope = template_new_scope(render, macro->scope);
    bool fine = render->scope != NULL && bind_macro(render, macro, arguments) &&
                template_execute(render, macro->syntax->body) != FLOW_FAILED &&
                template_take(render, begin, result);
    render->scope = caller;
    return fine;
}

/* ---- Calls ---- */

bool template_call(struct template_render *render, struct template_value callee,
                   const struct template_arguments *arguments, struct template_value *result) {
    switch (callee.type) {
    case TEMPLATE_FUNCTION:
        return template_run_builtin(render, callee.function->builtin, callee.function->self,
                                    arguments, result);
    case TEMPLATE_MACRO:
        return template_call_macro(render, callee.macro, arguments, result);
    case TEMPLATE_LOOP:
        return template_call_loop(render, callee.loop, arguments, result);
    case TEMPLATE_UNDEFINED:
        return template_fail_undefined(render, callee);
    default:
        return template_fail(render, ERROR_INVALID, "a value of type %s cannot be called",
                             template_type_name(callee.type));
    }
}
