/* Weights as the model file has them, read element by element: what packing and the lookup of an
 * embedding that is not packed need. Indices are trusted: whoever built the plan has seen to it that
 * every part of a weight lies within its file. Any thread may call this. */
#ifndef QUERN_ENGINE_WEIGHTS_SOURCE_H
#define QUERN_ENGINE_WEIGHTS_SOURCE_H

#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>

/* Number `index` of those at `bytes`. */
float source_number(enum element_type type, const uint8_t *bytes, size_t index);

/* Codes of 2, 4 or 8 bits, as they lie in the file, and as the numbers that they mean unless they are
 * those of a code book. */
unsigned source_raw_code(const struct plan_weight *source, size_t row, size_t column);
int source_code(const struct plan_weight *source, size_t row, size_t column);

/* Of a row and a block of its columns. */
float source_scale(const struct plan_weight *source, size_t row, size_t block);
float source_zero_point(const struct plan_weight *source, size_t row, size_t block);

/* W[row][column] */
float source_element(const struct plan_weight *source, size_t row, size_t column);

/* Does f16 hold numbers (not codes)? None is beyond its range, and unless all are 0 the greatest is no
 * subnormal, so that each is kept to 2^-11 of itself or of the greatest. */
bool source_suits_f16(const struct plan_weight *source);

/* output[0..columns) = one row. */
void source_row(const struct plan_weight *source, size_t row, float *output);

/* What the scales and zero points of some rows of a quantized weight have in common. */
struct source_survey {
    bool narrow; /* each scale is zero or a normal f16, or was f16 in the file */
    bool halves; /* each element is within the range of f16 */
    bool whole;  /* each zero point is a whole number */
    float least_zero_point;
    float greatest_zero_point;
    bool finite; /* all of them are; if not, this is the first that is not: */
    size_t bad_row;
    size_t bad_block;
    const char *bad_what;
    float bad_value;
};

struct source_survey source_survey(const struct plan_weight *source, size_t first_row,
                                   size_t end_row);

#endif
