#include "engine/text/template/builtin.h"
#include "engine/text/template/parser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Nodes ---- */

static struct template_expression *new_expression(struct parser *parser,
                                                  enum template_expression_kind kind, uint32_t line,
                                                  uint32_t operand_count) {
    struct template_expression *expression = parser_allocate(parser, 1, sizeof *expression);
    if (expression == NULL) {
        return NULL;
    }
    expression->kind = kind;
    expression->line = line;
    expression->operand_count = operand_count;
    expression->operands =
        parser_allocate(parser, operand_count, sizeof(struct template_expression *));
    return expression->operands != NULL ? expression : NULL;
}

static struct template_expression *new_unary(struct parser *parser,
                                             enum template_expression_kind kind, uint32_t line,
                                             const struct template_expression *operand) {
    struct template_expression *expression =
        operand != NULL ? new_expression(parser, kind, line, 1) : NULL;
    if (expression != NULL) {
        expression->operands[0] = operand;
    }
    return expression;
}

static struct template_expression *new_binary(struct parser *parser,
                                              enum template_expression_kind kind, uint32_t line,
                                              const struct template_expression *left,
                                              const struct template_expression *right) {
    struct template_expression *expression =
        left != NULL && right != NULL ? new_expression(parser, kind, line, 2) : NULL;
    if (expression != NULL) {
        expression->operands[0] = left;
        expression->operands[1] = right;
    }
    return expression;
}

static struct template_expression *new_constant(struct parser *parser, uint32_t line,
                                                struct template_value value) {
    struct template_expression *expression = new_expression(parser, EXPRESSION_CONSTANT, line, 0);
    if (expression != NULL) {
        expression->constant = value;
    }
    return expression;
}

/* Expressions of which nobody knows yet how many come. */
struct operands {
    const struct template_expression **items;
    uint32_t count;
    uint32_t capacity;
};

static bool add_operand(struct parser *parser, struct operands *operands,
                        const struct template_expression *expression) {
    if (expression == NULL) {
        return false;
    }
    if (operands->count == operands->capacity) {
        uint32_t capacity = operands->capacity > 0 ? 2 * operands->capacity : 4;
        const struct template_expression **items =
            parser_allocate(parser, capacity, sizeof(struct template_expression *));
        if (items == NULL) {
            return false;
        }
        if (operands->count > 0) {
            memcpy(items, operands->items, operands->count * sizeof(struct template_expression *));
        }
        operands->items = items;
        operands->capacity = capacity;
    }
    operands->items[operands->count++] = expression;
    return true;
}

static struct template_expression *new_of_operands(struct parser *parser,
                                                   enum template_expression_kind kind,
                                                   uint32_t line, const struct operands *operands) {
    struct template_expression *expression = new_expression(parser, kind, line, 0);
    if (expression != NULL) {
        expression->operands = operands->items;
        expression->operand_count = operands->count;
    }
    return expression;
}

/* ---- Literals and names ---- */

static const struct template_expression *parse_string(struct parser *parser) {
    uint32_t line = parser->at->line;
    struct template_text text = parser->at->text;
    parser->at++;
    while (parser_is(parser, TOKEN_STRING)) { /* 'a' 'b' is 'ab' */
        char *joined = parser_allocate(parser, text.length + parser->at->text.length + 1, 1);
        if (joined == NULL) {
            return NULL;
        }
        memcpy(joined, text.bytes, text.length);
        memcpy(joined + text.length, parser->at->text.bytes, parser->at->text.length);
        text = (struct template_text){joined, text.length + parser->at->text.length};
        parser->at++;
    }
    return new_constant(parser, line, template_from_text(text.bytes, text.length));
}

static const struct template_expression *parse_integer(struct parser *parser) {
    const struct template_token *token = parser->at++;
    const char *digits = token->text.bytes; /* terminated: the lexer copied them */
    int base = digits[0] != '0'            ? 10
               : (digits[1] | 0x20) == 'x' ? 16
               : (digits[1] | 0x20) == 'o' ? 8
               : (digits[1] | 0x20) == 'b' ? 2
                                           : 10;
    errno = 0;
    int64_t integer = strtoll(base != 10 ? digits + 2 : digits, NULL, base);
    if (errno == ERANGE && base != 10) {
        parser->at = token;
        parser_fail(parser, "an integer of at most 64 bits");
        return NULL;
    }
    return new_constant(parser, token->line,
                        errno == ERANGE ? template_from_digits(digits, token->text.length)
                                        : template_from_integer(integer));
}

static const struct template_expression *parse_float(struct parser *parser) {
    const struct template_token *token = parser->at++;
    return new_constant(parser, token->line, template_from_number(strtod(token->text.bytes, NULL)));
}

/* The macros around a name that their calls fill must know that it is used. */
static void note_use(struct parser *parser, uint32_t symbol) {
    for (struct enclosing_macro *scope = parser->macros; scope != NULL; scope = scope->outer) {
        scope->macro->uses_caller |= symbol == SYMBOL_CALLER;
        scope->macro->uses_varargs |= symbol == SYMBOL_VARARGS;
        scope->macro->uses_kwargs |= symbol == SYMBOL_KWARGS;
    }
}

static const struct template_expression *parse_name(struct parser *parser) {
    static const struct {
        const char *name;
        struct template_value value;
    } words[] = {
        {"true", {.type = TEMPLATE_BOOLEAN, .boolean = true}},
        {"True", {.type = TEMPLATE_BOOLEAN, .boolean = true}},
        {"false", {.type = TEMPLATE_BOOLEAN, .boolean = false}},
        {"False", {.type = TEMPLATE_BOOLEAN, .boolean = false}},
        {"none", {.type = TEMPLATE_NONE}},
        {"None", {.type = TEMPLATE_NONE}},
    };
    const struct template_token *token = parser->at++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (template_text_is(token->text, words[i].name)) {
            return new_constant(parser, token->line, words[i].value);
        }
    }
    struct template_expression *expression =
        new_expression(parser, EXPRESSION_NAME, token->line, 0);
    uint32_t symbol = parser_symbol(parser, token->text);
    if (expression == NULL || symbol == SYMBOL_NONE) {
        return NULL;
    }
    note_use(parser, symbol);
    expression->symbol = symbol;
    return expression;
}

/* Expressions with commas, one of which may stand behind the last. */
static bool parse_items(struct parser *parser, enum template_token_kind end,
                        struct operands *operands) {
    while (!parser_is(parser, end)) {
        if (!add_operand(parser, operands, parse_expression(parser))) {
            return false;
        }
        if (!parser_skip(parser, TOKEN_COMMA)) {
            break;
        }
    }
    return true;
}

static const struct template_expression *parse_list(struct parser *parser) {
    struct operands operands = {0};
    uint32_t line = parser->at++->line;
    return parse_items(parser, TOKEN_CLOSE_BRACKET, &operands) &&
                   parser_expect(parser, TOKEN_CLOSE_BRACKET, "',' or ']'")
               ? new_of_operands(parser, EXPRESSION_LIST, line, &operands)
               : NULL;
}

static const struct template_expression *parse_dict(struct parser *parser) {
    struct operands operands = {0};
    uint32_t line = parser->at++->line;
    while (!parser_is(parser, TOKEN_CLOSE_BRACE)) {
        if (!add_operand(parser, &operands, parse_expression(parser)) ||
            !parser_expect(parser, TOKEN_COLON, "':' behind a key") ||
            !add_operand(parser, &operands, parse_expression(parser))) {
            return NULL;
        }
        if (!parser_skip(parser, TOKEN_COMMA)) {
            break;
        }
    }
    return parser_expect(parser, TOKEN_CLOSE_BRACE, "',' or '}'")
               ? new_of_operands(parser, EXPRESSION_DICT, line, &operands)
               : NULL;
}

/* (), (a), (a,) and (a, b): only the second is no tuple. */
static const struct template_expression *parse_parentheses(struct parser *parser) {
    struct operands operands = {0};
    uint32_t line = parser->at++->line;
    if (!parse_items(parser, TOKEN_CLOSE_PARENTHESIS, &operands)) {
        return NULL;
    }
    bool is_tuple = operands.count != 1 || parser->at[-1].kind == TOKEN_COMMA;
    if (!parser_expect(parser, TOKEN_CLOSE_PARENTHESIS, "',' or ')'")) {
        return NULL;
    }
    return is_tuple ? new_of_operands(parser, EXPRESSION_TUPLE, line, &operands)
                    : operands.items[0];
}

static const struct template_expression *parse_primary(struct parser *parser) {
    switch (parser->at->kind) {
    case TOKEN_NAME:
        return parse_name(parser);
    case TOKEN_STRING:
        return parse_string(parser);
    case TOKEN_INTEGER:
        return parse_integer(parser);
    case TOKEN_FLOAT:
        return parse_float(parser);
    case TOKEN_OPEN_PARENTHESIS:
        return parse_parentheses(parser);
    case TOKEN_OPEN_BRACKET:
        return parse_list(parser);
    case TOKEN_OPEN_BRACE:
        return parse_dict(parser);
    default:
        parser_fail(parser, "an expression");
        return NULL;
    }
}

/* ---- Members, indices, calls ---- */

static bool parse_argument(struct parser *parser, struct template_argument *argument) {
    if (parser_skip(parser, TOKEN_MULTIPLY)) {
        argument->kind = ARGUMENT_ALL_OF_LIST;
    } else if (parser_skip(parser, TOKEN_POWER)) {
        argument->kind = ARGUMENT_ALL_OF_DICT;
    } else if (parser_is(parser, TOKEN_NAME) && parser->at[1].kind == TOKEN_ASSIGN) {
        argument->kind = ARGUMENT_KEYWORD;
        argument->name = parser->at->text;
        parser->at += 2;
    }
    argument->value = parse_expression(parser);
    return argument->value != NULL;
}

/* "(a, *b, c=d, **e)", up to behind the parenthesis. */
static bool parse_arguments(struct parser *parser, const struct template_argument **first) {
    const struct template_argument *last = NULL;
    parser->at++;
    while (!parser_is(parser, TOKEN_CLOSE_PARENTHESIS)) {
        struct template_argument *argument = parser_allocate(parser, 1, sizeof *argument);
        if (argument == NULL || !parse_argument(parser, argument)) {
            return false;
        }
        if (last != NULL && argument->kind == ARGUMENT_POSITIONAL && last->kind != argument->kind) {
            return parser_fail(parser, "positional arguments before the others");
        }
        *first = argument;
        first = (const struct template_argument **)&argument->next;
        last = argument;
        if (!parser_skip(parser, TOKEN_COMMA)) {
            break;
        }
    }
    return parser_expect(parser, TOKEN_CLOSE_PARENTHESIS, "',' or ')'");
}

static const struct template_expression *parse_call(struct parser *parser,
                                                    const struct template_expression *callee) {
    struct template_expression *call = new_unary(parser, EXPRESSION_CALL, parser->at->line, callee);
    return call != NULL && parse_arguments(parser, &call->arguments) ? call : NULL;
}

/* a.name, and a.0 for a[0]. */
static const struct template_expression *parse_member(struct parser *parser,
                                                      const struct template_expression *object) {
    uint32_t line = parser->at++->line;
    if (parser_is(parser, TOKEN_INTEGER)) {
        return new_binary(parser, EXPRESSION_ITEM, line, object, parse_integer(parser));
    }
    if (!parser_is(parser, TOKEN_NAME)) {
        parser_fail(parser, "a name or a number behind '.'");
        return NULL;
    }
    struct template_expression *member = new_unary(parser, EXPRESSION_ATTRIBUTE, line, object);
    if (member != NULL) {
        member->name = parser->at++->text;
    }
    return member;
}

/* One of the parts of [start:stop:step], any of which may be left out. */
static bool parse_slice_part(struct parser *parser, const struct template_expression **part) {
    if (parser_is(parser, TOKEN_COLON) || parser_is(parser, TOKEN_CLOSE_BRACKET)) {
        return true;
    }
    *part = parse_expression(parser);
    return *part != NULL;
}

static const struct template_expression *parse_index(struct parser *parser,
                                                     const struct template_expression *object) {
    const struct template_expression *parts[3] = {NULL};
    uint32_t line = parser->at++->line;
    size_t colons = 0;
    if (parser_is(parser, TOKEN_CLOSE_BRACKET)) {
        parser_fail(parser, "an index");
        return NULL;
    }
    if (!parse_slice_part(parser, &parts[0])) {
        return NULL;
    }
    while (colons < 2 && parser_skip(parser, TOKEN_COLON)) {
        if (!parse_slice_part(parser, &parts[++colons])) {
            return NULL;
        }
    }
    if (!parser_expect(parser, TOKEN_CLOSE_BRACKET, "']' behind an index")) {
        return NULL;
    }
    if (colons == 0) {
        return new_binary(parser, EXPRESSION_ITEM, line, object, parts[0]);
    }
    struct template_expression *slice = new_expression(parser, EXPRESSION_SLICE, line, 4);
    if (slice != NULL) {
        slice->operands[0] = object;
        memcpy(slice->operands + 1, parts, sizeof parts);
    }
    return slice;
}

static const struct template_expression *parse_postfix(struct parser *parser,
                                                       const struct template_expression *object) {
    while (object != NULL) {
        switch (parser->at->kind) {
        case TOKEN_DOT:
            object = parse_member(parser, object);
            break;
        case TOKEN_OPEN_BRACKET:
            object = parse_index(parser, object);
            break;
        case TOKEN_OPEN_PARENTHESIS:
            object = parse_call(parser, object);
            break;
        default:
            return object;
        }
    }
    return NULL;
}

/* ---- Filters and tests ---- */

/* A filter or test that there is not makes the template useless, unless it stands in a condition,
 * where the template may never come by. */
static void find_builtin(struct parser *parser, struct template_expression *expression,
                         const struct template_builtin *(*find)(struct template_text)) {
    const struct template_token *name = parser->at++;
    expression->builtin = find(name->text);
    expression->builtin_name = name->text;
    if (expression->builtin == NULL && parser->conditionals == 0 && parser->unknown == NULL) {
        parser->unknown = expression;
    }
}

/* The name of a filter and its arguments, with their input; "|" has been read. */
static const struct template_expression *parse_filter(struct parser *parser,
                                                      const struct template_expression *input) {
    struct template_expression *filter =
        new_unary(parser, EXPRESSION_FILTER, parser->at->line, input);
    if (filter == NULL) {
        return NULL;
    }
    if (!parser_is(parser, TOKEN_NAME)) {
        parser_fail(parser, "the name of a filter");
        return NULL;
    }
    find_builtin(parser, filter, template_find_filter);
    bool has_arguments = parser_is(parser, TOKEN_OPEN_PARENTHESIS);
    return !has_arguments || parse_arguments(parser, &filter->arguments) ? filter : NULL;
}

const struct template_expression *parse_block_filters(struct parser *parser) {
    const struct template_expression *input =
        new_expression(parser, EXPRESSION_BLOCK, parser->at->line, 0);
    do {
        input = parse_filter(parser, input);
    } while (input != NULL && parser_skip(parser, TOKEN_PIPE));
    return input;
}

/* Does an argument without parentheses follow, as in `x is divisibleby 3`? */
static bool begins_argument(const struct parser *parser) {
    switch (parser->at->kind) {
    case TOKEN_NAME:
        return !parser_is_name(parser, "else") && !parser_is_name(parser, "or") &&
               !parser_is_name(parser, "and");
    case TOKEN_STRING:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_OPEN_BRACKET:
    case TOKEN_OPEN_BRACE:
        return true;
    default:
        return false;
    }
}

static bool parse_test_arguments(struct parser *parser, struct template_expression *test) {
    if (parser_is(parser, TOKEN_OPEN_PARENTHESIS)) {
        return parse_arguments(parser, &test->arguments);
    }
    if (!begins_argument(parser)) {
        return true;
    }
    if (parser_is_name(parser, "is")) {
        return parser_fail(parser, "parentheses around a test that another one follows");
    }
    struct template_argument *argument = parser_allocate(parser, 1, sizeof *argument);
    if (argument == NULL) {
        return false;
    }
    argument->value = parse_postfix(parser, parse_primary(parser));
    test->arguments = argument;
    return argument->value != NULL;
}

/* `is not name arguments`; "is" has been read. */
static const struct template_expression *parse_test(struct parser *parser,
                                                    const struct template_expression *input) {
    uint32_t line = parser->at->line;
    bool negated = parser_skip_name(parser, "not");
    struct template_expression *test = new_unary(parser, EXPRESSION_TEST, line, input);
    if (test == NULL) {
        return NULL;
    }
    if (!parser_is(parser, TOKEN_NAME)) {
        parser_fail(parser, "the name of a test");
        return NULL;
    }
    find_builtin(parser, test, template_find_test);
    if (!parse_test_arguments(parser, test)) {
        return NULL;
    }
    return negated ? new_unary(parser, EXPRESSION_NOT, line, test) : test;
}

static const struct template_expression *parse_filters(struct parser *parser,
                                                       const struct template_expression *input) {
    while (input != NULL) {
        if (parser_skip(parser, TOKEN_PIPE)) {
            input = parse_filter(parser, input);
        } else if (parser_skip_name(parser, "is")) {
            input = parse_test(parser, input);
        } else if (parser_is(parser, TOKEN_OPEN_PARENTHESIS)) {
            input = parse_call(parser, input);
        } else {
            return input;
        }
    }
    return NULL;
}

/* ---- Operators, tightest first ---- */

/* A sign binds tighter than a filter: -x|abs is (-x)|abs. */
static const struct template_expression *parse_signed(struct parser *parser) {
    if (!parser_is(parser, TOKEN_SUBTRACT) && !parser_is(parser, TOKEN_ADD)) {
        return parse_postfix(parser, parse_primary(parser));
    }
    const struct template_token *sign = parser->at++;
    if (!parser_enter(parser)) {
        return NULL;
    }
    struct template_expression *expression =
        new_unary(parser, EXPRESSION_SIGN, sign->line, parse_signed(parser));
    parser_leave(parser);
    if (expression == NULL) {
        return NULL;
    }
    expression->operation = sign->kind;
    return parse_postfix(parser, expression);
}

static const struct template_expression *parse_unary(struct parser *parser) {
    return parse_filters(parser, parse_signed(parser));
}

/* operand (operation operand)*, from left to right; `operators` ends with TOKEN_END. */
static const struct template_expression *
parse_arithmetic(struct parser *parser, const enum template_token_kind *operators,
                 const struct template_expression *(*operand)(struct parser *)) {
    const struct template_expression *left = operand(parser);
    while (left != NULL) {
        size_t i = 0;
        while (operators[i] != TOKEN_END && !parser_is(parser, operators[i])) {
            i++;
        }
        if (operators[i] == TOKEN_END) {
            break;
        }
        uint32_t line = parser->at++->line;
        struct template_expression *both =
            new_binary(parser, EXPRESSION_ARITHMETIC, line, left, operand(parser));
        if (both != NULL) {
            both->operation = operators[i];
        }
        left = both;
    }
    return left;
}

static const struct template_expression *parse_power(struct parser *parser) {
    static const enum template_token_kind operators[] = {TOKEN_POWER, TOKEN_END};
    return parse_arithmetic(parser, operators, parse_unary);
}

static const struct template_expression *parse_product(struct parser *parser) {
    static const enum template_token_kind operators[] = {
        TOKEN_MULTIPLY, TOKEN_DIVIDE, TOKEN_FLOOR_DIVIDE, TOKEN_REMAINDER, TOKEN_END};
    return parse_arithmetic(parser, operators, parse_power);
}

static const struct template_expression *parse_join(struct parser *parser) {
    struct operands operands = {0};
    uint32_t line = parser->at->line;
    do {
        if (!add_operand(parser, &operands, parse_product(parser))) {
            return NULL;
        }
    } while (parser_skip(parser, TOKEN_JOIN));
    return operands.count == 1 ? operands.items[0]
                               : new_of_operands(parser, EXPRESSION_JOIN, line, &operands);
}

static const struct template_expression *parse_sum(struct parser *parser) {
    static const enum template_token_kind operators[] = {TOKEN_ADD, TOKEN_SUBTRACT, TOKEN_END};
    return parse_arithmetic(parser, operators, parse_join);
}

/* The comparison that comes next, passed. */
static bool skip_comparison(struct parser *parser, enum template_comparison *comparison) {
    if (parser->at->kind >= TOKEN_EQUAL && parser->at->kind <= TOKEN_GREATER_EQUAL) {
        *comparison = (enum template_comparison)(parser->at++->kind - TOKEN_EQUAL);
        return true;
    }
    if (parser_skip_name(parser, "in")) {
        *comparison = COMPARE_IN;
        return true;
    }
    bool not_in = parser_is_name(parser, "not") && parser->at[1].kind == TOKEN_NAME &&
                  template_text_is(parser->at[1].text, "in");
    if (not_in) {
        *comparison = COMPARE_NOT_IN;
        parser->at += 2;
    }
    return not_in;
}

/* As many comparisons as there will be operands behind them. */
static bool add_comparison(struct parser *parser, enum template_comparison **comparisons,
                           uint32_t count, enum template_comparison comparison) {
    bool is_full = (count & (count - 1)) == 0; /* capacities are powers of two */
    if (is_full) {
        enum template_comparison *grown =
            parser_allocate(parser, count > 0 ? 2 * (size_t)count : 1, sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        if (count > 0) {
            memcpy(grown, *comparisons, count * sizeof *grown);
        }
        *comparisons = grown;
    }
    (*comparisons)[count] = comparison;
    return true;
}

static const struct template_expression *parse_comparison(struct parser *parser) {
    struct operands operands = {0};
    uint32_t line = parser->at->line;
    enum template_comparison *comparisons = NULL;
    enum template_comparison comparison;
    if (!add_operand(parser, &operands, parse_sum(parser))) {
        return NULL;
    }
    while (skip_comparison(parser, &comparison)) {
        if (!add_comparison(parser, &comparisons, operands.count - 1, comparison) ||
            !add_operand(parser, &operands, parse_sum(parser))) {
            return NULL;
        }
    }
    if (operands.count == 1) {
        return operands.items[0];
    }
    struct template_expression *expression =
        new_of_operands(parser, EXPRESSION_COMPARE, line, &operands);
    if (expression != NULL) {
        expression->comparisons = comparisons;
    }
    return expression;
}

static const struct template_expression *parse_not(struct parser *parser) {
    uint32_t line = parser->at->line;
    if (!parser_skip_name(parser, "not")) {
        return parse_comparison(parser);
    }
    if (!parser_enter(parser)) {
        return NULL;
    }
    const struct template_expression *expression =
        new_unary(parser, EXPRESSION_NOT, line, parse_not(parser));
    parser_leave(parser);
    return expression;
}

static const struct template_expression *parse_and(struct parser *parser) {
    const struct template_expression *left = parse_not(parser);
    while (left != NULL && parser_is_name(parser, "and")) {
        uint32_t line = parser->at++->line;
        left = new_binary(parser, EXPRESSION_AND, line, left, parse_not(parser));
    }
    return left;
}

static const struct template_expression *parse_or(struct parser *parser) {
    const struct template_expression *left = parse_and(parser);
    while (left != NULL && parser_is_name(parser, "or")) {
        uint32_t line = parser->at++->line;
        left = new_binary(parser, EXPRESSION_OR, line, left, parse_and(parser));
    }
    return left;
}

static const struct template_expression *parse_conditional(struct parser *parser) {
    const struct template_expression *unknown = parser->unknown;
    const struct template_expression *value = parse_or(parser);
    while (value != NULL && parser_is_name(parser, "if")) {
        uint32_t line = parser->at++->line;
        struct template_expression *conditional =
            new_expression(parser, EXPRESSION_CONDITIONAL, line, 3);
        if (conditional == NULL) {
            return NULL;
        }
        conditional->operands[1] = value;
        conditional->operands[0] = parse_or(parser);
        if (conditional->operands[0] == NULL) {
            return NULL;
        }
        if (parser_skip_name(parser, "else")) {
            conditional->operands[2] = parse_expression(parser);
            if (conditional->operands[2] == NULL) {
                return NULL;
            }
        }
        parser->unknown = unknown; /* all parts of a conditional are in a condition */
        value = conditional;
    }
    return value;
}

const struct template_expression *parse_expression(struct parser *parser) {
    if (!parser_enter(parser)) {
        return NULL;
    }
    const struct template_expression *expression = parse_conditional(parser);
    parser_leave(parser);
    return expression;
}

const struct template_expression *parse_tuple(struct parser *parser, bool conditional) {
    struct operands operands = {0};
    uint32_t line = parser->at->line;
    do {
        bool ends = parser_is(parser, TOKEN_CLOSE_OUTPUT) || parser_is(parser, TOKEN_CLOSE_TAG);
        if (ends && operands.count > 0) {
            break;
        }
        if (!add_operand(parser, &operands,
                         conditional ? parse_expression(parser) : parse_or(parser))) {
            return NULL;
        }
    } while (parser_skip(parser, TOKEN_COMMA));
    bool is_tuple = operands.count > 1 || parser->at[-1].kind == TOKEN_COMMA;
    return is_tuple ? new_of_operands(parser, EXPRESSION_TUPLE, line, &operands)
                    : operands.items[0];
}
