/* The tokens of a template's source, as Jinja's lexer makes them with trim_blocks and lstrip_blocks
 * set, which is how chat templates are written to be read:
 *
 *     Hello {{- name -}} !      data, open output, name, close output, data
 *       {% if x %}\n            open tag, name, name, close tag: the white space before a tag that
 *                               is alone on its line is left out, and the line's end behind it
 *
 * "-" beside a brace takes all white space on that side away, "+" keeps it. Comments and the marks
 * of raw blocks leave no token. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_LEXER_H
#define QUERN_ENGINE_TEXT_TEMPLATE_LEXER_H

#include "engine/arena.h"
#include "engine/error.h"
#include "engine/text/template/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum template_token_kind {
    TOKEN_END,
    TOKEN_DATA,         /* text between tags */
    TOKEN_OPEN_OUTPUT,  /* {{ */
    TOKEN_CLOSE_OUTPUT, /* }} */
    TOKEN_OPEN_TAG,     /* {% */
    TOKEN_CLOSE_TAG,    /* %} */
    TOKEN_NAME,
    TOKEN_STRING, /* its text is unescaped */
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_ADD,
    TOKEN_SUBTRACT,
    TOKEN_MULTIPLY,
    TOKEN_DIVIDE,
    TOKEN_FLOOR_DIVIDE,
    TOKEN_REMAINDER,
    TOKEN_POWER,
    TOKEN_JOIN, /* ~ */
    TOKEN_EQUAL,
    TOKEN_NOT_EQUAL,
    TOKEN_LESS,
    TOKEN_LESS_EQUAL,
    TOKEN_GREATER,
    TOKEN_GREATER_EQUAL,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_PIPE,
    TOKEN_OPEN_PARENTHESIS,
    TOKEN_CLOSE_PARENTHESIS,
    TOKEN_OPEN_BRACKET,
    TOKEN_CLOSE_BRACKET,
    TOKEN_OPEN_BRACE,
    TOKEN_CLOSE_BRACE,
};

struct template_token {
    enum template_token_kind kind;
    uint32_t line; /* from 1 */
    struct template_text text;
};

/* Brackets within brackets, which a parser answers with calls within calls. */
enum { TEMPLATE_BRACKETS_MAX = 100 };

/* All tokens of the source, the last one TOKEN_END. Texts point into the arena. ERROR_BAD_FILE
 * names the line. */
bool template_lex(struct template_text source, struct arena *arena, struct template_token **tokens,
                  struct error *err);

#endif
