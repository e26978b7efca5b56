#include "engine/text/template/lexer.h"

#include "engine/text/hexadecimal.h"
#include "engine/text/template/text.h"
#include "engine/text/utf8.h"

#include <string.h>

struct lexer {
    struct template_text source; /* lines end with \n, the last one does not */
    size_t at;
    uint32_t line; /* at `counted` */
    size_t counted;
    struct arena *arena;
    struct error *err;
    struct template_token *tokens;
    size_t count;
    size_t capacity;
};

/* ---- Looking ahead ---- */

static bool is_at(const struct lexer *lexer, size_t at, const char *expected) {
    size_t length = strlen(expected);
    return lexer->source.length - at >= length &&
           memcmp(lexer->source.bytes + at, expected, length) == 0;
}

static char byte_at(const struct lexer *lexer, size_t at) {
    return at < lexer->source.length ? lexer->source.bytes[at] : '\0';
}

static size_t skip_space(const struct lexer *lexer, size_t at) {
    size_t next = at;
    while (at < lexer->source.length &&
           template_is_space(template_text_next(lexer->source, &next))) {
        at = next;
    }
    return at;
}

/* The line of an offset, which must not be before that of the last call. */
static uint32_t line_at(struct lexer *lexer, size_t at) {
    for (; lexer->counted < at; lexer->counted++) {
        lexer->line += lexer->source.bytes[lexer->counted] == '\n';
    }
    return lexer->line;
}

static bool fail(struct lexer *lexer, size_t at, const char *sentence) {
    return error_set(lexer->err, ERROR_BAD_FILE, "line %u: %s", line_at(lexer, at), sentence);
}

/* ---- Tokens ---- */

static bool push(struct lexer *lexer, enum template_token_kind kind, size_t at,
                 struct template_text text) {
    if (lexer->count == lexer->capacity) {
        size_t capacity = lexer->capacity > 0 ? 2 * lexer->capacity : 256;
        struct template_token *tokens = arena_allocate(lexer->arena, capacity, sizeof *tokens);
        if (tokens == NULL) {
            return error_set(lexer->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
        }
        if (lexer->count > 0) {
            memcpy(tokens, lexer->tokens, lexer->count * sizeof *tokens);
        }
        lexer->tokens = tokens;
        lexer->capacity = capacity;
    }
    lexer->tokens[lexer->count++] =
        (struct template_token){.kind = kind, .line = line_at(lexer, at), .text = text};
    return true;
}

static bool push_part(struct lexer *lexer, enum template_token_kind kind, size_t begin,
                      size_t end) {
    return push(lexer, kind, begin, template_text_part(lexer->source, begin, end));
}

/* ---- Data, and the white space around tags ---- */

/* Data from `begin` to a tag or comment at `end`, whose brace `sign` follows ('-', '+' or another
 * character). */
static bool push_data(struct lexer *lexer, size_t begin, size_t end, char sign, bool is_output) {
    struct template_text data = template_text_part(lexer->source, begin, end);
    if (sign == '-') {
        data = template_text_strip(data, STRIP_RIGHT, NULL);
    } else if (sign != '+' && !is_output) {
        struct template_text kept = template_text_strip(data, STRIP_RIGHT, NULL);
        const char *newline = memrchr(data.bytes, '\n', data.length);
        size_t indent = newline != NULL ? (size_t)(newline + 1 - data.bytes) : 0;
        bool begins_line = newline != NULL || begin == 0 || lexer->source.bytes[begin - 1] == '\n';
        if (begins_line && kept.length <= indent) {
            data.length = indent;
        }
    }
    return data.length == 0 || push(lexer, TOKEN_DATA, begin, data);
}

/* Behind the end of a tag or comment that is `length` bytes long: its sign says what goes, too. */
static size_t skip_behind(const struct lexer *lexer, size_t at, size_t length, char sign,
                          bool is_output) {
    at += length;
    if (sign == '-') {
        return skip_space(lexer, at);
    }
    return sign != '+' && !is_output && byte_at(lexer, at) == '\n' ? at + 1 : at;
}

static bool lex_comment(struct lexer *lexer) {
    size_t body = lexer->at + 2;
    body += byte_at(lexer, body) == '-' || byte_at(lexer, body) == '+';
    size_t end = template_text_find(lexer->source, template_literal("#}"), body);
    if (end == SIZE_MAX) {
        return fail(lexer, lexer->at, "the comment that begins here does not end");
    }
    lexer->at = skip_behind(lexer, end, 2, end > body ? byte_at(lexer, end - 1) : '\0', false);
    return true;
}

/* ---- Raw blocks ---- */

/* Does {% word %} stand at this offset? Then *sign is the one behind "{%", and *end is behind its
 * brace, "%}", whose own sign is *end_sign. */
static bool is_tag_of(const struct lexer *lexer, size_t at, const char *word, char *sign,
                      char *end_sign, size_t *end) {
    if (!is_at(lexer, at, "{%")) {
        return false;
    }
    at += 2;
    *sign = byte_at(lexer, at);
    at = skip_space(lexer, at + (*sign == '-' || *sign == '+'));
    if (!is_at(lexer, at, word)) {
        return false;
    }
    at = skip_space(lexer, at + strlen(word));
    *end_sign = byte_at(lexer, at);
    at += *end_sign == '-' || *end_sign == '+';
    *end = at + 2;
    return is_at(lexer, at, "%}");
}

/* The raw block that begins here, if one does. */
static bool lex_raw(struct lexer *lexer, bool *is_raw) {
    char sign;
    char end_sign;
    size_t end;
    *is_raw = is_tag_of(lexer, lexer->at, "raw", &sign, &end_sign, &end) && end_sign != '+';
    if (!*is_raw) {
        return true;
    }
    size_t begin = end_sign == '-' ? skip_space(lexer, end) : end;
    size_t found = template_text_find(lexer->source, template_literal("{%"), begin);
    while (found != SIZE_MAX && !is_tag_of(lexer, found, "endraw", &sign, &end_sign, &end)) {
        found = template_text_find(lexer->source, template_literal("{%"), found + 1);
    }
    if (found == SIZE_MAX) {
        return fail(lexer, lexer->at, "the raw block that begins here does not end");
    }
    lexer->at = skip_behind(lexer, end, 0, end_sign, false);
    return push_data(lexer, begin, found, sign, false);
}

/* ---- Strings ---- */

/* Of "\xhh", "\uhhhh" and "\Uhhhhhhhh", the code point; false for fewer digits or none. */
static bool read_code_point(struct template_text text, size_t *at, size_t digits, uint32_t *code) {
    *code = 0;
    for (size_t i = 0; i < digits; i++, (*at)++) {
        int digit = *at < text.length ? hexadecimal_digit(text.bytes[*at]) : -1;
        if (digit < 0) {
            return false;
        }
        *code = *code << 4 | (uint32_t)digit;
    }
    return *code < 0xD800 || (*code >= 0xE000 && *code <= 0x10FFFF);
}

static size_t read_octal(struct template_text text, size_t at, uint32_t *code) {
    *code = 0;
    for (size_t i = 0; i < 3 && at < text.length; i++, at++) {
        if (text.bytes[at] < '0' || text.bytes[at] > '7') {
            break;
        }
        *code = *code << 3 | (uint32_t)(text.bytes[at] - '0');
    }
    return at;
}

/* The escape behind a backslash at *at - 1, as Python's strings have them, to at most 4 bytes.
 * What is no escape keeps its backslash. */
static bool unescape(struct template_text text, size_t *at, char *out, size_t *length) {
    static const char names[] = "\\'\"abfnrtv";
    static const char meanings[] = "\\'\"\a\b\f\n\r\t\v";
    char c = text.bytes[*at];
    const char *name = c != '\0' ? strchr(names, c) : NULL;
    uint32_t code;
    if (name != NULL) {
        out[0] = meanings[name - names];
        *length = 1;
        *at += 1;
        return true;
    }
    if (c == '\n') { /* a line that goes on */
        *length = 0;
        *at += 1;
        return true;
    }
    if (c >= '0' && c <= '7') {
        *at = read_octal(text, *at, &code);
        *length = template_encode(code, out);
        return true;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        *at += 1;
        if (!read_code_point(text, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code)) {
            return false;
        }
        *length = template_encode(code, out);
        return true;
    }
    out[0] = '\\';
    *length = 1;
    return c != 'N'; /* names of characters */
}

static bool push_string(struct lexer *lexer, size_t begin, size_t end) {
    struct template_text quoted = template_text_part(lexer->source, begin, end);
    if (memchr(quoted.bytes, '\\', quoted.length) == NULL) {
        return push(lexer, TOKEN_STRING, begin, quoted);
    }
    /* No escape is longer than what it stands for. */
    char *bytes = arena_allocate(lexer->arena, quoted.length, 1);
    if (bytes == NULL) {
        return error_set(lexer->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    size_t length = 0;
    for (size_t at = 0; at < quoted.length;) {
        if (quoted.bytes[at] != '\\') {
            bytes[length++] = quoted.bytes[at++];
            continue;
        }
        size_t added;
        char character[4];
        at++; /* the string's end is not escaped, so a character follows */
        if (!unescape(quoted, &at, character, &added)) {
            return fail(lexer, begin, "a string has an escape that stands for no character");
        }
        memcpy(bytes + length, character, added);
        length += added;
    }
    return push(lexer, TOKEN_STRING, begin, (struct template_text){bytes, length});
}

static bool lex_string(struct lexer *lexer) {
    char quote = byte_at(lexer, lexer->at);
    size_t begin = lexer->at + 1;
    size_t end = begin;
    while (end < lexer->source.length && lexer->source.bytes[end] != quote) {
        end += lexer->source.bytes[end] == '\\' ? 2 : 1;
    }
    if (end >= lexer->source.length) {
        return fail(lexer, lexer->at, "the string that begins here does not end");
    }
    lexer->at = end + 1;
    return push_string(lexer, begin, end);
}

/* ---- Numbers and names ---- */

static bool is_digit_of(char c, int base) {
    int digit = hexadecimal_digit(c);
    return digit >= 0 && digit < base;
}

/* Digits, single underscores between them: behind them, or `at` where there are none. */
static size_t skip_digits(const struct lexer *lexer, size_t at, int base) {
    while (is_digit_of(byte_at(lexer, at), base)) {
        at++;
        at += byte_at(lexer, at) == '_' && is_digit_of(byte_at(lexer, at + 1), base);
    }
    return at;
}

/* Behind the fraction and exponent that make digits a float, or `at` where there are none. */
static size_t skip_fraction(const struct lexer *lexer, size_t at) {
    size_t end = at;
    if (byte_at(lexer, at) == '.' && is_digit_of(byte_at(lexer, at + 1), 10)) {
        end = skip_digits(lexer, at + 1, 10);
    }
    if ((byte_at(lexer, end) | 0x20) == 'e') {
        size_t exponent = end + 1;
        exponent += byte_at(lexer, exponent) == '+' || byte_at(lexer, exponent) == '-';
        if (is_digit_of(byte_at(lexer, exponent), 10)) {
            end = skip_digits(lexer, exponent, 10);
        }
    }
    return end;
}

static int base_of_prefix(const struct lexer *lexer, size_t at) {
    if (byte_at(lexer, at) != '0') {
        return 10;
    }
    char letter = (char)(byte_at(lexer, at + 1) | 0x20);
    int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    return base != 10 && is_digit_of(byte_at(lexer, at + 2), base) ? base : 10;
}

/* Keeps the base's prefix and leaves out underscores. */
static bool push_number(struct lexer *lexer, enum template_token_kind kind, size_t begin,
                        size_t end) {
    char *digits = arena_allocate(lexer->arena, end - begin + 1, 1); /* terminated, for strtod */
    if (digits == NULL) {
        return error_set(lexer->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    size_t length = 0;
    for (size_t at = begin; at < end; at++) {
        if (lexer->source.bytes[at] != '_') {
            digits[length++] = lexer->source.bytes[at];
        }
    }
    lexer->at = end;
    return push(lexer, kind, begin, (struct template_text){digits, length});
}

static bool lex_number(struct lexer *lexer) {
    size_t begin = lexer->at;
    int base = base_of_prefix(lexer, begin);
    if (base != 10) {
        return push_number(lexer, TOKEN_INTEGER, begin, skip_digits(lexer, begin + 2, base));
    }
    size_t end = skip_digits(lexer, begin, 10);
    /* Behind a dot stands an index: in a.0.1 are two. */
    bool is_index = begin > 0 && lexer->source.bytes[begin - 1] == '.';
    size_t fraction_end = is_index ? end : skip_fraction(lexer, end);
    return push_number(lexer, fraction_end > end ? TOKEN_FLOAT : TOKEN_INTEGER, begin,
                       fraction_end);
}

static bool begins_name(char c) {
    char lower = (char)(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool lex_name(struct lexer *lexer) {
    size_t begin = lexer->at;
    while (begins_name(byte_at(lexer, lexer->at)) || is_digit_of(byte_at(lexer, lexer->at), 10)) {
        lexer->at++;
    }
    return push_part(lexer, TOKEN_NAME, begin, lexer->at);
}

/* ---- Operators ---- */

static const struct {
    const char *text;
    enum template_token_kind kind;
} operators[] = {
    /* those of two characters before those they begin with */
    {"//", TOKEN_FLOOR_DIVIDE},
    {"**", TOKEN_POWER},
    {"==", TOKEN_EQUAL},
    {"!=", TOKEN_NOT_EQUAL},
    {"<=", TOKEN_LESS_EQUAL},
    {">=", TOKEN_GREATER_EQUAL},
    {"+", TOKEN_ADD},
    {"-", TOKEN_SUBTRACT},
    {"*", TOKEN_MULTIPLY},
    {"/", TOKEN_DIVIDE},
    {"%", TOKEN_REMAINDER},
    {"~", TOKEN_JOIN},
    {"<", TOKEN_LESS},
    {">", TOKEN_GREATER},
    {"=", TOKEN_ASSIGN},
    {".", TOKEN_DOT},
    {":", TOKEN_COLON},
    {",", TOKEN_COMMA},
    {"|", TOKEN_PIPE},
    {"(", TOKEN_OPEN_PARENTHESIS},
    {")", TOKEN_CLOSE_PARENTHESIS},
    {"[", TOKEN_OPEN_BRACKET},
    {"]", TOKEN_CLOSE_BRACKET},
    {"{", TOKEN_OPEN_BRACE},
    {"}", TOKEN_CLOSE_BRACE},
};

/* The brackets that are open within a tag. While there are any, "}}" and "%}" do not end it. */
struct brackets {
    enum template_token_kind closing[TEMPLATE_BRACKETS_MAX];
    size_t count;
};

static bool balance(struct lexer *lexer, struct brackets *brackets, enum template_token_kind kind) {
    switch (kind) {
    case TOKEN_OPEN_PARENTHESIS:
    case TOKEN_OPEN_BRACKET:
    case TOKEN_OPEN_BRACE:
        if (brackets->count == TEMPLATE_BRACKETS_MAX) {
            return fail(lexer, lexer->at, "brackets nest deeper than 100 levels");
        }
        brackets->closing[brackets->count++] = kind + 1; /* each stands before what closes it */
        return true;
    case TOKEN_CLOSE_PARENTHESIS:
    case TOKEN_CLOSE_BRACKET:
    case TOKEN_CLOSE_BRACE:
        if (brackets->count == 0 || brackets->closing[--brackets->count] != kind) {
            return fail(lexer, lexer->at, "a bracket closes that was not opened");
        }
        return true;
    default:
        return true;
    }
}

static bool lex_operator(struct lexer *lexer, struct brackets *brackets) {
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (is_at(lexer, lexer->at, operators[i].text)) {
            size_t begin = lexer->at;
            lexer->at += strlen(operators[i].text);
            return balance(lexer, brackets, operators[i].kind) &&
                   push_part(lexer, operators[i].kind, begin, lexer->at);
        }
    }
    return error_set(lexer->err, ERROR_BAD_FILE, "line %u: unexpected character '%.*s'",
                     line_at(lexer, lexer->at), 1, lexer->source.bytes + lexer->at);
}

/* ---- Tags and outputs ---- */

/* Is this the end of the tag? Then it is passed, and the white space that goes with it. */
static bool lex_closing(struct lexer *lexer, bool is_output, bool *closed) {
    size_t begin = lexer->at;
    char sign = byte_at(lexer, begin);
    bool has_sign = sign == '-' || (sign == '+' && !is_output);
    *closed = is_at(lexer, begin + has_sign, is_output ? "}}" : "%}");
    if (!*closed) {
        return true;
    }
    lexer->at = skip_behind(lexer, begin + has_sign, 2, has_sign ? sign : '\0', is_output);
    return push_part(lexer, is_output ? TOKEN_CLOSE_OUTPUT : TOKEN_CLOSE_TAG, begin, begin + 2);
}

static bool lex_token(struct lexer *lexer, struct brackets *brackets) {
    char c = byte_at(lexer, lexer->at);
    if (is_digit_of(c, 10)) {
        return lex_number(lexer);
    }
    if (begins_name(c)) {
        return lex_name(lexer);
    }
    return c == '"' || c == '\'' ? lex_string(lexer) : lex_operator(lexer, brackets);
}

static bool lex_tag(struct lexer *lexer, bool is_output) {
    struct brackets brackets = {.count = 0};
    size_t begin = lexer->at;
    char sign = byte_at(lexer, begin + 2);
    lexer->at = begin + 2 + (sign == '-' || sign == '+');
    if (!push_part(lexer, is_output ? TOKEN_OPEN_OUTPUT : TOKEN_OPEN_TAG, begin, begin + 2)) {
        return false;
    }
    for (bool closed = false; !closed;) {
        lexer->at = skip_space(lexer, lexer->at);
        if (lexer->at == lexer->source.length) {
            return fail(lexer, lexer->at, "the template ends within a tag");
        }
        if (brackets.count == 0 && !lex_closing(lexer, is_output, &closed)) {
            return false;
        }
        if (!closed && !lex_token(lexer, &brackets)) {
            return false;
        }
    }
    return true;
}

/* ---- Whole templates ---- */

static size_t find_brace(const struct lexer *lexer, size_t at) {
    for (; at + 1 < lexer->source.length; at++) {
        const char *brace = memchr(lexer->source.bytes + at, '{', lexer->source.length - 1 - at);
        if (brace == NULL) {
            break;
        }
        at = (size_t)(brace - lexer->source.bytes);
        if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#') {
            return at;
        }
    }
    return SIZE_MAX;
}

/* Lines that end with \n, and the last one without, as in Jinja. */
static bool copy_lines(struct lexer *lexer, struct template_text source) {
    char *bytes = arena_allocate(lexer->arena, source.length + 1, 1);
    if (bytes == NULL) {
        return error_set(lexer->err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    size_t length = 0;
    for (size_t i = 0; i < source.length; i++) {
        if (source.bytes[i] == '\r') {
            bytes[length++] = '\n';
            i += i + 1 < source.length && source.bytes[i + 1] == '\n';
        } else {
            bytes[length++] = source.bytes[i];
        }
    }
    length -= length > 0 && bytes[length - 1] == '\n';
    lexer->source = (struct template_text){bytes, length};
    return true;
}

/* What begins at the next brace, whose second character is `kind`. */
static bool lex_brace(struct lexer *lexer, char kind) {
    bool is_raw = false;
    if (kind == '#') {
        return lex_comment(lexer);
    }
    if (kind == '%' && !lex_raw(lexer, &is_raw)) {
        return false;
    }
    return is_raw || lex_tag(lexer, kind == '{');
}

bool template_lex(struct template_text source, struct arena *arena, struct template_token **tokens,
                  struct error *err) {
    struct lexer lexer = {.line = 1, .arena = arena, .err = err};
    size_t valid = utf8_valid_prefix(source.bytes, source.length);
    if (valid != source.length) {
        return error_set(err, ERROR_BAD_FILE, "the template is not UTF-8 at byte %zu", valid);
    }
    if (!copy_lines(&lexer, source)) {
        return false;
    }
    for (size_t brace; (brace = find_brace(&lexer, lexer.at)) != SIZE_MAX;) {
        char kind = byte_at(&lexer, brace + 1);
        if (!push_data(&lexer, lexer.at, brace, byte_at(&lexer, brace + 2), kind == '{')) {
            return false;
        }
        lexer.at = brace;
        if (!lex_brace(&lexer, kind)) {
            return false;
        }
    }
    if (!push_data(&lexer, lexer.at, lexer.source.length, '+', false) ||
        !push_part(&lexer, TOKEN_END, lexer.source.length, lexer.source.length)) {
        return false;
    }
    *tokens = lexer.tokens;
    return true;
}
