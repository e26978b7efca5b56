#include "server/schema/json_text.h"

#include "engine/text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OTHER_NAMES_DEPTH_MAX = 200 /* characters of a name; functions call themselves for each */ };

/* ---- Characters ---- */

/* What is behind the backslash; NULL for characters that are written as they are. */
static const char *escape_of(uint32_t code, char buffer[8]) {
    static const char letters[] = "\b\t\n\f\r\"\\";
    static const char escapes[] = "btnfr\"\\";
    const char *letter = code < 0x80 ? strchr(letters, (int)code) : NULL;
    if (letter != NULL && code != 0) {
        snprintf(buffer, 8, "%c", escapes[letter - letters]);
        return buffer;
    }
    if (code < 0x20) {
        snprintf(buffer, 8, "u%04x", (unsigned)code);
        return buffer;
    }
    return NULL;
}

static bool has(const struct code_range *ranges, size_t count, uint32_t code) {
    for (size_t i = 0; i < count && ranges[i].first <= code; i++) {
        if (code <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* The escapes of those of the characters that need one. */
static grammar_expression escapes(struct grammar_builder *builder, const struct code_range *ranges,
                                  size_t count) {
    char buffers[0x5D][8];
    struct token_text texts[0x5D];
    size_t found = 0;
    for (uint32_t code = 1; code <= '\\'; code++) {
        const char *escape = has(ranges, count, code) ? escape_of(code, buffers[found]) : NULL;
        if (escape != NULL) {
            texts[found++] = (struct token_text){escape, strlen(escape)};
        }
    }
    return GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "\\"),
                            grammar_texts(builder, texts, found));
}

static void add_part(struct code_range *plain, size_t *count, struct code_range range,
                     uint32_t first, uint32_t last) {
    first = range.first > first ? range.first : first;
    last = range.last < last ? range.last : last;
    if (first <= last) {
        plain[(*count)++] = (struct code_range){first, last};
    }
}

static grammar_expression write_characters(struct grammar_builder *builder,
                                           const struct code_range *ranges, size_t count,
                                           void *context) {
    (void)context;
    struct code_range *plain = calloc(3 * count + 1, sizeof *plain);
    if (plain == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    size_t plain_count = 0;
    for (size_t i = 0; i < count; i++) {
        add_part(plain, &plain_count, ranges[i], ' ', '"' - 1);
        add_part(plain, &plain_count, ranges[i], '"' + 1, '\\' - 1);
        add_part(plain, &plain_count, ranges[i], '\\' + 1, CODE_LAST);
    }
    grammar_expression as_it_is = grammar_characters(builder, plain, plain_count);
    free(plain);
    bool escaped = count > 0 && ranges[0].first <= '\\';
    return escaped ? GRAMMAR_CHOICE(builder, as_it_is, escapes(builder, ranges, count)) : as_it_is;
}

const struct grammar_regex_style json_text_style = {.characters = write_characters, .search = true};

/* ---- Strings ---- */

grammar_expression json_text_quoted(struct grammar_builder *builder, grammar_expression inside) {
    return GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "\""), inside,
                            GRAMMAR_TEXT(builder, "\""));
}

static grammar_expression any_character(struct grammar_builder *builder) {
    return write_characters(builder, &(struct code_range){0, CODE_LAST}, 1, NULL);
}

grammar_expression json_text_string(struct grammar_builder *builder, uint32_t least,
                                    uint32_t most) {
    return json_text_quoted(builder, grammar_repeat(builder, any_character(builder), least, most));
}

grammar_expression json_text_constant(struct grammar_builder *builder, const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    if (text == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a constant");
    }
    grammar_expression constant = grammar_text(builder, text, strlen(text));
    cJSON_free(text);
    return constant;
}

/* ---- Strings but some ---- */

/* The character of a name at a byte; 0 where the name ends. */
static uint32_t character_at(struct token_text name, size_t at, size_t *width) {
    *width = at < name.length ? utf8_character(name.bytes + at, name.length - at) : 0;
    return *width > 0 ? utf8_decode(name.bytes + at, *width) : 0;
}

static int compare_names(const void *a, const void *b) {
    const struct token_text *x = a;
    const struct token_text *y = b;
    size_t shared = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->bytes, y->bytes, shared);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* What may follow the first `at` bytes, which all of the sorted names have in common: the end, if that
 * makes no name; a character that no name has there, and then anything; or one that some have. */
static grammar_expression other_rest(struct grammar_builder *builder,
                                     const struct token_text *names, size_t count, size_t at,
                                     size_t level, grammar_expression anything) {
    struct grammar_parts ways = {0};
    struct code_range *others = calloc(count + 1, sizeof *others);
    if (others == NULL || level > OTHER_NAMES_DEPTH_MAX) {
        free(others);
        return others == NULL
                   ? grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar")
                   : grammar_fail(builder, ERROR_TOO_LARGE,
                                  "a property beside which others are allowed has a name of more "
                                  "than %d characters",
                                  OTHER_NAMES_DEPTH_MAX);
    }
    size_t taken = 0;
    if (names[0].length > at) {
        grammar_parts_add(builder, &ways, GRAMMAR_TEXT(builder, ""));
    }
    for (size_t i = 0; i < count && !grammar_builder_failed(builder);) {
        size_t width;
        uint32_t code = character_at(names[i], at, &width);
        size_t end = i + 1;
        size_t unused;
        while (end < count && character_at(names[end], at, &unused) == code) {
            end++;
        }
        if (width > 0) {
            struct code_range one = {code, code};
            others[taken++] = one;
            grammar_parts_add(builder, &ways,
                              GRAMMAR_SEQUENCE(builder, write_characters(builder, &one, 1, NULL),
                                               other_rest(builder, names + i, end - i, at + width,
                                                          level + 1, anything)));
        }
        i = end;
    }
    size_t other_count = code_ranges_complement(others, code_ranges_join(others, taken));
    grammar_parts_add(
        builder, &ways,
        GRAMMAR_SEQUENCE(builder, write_characters(builder, others, other_count, NULL), anything));
    grammar_expression choice = grammar_choice(builder, ways.items, ways.count);
    free(ways.items);
    free(others);
    return choice;
}

grammar_expression json_text_other_than(struct grammar_builder *builder, struct token_text *names,
                                        size_t count) {
    if (count == 0) {
        return json_text_string(builder, 0, GRAMMAR_UNBOUNDED);
    }
    /* A rule, because it is needed at each place where a key may part from the names. */
    grammar_rule rule = grammar_rule_create(builder, "characters", 10);
    grammar_rule_define(builder, rule,
                        grammar_repeat(builder, any_character(builder), 0, GRAMMAR_UNBOUNDED));
    qsort(names, count, sizeof *names, compare_names);
    return json_text_quoted(
        builder, other_rest(builder, names, count, 0, 0, grammar_reference(builder, rule)));
}
