/* The dot-product vocabulary (see dots_scalar.h) on AVX2: two registers.
 *
 * vpmaddubsw adds pairs of products in 16 bits and saturates. Nibbles cannot reach that: a pair is
 * at most 2 * 15 * 128, and eight of them 30720, so their sums stay in 16 bits until the end. Bytes
 * could (2 * 255 * 128), so they are widened to 16 bits before they are multiplied. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/lanes_avx2.h"

#include <string.h>

typedef struct {
    __m256i low; /* lanes 0..7 */
    __m256i high;
} codes;

typedef struct {
    __m256i low; /* 16 x i16: inputs 0 and 1, then 2 and 3 of each lane */
    __m256i high;
    int_lanes start;
} nibble_sums;

typedef int_lanes byte_sums;

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

/* The four inputs in every lane. */
static inline __m256i four_inputs(const int8_t *inputs) {
    int32_t four;
    memcpy(&four, inputs, sizeof four);
    return _mm256_set1_epi32(four);
}

static inline nibble_sums nibble_sums_begin(int_lanes start) {
    nibble_sums y = {_mm256_setzero_si256(), _mm256_setzero_si256(), start};
    return y;
}

static inline nibble_sums nibble_sums_add(nibble_sums sums, codes x, const int8_t *inputs) {
    __m256i four = four_inputs(inputs);
    sums.low = _mm256_add_epi16(sums.low, _mm256_maddubs_epi16(x.low, four));
    sums.high = _mm256_add_epi16(sums.high, _mm256_maddubs_epi16(x.high, four));
    return sums;
}

static inline int_lanes nibble_sums_end(nibble_sums sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    int_lanes added = {_mm256_madd_epi16(sums.low, ones), _mm256_madd_epi16(sums.high, ones)};
    return int_lanes_add(sums.start, added);
}

static inline byte_sums byte_sums_begin(int_lanes start) {
    return start;
}

/* Inputs 0 and 2 of each lane, then 1 and 3: as 16-bit numbers they are the even and the odd bytes. */
static inline __m256i byte_products(__m256i x, __m256i four) {
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(255)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(four, 8));
    return _mm256_add_epi32(even, odd);
}

static inline byte_sums byte_sums_add(byte_sums sums, codes x, const int8_t *inputs) {
    __m256i four = four_inputs(inputs);
    int_lanes products = {byte_products(x.low, four), byte_products(x.high, four)};
    return int_lanes_add(sums, products);
}

static inline int_lanes byte_sums_end(byte_sums sums) {
    return sums;
}

#endif
