/* Single tiles of packed weights: their size, packing them, reading a row back. What is packed and
 * where it goes is the business of weights.c; the layouts are drawn in weights.h. */
#ifndef QUERN_ENGINE_WEIGHTS_PACK_H
#define QUERN_ENGINE_WEIGHTS_PACK_H

#include "engine/plan.h"
#include "engine/weights.h"
#include "engine/weights_source.h"

#include <stdbool.h>
#include <stddef.h>

/* What the elements of a weight decide of its packed form. */
struct pack_form {
    bool wide;    /* scales, or decoded numbers, are f32 instead of f16 */
    bool decoded; /* packed as numbers of that width, whatever they are in the file */
};

/* The form for a quantized weight with such scales and zero points. Decoded are those that no kernel
 * has: zero points with a fraction, or outside of a byte; columns that share scales in no runs of 16 or
 * more. They take the memory of f16 or f32, and are as exact as those. */
struct pack_form pack_choose_form(const struct plan_weight *source,
                                  const struct source_survey *survey, bool exact);

/* Could pack_choose_form have chosen this? */
bool pack_form_fits(const struct plan_weight *source, struct pack_form form);

/* Fills all of `matrix` but `bytes` for the packed form of `source`. False if a size overflows. */
bool pack_layout(const struct plan_weight *source, struct pack_form form,
                 struct packed_matrix *matrix);

/* Writes tiles [first, end) of the matrix that begins at `bytes`, which are zeros. */
void pack_tiles(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
                size_t end, uint8_t *bytes);

/* output[0..columns) = one row, from the packed tiles. */
void read_packed_row(const struct packed_matrix *matrix, size_t row, float *output);

#endif
