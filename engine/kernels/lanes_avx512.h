/* The lane vocabulary (see lanes_scalar.h) on AVX-512 F, BW, VL, DQ: one register. */
#ifndef QUERN_ENGINE_KERNELS_LANES_H
#define QUERN_ENGINE_KERNELS_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 16,
    LANES_REGISTERS = 32,
};

typedef __m512 lanes;
typedef __m512i int_lanes;
typedef __mmask16 lanes_mask;

/* ---- Load and store ---- */

static inline lanes lanes_set(float value) {
    return _mm512_set1_ps(value);
}

static inline lanes lanes_zero(void) {
    return _mm512_setzero_ps();
}

static inline lanes lanes_load(const float *from) {
    return _mm512_loadu_ps(from);
}

static inline lanes_mask lanes_mask_range(size_t first, size_t end) {
    return (__mmask16)(((1u << end) - 1) & ~((1u << first) - 1));
}

static inline lanes lanes_load_first(const float *from, size_t n) {
    return _mm512_maskz_loadu_ps(lanes_mask_range(0, n), from);
}

static inline lanes lanes_load_f16(const void *from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}

static inline lanes lanes_load_int8(const void *from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
}

static inline void lanes_store(float *to, lanes x) {
    _mm512_storeu_ps(to, x);
}

static inline void lanes_store_first(float *to, lanes x, size_t n) {
    _mm512_mask_storeu_ps(to, lanes_mask_range(0, n), x);
}

static inline void lanes_store_f16(void *to, lanes x) {
    __m256 low = _mm512_castps512_ps256(x);
    __m256 high = _mm512_extractf32x8_ps(x, 1);
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)to + 1, _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT));
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes a, lanes b) {
    return _mm512_add_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b) {
    return _mm512_sub_ps(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b) {
    return _mm512_mul_ps(a, b);
}

static inline lanes lanes_div(lanes a, lanes b) {
    return _mm512_div_ps(a, b);
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
    return _mm512_fmadd_ps(a, b, c);
}

static inline lanes lanes_max(lanes a, lanes b) {
    return _mm512_max_ps(a, b);
}

static inline lanes lanes_min(lanes a, lanes b) {
    return _mm512_min_ps(a, b);
}

static inline lanes lanes_abs(lanes x) {
    return _mm512_and_ps(x, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff)));
}

static inline lanes lanes_copy_sign(lanes magnitude, lanes sign) {
    const __m512 sign_bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign_bit, magnitude), _mm512_and_ps(sign_bit, sign));
}

static inline lanes lanes_times_power_of_two(lanes x, int_lanes n) {
    __m512i exponent = _mm512_slli_epi32(n, 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), exponent));
}

static inline float lanes_sum(lanes x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lanes_greatest(lanes x) {
    __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* ---- Masks ---- */

static inline lanes_mask lanes_greater(lanes a, lanes b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

static inline unsigned lanes_mask_bits(lanes_mask mask) {
    return mask;
}

static inline lanes lanes_select(lanes_mask mask, lanes yes, lanes no) {
    return _mm512_mask_blend_ps(mask, no, yes);
}

/* ---- Integers ---- */

static inline int_lanes int_lanes_set(int32_t value) {
    return _mm512_set1_epi32(value);
}

static inline int_lanes int_lanes_zero(void) {
    return _mm512_setzero_si512();
}

static inline int_lanes int_lanes_load(const int32_t *from) {
    return _mm512_loadu_si512(from);
}

static inline int_lanes int_lanes_load_uint8(const uint8_t *from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
}

static inline int_lanes int_lanes_add(int_lanes a, int_lanes b) {
    return _mm512_add_epi32(a, b);
}

static inline int_lanes int_lanes_sub(int_lanes a, int_lanes b) {
    return _mm512_sub_epi32(a, b);
}

static inline int_lanes int_lanes_mul(int_lanes a, int_lanes b) {
    return _mm512_mullo_epi32(a, b);
}

static inline int_lanes int_lanes_shift_right(int_lanes x, int count) {
    return _mm512_sra_epi32(x, _mm_cvtsi32_si128(count));
}

static inline int32_t int_lanes_sum(int_lanes x) {
    __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti32x8_epi32(x, 1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

static inline void int_lanes_store_int8(int8_t *to, int_lanes x) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtsepi32_epi8(x));
}

static inline lanes lanes_from_int(int_lanes x) {
    return _mm512_cvtepi32_ps(x);
}

static inline lanes lanes_lookup(lanes table, int_lanes indices) {
    return _mm512_permutexvar_ps(indices, table);
}

static inline int_lanes lanes_round_to_int(lanes x) {
    return _mm512_cvtps_epi32(x);
}

#include "engine/kernels/lanes_math.h"

#endif
