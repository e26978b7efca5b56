/* Oniguruma's syntax to PCRE2's.
 *
 *     \s           ──▶  [\t-\r\x{85}\p{Z}]           PCRE2's has U+180E, too
 *     \p{L}        ──▶  [\p{L}\x{31350}-\x{323AF}…]  and what Unicode 15 and 16 added
 *     [^\s[ab]]    ──▶  [^\t-\r\x{85}\p{Z}ab]        sets within sets
 *     x{1,3}+      ──▶  (?:x{1,3})+                  possessive in PCRE2
 *     \h \v        ──▶  [0-9a-fA-F] \x{B}
 *
 * What means the same in both is copied; anything else is refused. (Oniguruma, doc/RE and doc/SYNTAX.md;
 * pcre2pattern(3)) */
#include "engine/text/regex.h"

#include "engine/text/hexadecimal.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_DEPTH_MAX = 60, SETS_DEPTH_MAX = 8 };
static const size_t NO_ATOM = (size_t)-1;

struct translation {
    struct token_text pattern;
    const char *at;
    const char *end;
    struct text_buffer *out;
    size_t atom; /* where in `out` the last thing that a quantifier may repeat begins, or NO_ATOM */
    size_t groups[GROUPS_DEPTH_MAX]; /* where in `out` the open groups begin */
    size_t group_count;
    struct error *err;
};

static bool refuse(struct translation *t, const char *what) {
    return error_set(t->err, ERROR_UNSUPPORTED,
                     "the pattern \"%.*s\" has %s, which is not supported",
                     token_text_shown(t->pattern.length), t->pattern.bytes, what);
}

static bool refuse_escape(struct translation *t, char letter) {
    char what[40];
    snprintf(what, sizeof what, "the escape \\%c", letter);
    return refuse(t, what);
}

static bool put(struct translation *t, const char *bytes, size_t length) {
    return text_buffer_append(t->out, bytes, length) ||
           error_set(t->err, ERROR_OUT_OF_MEMORY, "no memory for a regular expression");
}

static bool put_text(struct translation *t, const char *text) {
    return put(t, text, strlen(text));
}

/* ASCII letters and digits as they are, everything else by number: nothing that PCRE2 could take for
 * syntax. */
static bool put_character(struct translation *t, uint32_t code) {
    char number[16];
    bool plain = (code >= '0' && code <= '9') || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z');
    snprintf(number, sizeof number, plain ? "%c" : "\\x{%X}", code);
    return put_text(t, number);
}

static bool next_is(const struct translation *t, size_t ahead, char c) {
    return (size_t)(t->end - t->at) > ahead && t->at[ahead] == c;
}

static bool take_character(struct translation *t, uint32_t *code) {
    size_t bytes = utf8_character(t->at, (size_t)(t->end - t->at));
    if (bytes == 0) {
        return refuse(t, "an unfinished end");
    }
    *code = utf8_decode(t->at, bytes);
    t->at += bytes;
    return true;
}

/* ---- Sets of characters: what stands between brackets ---- */

static bool put_range(struct translation *t, uint32_t first, uint32_t last) {
    return put_character(t, first) &&
           (first == last || (put_text(t, "-") && put_character(t, last)));
}

/* A category "L" has all that begin with it. */
static bool put_additions(struct translation *t, const char *category) {
    size_t count;
    const struct unicode_range *ranges = unicode_additions(&count);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(ranges[i].category, category, strlen(category)) != 0) {
            continue;
        }
        uint32_t first = ranges[i].first;
        while (i + 1 < count && ranges[i + 1].first == ranges[i].last + 1 &&
               strncmp(ranges[i + 1].category, category, strlen(category)) == 0) {
            i++;
        }
        if (!put_range(t, first, ranges[i].last)) {
            return false;
        }
    }
    return true;
}

/* The sets that one letter names: \d \s \w \h. */
static const struct named_set {
    char letter;
    const char *content;
    const char *outside;       /* what belongs to it only outside of brackets */
    const char *categories[6]; /* whose additions belong to it */
} named_sets[] = {
    {'d', "\\p{Nd}", "", {"Nd"}},
    {'h', "0-9a-fA-F", "", {NULL}},
    {'s', "\\t-\\r\\x{85}\\p{Z}", "", {NULL}},
    {'w',
     "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
     "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}",
     {"L", "M", "Nd", "Nl", "Pc"}},
};

static const struct named_set *find_named_set(char letter) {
    for (size_t i = 0; i < sizeof named_sets / sizeof *named_sets; i++) {
        if (named_sets[i].letter == letter) {
            return &named_sets[i];
        }
    }
    return NULL;
}

static bool put_named_set(struct translation *t, const struct named_set *set) {
    bool ok = put_text(t, set->content);
    for (size_t i = 0; ok && set->categories[i] != NULL; i++) {
        ok = put_additions(t, set->categories[i]);
    }
    return ok;
}

/* Those whose members are known: unassigned characters are not. */
static bool is_known_category(const char *name) {
    static const char *const names[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc",
                                        "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
                                        "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So",
                                        "Z",  "Zs", "Zl", "Zp", "Cc", "Cf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Behind \p: {L} or {^L}. */
static bool take_category(struct translation *t, char name[4], bool *negated) {
    size_t length = 0;
    bool opened = next_is(t, 0, '{');
    t->at += opened;
    *negated = opened && next_is(t, 0, '^');
    t->at += *negated;
    while (t->at < t->end && *t->at != '}' && length < 3) {
        name[length++] = *t->at++;
    }
    name[length] = '\0';
    if (!opened || !next_is(t, 0, '}') || !is_known_category(name)) {
        return refuse(t, "a property \\p{...} other than a general category");
    }
    t->at++;
    return true;
}

static bool put_category(struct translation *t, const char *name) {
    return put_text(t, "\\p{") && put_text(t, name) && put_text(t, "}") && put_additions(t, name);
}

/* ---- Escapes ---- */

static uint32_t take_hexadecimal(struct translation *t, size_t digits_max, size_t *digits) {
    uint32_t code = 0;
    *digits = 0;
    while (*digits < digits_max && t->at < t->end && hexadecimal_digit(*t->at) >= 0) {
        code = code << 4 | (uint32_t)hexadecimal_digit(*t->at++);
        ++*digits;
    }
    return code;
}

/* Behind \x: two digits for an ASCII character, or a code point in braces; behind \u: four digits. */
static bool take_number(struct translation *t, char letter, uint32_t *code) {
    size_t digits;
    bool braces = letter == 'x' && next_is(t, 0, '{');
    t->at += braces;
    *code = take_hexadecimal(t, braces ? 8 : letter == 'x' ? 2 : 4, &digits);
    bool ok = braces ? digits > 0 && next_is(t, 0, '}')
                     : digits == (letter == 'x' ? 2 : 4) && (letter == 'u' || *code < 0x80);
    if (!ok || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
        return refuse(t, "a character by a number that is none");
    }
    t->at += braces;
    return true;
}

/* A backslash's character that stands for itself or another single character; t->at is behind it. */
static bool take_single_escape(struct translation *t, uint32_t letter, uint32_t *code) {
    static const char names[] = "tnrfvae";
    static const char meanings[] = "\t\n\r\f\v\a\x1B";
    bool alphanumeric =
        (letter >= '0' && letter <= '9') || ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z');
    *code = letter;
    if (!alphanumeric) {
        return true;
    }
    if (letter == 'x' || letter == 'u') {
        return take_number(t, (char)letter, code);
    }
    const char *name = strchr(names, (int)letter);
    if (name == NULL) {
        return refuse_escape(t, (char)letter);
    }
    *code = (uint32_t)meanings[name - names];
    return true;
}

/* ---- [sets] ---- */

static bool put_set(struct translation *t, size_t depth);

/* An escape within brackets: a set, which is put, or a single character. */
static bool take_set_escape(struct translation *t, bool *single, uint32_t *code) {
    uint32_t letter;
    *single = false;
    if (!take_character(t, &letter)) {
        return false;
    }
    const struct named_set *set = letter < 0x80 ? find_named_set((char)letter) : NULL;
    if (set != NULL) {
        return put_named_set(t, set);
    }
    if (letter == 'S') {
        return put_text(t, "\\S\\x{180E}");
    }
    if (letter == 'p') {
        char name[4];
        bool negated;
        return take_category(t, name, &negated) &&
               (negated ? refuse(t, "a negated property in a set") : put_category(t, name));
    }
    *single = true;
    *code = '\b';
    return letter == 'b' || take_single_escape(t, letter, code);
}

static bool take_set_item(struct translation *t, size_t depth, bool *single, uint32_t *code) {
    *single = false;
    if (next_is(t, 0, '[')) {
        t->at++;
        return next_is(t, 0, ':')   ? refuse(t, "a named set [:...:]")
               : next_is(t, 0, '^') ? refuse(t, "a negated set in a set")
                                    : put_set(t, depth + 1);
    }
    if (next_is(t, 0, '&') && next_is(t, 1, '&')) {
        return refuse(t, "an intersection of sets");
    }
    if (next_is(t, 0, '\\')) {
        t->at++;
        return take_set_escape(t, single, code);
    }
    *single = true;
    return take_character(t, code);
}

/* What is behind an opening bracket and its ^, up to the closing one. */
static bool put_set(struct translation *t, size_t depth) {
    if (depth > SETS_DEPTH_MAX) {
        return refuse(t, "too many sets in one another");
    }
    for (bool first = true; !next_is(t, 0, ']') || first; first = false) {
        bool single;
        uint32_t code;
        if (t->at == t->end) {
            return error_set(t->err, ERROR_BAD_FILE, "the pattern \"%.*s\": a set does not end",
                             token_text_shown(t->pattern.length), t->pattern.bytes);
        }
        if (!take_set_item(t, depth, &single, &code)) {
            return false;
        }
        if (!single) {
            continue;
        }
        bool range = next_is(t, 0, '-') && t->end - t->at > 1 && t->at[1] != ']' && t->at[1] != '[';
        if (!put_character(t, code)) {
            return false;
        }
        if (range) {
            t->at++;
            if (!take_set_item(t, depth, &single, &code)) {
                return false;
            }
            if (!single) {
                return refuse(t, "a range that ends with a set");
            }
            if (!put_text(t, "-") || !put_character(t, code)) {
                return false;
            }
        }
    }
    t->at++;
    return true;
}

static bool translate_set(struct translation *t) {
    bool negated = next_is(t, 1, '^');
    t->atom = t->out->length;
    t->at += negated ? 2 : 1;
    return put_text(t, negated ? "[^" : "[") && put_set(t, 0) && put_text(t, "]");
}

/* ---- The rest ---- */

static bool translate_escape(struct translation *t) {
    uint32_t letter;
    uint32_t code;
    t->at++;
    if (!take_character(t, &letter)) {
        return false;
    }
    if (letter == 'A' || letter == 'z' || letter == 'Z') {
        char assertion[] = {'\\', (char)letter, '\0'};
        t->atom = NO_ATOM;
        return put_text(t, assertion);
    }
    t->atom = t->out->length;
    if (letter == 'p' || letter == 'P') {
        char name[4];
        bool negated;
        return take_category(t, name, &negated) &&
               put_text(t, negated != (letter == 'P') ? "[^" : "[") && put_category(t, name) &&
               put_text(t, "]");
    }
    bool capital = letter >= 'A' && letter <= 'Z';
    const struct named_set *set = letter < 0x80 ? find_named_set((char)(letter | 0x20)) : NULL;
    if (set != NULL) {
        return put_text(t, capital ? "[^" : "[") && put_named_set(t, set) &&
               put_text(t, set->outside) && put_text(t, "]");
    }
    return take_single_escape(t, letter, &code) && put_character(t, code);
}

static bool open_group(struct translation *t) {
    static const char *const kinds[] = {"(?:",  "(?=",  "(?!",  "(?>",
                                        "(?<=", "(?<!", "(?i:", "(?-i:"};
    const char *kind = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i]);
        if ((size_t)(t->end - t->at) >= length && memcmp(t->at, kinds[i], length) == 0) {
            kind = kinds[i];
        }
    }
    if (kind == NULL && (next_is(t, 1, '?') || next_is(t, 1, '*'))) {
        return refuse(t, "a group (?...) of an unknown kind");
    }
    kind = kind == NULL ? "(" : kind;
    t->at += strlen(kind);
    t->atom = NO_ATOM;
    if (t->group_count == GROUPS_DEPTH_MAX) {
        return refuse(t, "too many groups in one another");
    }
    t->groups[t->group_count++] = t->out->length;
    return put_text(t, kind);
}

static bool close_group(struct translation *t) {
    if (t->group_count == 0) {
        return error_set(t->err, ERROR_BAD_FILE,
                         "the pattern \"%.*s\" closes a group it has not opened",
                         token_text_shown(t->pattern.length), t->pattern.bytes);
    }
    t->atom = t->groups[--t->group_count];
    t->at++;
    return put_text(t, ")");
}

static size_t count_digits(const struct translation *t, size_t from) {
    size_t count = 0;
    while ((size_t)(t->end - t->at) > from + count && t->at[from + count] >= '0' &&
           t->at[from + count] <= '9') {
        count++;
    }
    return count;
}

/* Makes one atom of the last one and its quantifier, so that another quantifier repeats both. */
static bool enclose(struct translation *t) {
    char opening[] = "(?:";
    if (!put_text(t, ")...")) { /* three bytes more, for what is put before */
        return false;
    }
    char *atom = t->out->bytes + t->atom;
    memmove(atom + strlen(opening), atom, t->out->length - t->atom - strlen(opening));
    memcpy(atom, opening, strlen(opening));
    return true;
}

/* {n} {n,} {,m} {n,m}; other braces stand for themselves. */
static bool translate_brace(struct translation *t) {
    size_t low = count_digits(t, 1);
    bool comma = next_is(t, 1 + low, ',');
    size_t high = comma ? count_digits(t, 2 + low) : 0;
    size_t length = 1 + low + comma + high;
    if (t->atom == NO_ATOM || low + high == 0 || !next_is(t, length, '}')) {
        t->atom = t->out->length;
        t->at++;
        return put_character(t, '{');
    }
    bool ok = put_text(t, low == 0 ? "{0" : "{") && put(t, t->at + 1, length);
    t->at += length + 1;
    /* In Oniguruma a further + repeats, and so does a ? behind {n}. */
    bool repeats = next_is(t, 0, '+') || (!comma && next_is(t, 0, '?'));
    return ok && (!repeats || enclose(t));
}

static bool translate_next(struct translation *t) {
    uint32_t code;
    switch (*t->at) {
    case '\\':
        return translate_escape(t);
    case '[':
        return translate_set(t);
    case '(':
        return open_group(t);
    case ')':
        return close_group(t);
    case '{':
        return translate_brace(t);
    case '|':
    case '^':
    case '$':
        t->atom = NO_ATOM;
        return put(t, t->at++, 1);
    case '*':
    case '+':
    case '?':
        return put(t, t->at++, 1);
    case '.':
        t->atom = t->out->length;
        return put(t, t->at++, 1);
    default:
        t->atom = t->out->length;
        return take_character(t, &code) && put_character(t, code);
    }
}

bool regex_translate(struct token_text pattern, struct text_buffer *translated, struct error *err) {
    struct translation t = {.pattern = pattern,
                            .at = pattern.bytes,
                            .end = pattern.bytes + pattern.length,
                            .out = translated,
                            .atom = NO_ATOM,
                            .err = err};
    bool ok = put_text(&t, "");
    while (ok && t.at < t.end) {
        ok = translate_next(&t);
    }
    return ok;
}
