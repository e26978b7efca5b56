/* The lane vocabulary (see lanes_scalar.h) on NEON, as every AArch64 processor has it: four
 * registers. */
#ifndef QUERN_ENGINE_KERNELS_LANES_H
#define QUERN_ENGINE_KERNELS_LANES_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,
    LANES_REGISTERS = 8, /* 32 registers, four for each */
};

typedef struct {
    float32x4_t q0; /* lanes 0..3 */
    float32x4_t q1; /* lanes 4..7 */
    float32x4_t q2; /* lanes 8..11 */
    float32x4_t q3; /* lanes 12..15 */
} lanes;

typedef struct {
    int32x4_t q0;
    int32x4_t q1;
    int32x4_t q2;
    int32x4_t q3;
} int_lanes;

typedef struct {
    uint32x4_t q0; /* all bits of a lane, or none */
    uint32x4_t q1;
    uint32x4_t q2;
    uint32x4_t q3;
} lanes_mask;

/* ---- Load and store ---- */

static inline lanes lanes_set(float value) {
    const float32x4_t four = vdupq_n_f32(value);
    lanes y = {four, four, four, four};
    return y;
}

static inline lanes lanes_zero(void) {
    return lanes_set(0.0f);
}

static inline lanes lanes_load(const float *from) {
    lanes y = {vld1q_f32(from + 4 * 0), vld1q_f32(from + 4 * 1), vld1q_f32(from + 4 * 2),
               vld1q_f32(from + 4 * 3)};
    return y;
}

static inline void lanes_store(float *to, lanes x) {
    vst1q_f32(to, x.q0);
    vst1q_f32(to + 4, x.q1);
    vst1q_f32(to + 8, x.q2);
    vst1q_f32(to + 12, x.q3);
}

/* There are no masked loads and stores: these go through memory. */
static inline lanes lanes_load_first(const float *from, size_t n) {
    float numbers[LANES] = {0};
    memcpy(numbers, from, n * sizeof(float));
    return lanes_load(numbers);
}

static inline void lanes_store_first(float *to, lanes x, size_t n) {
    float numbers[LANES];
    lanes_store(numbers, x);
    memcpy(to, numbers, n * sizeof(float));
}

static inline lanes lanes_load_f16(const void *from) {
    const uint8_t *bytes = from;
    float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(bytes));
    float16x8_t high = vreinterpretq_f16_u8(vld1q_u8(bytes + 16));
    lanes y = {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low),
               vcvt_f32_f16(vget_low_f16(high)), vcvt_high_f32_f16(high)};
    return y;
}

static inline lanes lanes_load_int8(const void *from) {
    int8x16_t codes = vld1q_s8(from);
    int16x8_t low = vmovl_s8(vget_low_s8(codes));
    int16x8_t high = vmovl_high_s8(codes);
    lanes y = {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
               vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
    return y;
}

static inline void lanes_store_f16(void *to, lanes x) {
    uint8_t *bytes = to;
    float16x8_t low = vcvt_high_f16_f32(vcvt_f16_f32(x.q0), x.q1);
    float16x8_t high = vcvt_high_f16_f32(vcvt_f16_f32(x.q2), x.q3);
    vst1q_u8(bytes, vreinterpretq_u8_f16(low));
    vst1q_u8(bytes + 16, vreinterpretq_u8_f16(high));
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes a, lanes b) {
    lanes y = {vaddq_f32(a.q0, b.q0), vaddq_f32(a.q1, b.q1), vaddq_f32(a.q2, b.q2),
               vaddq_f32(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_sub(lanes a, lanes b) {
    lanes y = {vsubq_f32(a.q0, b.q0), vsubq_f32(a.q1, b.q1), vsubq_f32(a.q2, b.q2),
               vsubq_f32(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_mul(lanes a, lanes b) {
    lanes y = {vmulq_f32(a.q0, b.q0), vmulq_f32(a.q1, b.q1), vmulq_f32(a.q2, b.q2),
               vmulq_f32(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_div(lanes a, lanes b) {
    lanes y = {vdivq_f32(a.q0, b.q0), vdivq_f32(a.q1, b.q1), vdivq_f32(a.q2, b.q2),
               vdivq_f32(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
    lanes y = {vfmaq_f32(c.q0, a.q0, b.q0), vfmaq_f32(c.q1, a.q1, b.q1),
               vfmaq_f32(c.q2, a.q2, b.q2), vfmaq_f32(c.q3, a.q3, b.q3)};
    return y;
}

/* fmax and fmin would return a NaN, whichever of the two it is. */
static inline float32x4_t four_greater(float32x4_t a, float32x4_t b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t four_less(float32x4_t a, float32x4_t b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline lanes lanes_max(lanes a, lanes b) {
    lanes y = {four_greater(a.q0, b.q0), four_greater(a.q1, b.q1), four_greater(a.q2, b.q2),
               four_greater(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_min(lanes a, lanes b) {
    lanes y = {four_less(a.q0, b.q0), four_less(a.q1, b.q1), four_less(a.q2, b.q2),
               four_less(a.q3, b.q3)};
    return y;
}

static inline lanes lanes_abs(lanes x) {
    lanes y = {vabsq_f32(x.q0), vabsq_f32(x.q1), vabsq_f32(x.q2), vabsq_f32(x.q3)};
    return y;
}

static inline lanes lanes_copy_sign(lanes magnitude, lanes sign) {
    const uint32x4_t sign_bit = vdupq_n_u32(0x80000000);
    lanes y = {
        vbslq_f32(sign_bit, sign.q0, magnitude.q0), vbslq_f32(sign_bit, sign.q1, magnitude.q1),
        vbslq_f32(sign_bit, sign.q2, magnitude.q2), vbslq_f32(sign_bit, sign.q3, magnitude.q3)};
    return y;
}

static inline float32x4_t four_times_power_of_two(float32x4_t x, int32x4_t n) {
    return vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(x), vshlq_n_u32(vreinterpretq_u32_s32(n), 23)));
}

static inline lanes lanes_times_power_of_two(lanes x, int_lanes n) {
    lanes y = {four_times_power_of_two(x.q0, n.q0), four_times_power_of_two(x.q1, n.q1),
               four_times_power_of_two(x.q2, n.q2), four_times_power_of_two(x.q3, n.q3)};
    return y;
}

static inline float lanes_sum(lanes x) {
    float32x4_t four = vaddq_f32(vaddq_f32(x.q0, x.q2), vaddq_f32(x.q1, x.q3));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vpadds_f32(two);
}

static inline float lanes_greatest(lanes x) {
    float32x4_t four = four_greater(four_greater(x.q0, x.q2), four_greater(x.q1, x.q3));
    float32x4_t two = four_greater(four, vextq_f32(four, four, 2));
    return vgetq_lane_f32(four_greater(two, vextq_f32(two, two, 1)), 0);
}

/* ---- Masks ---- */

static inline lanes_mask lanes_mask_range(size_t first, size_t end) {
    const uint32x4_t from = vdupq_n_u32((uint32_t)first);
    const uint32x4_t to = vdupq_n_u32((uint32_t)end);
    const uint32x4_t at0 = {0, 1, 2, 3};
    const uint32x4_t at1 = {4, 5, 6, 7};
    const uint32x4_t at2 = {8, 9, 10, 11};
    const uint32x4_t at3 = {12, 13, 14, 15};
    lanes_mask mask = {vandq_u32(vcgeq_u32(at0, from), vcltq_u32(at0, to)),
                       vandq_u32(vcgeq_u32(at1, from), vcltq_u32(at1, to)),
                       vandq_u32(vcgeq_u32(at2, from), vcltq_u32(at2, to)),
                       vandq_u32(vcgeq_u32(at3, from), vcltq_u32(at3, to))};
    return mask;
}

static inline lanes_mask lanes_greater(lanes a, lanes b) {
    lanes_mask mask = {vcgtq_f32(a.q0, b.q0), vcgtq_f32(a.q1, b.q1), vcgtq_f32(a.q2, b.q2),
                       vcgtq_f32(a.q3, b.q3)};
    return mask;
}

static inline unsigned lanes_mask_bits(lanes_mask mask) {
    const uint32x4_t bits = {1, 2, 4, 8};
    uint32x4_t low = vorrq_u32(vandq_u32(mask.q0, bits), vandq_u32(mask.q1, vshlq_n_u32(bits, 4)));
    uint32x4_t high = vorrq_u32(vandq_u32(mask.q2, bits), vandq_u32(mask.q3, vshlq_n_u32(bits, 4)));
    return vaddvq_u32(vorrq_u32(low, vshlq_n_u32(high, 8)));
}

static inline lanes lanes_select(lanes_mask mask, lanes yes, lanes no) {
    lanes y = {vbslq_f32(mask.q0, yes.q0, no.q0), vbslq_f32(mask.q1, yes.q1, no.q1),
               vbslq_f32(mask.q2, yes.q2, no.q2), vbslq_f32(mask.q3, yes.q3, no.q3)};
    return y;
}

/* ---- Integers ---- */

static inline int_lanes int_lanes_set(int32_t value) {
    const int32x4_t four = vdupq_n_s32(value);
    int_lanes y = {four, four, four, four};
    return y;
}

static inline int_lanes int_lanes_zero(void) {
    return int_lanes_set(0);
}

static inline int_lanes int_lanes_load(const int32_t *from) {
    int_lanes y = {vld1q_s32(from + 4 * 0), vld1q_s32(from + 4 * 1), vld1q_s32(from + 4 * 2),
                   vld1q_s32(from + 4 * 3)};
    return y;
}

static inline int32x4_t four_widened(uint16x4_t x) {
    return vreinterpretq_s32_u32(vmovl_u16(x));
}

static inline int_lanes int_lanes_load_uint8(const uint8_t *from) {
    uint8x16_t bytes = vld1q_u8(from);
    uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
    uint16x8_t high = vmovl_high_u8(bytes);
    int_lanes y = {four_widened(vget_low_u16(low)), four_widened(vget_high_u16(low)),
                   four_widened(vget_low_u16(high)), four_widened(vget_high_u16(high))};
    return y;
}

/* Unsigned numbers wrap; signed ones must not overflow, not even those of intrinsics. */
static inline int32x4_t four_sums(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_u32(vaddq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

static inline int32x4_t four_differences(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_u32(vsubq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

static inline int32x4_t four_products(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_u32(vmulq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

static inline int_lanes int_lanes_add(int_lanes a, int_lanes b) {
    int_lanes y = {four_sums(a.q0, b.q0), four_sums(a.q1, b.q1), four_sums(a.q2, b.q2),
                   four_sums(a.q3, b.q3)};
    return y;
}

static inline int_lanes int_lanes_sub(int_lanes a, int_lanes b) {
    int_lanes y = {four_differences(a.q0, b.q0), four_differences(a.q1, b.q1),
                   four_differences(a.q2, b.q2), four_differences(a.q3, b.q3)};
    return y;
}

static inline int_lanes int_lanes_mul(int_lanes a, int_lanes b) {
    int_lanes y = {four_products(a.q0, b.q0), four_products(a.q1, b.q1), four_products(a.q2, b.q2),
                   four_products(a.q3, b.q3)};
    return y;
}

static inline int_lanes int_lanes_shift_right(int_lanes x, int count) {
    const int32x4_t left = vdupq_n_s32(-count);
    int_lanes y = {vshlq_s32(x.q0, left), vshlq_s32(x.q1, left), vshlq_s32(x.q2, left),
                   vshlq_s32(x.q3, left)};
    return y;
}

static inline int32_t int_lanes_sum(int_lanes x) {
    return vaddvq_s32(four_sums(four_sums(x.q0, x.q1), four_sums(x.q2, x.q3)));
}

static inline void int_lanes_store_int8(int8_t *to, int_lanes x) {
    int16x8_t low = vqmovn_high_s32(vqmovn_s32(x.q0), x.q1);
    int16x8_t high = vqmovn_high_s32(vqmovn_s32(x.q2), x.q3);
    vst1q_s8(to, vqmovn_high_s16(vqmovn_s16(low), high));
}

static inline lanes lanes_from_int(int_lanes x) {
    lanes y = {vcvtq_f32_s32(x.q0), vcvtq_f32_s32(x.q1), vcvtq_f32_s32(x.q2), vcvtq_f32_s32(x.q3)};
    return y;
}

/* Bytes are looked up: those of number i of the table are 4 i .. 4 i + 3. */
static inline float32x4_t four_looked_up(uint8x16x4_t table, int32x4_t indices) {
    const uint32x4_t bytes =
        vmlaq_u32(vdupq_n_u32(0x03020100), vreinterpretq_u32_s32(indices), vdupq_n_u32(0x04040404));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(bytes)));
}

static inline lanes lanes_lookup(lanes table, int_lanes indices) {
    const uint8x16x4_t bytes = {{vreinterpretq_u8_f32(table.q0), vreinterpretq_u8_f32(table.q1),
                                 vreinterpretq_u8_f32(table.q2), vreinterpretq_u8_f32(table.q3)}};
    lanes y = {four_looked_up(bytes, indices.q0), four_looked_up(bytes, indices.q1),
               four_looked_up(bytes, indices.q2), four_looked_up(bytes, indices.q3)};
    return y;
}

/* The conversion saturates, and a NaN becomes 0: what is not below 2^31 is to be INT32_MIN. */
static inline int32x4_t four_rounded(float32x4_t x) {
    const uint32x4_t fits = vcltq_f32(x, vdupq_n_f32(0x1p31f));
    return vbslq_s32(fits, vcvtnq_s32_f32(x), vdupq_n_s32(INT32_MIN));
}

static inline int_lanes lanes_round_to_int(lanes x) {
    int_lanes y = {four_rounded(x.q0), four_rounded(x.q1), four_rounded(x.q2), four_rounded(x.q3)};
    return y;
}

#include "engine/kernels/lanes_math.h"

#endif
