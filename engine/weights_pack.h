/* Single tiles of packed weights: their size, packing them, reading a row back. What is packed and
 * where it goes is the business of weights.c; the layouts are drawn in weights.h. */
#ifndef QUERN_ENGINE_WEIGHTS_PACK_H
#define QUERN_ENGINE_WEIGHTS_PACK_H

#include "engine/plan.h"
#include "engine/weights.h"

#include <stdbool.h>
#include <stddef.h>

/* Fills all of `matrix` but `bytes` for the packed form of `source`. False if a size overflows. */
bool pack_layout(const struct plan_weight *source, bool wide_scales, struct packed_matrix *matrix);

/* Writes tiles [first, end) of the matrix that begins at `bytes`, which are zeros. */
void pack_tiles(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
                size_t end, uint8_t *bytes);

/* What the scales of some rows have in common. */
struct scale_survey {
    bool narrow;      /* each is zero or a normal f16, or was f16 in the file */
    bool finite;      /* all of them are; if not, here is the first that is not: */
    size_t bad_index; /* element of the scales */
    float bad_value;
};

struct scale_survey survey_scales(const struct plan_weight *source, size_t first_row,
                                  size_t end_row);

/* output[0..columns) = one row, from the packed tiles or from the file. */
void read_packed_row(const struct packed_matrix *matrix, size_t row, float *output);
void read_source_row(const struct plan_weight *source, size_t row, float *output);

#endif
