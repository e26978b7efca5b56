/* What the readers of GBNF and of regular expressions have in common: a place in a text, which is read
 * byte by byte, and errors that say where it is wrong. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_READER_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_READER_H

#include "engine/text/grammar/grammar_builder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRAMMAR_GROUPS_MAX = 100, /* within one another: functions call themselves for each level */
    GRAMMAR_REPEATS_MAX = 100000,
};

struct grammar_reader {
    struct grammar_builder *builder;
    const char *text;
    size_t length;
    size_t at;
    size_t depth; /* of groups */
    /* Makes the builder fail: at this byte, this is wrong. */
    grammar_expression (*fail)(const struct grammar_reader *reader, size_t at, const char *what);
};

/* The next byte; -1 at the end. */
static inline int grammar_peek(const struct grammar_reader *reader) {
    return reader->at < reader->length ? (unsigned char)reader->text[reader->at] : -1;
}

/* Goes on behind the text, if it comes next. */
bool grammar_skip(struct grammar_reader *reader, const char *text);

/* A character of UTF-8. */
uint32_t grammar_read_character(struct grammar_reader *reader);

/* So many hexadecimal digits. */
uint32_t grammar_read_digits(struct grammar_reader *reader, size_t digits);

/* A number of repetitions; false if none comes next. */
bool grammar_read_number(struct grammar_reader *reader, uint32_t *number);

#endif
