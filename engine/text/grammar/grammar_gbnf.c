#include "engine/text/grammar/grammar_gbnf.h"

#include "engine/text/grammar/grammar_reader.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_TABLE = 1 << 12 };

/* Names by their hash; a rule's name is where it is first met. */
struct name {
    const char *text;
    size_t length;
    grammar_rule rule;
    bool defined;
    struct name *next;
};

struct parser {
    struct grammar_reader in;
    struct name *names[NAME_TABLE];
};

static bool failed(const struct parser *parser) {
    return grammar_builder_failed(parser->in.builder);
}

static grammar_expression report(const struct grammar_reader *in, size_t at, const char *what) {
    size_t line = 1;
    size_t column = 1; /* in bytes, as editors and compilers count */
    for (size_t i = 0; i < at && i < in->length; i++) {
        bool ends = in->text[i] == '\n';
        line += ends;
        column = ends ? 1 : column + 1;
    }
    return grammar_fail(in->builder, ERROR_INVALID,
                        "the grammar is wrong in line %zu, column %zu: %s, near \"%.*s\"", line,
                        column, what, in->length - at < 30 ? (int)(in->length - at) : 30,
                        in->text + at);
}

static grammar_expression fail(struct parser *parser, size_t at, const char *what) {
    return report(&parser->in, at, what);
}

/* Blanks and comments, and ends of lines if `lines`. */
static void skip_space(struct parser *parser, bool lines) {
    for (;;) {
        int c = grammar_peek(&parser->in);
        if (c == '#') {
            while (grammar_peek(&parser->in) >= 0 && grammar_peek(&parser->in) != '\n' &&
                   grammar_peek(&parser->in) != '\r') {
                parser->in.at++;
            }
        } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
            parser->in.at++;
        } else {
            return;
        }
    }
}

/* ---- Names ---- */

static bool is_name_character(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static size_t hash_name(const char *text, size_t length) {
    uint64_t hash = 0;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (size_t)(hash % NAME_TABLE);
}

static struct name *find_name(struct parser *parser, const char *text, size_t length) {
    struct name **place = &parser->names[hash_name(text, length)];
    for (struct name *name = *place; name != NULL; name = name->next) {
        if (name->length == length && memcmp(name->text, text, length) == 0) {
            return name;
        }
    }
    struct name *name = calloc(1, sizeof *name);
    if (name == NULL) {
        grammar_fail(parser->in.builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
        return NULL;
    }
    *name = (struct name){
        .text = text,
        .length = length,
        .rule = grammar_rule_create(parser->in.builder, text, length),
        .next = *place,
    };
    *place = name;
    return name;
}

static struct name *read_name(struct parser *parser) {
    size_t begin = parser->in.at;
    while (is_name_character(grammar_peek(&parser->in))) {
        parser->in.at++;
    }
    if (parser->in.at == begin) {
        fail(parser, begin, "a name was expected");
        return NULL;
    }
    return find_name(parser, parser->in.text + begin, parser->in.at - begin);
}

static void free_names(struct parser *parser) {
    for (size_t i = 0; i < NAME_TABLE; i++) {
        while (parser->names[i] != NULL) {
            struct name *name = parser->names[i];
            parser->names[i] = name->next;
            free(name);
        }
    }
}

/* ---- Characters ---- */

/* Behind a backslash. */
static uint32_t read_escape(struct parser *parser) {
    size_t begin = parser->in.at;
    int c = grammar_peek(&parser->in);
    uint32_t code = (uint32_t)c;
    parser->in.at += c >= 0;
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'x':
        return grammar_read_digits(&parser->in, 2);
    case 'u':
    case 'U':
        code = grammar_read_digits(&parser->in, c == 'u' ? 4 : 8);
        break;
    case '\\':
    case '"':
    case '\'':
    case '[':
    case ']':
    case '-':
    case '^':
    case '/':
        return code;
    default:
        code = CODE_LAST + 1;
        break;
    }
    if (code > CODE_LAST || (code >= 0xD800 && code <= 0xDFFF)) {
        fail(parser, begin, "an escape stands for no character");
        return 0;
    }
    return code;
}

static uint32_t read_character(struct parser *parser) {
    return grammar_skip(&parser->in, "\\") ? read_escape(parser)
                                           : grammar_read_character(&parser->in);
}

/* Behind the quotation mark. */
static grammar_expression read_literal(struct parser *parser, size_t begin) {
    struct text_buffer literal = {0};
    bool room = text_buffer_append(&literal, "", 0);
    while (room && !grammar_skip(&parser->in, "\"") && !failed(parser)) {
        char bytes[4];
        if (grammar_peek(&parser->in) < 0 || grammar_peek(&parser->in) == '\n') {
            fail(parser, begin, "a text does not end");
        } else {
            room = text_buffer_append(&literal, bytes, utf8_encode(read_character(parser), bytes));
        }
    }
    grammar_expression expression =
        room ? grammar_text(parser->in.builder, literal.bytes, literal.length)
             : grammar_fail(parser->in.builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    text_buffer_deinit(&literal);
    return expression;
}

struct class {
    struct code_range *ranges;
    size_t count;
    size_t capacity;
};

/* With room for one more, which a complement may need. */
static bool add_range(struct class *class, uint32_t first, uint32_t last) {
    if (class->count + 1 >= class->capacity) {
        size_t capacity = 2 * class->capacity + 8;
        struct code_range *grown = reallocarray(class->ranges, capacity, sizeof *class->ranges);
        if (grown == NULL) {
            return false;
        }
        class->ranges = grown;
        class->capacity = capacity;
    }
    class->ranges[class->count++] = (struct code_range){first, last};
    return true;
}

static bool read_range(struct parser *parser, struct class *class, size_t begin) {
    if (grammar_peek(&parser->in) < 0 || grammar_peek(&parser->in) == '\n') {
        fail(parser, begin, "a class of characters does not end");
        return true;
    }
    uint32_t first = read_character(parser);
    uint32_t last = first;
    if (grammar_peek(&parser->in) == '-' && parser->in.at + 1 < parser->in.length &&
        parser->in.text[parser->in.at + 1] != ']') {
        parser->in.at++;
        last = read_character(parser);
    }
    if (last < first) {
        fail(parser, begin, "a range of characters has no order");
    }
    return add_range(class, first, last);
}

/* Behind the bracket. */
static grammar_expression read_class(struct parser *parser, size_t begin) {
    struct class class = {0};
    bool negated = grammar_skip(&parser->in, "^");
    bool room = add_range(&class, 1, 0); /* an empty one */
    while (room && !grammar_skip(&parser->in, "]") && !failed(parser)) {
        room = read_range(parser, &class, begin);
    }
    grammar_expression expression = 0;
    if (!room) {
        grammar_fail(parser->in.builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    } else if (!failed(parser)) {
        size_t count = code_ranges_join(class.ranges, class.count);
        count = negated ? code_ranges_complement(class.ranges, count) : count;
        expression = grammar_characters(parser->in.builder, class.ranges, count);
    }
    free(class.ranges);
    return expression;
}

/* ---- Expressions ---- */

static grammar_expression read_alternation(struct parser *parser, bool nested);

static grammar_expression read_reference(struct parser *parser) {
    const struct name *name = read_name(parser);
    return name != NULL ? grammar_reference(parser->in.builder, name->rule) : 0;
}

static grammar_expression read_group(struct parser *parser, size_t begin) {
    if (++parser->in.depth > GRAMMAR_GROUPS_MAX) {
        return fail(parser, begin, "parentheses nest too deeply");
    }
    skip_space(parser, true);
    grammar_expression group = read_alternation(parser, true);
    parser->in.depth--;
    skip_space(parser, true);
    return grammar_skip(&parser->in, ")") || failed(parser)
               ? group
               : fail(parser, begin, "a parenthesis is not closed");
}

/* False where no element begins. */
static bool read_element(struct parser *parser, grammar_expression *element) {
    size_t begin = parser->in.at;
    int c = grammar_peek(&parser->in);
    if (grammar_skip(&parser->in, "\"")) {
        *element = read_literal(parser, begin);
    } else if (grammar_skip(&parser->in, "[")) {
        *element = read_class(parser, begin);
    } else if (grammar_skip(&parser->in, "(")) {
        *element = read_group(parser, begin);
    } else if (grammar_skip(&parser->in, ".")) {
        *element = grammar_characters(parser->in.builder, &(struct code_range){0, CODE_LAST}, 1);
    } else if (is_name_character(c)) {
        *element = read_reference(parser);
    } else if (c == '<' || c == '!') {
        *element = fail(parser, begin, "tokens by name or id are not supported");
    } else {
        return false;
    }
    return true;
}

/* Behind the brace. */
static void read_bounds(struct parser *parser, uint32_t *least, uint32_t *most) {
    size_t begin = parser->in.at;
    skip_space(parser, false);
    bool has_least = grammar_read_number(&parser->in, least);
    *most = *least;
    skip_space(parser, false);
    if (grammar_skip(&parser->in, ",")) {
        skip_space(parser, false);
        *most = grammar_read_number(&parser->in, most) ? *most : GRAMMAR_UNBOUNDED;
        skip_space(parser, false);
    } else if (!has_least) {
        fail(parser, begin, "a number of repetitions was expected");
    }
    if (!grammar_skip(&parser->in, "}") || *least > *most) {
        fail(parser, begin, "the bounds of a repetition are wrong");
    }
}

static grammar_expression read_repeated(struct parser *parser, grammar_expression element) {
    for (bool nested = parser->in.depth > 0; !failed(parser);) {
        uint32_t least = 0;
        uint32_t most = GRAMMAR_UNBOUNDED;
        size_t before = parser->in.at;
        skip_space(parser, nested);
        if (grammar_skip(&parser->in, "+")) {
            least = 1;
        } else if (grammar_skip(&parser->in, "?")) {
            most = 1;
        } else if (grammar_skip(&parser->in, "{")) {
            read_bounds(parser, &least, &most);
        } else if (!grammar_skip(&parser->in, "*")) {
            parser->in.at = before;
            return element;
        }
        element = grammar_repeat(parser->in.builder, element, least, most);
    }
    return element;
}

static grammar_expression read_sequence(struct parser *parser, bool nested) {
    struct grammar_parts parts = {0};
    grammar_expression element;
    skip_space(parser, nested);
    while (!failed(parser) && read_element(parser, &element)) {
        grammar_parts_add(parser->in.builder, &parts, read_repeated(parser, element));
        skip_space(parser, nested);
    }
    grammar_expression sequence =
        failed(parser) ? 0 : grammar_sequence(parser->in.builder, parts.items, parts.count);
    free(parts.items);
    return sequence;
}

/* An alternative may begin on the next line. */
static bool skip_bar(struct parser *parser) {
    size_t before = parser->in.at;
    skip_space(parser, true);
    if (grammar_skip(&parser->in, "|")) {
        skip_space(parser, true);
        return true;
    }
    parser->in.at = before;
    return false;
}

static grammar_expression read_alternation(struct parser *parser, bool nested) {
    struct grammar_parts parts = {0};
    do {
        grammar_parts_add(parser->in.builder, &parts, read_sequence(parser, nested));
    } while (!failed(parser) && skip_bar(parser));
    grammar_expression choice =
        failed(parser) ? 0 : grammar_choice(parser->in.builder, parts.items, parts.count);
    free(parts.items);
    return choice;
}

/* ---- Rules ---- */

static void read_rule(struct parser *parser) {
    size_t begin = parser->in.at;
    struct name *name = read_name(parser);
    skip_space(parser, false);
    if (name == NULL || !grammar_skip(&parser->in, "::=")) {
        fail(parser, begin, "a rule was expected: name ::= ...");
        return;
    }
    if (name->defined) {
        fail(parser, begin, "a rule is defined twice");
        return;
    }
    name->defined = true;
    skip_space(parser, true);
    grammar_rule_define(parser->in.builder, name->rule, read_alternation(parser, false));
    skip_space(parser, false);
    if (grammar_peek(&parser->in) >= 0 && grammar_peek(&parser->in) != '\n' &&
        grammar_peek(&parser->in) != '\r') {
        fail(parser, parser->in.at, "the rule should have ended here");
    }
}

grammar_expression grammar_gbnf(struct grammar_builder *builder, const char *text, size_t length) {
    struct parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    parser->in =
        (struct grammar_reader){.builder = builder, .text = text, .length = length, .fail = report};
    skip_space(parser, true);
    while (grammar_peek(&parser->in) >= 0 && !failed(parser)) {
        read_rule(parser);
        skip_space(parser, true);
    }
    const struct name *root = failed(parser) ? NULL : find_name(parser, "root", 4);
    grammar_expression expression = 0;
    if (root != NULL && !root->defined) {
        grammar_fail(builder, ERROR_INVALID, "the grammar has no rule \"root\"");
    } else if (root != NULL) {
        expression = grammar_reference(builder, root->rule);
    }
    free_names(parser);
    free(parser);
    return expression;
}
