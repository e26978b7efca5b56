/* Arithmetic on sizes that are known to be small; for others there is engine/checked.h. */
#ifndef QUERN_ENGINE_SIZES_H
#define QUERN_ENGINE_SIZES_H

#include <stddef.h>

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The next multiple of `step`. */
static inline size_t round_up(size_t value, size_t step) {
    return (value + step - 1) / step * step;
}

#endif
