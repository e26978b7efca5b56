/* Digits of hexadecimal numbers. */
#ifndef QUERN_ENGINE_TEXT_HEXADECIMAL_H
#define QUERN_ENGINE_TEXT_HEXADECIMAL_H

/* What a character stands for, or -1. */
static inline int hexadecimal_digit(int c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

#endif
