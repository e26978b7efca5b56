#include "engine/text/template/parser.h"

#include <string.h>

/* Where a list of statements ends: at a tag with one of these names. */
struct ending {
    const char *names[3]; /* NULL where there are fewer; none at all: the end of the template */
};

static bool parse_statements(struct parser *parser, const struct ending *ending,
                             const struct template_statement **first);

/* "%}", statements, and the tag that ends them up to behind its name. */
static bool parse_body(struct parser *parser, const struct ending *ending,
                       const struct template_statement **first) {
    parser_skip(parser, TOKEN_COLON); /* as in Python */
    return parser_expect(parser, TOKEN_CLOSE_TAG, "'%}'") &&
           parse_statements(parser, ending, first);
}

/* ---- Assignments ---- */

static bool is_reserved(struct template_text name) {
    static const char *const reserved[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (template_text_is(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

static bool parse_new_name(struct parser *parser, uint32_t *symbol) {
    if (!parser_is(parser, TOKEN_NAME) || is_reserved(parser->at->text)) {
        return parser_fail(parser, "a name to assign to");
    }
    *symbol = parser_symbol(parser, parser->at->text);
    parser->at++;
    return *symbol != SYMBOL_NONE;
}

static bool parse_targets(struct parser *parser, bool members, struct template_target *target);

/* name, name.member or (targets) */
static bool parse_target(struct parser *parser, bool members, struct template_target *target) {
    if (parser_skip(parser, TOKEN_OPEN_PARENTHESIS)) {
        bool fine = parser_enter(parser) && parse_targets(parser, members, target) &&
                    parser_expect(parser, TOKEN_CLOSE_PARENTHESIS, "')'");
        parser_leave(parser);
        return fine;
    }
    if (!parse_new_name(parser, &target->symbol)) {
        return false;
    }
    if (!members || !parser_skip(parser, TOKEN_DOT)) {
        return true;
    }
    target->member = parser->at->text;
    return parser_expect(parser, TOKEN_NAME, "the name of a member");
}

static bool ends_targets(const struct parser *parser) {
    return parser_is(parser, TOKEN_CLOSE_PARENTHESIS) || parser_is(parser, TOKEN_CLOSE_TAG) ||
           parser_is(parser, TOKEN_ASSIGN) || parser_is_name(parser, "in");
}

/* One target, or several with commas. */
static bool parse_targets(struct parser *parser, bool members, struct template_target *target) {
    if (!parse_target(parser, members, target)) {
        return false;
    }
    if (!parser_is(parser, TOKEN_COMMA)) {
        return true;
    }
    struct template_target *part = parser_allocate(parser, 1, sizeof *part);
    if (part == NULL) {
        return false;
    }
    *part = *target;
    *target = (struct template_target){.symbol = SYMBOL_NONE, .parts = part};
    while (parser_skip(parser, TOKEN_COMMA) && !ends_targets(parser)) {
        part->next = parser_allocate(parser, 1, sizeof *part);
        part = part->next;
        if (part == NULL || !parse_target(parser, members, part)) {
            return false;
        }
    }
    return true;
}

static bool parse_set(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endset"}};
    if (!parse_targets(parser, true, &statement->target)) {
        return false;
    }
    if (parser_skip(parser, TOKEN_ASSIGN)) {
        statement->kind = STATEMENT_SET;
        statement->expression = parse_tuple(parser, true);
        return statement->expression != NULL;
    }
    statement->kind = STATEMENT_SET_BLOCK;
    if (parser_skip(parser, TOKEN_PIPE)) {
        statement->expression = parse_block_filters(parser);
        if (statement->expression == NULL) {
            return false;
        }
    }
    return parse_body(parser, &ending, &statement->body);
}

static bool parse_with(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endwith"}};
    const struct template_assignment **next = &statement->assignments;
    statement->kind = STATEMENT_WITH;
    while (!parser_is(parser, TOKEN_CLOSE_TAG)) {
        struct template_assignment *assignment = parser_allocate(parser, 1, sizeof *assignment);
        if (assignment == NULL || !parse_target(parser, false, &assignment->target) ||
            !parser_expect(parser, TOKEN_ASSIGN, "'='")) {
            return false;
        }
        assignment->value = parse_expression(parser);
        if (assignment->value == NULL) {
            return false;
        }
        *next = assignment;
        next = &assignment->next;
        if (!parser_skip(parser, TOKEN_COMMA)) {
            break;
        }
    }
    return parse_body(parser, &ending, &statement->body);
}

/* What the model itself said: of interest to those who train on it. */
static bool parse_generation(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endgeneration"}};
    statement->kind = STATEMENT_WITH;
    return parse_body(parser, &ending, &statement->body);
}

/* ---- Conditions and loops ---- */

static bool parse_branches(struct parser *parser, struct template_statement *statement) {
    static const struct ending after_if = {{"elif", "else", "endif"}};
    static const struct ending after_else = {{"endif"}};
    const struct template_branch **next = &statement->branches;
    bool conditional = true;
    for (;;) {
        struct template_branch *branch = parser_allocate(parser, 1, sizeof *branch);
        if (branch == NULL) {
            return false;
        }
        if (conditional) {
            branch->condition = parse_tuple(parser, false);
        }
        if ((conditional && branch->condition == NULL) ||
            !parse_body(parser, conditional ? &after_if : &after_else, &branch->body)) {
            return false;
        }
        *next = branch;
        next = &branch->next;
        if (template_text_is(parser->at[-1].text, "endif")) {
            return true;
        }
        conditional = template_text_is(parser->at[-1].text, "elif");
    }
}

static bool parse_if(struct parser *parser, struct template_statement *statement) {
    statement->kind = STATEMENT_IF;
    parser->conditionals++;
    bool fine = parse_branches(parser, statement);
    parser->conditionals--;
    return fine;
}

static bool parse_loop_body(struct parser *parser, struct template_loop_syntax *loop) {
    static const struct ending after_for = {{"else", "endfor"}};
    static const struct ending after_else = {{"endfor"}};
    parser->loops++;
    bool fine = parse_body(parser, &after_for, &loop->body);
    parser->loops--;
    return fine && (template_text_is(parser->at[-1].text, "endfor") ||
                    parse_body(parser, &after_else, &loop->otherwise));
}

static bool parse_for(struct parser *parser, struct template_statement *statement) {
    struct template_loop_syntax *loop = parser_allocate(parser, 1, sizeof *loop);
    statement->kind = STATEMENT_FOR;
    statement->loop = loop;
    if (loop == NULL || !parse_targets(parser, false, &loop->target) ||
        !parser_expect_name(parser, "in")) {
        return false;
    }
    loop->source = parse_tuple(parser, false);
    if (loop->source == NULL) {
        return false;
    }
    if (parser_skip_name(parser, "if")) {
        loop->filter = parse_expression(parser);
        if (loop->filter == NULL) {
            return false;
        }
    }
    loop->recursive = parser_skip_name(parser, "recursive");
    return parse_loop_body(parser, loop);
}

static bool parse_jump(struct parser *parser, struct template_statement *statement) {
    statement->kind =
        template_text_is(parser->at[-1].text, "break") ? STATEMENT_BREAK : STATEMENT_CONTINUE;
    return parser->loops > 0 ||
           error_set(parser->err, ERROR_BAD_FILE,
                     "line %u: break or continue without a loop around it", statement->line);
}

/* ---- Macros ---- */

/* "(a, b=1)" */
static bool parse_parameters(struct parser *parser, struct template_macro_syntax *macro) {
    struct template_parameter **next = &macro->parameters;
    bool has_fallbacks = false;
    if (!parser_expect(parser, TOKEN_OPEN_PARENTHESIS, "'('")) {
        return false;
    }
    while (!parser_is(parser, TOKEN_CLOSE_PARENTHESIS)) {
        struct template_parameter *parameter = parser_allocate(parser, 1, sizeof *parameter);
        if (parameter == NULL || !parse_new_name(parser, &parameter->symbol)) {
            return false;
        }
        if (parser_skip(parser, TOKEN_ASSIGN)) {
            has_fallbacks = true;
            parameter->fallback = parse_expression(parser);
            if (parameter->fallback == NULL) {
                return false;
            }
        } else if (has_fallbacks) {
            return parser_fail(parser, "'=' and a default, as before");
        }
        *next = parameter;
        next = &parameter->next;
        if (!parser_skip(parser, TOKEN_COMMA)) {
            break;
        }
    }
    return parser_expect(parser, TOKEN_CLOSE_PARENTHESIS, "',' or ')'");
}

/* A macro's body is a place of its own: no loop or condition around it counts. */
static bool parse_macro_body(struct parser *parser, struct template_macro_syntax *macro,
                             const struct ending *ending) {
    struct enclosing_macro scope = {macro, parser->macros};
    size_t loops = parser->loops;
    parser->macros = &scope;
    parser->loops = 0;
    bool fine = parse_body(parser, ending, &macro->body);
    parser->loops = loops;
    parser->macros = scope.outer;
    return fine;
}

static bool parse_macro(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endmacro"}};
    struct template_macro_syntax *macro = parser_allocate(parser, 1, sizeof *macro);
    statement->kind = STATEMENT_MACRO;
    statement->macro = macro;
    return macro != NULL && parse_new_name(parser, &macro->symbol) &&
           parse_parameters(parser, macro) && parse_macro_body(parser, macro, &ending);
}

static bool parse_call_block(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endcall"}};
    struct template_macro_syntax *macro = parser_allocate(parser, 1, sizeof *macro);
    statement->kind = STATEMENT_CALL;
    statement->macro = macro;
    if (macro == NULL ||
        (parser_is(parser, TOKEN_OPEN_PARENTHESIS) && !parse_parameters(parser, macro))) {
        return false;
    }
    macro->symbol = SYMBOL_NONE;
    statement->expression = parse_expression(parser);
    if (statement->expression != NULL && statement->expression->kind != EXPRESSION_CALL) {
        return parser_fail(parser, "a call");
    }
    return statement->expression != NULL && parse_macro_body(parser, macro, &ending);
}

static bool parse_filter_block(struct parser *parser, struct template_statement *statement) {
    static const struct ending ending = {{"endfilter"}};
    statement->kind = STATEMENT_FILTER;
    statement->expression = parse_block_filters(parser);
    return statement->expression != NULL && parse_body(parser, &ending, &statement->body);
}

/* ---- Statements ---- */

/* Each reads from behind its name up to before "%}". */
static const struct {
    const char *name;
    bool (*parse)(struct parser *parser, struct template_statement *statement);
} tags[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_jump},      {"continue", parse_jump},
};

enum { TAG_COUNT = sizeof tags / sizeof tags[0] };

static bool parse_tag(struct parser *parser, struct template_statement *statement) {
    size_t i = 0;
    while (i < TAG_COUNT && !parser_skip_name(parser, tags[i].name)) {
        i++;
    }
    if (i == TAG_COUNT) {
        return parser_fail(parser, "a tag that chat templates know");
    }
    bool fine = parser_enter(parser) && tags[i].parse(parser, statement);
    parser_leave(parser);
    return fine && parser_expect(parser, TOKEN_CLOSE_TAG, "'%}'");
}

static bool parse_output(struct parser *parser, struct template_statement *statement) {
    statement->kind = STATEMENT_OUTPUT;
    statement->expression = parse_tuple(parser, true);
    return statement->expression != NULL && parser_expect(parser, TOKEN_CLOSE_OUTPUT, "'}}'");
}

/* Is the next tag one that ends the list? */
static bool skip_ending(struct parser *parser, const struct ending *ending) {
    for (size_t i = 0; i < 3 && ending->names[i] != NULL; i++) {
        if (parser_skip_name(parser, ending->names[i])) {
            return true;
        }
    }
    return false;
}

static bool parse_statement(struct parser *parser, struct template_statement *statement) {
    const struct template_token *token = parser->at;
    statement->line = token->line;
    if (parser_skip(parser, TOKEN_DATA)) {
        statement->kind = STATEMENT_DATA;
        statement->text = token->text;
        return true;
    }
    return parser_skip(parser, TOKEN_OPEN_OUTPUT) ? parse_output(parser, statement)
                                                  : parse_tag(parser, statement);
}

static bool parse_statements(struct parser *parser, const struct ending *ending,
                             const struct template_statement **first) {
    const struct template_statement **next = first;
    while (!parser_is(parser, TOKEN_END)) {
        if (parser_skip(parser, TOKEN_OPEN_TAG) && skip_ending(parser, ending)) {
            return true;
        }
        struct template_statement *statement = parser_allocate(parser, 1, sizeof *statement);
        if (statement == NULL || !parse_statement(parser, statement)) {
            return false;
        }
        *next = statement;
        next = &statement->next;
    }
    return ending->names[0] == NULL || parser_fail(parser, ending->names[0]);
}

bool parse_template_body(struct parser *parser) {
    static const struct ending end = {{NULL}};
    return parse_statements(parser, &end, &parser->template->body);
}
