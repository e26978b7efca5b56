/* Texts as Python sees them: a sequence of code points, which UTF-8 bytes stand for.
 *
 * Indices, counts and lengths that a template says are code points; offsets here are bytes. All
 * texts are UTF-8 (value.h). Case and classes of characters are Unicode's, by libutf8proc, which
 * makes one letter of a letter: "ß" has no upper case here. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_TEXT_H
#define QUERN_ENGINE_TEXT_TEMPLATE_TEXT_H

#include "engine/text/template/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at an offset, which moves behind it. */
uint32_t template_text_next(struct template_text text, size_t *offset);

/* The code point that ends at an offset, which moves before it. */
uint32_t template_text_previous(struct template_text text, size_t *offset);

/* The UTF-8 of a code point: 1 to 4 bytes. */
size_t template_encode(uint32_t code, char utf8[4]);

/* How many code points, and the offset of the one with that index (its end, if there are fewer). */
size_t template_text_count(struct template_text text);
size_t template_text_offset(struct template_text text, size_t index);

/* The bytes from one offset to another. */
static inline struct template_text template_text_part(struct template_text text, size_t begin,
                                                      size_t end) {
    return (struct template_text){text.bytes + begin, end - begin};
}

/* How many bytes of a text a message shows, for %.*s: whole characters, up to 80 bytes. */
int template_shown(struct template_text text);
int template_shown_up_to(struct template_text text, int limit);

/* By code points; the sign of the result counts. */
int template_text_compare(struct template_text a, struct template_text b);

/* The offset of the first occurrence at or behind `from`, or of the last one that ends at or before
 * `end`; SIZE_MAX if there is none. */
size_t template_text_find(struct template_text text, struct template_text wanted, size_t from);
size_t template_text_find_last(struct template_text text, struct template_text wanted, size_t end);

bool template_text_starts_with(struct template_text text, struct template_text prefix);
bool template_text_ends_with(struct template_text text, struct template_text suffix);

/* Without the white space at its ends; with `characters`, without any of those instead. */
enum template_ends { STRIP_LEFT = 1, STRIP_RIGHT = 2, STRIP_BOTH = 3 };
struct template_text template_text_strip(struct template_text text, enum template_ends ends,
                                         const struct template_text *characters);

/* The line that begins at an offset, without what ends it; the offset moves to the next line. */
struct template_text template_text_line(struct template_text text, size_t *offset);

/* What str.isspace, str.isprintable … say of a code point. */
bool template_is_space(uint32_t code);
bool template_is_printable(uint32_t code);
bool template_is_upper(uint32_t code);
bool template_is_lower(uint32_t code);
bool template_is_cased(uint32_t code);
bool template_is_alphabetic(uint32_t code);
bool template_is_digit(uint32_t code);

/* str.isupper and str.islower: do all letters that have a case have this one, and is there one? */
bool template_all_cased(struct template_text text, bool (*is)(uint32_t code));

uint32_t template_to_upper(uint32_t code);
uint32_t template_to_lower(uint32_t code);
uint32_t template_to_title(uint32_t code);

#endif
