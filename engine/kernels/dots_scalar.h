/* The dot-product vocabulary: sums of unsigned codes times signed inputs, exact in integers. Like
 * the lanes it exists once for each instruction set (dots_avx2.h, dots_neon.h, ...); this one is the
 * specification.
 *
 *     codes         64 x u8: lane n of 16 holds four inputs of output row n
 *     dot_inputs    16 x i8: inputs of one row
 *     nibble_sums   16 running sums over codes 0..15, for at most 8 additions
 *     byte_sums     16 running sums over codes 0..255, less BYTE_SUMS_ORIGIN each
 *
 * Running sums begin at 16 numbers and end as those plus what was added in between. */
#ifndef QUERN_ENGINE_KERNELS_DOTS_H
#define QUERN_ENGINE_KERNELS_DOTS_H

#include "engine/kernels/inputs_in_memory.h"
#include "engine/kernels/lanes_scalar.h"

typedef struct {
    uint8_t at[4 * LANES];
} codes;

static inline codes codes_load(const uint8_t *from) {
    codes y;
    memcpy(y.at, from, sizeof y.at);
    return y;
}

static inline codes codes_low_nibbles(codes x) {
    for (int i = 0; i < 4 * LANES; i++) {
        x.at[i] &= 15;
    }
    return x;
}

static inline codes codes_high_nibbles(codes x) {
    for (int i = 0; i < 4 * LANES; i++) {
        x.at[i] >>= 4;
    }
    return x;
}

/* Input i of the four of each lane. */
static inline int_lanes codes_input(codes x, int i) {
    int_lanes y;
    for (int n = 0; n < LANES; n++) {
        y.at[n] = x.at[4 * n + i];
    }
    return y;
}

/* sums[n] += sum_i codes[n][i] * inputs[first + i], i = 0..3. */
static inline int_lanes dots_add(int_lanes sums, codes x, dot_inputs inputs, size_t first) {
    for (int n = 0; n < LANES; n++) {
        for (int i = 0; i < 4; i++) {
            sums.at[n] += x.at[4 * n + i] * inputs[first + (size_t)i];
        }
    }
    return sums;
}

#include "engine/kernels/direct_byte_sums.h"
#include "engine/kernels/direct_nibble_sums.h"

#endif
