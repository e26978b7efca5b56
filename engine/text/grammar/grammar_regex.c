#include "engine/text/grammar/grammar_regex.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 100,        /* of groups */
    CLASS_RANGES_MAX = 512, /* of one [...] */
    REPEATS_MAX = 100000,
};

struct parser {
    struct grammar_builder *builder;
    const struct grammar_regex_style *style;
    const char *text;
    size_t length;
    size_t at;
    size_t depth;
};

static grammar_expression fail(struct parser *parser, size_t at, const char *what) {
    return grammar_fail(parser->builder, ERROR_INVALID,
                        "the regular expression \"%.*s\" cannot be used: at byte %zu, %s",
                        parser->length < 100 ? (int)parser->length : 100, parser->text, at, what);
}

static bool failed(const struct parser *parser) {
    return grammar_builder_failed(parser->builder);
}

static int peek(const struct parser *parser) {
    return parser->at < parser->length ? (unsigned char)parser->text[parser->at] : -1;
}

static bool skip(struct parser *parser, const char *text) {
    size_t length = strlen(text);
    if (parser->at > parser->length || parser->length - parser->at < length ||
        memcmp(parser->text + parser->at, text, length) != 0) {
        return false;
    }
    parser->at += length;
    return true;
}

/* ---- Characters ---- */

/* What a character, an escape or a class stands for. Where JavaScript and Python differ over it,
 * `least` is what both match, and `most` what either does. */
struct character_class {
    struct code_range least[CLASS_RANGES_MAX];
    size_t least_count;
    struct code_range most[CLASS_RANGES_MAX];
    size_t most_count;
};

static void add_range(struct parser *parser, struct character_class *class, uint32_t first,
                      uint32_t last) {
    if (class->least_count == CLASS_RANGES_MAX || class->most_count == CLASS_RANGES_MAX) {
        fail(parser, parser->at, "a class has too many ranges");
        return;
    }
    class->least[class->least_count++] = (struct code_range){first, last};
    class->most[class->most_count++] = (struct code_range){first, last};
}

struct shorthand {
    char letter;
    struct code_range ranges[6];
    struct code_range beyond[10]; /* what only one of the two languages takes for one of these */
};

/* Beyond ASCII, all may be digits or parts of words. White space is that of ECMA 262 and of Python's
 * str.isspace. */
static const struct shorthand shorthands[] = {
    {'d', {{'0', '9'}}, {{0x80, CODE_LAST}}},
    {'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, {{0x80, CODE_LAST}}},
    {'s',
     {{'\t', '\r'}, {' ', ' '}},
     {{0x1C, 0x1F},
      {0x85, 0x85},
      {0xA0, 0xA0},
      {0x1680, 0x1680},
      {0x2000, 0x200A},
      {0x2028, 0x2029},
      {0x202F, 0x202F},
      {0x205F, 0x205F},
      {0x3000, 0x3000},
      {0xFEFF, 0xFEFF}}},
};

/* Appends ranges up to the first empty one. */
static size_t append_ranges(struct code_range *to, size_t count, const struct code_range *from,
                            size_t most) {
    for (size_t i = 0; i < most && from[i].last != 0; i++) {
        to[count++] = from[i];
    }
    return count;
}

/* \d, \w, \s, or with a capital letter all else. */
static void add_shorthand(struct parser *parser, struct character_class *class,
                          const struct shorthand *shorthand, bool negated) {
    struct code_range least[20];
    struct code_range most[20];
    if (class->least_count + 20 > CLASS_RANGES_MAX || class->most_count + 20 > CLASS_RANGES_MAX) {
        fail(parser, parser->at, "a class has too many ranges");
        return;
    }
    size_t least_count = append_ranges(least, 0, shorthand->ranges, 6);
    size_t most_count = append_ranges(most, 0, shorthand->ranges, 6);
    most_count = append_ranges(most, most_count, shorthand->beyond, 10);
    least_count = code_ranges_join(least, least_count);
    most_count = code_ranges_join(most, most_count);
    if (negated) {
        least_count = code_ranges_complement(least, least_count);
        most_count = code_ranges_complement(most, most_count);
    }
    const struct code_range *surely = negated ? most : least;
    const struct code_range *possibly = negated ? least : most;
    size_t surely_count = negated ? most_count : least_count;
    size_t possibly_count = negated ? least_count : most_count;
    memcpy(class->least + class->least_count, surely, surely_count * sizeof *surely);
    memcpy(class->most + class->most_count, possibly, possibly_count * sizeof *possibly);
    class->least_count += surely_count;
    class->most_count += possibly_count;
}

static const struct shorthand *find_shorthand(int letter) {
    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++) {
        if (shorthands[i].letter == (letter | 0x20)) {
            return &shorthands[i];
        }
    }
    return NULL;
}

static int hexadecimal_digit(int c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool is_letter(int c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static uint32_t read_digits(struct parser *parser, size_t digits) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = hexadecimal_digit(peek(parser));
        if (digit < 0) {
            fail(parser, parser->at, "hexadecimal digits are missing");
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
        parser->at++;
    }
    return code;
}

/* \u1234, \u{12345}, or two halves of a character: \ud83d\ude00 */
static uint32_t read_unicode(struct parser *parser) {
    size_t begin = parser->at;
    uint32_t code = 0;
    if (skip(parser, "{")) {
        do {
            code = code << 4 | read_digits(parser, 1);
        } while (peek(parser) != '}' && code <= CODE_LAST && !failed(parser));
        parser->at++;
    } else {
        code = read_digits(parser, 4);
        if (code >= 0xD800 && code <= 0xDBFF && skip(parser, "\\u")) {
            uint32_t low = read_digits(parser, 4);
            bool pair = low >= 0xDC00 && low <= 0xDFFF;
            code = pair ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : CODE_LAST + 1;
        }
    }
    if (code > CODE_LAST || (code >= 0xD800 && code <= 0xDFFF)) {
        fail(parser, begin, "there is no such character");
        return 0;
    }
    return code;
}

/* Behind a backslash: an escape that is one character. */
static uint32_t read_escape(struct parser *parser, bool in_class) {
    static const char letters[] = "tnvfr";
    static const char controls[] = "\t\n\v\f\r";
    size_t begin = parser->at;
    int c = peek(parser);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    parser->at++;
    if (letter != NULL) {
        return (uint32_t)controls[letter - letters];
    }
    if (c == 'x') {
        return read_digits(parser, 2);
    }
    if (c == 'u') {
        return read_unicode(parser);
    }
    if (c == '0' && (peek(parser) < '0' || peek(parser) > '9')) {
        return 0;
    }
    if (c == 'b' && in_class) {
        return '\b';
    }
    if (c == 'c' && is_letter(peek(parser))) {
        return (uint32_t)parser->text[parser->at++] & 0x1F;
    }
    if (c < 0) {
        fail(parser, begin, "a backslash is the last character");
    } else if (c >= '1' && c <= '9') {
        fail(parser, begin, "references to groups are not supported");
    } else if (c == 'b' || c == 'B') {
        fail(parser, begin, "word boundaries are not supported");
    } else if (c == 'p' || c == 'P') {
        fail(parser, begin, "\\p{...} is not supported");
    } else if (is_letter(c) || c >= 0x80) {
        fail(parser, begin, "an escape is not supported");
    }
    return (uint32_t)c;
}

static uint32_t read_character(struct parser *parser) {
    size_t width = utf8_character(parser->text + parser->at, parser->length - parser->at);
    if (width == 0) {
        fail(parser, parser->at, "the text is not UTF-8");
        return 0;
    }
    uint32_t code = utf8_decode(parser->text + parser->at, width);
    parser->at += width;
    return code;
}

static grammar_expression make_characters(struct parser *parser, struct code_range *ranges,
                                          size_t count) {
    if (failed(parser)) {
        return 0;
    }
    count = code_ranges_join(ranges, count);
    return parser->style->characters != NULL
               ? parser->style->characters(parser->builder, ranges, count, parser->style->context)
               : grammar_characters(parser->builder, ranges, count);
}

static grammar_expression make_character(struct parser *parser, uint32_t code) {
    struct code_range range = {code, code};
    return make_characters(parser, &range, 1);
}

/* All but what ends a line in either language. */
static grammar_expression make_dot(struct parser *parser) {
    struct code_range ranges[8] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    return make_characters(parser, ranges, code_ranges_complement(ranges, 3));
}

static grammar_expression make_anything(struct parser *parser) {
    struct code_range range = {0, CODE_LAST};
    return grammar_repeat(parser->builder, make_characters(parser, &range, 1), 0,
                          GRAMMAR_UNBOUNDED);
}

/* ---- Classes ---- */

/* One character of a class, or a shorthand, which is added at once. */
static bool read_class_item(struct parser *parser, struct character_class *class, uint32_t *code) {
    if (peek(parser) != '\\') {
        *code = read_character(parser);
        return true;
    }
    parser->at++;
    const struct shorthand *shorthand = find_shorthand(peek(parser));
    if (shorthand == NULL) {
        *code = read_escape(parser, true);
        return true;
    }
    bool negated = peek(parser) < 'a';
    parser->at++;
    add_shorthand(parser, class, shorthand, negated);
    return false;
}

static void read_class_items(struct parser *parser, struct character_class *class, size_t begin) {
    /* In Python, a ] that comes first is one of the class; in JavaScript the class is empty. */
    if (peek(parser) == ']') {
        fail(parser, parser->at, "a class is empty; write \\] for a bracket");
    }
    while (!skip(parser, "]") && !failed(parser)) {
        uint32_t first;
        size_t at = parser->at;
        if (peek(parser) < 0) {
            fail(parser, begin, "a class does not end");
        } else if (read_class_item(parser, class, &first)) {
            uint32_t last = first;
            bool range = peek(parser) == '-' && parser->at + 1 < parser->length &&
                         parser->text[parser->at + 1] != ']';
            if (range) {
                parser->at++;
                if (!read_class_item(parser, class, &last) || last < first) {
                    fail(parser, at, "a range of characters has no order");
                }
            }
            add_range(parser, class, first, last);
        }
    }
}

static grammar_expression read_class(struct parser *parser, size_t begin) {
    struct character_class *class = calloc(1, sizeof *class);
    if (class == NULL) {
        return grammar_fail(parser->builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    bool negated = skip(parser, "^");
    read_class_items(parser, class, begin);
    grammar_expression expression = 0;
    if (!failed(parser) && negated) {
        size_t count = code_ranges_join(class->most, class->most_count);
        /* There is room for one more: joining leaves fewer than there may be. */
        bool room = count < CLASS_RANGES_MAX;
        expression =
            room ? make_characters(parser, class->most, code_ranges_complement(class->most, count))
                 : fail(parser, begin, "a class has too many ranges");
    } else if (!failed(parser)) {
        expression = make_characters(parser, class->least, class->least_count);
    }
    free(class);
    return expression;
}

/* ---- Atoms ---- */

static grammar_expression read_alternation(struct parser *parser);

static grammar_expression read_group(struct parser *parser, size_t begin) {
    if (skip(parser, "?")) {
        bool named =
            skip(parser, "P<") || (peek(parser) == '<' && parser->at + 1 < parser->length &&
                                   parser->text[parser->at + 1] != '=' &&
                                   parser->text[parser->at + 1] != '!' && skip(parser, "<"));
        while (named && peek(parser) >= 0 && peek(parser) != '>') {
            parser->at++;
        }
        if (!(named ? skip(parser, ">") : skip(parser, ":"))) {
            return fail(parser, begin, "look-around, flags and other (?...) are not supported");
        }
    }
    if (++parser->depth > DEPTH_MAX) {
        return fail(parser, begin, "groups nest too deeply");
    }
    grammar_expression group = read_alternation(parser);
    parser->depth--;
    return skip(parser, ")") || failed(parser) ? group
                                               : fail(parser, begin, "a group does not end");
}

static grammar_expression read_escaped_atom(struct parser *parser) {
    const struct shorthand *shorthand = find_shorthand(peek(parser));
    if (shorthand == NULL) {
        return make_character(parser, read_escape(parser, false));
    }
    struct character_class *class = calloc(1, sizeof *class);
    if (class == NULL) {
        return grammar_fail(parser->builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    bool negated = peek(parser) < 'a';
    parser->at++;
    add_shorthand(parser, class, shorthand, negated);
    grammar_expression expression = make_characters(parser, class->least, class->least_count);
    free(class);
    return expression;
}

static grammar_expression read_atom(struct parser *parser) {
    size_t begin = parser->at;
    switch (peek(parser)) {
    case '(':
        parser->at++;
        return read_group(parser, begin);
    case '[':
        parser->at++;
        return read_class(parser, begin);
    case '.':
        parser->at++;
        return make_dot(parser);
    case '\\':
        parser->at++;
        return read_escaped_atom(parser);
    case '^':
    case '$':
        return fail(parser, begin,
                    "^ and $ are supported only where an alternative of the whole begins and ends");
    case '*':
    case '+':
    case '?':
        return fail(parser, begin, "there is nothing to repeat");
    default:
        return make_character(parser, read_character(parser));
    }
}

/* ---- Repetition ---- */

static bool read_number(struct parser *parser, uint32_t *number) {
    size_t begin = parser->at;
    *number = 0;
    while (peek(parser) >= '0' && peek(parser) <= '9') {
        *number = *number * 10 + (uint32_t)(peek(parser) - '0');
        parser->at++;
        if (*number > REPEATS_MAX) {
            fail(parser, begin, "something is repeated more than 100000 times");
            return false;
        }
    }
    return parser->at > begin;
}

/* {2}, {2,} or {2,5}; anything else in braces is text. */
static bool read_braces(struct parser *parser, uint32_t *least, uint32_t *most) {
    size_t begin = parser->at;
    if (skip(parser, "{") && read_number(parser, least)) {
        *most = *least;
        if (skip(parser, ",") && !read_number(parser, most)) {
            *most = GRAMMAR_UNBOUNDED;
        }
        if (skip(parser, "}")) {
            return true;
        }
    }
    parser->at = begin;
    return false;
}

static bool read_quantifier(struct parser *parser, uint32_t *least, uint32_t *most) {
    *least = 0;
    *most = GRAMMAR_UNBOUNDED;
    if (skip(parser, "*")) {
        return true;
    }
    if (skip(parser, "+")) {
        *least = 1;
        return true;
    }
    if (skip(parser, "?")) {
        *most = 1;
        return true;
    }
    return read_braces(parser, least, most);
}

static grammar_expression read_repeated(struct parser *parser) {
    uint32_t least;
    uint32_t most;
    grammar_expression atom = read_atom(parser);
    size_t at = parser->at;
    if (failed(parser) || !read_quantifier(parser, &least, &most)) {
        return atom;
    }
    if (least > most) {
        return fail(parser, at, "a repetition has its bounds in the wrong order");
    }
    if (!skip(parser, "?") && peek(parser) == '+') {
        return fail(parser, parser->at, "possessive repetition is not supported");
    }
    uint32_t again;
    size_t behind = parser->at;
    if (read_quantifier(parser, &again, &again)) {
        return fail(parser, behind, "there is nothing to repeat");
    }
    return grammar_repeat(parser->builder, atom, least, most);
}

/* ---- Sequences and alternations ---- */

static bool at_end_of_alternative(const struct parser *parser) {
    return peek(parser) < 0 || peek(parser) == '|' || peek(parser) == ')';
}

/* At the top, an alternative without an anchor may have anything before or behind it, if the style is
 * to search. */
static grammar_expression read_sequence(struct parser *parser) {
    struct grammar_parts parts = {0};
    const bool top = parser->depth == 0;
    const bool search = parser->style->search && top;
    if (!(top && skip(parser, "^")) && search) {
        grammar_parts_add(parser->builder, &parts, make_anything(parser));
    }
    bool anchored = false;
    while (!at_end_of_alternative(parser) && !failed(parser)) {
        size_t begin = parser->at;
        anchored = top && skip(parser, "$");
        if (anchored && !at_end_of_alternative(parser)) {
            fail(parser, begin, "$ is supported only where an alternative of the whole ends");
        } else if (!anchored) {
            grammar_parts_add(parser->builder, &parts, read_repeated(parser));
        }
    }
    if (search && !anchored) {
        grammar_parts_add(parser->builder, &parts, make_anything(parser));
    }
    grammar_expression sequence =
        failed(parser) ? 0 : grammar_sequence(parser->builder, parts.items, parts.count);
    free(parts.items);
    return sequence;
}

static grammar_expression read_alternation(struct parser *parser) {
    struct grammar_parts parts = {0};
    do {
        grammar_parts_add(parser->builder, &parts, read_sequence(parser));
    } while (skip(parser, "|") && !failed(parser));
    grammar_expression choice = failed(parser) ? 0
                                : parts.count == 1
                                    ? parts.items[0]
                                    : grammar_choice(parser->builder, parts.items, parts.count);
    free(parts.items);
    return choice;
}

grammar_expression grammar_regex(struct grammar_builder *builder, const char *pattern,
                                 size_t length, const struct grammar_regex_style *style) {
    struct parser parser = {.builder = builder, .style = style, .text = pattern, .length = length};
    grammar_expression expression = read_alternation(&parser);
    if (!failed(&parser) && parser.at < length) {
        return fail(&parser, parser.at, "a parenthesis closes nothing");
    }
    return expression;
}
