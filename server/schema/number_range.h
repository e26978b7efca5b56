/* Numbers within a range, as expressions of a grammar: how decimal digits compare.
 *
 *     123.5 <= x <= 700     1 ─▶ as low as it may be: next 2 .. 9 ─▶ …
 *                           2 .. 6 ─▶ anything
 *                           7 ─▶ as high as it may be: next 0 ─▶ …
 *
 * Numbers with bounds are written without exponents and with at most 15 digits, so that whoever reads
 * them as doubles finds them on the same side of each bound. */
#ifndef QUERN_SERVER_SCHEMA_NUMBER_RANGE_H
#define QUERN_SERVER_SCHEMA_NUMBER_RANGE_H

#include "engine/text/grammar/grammar_builder.h"

#include <stdbool.h>
#include <stdint.h>

struct number_range {
    double least;    /* or -INFINITY */
    double most;     /* or INFINITY */
    bool least_open; /* the bound itself is outside */
    bool most_open;
    bool whole;           /* integers only */
    uint64_t multiple_of; /* 0: nothing; else integers only */
};

/* Matches nothing if there is no such number. Makes the builder fail with ERROR_UNSUPPORTED for bounds
 * that have too many digits, and for multiples between bounds that are too many. */
grammar_expression number_range(struct grammar_builder *builder, const struct number_range *range);

#endif
