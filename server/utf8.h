/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef QUERN_SERVER_UTF8_H
#define QUERN_SERVER_UTF8_H

#include <stddef.h>

/* The length of the character that starts at `bytes`, or 0 where none of at most `length` bytes
 * does. */
size_t utf8_character_length(const char *bytes, size_t length);

#endif
