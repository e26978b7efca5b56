/* Weights of every form that a model file may have, filled with random numbers, and what they mean:
 * straight from the definition in plan.h. */
#ifndef QUERN_TESTS_RANDOM_WEIGHT_H
#define QUERN_TESTS_RANDOM_WEIGHT_H

#include "engine/plan.h"

enum zero_point_form {
    ZERO_POINTS_NONE, /* as MatMulNBits has it: the middle of unsigned codes, 0 of signed ones */
    ZERO_POINTS_CODES,
    ZERO_POINTS_WHOLE,    /* numbers of the scales' type */
    ZERO_POINTS_FRACTION, /* with fractions */
};

struct weight_form {
    size_t rows;
    size_t columns;
    unsigned bits;
    enum element_type type; /* of numbers, or of scales */
    bool transposed;        /* all parts */
    bool is_signed;
    bool shared;   /* one scale and zero point for all; block_size is then to be the columns */
    bool shuffled; /* with a group index */
    const struct code_book *code_book; /* or NULL */
    size_t block_size;
    size_t
        shared_scales; /* so many neighbouring blocks share one, also of two rows; 0: each has its own */
    enum zero_point_form zero_points;
    bool
        unpadded; /* rows of codes end with the last column, those of zero points with the last block */
    size_t row_skip; /* other rows between one row and the next */
};

/* Its bytes begin at odd addresses; free them with random_weight_free. Scales are normal f16. */
struct plan_weight random_weight(struct weight_form form, unsigned seed);
void random_weight_free(struct plan_weight *weight);

/* W[row][k], from the file's bytes. */
float weight_at(const struct plan_weight *weight, size_t row, size_t k);

/* "Q4 f16 block 32 zeros (17, 40)", for messages; overwritten by the next call. */
const char *weight_form_name(const struct weight_form *form);

#endif
