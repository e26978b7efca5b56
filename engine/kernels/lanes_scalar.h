/* The lane vocabulary: the arithmetic that row and attention kernels are written in, once for all
 * instruction sets. Each instruction set has a file with the same functions (lanes_avx2.h,
 * lanes_avx512.h, lanes_neon.h); this one, in plain C, is their specification.
 *
 *     lanes       16 x f32
 *     int_lanes   16 x i32, wrapping
 *     lanes_mask  16 x bool
 *
 * All instruction sets agree bit for bit: each operation is one IEEE operation a lane, multiply-adds
 * are fused, and reductions add in one order, a binary tree over lanes (i, i + 8), then (i, i + 4),
 * (i, i + 2), (i, i + 1). Only which NaN comes out of a NaN may differ. No pointer needs an
 * alignment. */
#ifndef QUERN_ENGINE_KERNELS_LANES_H
#define QUERN_ENGINE_KERNELS_LANES_H

#include "engine/half.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,
    LANES_REGISTERS =
        8, /* how many lanes a kernel should keep at once: as on the least processor */
};

typedef struct {
    float at[LANES];
} lanes;

typedef struct {
    int32_t at[LANES];
} int_lanes;

typedef struct {
    uint16_t bits; /* lane i in bit i */
} lanes_mask;

/* ---- Load and store ---- */

static inline lanes lanes_set(float value) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = value;
    }
    return y;
}

static inline lanes lanes_zero(void) {
    return lanes_set(0.0f);
}

static inline lanes lanes_load(const float *from) {
    lanes y;
    memcpy(y.at, from, sizeof y.at);
    return y;
}

/* The first n of 16 lanes, n <= 16; the others are 0. Memory beyond them is not touched. */
static inline lanes lanes_load_first(const float *from, size_t n) {
    lanes y = lanes_zero();
    memcpy(y.at, from, n * sizeof(float));
    return y;
}

static inline lanes lanes_load_f16(const void *from) {
    uint16_t halves[LANES];
    memcpy(halves, from, sizeof halves);
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = half_to_float(halves[i]);
    }
    return y;
}

static inline lanes lanes_load_int8(const void *from) {
    int8_t codes[LANES];
    memcpy(codes, from, sizeof codes);
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (float)codes[i];
    }
    return y;
}

static inline void lanes_store(float *to, lanes x) {
    memcpy(to, x.at, sizeof x.at);
}

static inline void lanes_store_first(float *to, lanes x, size_t n) {
    memcpy(to, x.at, n * sizeof(float));
}

/* Rounded to nearest even. */
static inline void lanes_store_f16(void *to, lanes x) {
    uint16_t halves[LANES];
    for (int i = 0; i < LANES; i++) {
        halves[i] = half_from_float(x.at[i]);
    }
    memcpy(to, halves, sizeof halves);
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] + b.at[i];
    }
    return y;
}

static inline lanes lanes_sub(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] - b.at[i];
    }
    return y;
}

static inline lanes lanes_mul(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] * b.at[i];
    }
    return y;
}

static inline lanes lanes_div(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] / b.at[i];
    }
    return y;
}

/* a * b + c, rounded once. */
static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = fmaf(a.at[i], b.at[i], c.at[i]);
    }
    return y;
}

/* a if a > b, else b: so b where one of them is NaN. */
static inline lanes lanes_max(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] > b.at[i] ? a.at[i] : b.at[i];
    }
    return y;
}

/* a if a < b, else b: so b where one of them is NaN. */
static inline lanes lanes_min(lanes a, lanes b) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = a.at[i] < b.at[i] ? a.at[i] : b.at[i];
    }
    return y;
}

static inline lanes lanes_abs(lanes x) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = float_from_bits(float_to_bits(x.at[i]) & 0x7fffffff);
    }
    return y;
}

static inline lanes lanes_copy_sign(lanes magnitude, lanes sign) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = float_from_bits((float_to_bits(magnitude.at[i]) & 0x7fffffff) |
                                  (float_to_bits(sign.at[i]) & 0x80000000));
    }
    return y;
}

/* x * 2^n, where both x and the result are normal numbers. */
static inline lanes lanes_times_power_of_two(lanes x, int_lanes n) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = float_from_bits(float_to_bits(x.at[i]) + ((uint32_t)n.at[i] << 23));
    }
    return y;
}

static inline float lanes_sum(lanes x) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            x.at[i] = x.at[i] + x.at[i + width];
        }
    }
    return x.at[0];
}

/* The maximum by lanes_max, in the order of lanes_sum. */
static inline float lanes_greatest(lanes x) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            x.at[i] = x.at[i] > x.at[i + width] ? x.at[i] : x.at[i + width];
        }
    }
    return x.at[0];
}

/* ---- Masks ---- */

/* Lanes [first, end), end <= 16. */
static inline lanes_mask lanes_mask_range(size_t first, size_t end) {
    lanes_mask mask = {(uint16_t)(((1u << end) - 1) & ~((1u << first) - 1))};
    return mask;
}

/* a > b; false where one of them is NaN. */
static inline lanes_mask lanes_greater(lanes a, lanes b) {
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++) {
        bits |= (unsigned)(a.at[i] > b.at[i]) << i;
    }
    lanes_mask mask = {(uint16_t)bits};
    return mask;
}

/* Bit i is lane i. */
static inline unsigned lanes_mask_bits(lanes_mask mask) {
    return mask.bits;
}

/* yes where the mask is set, else no. */
static inline lanes lanes_select(lanes_mask mask, lanes yes, lanes no) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (mask.bits >> i & 1) != 0 ? yes.at[i] : no.at[i];
    }
    return y;
}

/* ---- Integers ---- */

static inline int_lanes int_lanes_set(int32_t value) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = value;
    }
    return y;
}

static inline int_lanes int_lanes_zero(void) {
    return int_lanes_set(0);
}

static inline int_lanes int_lanes_load(const int32_t *from) {
    int_lanes y;
    memcpy(y.at, from, sizeof y.at);
    return y;
}

static inline int_lanes int_lanes_load_uint8(const uint8_t *from) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = from[i];
    }
    return y;
}

static inline int_lanes int_lanes_add(int_lanes a, int_lanes b) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (int32_t)((uint32_t)a.at[i] + (uint32_t)b.at[i]);
    }
    return y;
}

static inline int_lanes int_lanes_sub(int_lanes a, int_lanes b) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (int32_t)((uint32_t)a.at[i] - (uint32_t)b.at[i]);
    }
    return y;
}

static inline int_lanes int_lanes_mul(int_lanes a, int_lanes b) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (int32_t)((uint32_t)a.at[i] * (uint32_t)b.at[i]);
    }
    return y;
}

/* Arithmetic: the sign is kept. */
static inline int_lanes int_lanes_shift_right(int_lanes x, int count) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = x.at[i] >> count;
    }
    return y;
}

static inline int32_t int_lanes_sum(int_lanes x) {
    uint32_t sum = 0;
    for (int i = 0; i < LANES; i++) {
        sum += (uint32_t)x.at[i];
    }
    return (int32_t)sum;
}

/* Bounded to [-128, 127]. */
static inline void int_lanes_store_int8(int8_t *to, int_lanes x) {
    for (int i = 0; i < LANES; i++) {
        int32_t low = x.at[i] < INT8_MIN ? INT8_MIN : x.at[i];
        to[i] = (int8_t)(low > INT8_MAX ? INT8_MAX : low);
    }
}

static inline lanes lanes_from_int(int_lanes x) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = (float)x.at[i];
    }
    return y;
}

/* y[i] = table[indices[i]], indices of 0..15. */
static inline lanes lanes_lookup(lanes table, int_lanes indices) {
    lanes y;
    for (int i = 0; i < LANES; i++) {
        y.at[i] = table.at[indices.at[i]];
    }
    return y;
}

/* To nearest even; INT32_MIN for NaN and for what an int32 cannot hold. */
static inline int_lanes lanes_round_to_int(lanes x) {
    int_lanes y;
    for (int i = 0; i < LANES; i++) {
        bool fits = x.at[i] >= -0x1p31f && x.at[i] < 0x1p31f;
        y.at[i] = fits ? (int32_t)lrintf(x.at[i]) : INT32_MIN;
    }
    return y;
}

#include "engine/kernels/lanes_math.h"

#endif
