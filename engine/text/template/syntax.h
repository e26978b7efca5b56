/* A parsed template: statements that hold expressions. Made by the parser, read by the renderer,
 * constant in between; all of it lies in the template's arena.
 *
 *     {% for m in messages if m.role == 'user' %}{{ m.content | trim }}{% endfor %}
 *
 *     for    targets  m               body   output
 *            source   name messages            filter trim
 *            filter   compare ==                 attribute content
 *                       attribute role             name m
 *                       constant 'user'
 *
 * Variables are symbols, numbers for their names, so that scopes need not compare texts. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_SYNTAX_H
#define QUERN_ENGINE_TEXT_TEMPLATE_SYNTAX_H

#include "engine/arena.h"
#include "engine/text/template/lexer.h"
#include "engine/text/template/value.h"

#include <stdbool.h>
#include <stdint.h>

struct template_builtin;

/* The symbols of the names that the language itself assigns. */
enum template_symbol {
    SYMBOL_LOOP,
    SYMBOL_CALLER,
    SYMBOL_VARARGS,
    SYMBOL_KWARGS,
    SYMBOL_COUNT,
};
#define SYMBOL_NONE UINT32_MAX

/* ---- Expressions ---- */

enum template_expression_kind {
    EXPRESSION_CONSTANT,    /* .constant */
    EXPRESSION_NAME,        /* .symbol */
    EXPRESSION_BLOCK,       /* what the body of a filter or set block printed */
    EXPRESSION_LIST,        /* .operands */
    EXPRESSION_TUPLE,       /* .operands */
    EXPRESSION_DICT,        /* .operands: key, value, key, value … */
    EXPRESSION_ATTRIBUTE,   /* .operands: the object; .name */
    EXPRESSION_ITEM,        /* .operands: the object, the index */
    EXPRESSION_SLICE,       /* .operands: the object, start, stop, step; NULL where left out */
    EXPRESSION_CALL,        /* .operands: the callee; .arguments */
    EXPRESSION_FILTER,      /* .operands: the input; .builtin, .arguments */
    EXPRESSION_TEST,        /* the same */
    EXPRESSION_NOT,         /* .operands: one */
    EXPRESSION_AND,         /* .operands: two */
    EXPRESSION_OR,          /* .operands: two */
    EXPRESSION_CONDITIONAL, /* .operands: the condition, then, else; a NULL else is undefined */
    EXPRESSION_SIGN,        /* .operation: add or subtract; .operands: one */
    EXPRESSION_ARITHMETIC,  /* .operation; .operands: two */
    EXPRESSION_JOIN,        /* .operands: the parts of a ~ b ~ c */
    EXPRESSION_COMPARE,     /* .comparisons of .operands: a < b < c has two of three */
    EXPRESSION_KIND_COUNT,
};

enum template_comparison {
    COMPARE_EQUAL,
    COMPARE_NOT_EQUAL,
    COMPARE_LESS,
    COMPARE_LESS_EQUAL,
    COMPARE_GREATER,
    COMPARE_GREATER_EQUAL,
    COMPARE_IN,
    COMPARE_NOT_IN,
};

/* What a call gives, in the order of the source. */
enum template_argument_kind {
    ARGUMENT_POSITIONAL,
    ARGUMENT_KEYWORD,
    ARGUMENT_ALL_OF_LIST, /* *value */
    ARGUMENT_ALL_OF_DICT, /* **value */
};

struct template_argument {
    enum template_argument_kind kind;
    struct template_text name; /* of a keyword */
    const struct template_expression *value;
    const struct template_argument *next;
};

struct template_expression {
    enum template_expression_kind kind;
    uint32_t line;
    uint32_t operand_count;
    enum template_token_kind operation;
    const struct template_expression **operands;
    union {
        struct template_value constant;
        uint32_t symbol;
        struct template_text name;
        const enum template_comparison *comparisons; /* operand_count - 1 */
        struct {
            const struct template_builtin *builtin; /* NULL: there is none of that name */
            struct template_text builtin_name;
            const struct template_argument *arguments;
        };
    };
};

/* ---- Statements ---- */

enum template_statement_kind {
    STATEMENT_DATA,      /* .text */
    STATEMENT_OUTPUT,    /* .expression */
    STATEMENT_IF,        /* .branches */
    STATEMENT_FOR,       /* .loop */
    STATEMENT_SET,       /* .target, .expression */
    STATEMENT_SET_BLOCK, /* .target, .body; .expression: its filters, or NULL */
    STATEMENT_FILTER,    /* .body; .expression: its filters */
    STATEMENT_MACRO,     /* .macro */
    STATEMENT_CALL,      /* .expression: the call; .macro: the body that it gets as `caller` */
    STATEMENT_WITH,      /* .assignments, .body */
    STATEMENT_BREAK,
    STATEMENT_CONTINUE,
    STATEMENT_KIND_COUNT,
};

/* What an assignment assigns to: a variable, a member of a namespace, or a tuple of such. */
struct template_target {
    uint32_t symbol;             /* SYMBOL_NONE: a tuple */
    struct template_text member; /* of the namespace in the variable; NULL bytes: none */
    struct template_target *parts;
    struct template_target *next; /* within a tuple */
};

struct template_statement;

struct template_branch {
    const struct template_expression *condition; /* NULL: else */
    const struct template_statement *body;
    const struct template_branch *next;
};

struct template_assignment {
    struct template_target target;
    const struct template_expression *value;
    const struct template_assignment *next;
};

struct template_loop_syntax {
    struct template_target target;
    const struct template_expression *source;
    const struct template_expression *filter; /* NULL: none */
    bool recursive;
    const struct template_statement *body;
    const struct template_statement *otherwise; /* where there were no items */
};

struct template_parameter {
    uint32_t symbol;
    const struct template_expression *fallback; /* NULL: none */
    struct template_parameter *next;
};

struct template_macro_syntax {
    uint32_t symbol; /* SYMBOL_NONE: the body of a call block */
    struct template_parameter *parameters;
    const struct template_statement *body;
    bool uses_caller; /* the body has these names, which a call then fills */
    bool uses_varargs;
    bool uses_kwargs;
};

struct template_statement {
    enum template_statement_kind kind;
    uint32_t line;
    const struct template_expression *expression;
    const struct template_statement *body;
    const struct template_statement *next;
    union {
        struct template_text text;
        struct template_target target;
        const struct template_branch *branches;
        const struct template_loop_syntax *loop;
        const struct template_macro_syntax *macro;
        const struct template_assignment *assignments;
    };
};

struct template {
    struct arena arena;
    const struct template_statement *body;
    const struct template_dict *symbols; /* names; a symbol is the place of its entry */
};

static inline struct template_text template_symbol_name(const struct template *template,
                                                        uint32_t symbol) {
    return template->symbols->entries[symbol].key.text;
}

#endif
