/* The lane vocabulary (see lanes_scalar.h) on AVX2, FMA and F16C: two registers. */
#ifndef QUERN_ENGINE_KERNELS_LANES_H
#define QUERN_ENGINE_KERNELS_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 16,
    LANES_REGISTERS = 8, /* 16 registers, two for each */
};

typedef struct {
    __m256 low;  /* lanes 0..7 */
    __m256 high; /* lanes 8..15 */
} lanes;

typedef struct {
    __m256i low;
    __m256i high;
} int_lanes;

typedef struct {
    __m256 low; /* all bits of a lane, or none */
    __m256 high;
} lanes_mask;

/* ---- Load and store ---- */

static inline lanes lanes_set(float value) {
    lanes y = {_mm256_set1_ps(value), _mm256_set1_ps(value)};
    return y;
}

static inline lanes lanes_zero(void) {
    lanes y = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    return y;
}

static inline lanes lanes_load(const float *from) {
    lanes y = {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
    return y;
}

static inline lanes_mask lanes_mask_range(size_t first, size_t end) {
    const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
    __m256i before = _mm256_set1_epi32((int)first - 1);
    __m256i after = _mm256_set1_epi32((int)end);
    lanes_mask mask = {
        _mm256_castsi256_ps(
            _mm256_and_si256(_mm256_cmpgt_epi32(low, before), _mm256_cmpgt_epi32(after, low))),
        _mm256_castsi256_ps(
            _mm256_and_si256(_mm256_cmpgt_epi32(high, before), _mm256_cmpgt_epi32(after, high))),
    };
    return mask;
}

static inline lanes lanes_load_first(const float *from, size_t n) {
    lanes_mask mask = lanes_mask_range(0, n);
    lanes y = {_mm256_maskload_ps(from, _mm256_castps_si256(mask.low)), _mm256_setzero_ps()};
    if (n > 8) {
        y.high = _mm256_maskload_ps(from + 8, _mm256_castps_si256(mask.high));
    }
    return y;
}

static inline lanes lanes_load_f16(const void *from) {
    const __m128i *halves = (const __m128i *)from;
    lanes y = {_mm256_cvtph_ps(_mm_loadu_si128(halves)),
               _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
    return y;
}

static inline lanes lanes_load_int8(const void *from) {
    __m128i codes = _mm_loadu_si128((const __m128i *)from);
    lanes y = {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)),
               _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8)))};
    return y;
}

static inline void lanes_store(float *to, lanes x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
}

static inline void lanes_store_first(float *to, lanes x, size_t n) {
    lanes_mask mask = lanes_mask_range(0, n);
    _mm256_maskstore_ps(to, _mm256_castps_si256(mask.low), x.low);
    if (n > 8) {
        _mm256_maskstore_ps(to + 8, _mm256_castps_si256(mask.high), x.high);
    }
}

static inline void lanes_store_f16(void *to, lanes x) {
    __m128i *halves = (__m128i *)to;
    _mm_storeu_si128(halves, _mm256_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT));
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes a, lanes b) {
    lanes y = {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_sub(lanes a, lanes b) {
    lanes y = {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_mul(lanes a, lanes b) {
    lanes y = {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_div(lanes a, lanes b) {
    lanes y = {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
    lanes y = {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
    return y;
}

static inline lanes lanes_max(lanes a, lanes b) {
    lanes y = {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_min(lanes a, lanes b) {
    lanes y = {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
    return y;
}

static inline lanes lanes_abs(lanes x) {
    const __m256 sign_bit = _mm256_set1_ps(-0.0f);
    lanes y = {_mm256_andnot_ps(sign_bit, x.low), _mm256_andnot_ps(sign_bit, x.high)};
    return y;
}

static inline lanes lanes_copy_sign(lanes magnitude, lanes sign) {
    const __m256 sign_bit = _mm256_set1_ps(-0.0f);
    lanes y = {
        _mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude.low), _mm256_and_ps(sign_bit, sign.low)),
        _mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude.high),
                     _mm256_and_ps(sign_bit, sign.high)),
    };
    return y;
}

static inline lanes lanes_times_power_of_two(lanes x, int_lanes n) {
    lanes y = {
        _mm256_castsi256_ps(
            _mm256_add_epi32(_mm256_castps_si256(x.low), _mm256_slli_epi32(n.low, 23))),
        _mm256_castsi256_ps(
            _mm256_add_epi32(_mm256_castps_si256(x.high), _mm256_slli_epi32(n.high, 23))),
    };
    return y;
}

static inline float lanes_sum(lanes x) {
    __m256 eight = _mm256_add_ps(x.low, x.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lanes_greatest(lanes x) {
    __m256 eight = _mm256_max_ps(x.low, x.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* ---- Masks ---- */

static inline lanes_mask lanes_greater(lanes a, lanes b) {
    lanes_mask mask = {_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ),
                       _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ)};
    return mask;
}

static inline unsigned lanes_mask_bits(lanes_mask mask) {
    return (unsigned)_mm256_movemask_ps(mask.low) | (unsigned)_mm256_movemask_ps(mask.high) << 8;
}

static inline lanes lanes_select(lanes_mask mask, lanes yes, lanes no) {
    lanes y = {_mm256_blendv_ps(no.low, yes.low, mask.low),
               _mm256_blendv_ps(no.high, yes.high, mask.high)};
    return y;
}

/* ---- Integers ---- */

static inline int_lanes int_lanes_set(int32_t value) {
    int_lanes y = {_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
    return y;
}

static inline int_lanes int_lanes_zero(void) {
    int_lanes y = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    return y;
}

static inline int_lanes int_lanes_load(const int32_t *from) {
    int_lanes y = {_mm256_loadu_si256((const __m256i *)from),
                   _mm256_loadu_si256((const __m256i *)(from + 8))};
    return y;
}

static inline int_lanes int_lanes_load_uint8(const uint8_t *from) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)from);
    int_lanes y = {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
    return y;
}

static inline int_lanes int_lanes_add(int_lanes a, int_lanes b) {
    int_lanes y = {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
    return y;
}

static inline int_lanes int_lanes_sub(int_lanes a, int_lanes b) {
    int_lanes y = {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
    return y;
}

static inline int_lanes int_lanes_mul(int_lanes a, int_lanes b) {
    int_lanes y = {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
    return y;
}

static inline int_lanes int_lanes_shift_right(int_lanes x, int count) {
    const __m128i by = _mm_cvtsi32_si128(count);
    int_lanes y = {_mm256_sra_epi32(x.low, by), _mm256_sra_epi32(x.high, by)};
    return y;
}

static inline int32_t int_lanes_sum(int_lanes x) {
    __m256i eight = _mm256_add_epi32(x.low, x.high);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

static inline void int_lanes_store_int8(int8_t *to, int_lanes x) {
    /* Packing works on halves of a register: the 64-bit words come out as 0 2 1 3. */
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.low, x.high), 0xd8);
    _mm_storeu_si128((__m128i *)to, _mm_packs_epi16(_mm256_castsi256_si128(words),
                                                    _mm256_extracti128_si256(words, 1)));
}

static inline lanes lanes_from_int(int_lanes x) {
    lanes y = {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)};
    return y;
}

/* The lower three bits of an index choose from each half of the table, the fourth from the two. */
static inline __m256 eight_looked_up(lanes table, __m256i indices) {
    __m256 low = _mm256_permutevar8x32_ps(table.low, indices);
    __m256 high = _mm256_permutevar8x32_ps(table.high, indices);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(indices, 28)));
}

static inline lanes lanes_lookup(lanes table, int_lanes indices) {
    lanes y = {eight_looked_up(table, indices.low), eight_looked_up(table, indices.high)};
    return y;
}

static inline int_lanes lanes_round_to_int(lanes x) {
    int_lanes y = {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)};
    return y;
}

#include "engine/kernels/lanes_math.h"

#endif
