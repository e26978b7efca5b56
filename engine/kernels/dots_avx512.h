/* The dot-product vocabulary (see dots_scalar.h) on AVX-512 VNNI: one instruction multiplies 64
 * codes with four broadcast inputs and adds to 16 sums. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/inputs_in_memory.h"
#include "engine/kernels/lanes_avx512.h"

#include <string.h>

typedef __m512i codes;

static inline codes codes_load(const uint8_t *from) {
    return _mm512_loadu_si512(from);
}

static inline codes codes_low_nibbles(codes x) {
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}

static inline codes codes_high_nibbles(codes x) {
    return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
}

static inline int_lanes codes_input(codes x, int i) {
    __m512i shifted = _mm512_srl_epi32(x, _mm_cvtsi32_si128(8 * i));
    return _mm512_and_si512(shifted, _mm512_set1_epi32(255));
}

static inline int_lanes dots_add(int_lanes sums, codes x, dot_inputs inputs, size_t first) {
    int32_t four;
    memcpy(&four, inputs + first, sizeof four);
    return _mm512_dpbusd_epi32(sums, x, _mm512_set1_epi32(four));
}

#include "engine/kernels/direct_byte_sums.h"
#include "engine/kernels/direct_nibble_sums.h"

#endif
