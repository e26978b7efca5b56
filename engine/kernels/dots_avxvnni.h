/* The dot-product vocabulary (see dots_scalar.h) on AVX2 with AVX-VNNI: two registers, and one
 * instruction for each multiplies 32 codes with four broadcast inputs and adds to 8 sums. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/codes_avx2.h"

static inline int_lanes dots_add(int_lanes sums, codes x, dot_inputs inputs, size_t first) {
    __m256i four = four_inputs(inputs, first);
    int_lanes y = {_mm256_dpbusd_avx_epi32(sums.low, x.low, four),
                   _mm256_dpbusd_avx_epi32(sums.high, x.high, four)};
    return y;
}

#include "engine/kernels/direct_byte_sums.h"
#include "engine/kernels/direct_nibble_sums.h"

#endif
