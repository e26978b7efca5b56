/* Arithmetic on sizes that come from files: true and the result, or false where it would overflow.
 */
#ifndef QUERN_ENGINE_CHECKED_H
#define QUERN_ENGINE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool checked_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

static inline bool checked_multiply(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* The smallest multiple of `step` that is not below `value`. */
static inline bool checked_round_up(size_t value, size_t step, size_t *rounded) {
    size_t sum;
    if (step == 0 || !checked_add(value, step - 1, &sum)) {
        return false;
    }
    *rounded = sum / step * step;
    return true;
}

/* Does [offset, offset + length) lie within [0, total)? */
static inline bool checked_range(size_t offset, size_t length, size_t total) {
    return offset <= total && length <= total - offset;
}

#endif
