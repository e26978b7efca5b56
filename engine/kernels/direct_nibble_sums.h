/* nibble_sums (see dots_scalar.h) where an instruction set adds products of codes and inputs to
 * 32-bit sums at once: dots_add, which is defined before this is included. */
#ifndef QUERN_ENGINE_KERNELS_DIRECT_NIBBLE_SUMS_H
#define QUERN_ENGINE_KERNELS_DIRECT_NIBBLE_SUMS_H

typedef int_lanes nibble_sums;

static inline nibble_sums nibble_sums_begin(int_lanes start) {
    return start;
}

static inline nibble_sums nibble_sums_add(nibble_sums sums, codes x, dot_inputs inputs,
                                          size_t first) {
    return dots_add(sums, x, inputs, first);
}

static inline int_lanes nibble_sums_end(nibble_sums sums) {
    return sums;
}

#endif
