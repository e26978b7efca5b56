/* The dot-product vocabulary (see dots_scalar.h) on AVX-512 VNNI: one instruction multiplies 64
 * codes with four broadcast inputs and adds to 16 sums. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/lanes_avx512.h"

#include <string.h>

typedef __m512i codes;
typedef __m512i nibble_sums;
typedef __m512i byte_sums;

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

static inline byte_sums byte_sums_add(byte_sums sums, codes x, const int8_t *inputs) {
    int32_t four;
    memcpy(&four, inputs, sizeof four);
    return _mm512_dpbusd_epi32(sums, x, _mm512_set1_epi32(four));
}

static inline nibble_sums nibble_sums_add(nibble_sums sums, codes x, const int8_t *inputs) {
    return byte_sums_add(sums, x, inputs);
}

static inline nibble_sums nibble_sums_begin(int_lanes start) {
    return start;
}

static inline int_lanes nibble_sums_end(nibble_sums sums) {
    return sums;
}

static inline byte_sums byte_sums_begin(int_lanes start) {
    return start;
}

static inline int_lanes byte_sums_end(byte_sums sums) {
    return sums;
}

#endif
