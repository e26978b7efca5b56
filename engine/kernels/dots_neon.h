/* The dot-product vocabulary (see dots_scalar.h) on NEON with the dot product extension: four
 * registers, and one instruction for each multiplies 16 codes with four inputs, which it takes from
 * a register of 16, and adds to four sums.
 *
 * It takes codes as signed numbers. Nibbles are no others; of bytes, 128 is subtracted. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/expanded.h"
#include "engine/kernels/lanes_neon.h"

typedef struct {
    uint8x16_t q0; /* lanes 0..3 */
    uint8x16_t q1;
    uint8x16_t q2;
    uint8x16_t q3;
} codes;

static inline codes codes_load(const uint8_t *from) {
    codes y = {vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32), vld1q_u8(from + 48)};
    return y;
}

static inline codes codes_low_nibbles(codes x) {
    const uint8x16_t mask = vdupq_n_u8(15);
    codes y = {vandq_u8(x.q0, mask), vandq_u8(x.q1, mask), vandq_u8(x.q2, mask),
               vandq_u8(x.q3, mask)};
    return y;
}

static inline codes codes_high_nibbles(codes x) {
    codes y = {vshrq_n_u8(x.q0, 4), vshrq_n_u8(x.q1, 4), vshrq_n_u8(x.q2, 4), vshrq_n_u8(x.q3, 4)};
    return y;
}

static inline int32x4_t four_inputs_apart(uint8x16_t x, int32x4_t left) {
    uint32x4_t shifted = vshlq_u32(vreinterpretq_u32_u8(x), left);
    return vreinterpretq_s32_u32(vandq_u32(shifted, vdupq_n_u32(255)));
}

static inline int_lanes codes_input(codes x, int i) {
    const int32x4_t left = vdupq_n_s32(-8 * i);
    int_lanes y = {four_inputs_apart(x.q0, left), four_inputs_apart(x.q1, left),
                   four_inputs_apart(x.q2, left), four_inputs_apart(x.q3, left)};
    return y;
}

typedef int8x16_t dot_inputs;

static inline dot_inputs dot_inputs_load(const int8_t *from) {
    return vld1q_s8(from);
}

/* Which four of the 16 inputs is a constant in the instruction. */
EXPANDED int32x4_t four_dots(int32x4_t sums, uint8x16_t x, dot_inputs inputs, const size_t first) {
    const int8x16_t signed_codes = vreinterpretq_s8_u8(x);
    switch (first) {
    case 0:
        return vdotq_laneq_s32(sums, signed_codes, inputs, 0);
    case 4:
        return vdotq_laneq_s32(sums, signed_codes, inputs, 1);
    case 8:
        return vdotq_laneq_s32(sums, signed_codes, inputs, 2);
    default:
        return vdotq_laneq_s32(sums, signed_codes, inputs, 3);
    }
}

EXPANDED int_lanes dots_add(int_lanes sums, codes x, dot_inputs inputs, const size_t first) {
    int_lanes y = {four_dots(sums.q0, x.q0, inputs, first), four_dots(sums.q1, x.q1, inputs, first),
                   four_dots(sums.q2, x.q2, inputs, first),
                   four_dots(sums.q3, x.q3, inputs, first)};
    return y;
}

#include "engine/kernels/direct_nibble_sums.h"

enum { BYTE_SUMS_ORIGIN = 128 };

typedef int_lanes byte_sums;

static inline byte_sums byte_sums_begin(int_lanes start) {
    return start;
}

EXPANDED byte_sums byte_sums_add(byte_sums sums, codes x, dot_inputs inputs, const size_t first) {
    const uint8x16_t flip = vdupq_n_u8(0x80); /* of the top bit: subtracts 128, taken as signed */
    codes less = {veorq_u8(x.q0, flip), veorq_u8(x.q1, flip), veorq_u8(x.q2, flip),
                  veorq_u8(x.q3, flip)};
    return dots_add(sums, less, inputs, first);
}

static inline int_lanes byte_sums_end(byte_sums sums) {
    return sums;
}

#endif
