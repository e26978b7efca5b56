/* Codes (see dots_scalar.h) in two AVX2 registers, whichever instructions add their products. */
#ifndef QUERN_ENGINE_KERNELS_CODES_H
#define QUERN_ENGINE_KERNELS_CODES_H

#include "engine/kernels/inputs_in_memory.h"
#include "engine/kernels/lanes_avx2.h"

#include <string.h>

typedef struct {
    __m256i low; /* lanes 0..7 */
    __m256i high;
} codes;

static inline codes codes_load(const uint8_t *from) {
    const __m256i *halves = (const __m256i *)(const void *)from;
    codes y = {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
    return y;
}

static inline codes codes_low_nibbles(codes x) {
    const __m256i mask = _mm256_set1_epi8(15);
    codes y = {_mm256_and_si256(x.low, mask), _mm256_and_si256(x.high, mask)};
    return y;
}

static inline codes codes_high_nibbles(codes x) {
    codes shifted = {_mm256_srli_epi16(x.low, 4), _mm256_srli_epi16(x.high, 4)};
    return codes_low_nibbles(shifted);
}

static inline int_lanes codes_input(codes x, int i) {
    const __m256i mask = _mm256_set1_epi32(255);
    const __m128i shift = _mm_cvtsi32_si128(8 * i);
    int_lanes y = {_mm256_and_si256(_mm256_srl_epi32(x.low, shift), mask),
                   _mm256_and_si256(_mm256_srl_epi32(x.high, shift), mask)};
    return y;
}

/* Inputs [first, first + 4) in every lane. */
static inline __m256i four_inputs(dot_inputs inputs, size_t first) {
    int32_t four;
    memcpy(&four, inputs + first, sizeof four);
    return _mm256_set1_epi32(four);
}

#endif
