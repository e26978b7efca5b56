/* The dot-product vocabulary (see dots_scalar.h) on AVX2: two registers.
 *
 * vpmaddubsw adds pairs of products in 16 bits and saturates. Nibbles cannot reach that: a pair is
 * at most 2 * 15 * 128, and eight of them 30720, so their sums stay in 16 bits until the end. Bytes
 * could (2 * 255 * 128), so they are widened to 16 bits before they are multiplied. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/codes_avx2.h"

typedef struct {
    __m256i low; /* 16 x i16: inputs 0 and 1, then 2 and 3 of each lane */
    __m256i high;
    int_lanes start;
} nibble_sums;

static inline nibble_sums nibble_sums_begin(int_lanes start) {
    nibble_sums y = {_mm256_setzero_si256(), _mm256_setzero_si256(), start};
    return y;
}

static inline nibble_sums nibble_sums_add(nibble_sums sums, codes x, dot_inputs inputs,
                                          size_t first) {
    __m256i four = four_inputs(inputs, first);
    sums.low = _mm256_add_epi16(sums.low, _mm256_maddubs_epi16(x.low, four));
    sums.high = _mm256_add_epi16(sums.high, _mm256_maddubs_epi16(x.high, four));
    return sums;
}

static inline int_lanes nibble_sums_end(nibble_sums sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    int_lanes added = {_mm256_madd_epi16(sums.low, ones), _mm256_madd_epi16(sums.high, ones)};
    return int_lanes_add(sums.start, added);
}

/* Inputs 0 and 2 of each lane, then 1 and 3: as 16-bit numbers they are the even and the odd bytes. */
static inline __m256i byte_products(__m256i x, __m256i four) {
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(255)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(four, 8));
    return _mm256_add_epi32(even, odd);
}

static inline int_lanes dots_add(int_lanes sums, codes x, dot_inputs inputs, size_t first) {
    __m256i four = four_inputs(inputs, first);
    int_lanes products = {byte_products(x.low, four), byte_products(x.high, four)};
    return int_lanes_add(sums, products);
}

#include "engine/kernels/direct_byte_sums.h"

#endif
