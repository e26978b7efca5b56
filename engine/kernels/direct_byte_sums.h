/* byte_sums (see dots_scalar.h) where an instruction set adds products of codes and inputs to
 * 32-bit sums at once: dots_add, which is defined before this is included. */
#ifndef QUERN_ENGINE_KERNELS_DIRECT_BYTE_SUMS_H
#define QUERN_ENGINE_KERNELS_DIRECT_BYTE_SUMS_H

enum { BYTE_SUMS_ORIGIN = 0 };

typedef int_lanes byte_sums;

static inline byte_sums byte_sums_begin(int_lanes start) {
    return start;
}

static inline byte_sums byte_sums_add(byte_sums sums, codes x, dot_inputs inputs, size_t first) {
    return dots_add(sums, x, inputs, first);
}

static inline int_lanes byte_sums_end(byte_sums sums) {
    return sums;
}

#endif
