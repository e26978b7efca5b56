#include "engine/text/grammar/grammar_regex.h"

#include "engine/text/grammar/grammar_reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLASS_RANGES_MAX = 512, /* of one [...] */
};

struct parser {
    struct grammar_reader in;
    const struct grammar_regex_style *style;
};

static grammar_expression report(const struct grammar_reader *in, size_t at, const char *what) {
    return grammar_fail(in->builder, ERROR_INVALID,
                        "the regular expression \"%.*s\" cannot be used: at byte %zu, %s",
                        in->length < 100 ? (int)in->length : 100, in->text, at, what);
}

static grammar_expression fail(struct parser *parser, size_t at, const char *what) {
    return report(&parser->in, at, what);
}

static bool failed(const struct parser *parser) {
    return grammar_builder_failed(parser->in.builder);
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
        fail(parser, parser->in.at, "a class has too many ranges");
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
        fail(parser, parser->in.at, "a class has too many ranges");
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

static bool is_letter(int c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* \u1234, \u{12345}, or two halves of a character: \ud83d\ude00 */
static uint32_t read_unicode(struct parser *parser) {
    size_t begin = parser->in.at;
    uint32_t code = 0;
    if (grammar_skip(&parser->in, "{")) {
        do {
            code = code << 4 | grammar_read_digits(&parser->in, 1);
        } while (grammar_peek(&parser->in) != '}' && code <= CODE_LAST && !failed(parser));
        parser->in.at++;
    } else {
        code = grammar_read_digits(&parser->in, 4);
        if (code >= 0xD800 && code <= 0xDBFF && grammar_skip(&parser->in, "\\u")) {
            uint32_t low = grammar_read_digits(&parser->in, 4);
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
    size_t begin = parser->in.at;
    int c = grammar_peek(&parser->in);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    parser->in.at++;
    if (letter != NULL) {
        return (uint32_t)controls[letter - letters];
    }
    if (c == 'x') {
        return grammar_read_digits(&parser->in, 2);
    }
    if (c == 'u') {
        return read_unicode(parser);
    }
    if (c == '0' && (grammar_peek(&parser->in) < '0' || grammar_peek(&parser->in) > '9')) {
        return 0;
    }
    if (c == 'b' && in_class) {
        return '\b';
    }
    if (c == 'c' && is_letter(grammar_peek(&parser->in))) {
        return (uint32_t)parser->in.text[parser->in.at++] & 0x1F;
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

static grammar_expression make_characters(struct parser *parser, struct code_range *ranges,
                                          size_t count) {
    if (failed(parser)) {
        return 0;
    }
    count = code_ranges_join(ranges, count);
    return parser->style->characters != NULL
               ? parser->style->characters(parser->in.builder, ranges, count,
                                           parser->style->context)
               : grammar_characters(parser->in.builder, ranges, count);
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
    return grammar_repeat(parser->in.builder, make_characters(parser, &range, 1), 0,
                          GRAMMAR_UNBOUNDED);
}

/* ---- Classes ---- */

/* One character of a class, or a shorthand, which is added at once. */
static bool read_class_item(struct parser *parser, struct character_class *class, uint32_t *code) {
    if (grammar_peek(&parser->in) != '\\') {
        *code = grammar_read_character(&parser->in);
        return true;
    }
    parser->in.at++;
    const struct shorthand *shorthand = find_shorthand(grammar_peek(&parser->in));
    if (shorthand == NULL) {
        *code = read_escape(parser, true);
        return true;
    }
    bool negated = grammar_peek(&parser->in) < 'a';
    parser->in.at++;
    add_shorthand(parser, class, shorthand, negated);
    return false;
}

static void read_class_items(struct parser *parser, struct character_class *class, size_t begin) {
    /* In Python, a ] that comes first is one of the class; in JavaScript the class is empty. */
    if (grammar_peek(&parser->in) == ']') {
        fail(parser, parser->in.at, "a class is empty; write \\] for a bracket");
    }
    while (!grammar_skip(&parser->in, "]") && !failed(parser)) {
        uint32_t first;
        size_t at = parser->in.at;
        if (grammar_peek(&parser->in) < 0) {
            fail(parser, begin, "a class does not end");
        } else if (read_class_item(parser, class, &first)) {
            uint32_t last = first;
            bool range = grammar_peek(&parser->in) == '-' &&
                         parser->in.at + 1 < parser->in.length &&
                         parser->in.text[parser->in.at + 1] != ']';
            if (range) {
                parser->in.at++;
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
        return grammar_fail(parser->in.builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    bool negated = grammar_skip(&parser->in, "^");
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
    if (grammar_skip(&parser->in, "?")) {
        bool named = grammar_skip(&parser->in, "P<") ||
                     (grammar_peek(&parser->in) == '<' && parser->in.at + 1 < parser->in.length &&
                      parser->in.text[parser->in.at + 1] != '=' &&
                      parser->in.text[parser->in.at + 1] != '!' && grammar_skip(&parser->in, "<"));
        while (named && grammar_peek(&parser->in) >= 0 && grammar_peek(&parser->in) != '>') {
            parser->in.at++;
        }
        if (!(named ? grammar_skip(&parser->in, ">") : grammar_skip(&parser->in, ":"))) {
            return fail(parser, begin, "look-around, flags and other (?...) are not supported");
        }
    }
    if (++parser->in.depth > GRAMMAR_GROUPS_MAX) {
        return fail(parser, begin, "groups nest too deeply");
    }
    grammar_expression group = read_alternation(parser);
    parser->in.depth--;
    return grammar_skip(&parser->in, ")") || failed(parser)
               ? group
               : fail(parser, begin, "a group does not end");
}

static grammar_expression read_escaped_atom(struct parser *parser) {
    const struct shorthand *shorthand = find_shorthand(grammar_peek(&parser->in));
    if (shorthand == NULL) {
        return make_character(parser, read_escape(parser, false));
    }
    struct character_class *class = calloc(1, sizeof *class);
    if (class == NULL) {
        return grammar_fail(parser->in.builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    bool negated = grammar_peek(&parser->in) < 'a';
    parser->in.at++;
    add_shorthand(parser, class, shorthand, negated);
    grammar_expression expression = make_characters(parser, class->least, class->least_count);
    free(class);
    return expression;
}

static grammar_expression read_atom(struct parser *parser) {
    size_t begin = parser->in.at;
    switch (grammar_peek(&parser->in)) {
    case '(':
        parser->in.at++;
        return read_group(parser, begin);
    case '[':
        parser->in.at++;
        return read_class(parser, begin);
    case '.':
        parser->in.at++;
        return make_dot(parser);
    case '\\':
        parser->in.at++;
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
        return make_character(parser, grammar_read_character(&parser->in));
    }
}

/* ---- Repetition ---- */

/* {2}, {2,} or {2,5}; anything else in braces is text. */
static bool read_braces(struct parser *parser, uint32_t *least, uint32_t *most) {
    size_t begin = parser->in.at;
    if (grammar_skip(&parser->in, "{") && grammar_read_number(&parser->in, least)) {
        *most = *least;
        if (grammar_skip(&parser->in, ",") && !grammar_read_number(&parser->in, most)) {
            *most = GRAMMAR_UNBOUNDED;
        }
        if (grammar_skip(&parser->in, "}")) {
            return true;
        }
    }
    parser->in.at = begin;
    return false;
}

static bool read_quantifier(struct parser *parser, uint32_t *least, uint32_t *most) {
    *least = 0;
    *most = GRAMMAR_UNBOUNDED;
    if (grammar_skip(&parser->in, "*")) {
        return true;
    }
    if (grammar_skip(&parser->in, "+")) {
        *least = 1;
        return true;
    }
    if (grammar_skip(&parser->in, "?")) {
        *most = 1;
        return true;
    }
    return read_braces(parser, least, most);
}

static grammar_expression read_repeated(struct parser *parser) {
    uint32_t least;
    uint32_t most;
    grammar_expression atom = read_atom(parser);
    size_t at = parser->in.at;
    if (failed(parser) || !read_quantifier(parser, &least, &most)) {
        return atom;
    }
    if (least > most) {
        return fail(parser, at, "a repetition has its bounds in the wrong order");
    }
    if (!grammar_skip(&parser->in, "?") && grammar_peek(&parser->in) == '+') {
        return fail(parser, parser->in.at, "possessive repetition is not supported");
    }
    uint32_t again;
    size_t behind = parser->in.at;
    if (read_quantifier(parser, &again, &again)) {
        return fail(parser, behind, "there is nothing to repeat");
    }
    return grammar_repeat(parser->in.builder, atom, least, most);
}

/* ---- Sequences and alternations ---- */

static bool at_end_of_alternative(const struct parser *parser) {
    return grammar_peek(&parser->in) < 0 || grammar_peek(&parser->in) == '|' ||
           grammar_peek(&parser->in) == ')';
}

/* At the top, an alternative without an anchor may have anything before or behind it, if the style is
 * to search. */
static grammar_expression read_sequence(struct parser *parser) {
    struct grammar_parts parts = {0};
    const bool top = parser->in.depth == 0;
    const bool search = parser->style->search && top;
    if (!(top && grammar_skip(&parser->in, "^")) && search) {
        grammar_parts_add(parser->in.builder, &parts, make_anything(parser));
    }
    bool anchored = false;
    while (!at_end_of_alternative(parser) && !failed(parser)) {
        size_t begin = parser->in.at;
        anchored = top && grammar_skip(&parser->in, "$");
        if (anchored && !at_end_of_alternative(parser)) {
            fail(parser, begin, "$ is supported only where an alternative of the whole ends");
        } else if (!anchored) {
            grammar_parts_add(parser->in.builder, &parts, read_repeated(parser));
        }
    }
    if (search && !anchored) {
        grammar_parts_add(parser->in.builder, &parts, make_anything(parser));
    }
    grammar_expression sequence =
        failed(parser) ? 0 : grammar_sequence(parser->in.builder, parts.items, parts.count);
    free(parts.items);
    return sequence;
}

static grammar_expression read_alternation(struct parser *parser) {
    struct grammar_parts parts = {0};
    do {
        grammar_parts_add(parser->in.builder, &parts, read_sequence(parser));
    } while (grammar_skip(&parser->in, "|") && !failed(parser));
    grammar_expression choice = failed(parser) ? 0
                                : parts.count == 1
                                    ? parts.items[0]
                                    : grammar_choice(parser->in.builder, parts.items, parts.count);
    free(parts.items);
    return choice;
}

grammar_expression grammar_regex(struct grammar_builder *builder, const char *pattern,
                                 size_t length, const struct grammar_regex_style *style) {
    struct parser parser = {
        .in = {.builder = builder, .text = pattern, .length = length, .fail = report},
        .style = style};
    grammar_expression expression = read_alternation(&parser);
    if (!failed(&parser) && parser.in.at < length) {
        return fail(&parser, parser.in.at, "a parenthesis closes nothing");
    }
    return expression;
}
