#include "engine/text/template/parser.h"

#include "engine/text/template/template.h"
#include "engine/text/template/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- What expressions and statements share ---- */

bool parser_enter(struct parser *parser) {
    return parser->nesting++ < TEMPLATE_NESTING_MAX ||
           error_set(parser->err, ERROR_BAD_FILE,
                     "line %u: expressions or tags nest deeper than %d levels", parser->at->line,
                     TEMPLATE_NESTING_MAX);
}

void parser_leave(struct parser *parser) {
    parser->nesting--;
}

bool parser_fail(struct parser *parser, const char *expected) {
    const struct template_token *found = parser->at;
    if (found->kind == TOKEN_END) {
        return error_set(parser->err, ERROR_BAD_FILE,
                         "line %u: expected %s, found the end of the template", found->line,
                         expected);
    }
    return error_set(parser->err, ERROR_BAD_FILE, "line %u: expected %s, found '%.*s'", found->line,
                     expected, template_shown(found->text), found->text.bytes);
}

void *parser_allocate(struct parser *parser, size_t count, size_t size) {
    void *memory = arena_allocate(&parser->template->arena, count, size);
    if (memory == NULL) {
        error_set(parser->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    return memory;
}

bool parser_is(const struct parser *parser, enum template_token_kind kind) {
    return parser->at->kind == kind;
}

bool parser_is_name(const struct parser *parser, const char *name) {
    return parser_is(parser, TOKEN_NAME) && template_text_is(parser->at->text, name);
}

bool parser_skip(struct parser *parser, enum template_token_kind kind) {
    bool found = parser_is(parser, kind);
    parser->at += found;
    return found;
}

bool parser_skip_name(struct parser *parser, const char *name) {
    bool found = parser_is_name(parser, name);
    parser->at += found;
    return found;
}

bool parser_expect(struct parser *parser, enum template_token_kind kind, const char *what) {
    return parser_skip(parser, kind) || parser_fail(parser, what);
}

bool parser_expect_name(struct parser *parser, const char *name) {
    return parser_skip_name(parser, name) || parser_fail(parser, name);
}

uint32_t parser_symbol(struct parser *parser, struct template_text name) {
    struct template_value key = template_from_text(name.bytes, name.length);
    const struct template_value *known = template_dict_find(parser->symbols, key);
    if (known != NULL) {
        return (uint32_t)known->integer;
    }
    uint32_t symbol = (uint32_t)parser->symbols->count;
    if (!template_dict_set(&parser->template->arena, parser->symbols, key,
                           template_from_integer(symbol))) {
        error_set(parser->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
        return SYMBOL_NONE;
    }
    return symbol;
}

/* ---- Templates ---- */

static bool add_language_symbols(struct parser *parser) {
    static const char *const names[SYMBOL_COUNT] = {
        [SYMBOL_LOOP] = "loop",
        [SYMBOL_CALLER] = "caller",
        [SYMBOL_VARARGS] = "varargs",
        [SYMBOL_KWARGS] = "kwargs",
    };
    for (uint32_t i = 0; i < SYMBOL_COUNT; i++) {
        if (parser_symbol(parser, template_literal(names[i])) != i) {
            return false;
        }
    }
    return true;
}

static bool refuse_unknown(struct parser *parser) {
    const struct template_expression *unknown = parser->unknown;
    return unknown == NULL ||
           error_set(parser->err, ERROR_BAD_FILE, "line %u: there is no %s '%.*s'", unknown->line,
                     unknown->kind == EXPRESSION_FILTER ? "filter" : "test",
                     template_shown(unknown->builtin_name), unknown->builtin_name.bytes);
}

static bool parse(struct template *template, struct template_text source, struct error *err) {
    struct parser parser = {.template = template, .err = err};
    struct template_token *tokens = NULL;
    template->symbols = parser.symbols = template_dict_new(&template->arena);
    if (parser.symbols == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    if (!template_lex(source, &template->arena, &tokens, err)) {
        return false;
    }
    parser.at = tokens;
    return add_language_symbols(&parser) && parse_template_body(&parser) && refuse_unknown(&parser);
}

bool template_parse(struct template **out, const char *source, size_t length, struct error *err) {
    struct template *template = calloc(1, sizeof *template);
    if (template == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    arena_init(&template->arena);
    if (!parse(template, (struct template_text){source, length}, err)) {
        template_close(template);
        return false;
    }
    *out = template;
    return true;
}

void template_close(struct template *template) {
    if (template != NULL) {
        arena_deinit(&template->arena);
        free(template);
    }
}
