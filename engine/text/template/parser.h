/* The parser's own: what its two files, expressions and statements, share.
 *
 * Recursive descent, with the grammar and the precedence of Jinja 3.1. Each function reads what its
 * name says from the tokens at `at` and returns NULL once `err` has been set. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_PARSER_H
#define QUERN_ENGINE_TEXT_TEMPLATE_PARSER_H

#include "engine/error.h"
#include "engine/text/template/syntax.h"

#include <stdbool.h>
#include <stddef.h>

/* The macros around what is being read, innermost first. */
struct enclosing_macro {
    struct template_macro_syntax *macro;
    struct enclosing_macro *outer;
};

struct parser {
    struct template *template;
    const struct template_token *at;
    struct template_dict *symbols; /* the template's */
    struct enclosing_macro *macros;
    size_t nesting;      /* of expressions and statements, each some frames of the stack */
    size_t conditionals; /* ifs around what is being read, which may never be reached */
    size_t loops;
    const struct template_expression *unknown; /* a filter or test that there is not, or NULL */
    struct error *err;
};

/* Expressions and statements within others. */
enum { TEMPLATE_NESTING_MAX = 200 };

/* Counts a level; parser_leave takes it back. */
bool parser_enter(struct parser *parser);
void parser_leave(struct parser *parser);

/* "line 3: expected EXPECTED, found ..." of the next token. Returns false. */
bool parser_fail(struct parser *parser, const char *expected);

/* Zeroed memory of the template's arena; NULL with err when memory is out. */
void *parser_allocate(struct parser *parser, size_t count, size_t size);

bool parser_is(const struct parser *parser, enum template_token_kind kind);
bool parser_is_name(const struct parser *parser, const char *name);

/* Passes the next token if it is this one. */
bool parser_skip(struct parser *parser, enum template_token_kind kind);
bool parser_skip_name(struct parser *parser, const char *name);

/* The same, or fails; `what` is the token in words. */
bool parser_expect(struct parser *parser, enum template_token_kind kind, const char *what);
bool parser_expect_name(struct parser *parser, const char *name);

/* The symbol for a variable's name; SYMBOL_NONE when memory is out. */
uint32_t parser_symbol(struct parser *parser, struct template_text name);

const struct template_expression *parse_expression(struct parser *parser);

/* One expression, or several with commas: a tuple. `conditional` lets it be `a if b else c`, which
 * in `for x in a if b` it may not be. */
const struct template_expression *parse_tuple(struct parser *parser, bool conditional);

/* A filter and those behind it, with what the block prints as their input. The first has no "|"
 * before it. */
const struct template_expression *parse_block_filters(struct parser *parser);

/* Statements up to the end of the template. */
bool parse_template_body(struct parser *parser);

#endif
