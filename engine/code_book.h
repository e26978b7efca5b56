/* What 4-bit codes stand for where that is no whole number: the number formats of bitsandbytes, as
 * com.microsoft MatMulBnb4 has them. Constant; any thread may read. */
#ifndef QUERN_ENGINE_CODE_BOOK_H
#define QUERN_ENGINE_CODE_BOOK_H

struct code_book {
    const char *name;
    float values[16];
};

/* A sign, and a floating point number of three bits. */
extern const struct code_book code_book_fp4;

/* Quantiles of the normal distribution. */
extern const struct code_book code_book_nf4;

#endif
