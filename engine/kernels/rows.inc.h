/* Row kernels, written once over lanes: each instruction set's file includes its lanes_*.h, then
 * this. The last lanes of a row whose length is no multiple of 16 are loaded as zeros and never
 * stored. */

#include "engine/kernels/expanded.h"
#include "engine/kernels/kernels.h"

#include <float.h>
#include <math.h>

/* 16 numbers of x[n] from index i on; those past the end are 0. */
static inline lanes row_load(const float *x, size_t i, size_t n) {
    return n - i >= LANES ? lanes_load(x + i) : lanes_load_first(x + i, n - i);
}

static inline void row_store(float *y, size_t i, size_t n, lanes value) {
    if (n - i >= LANES) {
        lanes_store(y + i, value);
    } else {
        lanes_store_first(y + i, value, n - i);
    }
}

/* ---- Quantization ---- */

/* Which scale loses least is found by trying: the greatest magnitude becomes code 127, 126, 125 or
 * 124, which rounds the others differently. To the codes q of the best try belongs a best scale,
 * (x . q) / (q . q). Against the plain scale, greatest / 127, this takes 9 % off the error of
 * normally distributed numbers; more tries take off little more. Every product with a quantized
 * matrix is more exact for it, and only the rounding, which is done once for all outputs, takes
 * longer. */
enum { QUANTIZE_TRIES = 4 };

/* 16 or 32 numbers that share a scale. */
struct numbers {
    lanes low;
    lanes high; /* of 32 */
};

/* From x[i] on; those past the end are 0. */
EXPANDED struct numbers load_numbers(const float *x, size_t i, size_t columns, const bool all) {
    struct numbers y = {.low = lanes_zero(), .high = lanes_zero()};
    if (i < columns) {
        y.low = row_load(x, i, columns);
    }
    if (all && i + LANES < columns) {
        y.high = row_load(x, i + LANES, columns);
    }
    return y;
}

EXPANDED struct numbers scale_numbers(const struct numbers *x, float factor, const bool all) {
    struct numbers y = {.low = lanes_mul(x->low, lanes_set(factor))};
    if (all) {
        y.high = lanes_mul(x->high, lanes_set(factor));
    }
    return y;
}

EXPANDED float dot_numbers(const struct numbers *x, const struct numbers *y, const bool all) {
    lanes low = lanes_mul(x->low, y->low);
    return lanes_sum(all ? lanes_fma(x->high, y->high, low) : low);
}

/* The sum of squares of what is rounded off `x` * factor, in units of `x`. */
EXPANDED float rounding_error(const struct numbers *x, float factor, const bool all) {
    struct numbers off = scale_numbers(x, factor, all);
    off.low = lanes_sub(off.low, lanes_from_int(lanes_round_to_int(off.low)));
    if (all) {
        off.high = lanes_sub(off.high, lanes_from_int(lanes_round_to_int(off.high)));
    }
    return dot_numbers(&off, &off, all) * (1.0f / (factor * factor));
}

/* What the numbers `x`, between -127 and 127, are to be multiplied with before they are rounded. Which
 * try is best cannot be foretold, so no branch may depend on it: the bits of positive numbers are in
 * their order, and the last two of an error's can tell its try. */
EXPANDED float find_factor(const struct numbers *x, const bool all) {
    static const float factors[QUANTIZE_TRIES] = {1.0f, 126.0f / 127.0f, 125.0f / 127.0f,
                                                  124.0f / 127.0f};
    uint32_t best = UINT32_MAX;
#pragma GCC unroll 4
    for (uint32_t t = 0; t < QUANTIZE_TRIES; t++) {
        float error = rounding_error(x, factors[t], all);
        uint32_t bits;
        memcpy(&bits, &error, sizeof bits);
        bits = (bits & ~(uint32_t)(QUANTIZE_TRIES - 1)) | t;
        best = bits < best ? bits : best;
    }
    return factors[best % QUANTIZE_TRIES];
}

EXPANDED float greatest_magnitude(const struct numbers *x, const bool all) {
    lanes magnitudes = lanes_abs(x->low);
    return lanes_greatest(all ? lanes_max(magnitudes, lanes_abs(x->high)) : magnitudes);
}

/* Rounds `x`, which is in units of `unit`, to codes: half `half` of a block, or, if `all`, the
 * whole. */
EXPANDED void round_numbers(const struct numbers *x, float factor, float unit,
                            struct quantized_block *block, const size_t half, const bool all) {
    struct numbers scaled = scale_numbers(x, factor, all);
    int_lanes low = lanes_round_to_int(scaled.low);
    int_lanes high = all ? lanes_round_to_int(scaled.high) : int_lanes_zero();
    struct numbers rounded = {.low = lanes_from_int(low), .high = lanes_from_int(high)};
    float fitting = dot_numbers(x, &rounded, all) / dot_numbers(&rounded, &rounded, all);
    float scale = unit > 0.0f ? unit * fitting : 0.0f;
    int32_t offset = -8 * int_lanes_sum(all ? int_lanes_add(low, high) : low);

    int_lanes_store_int8(block->codes + half * LANES, low);
    block->scales[half] = scale;
    block->offsets[half] = offset;
    if (all) {
        int_lanes_store_int8(block->codes + LANES, high);
        block->scales[1] = scale;
        block->offsets[1] = offset;
    }
}

/* One after the other, the steps of a block wait for each other's sums over lanes most of the time;
 * so many blocks therefore take each step together. */
enum { QUANTIZE_TOGETHER = 8 };

/* Numbers too small for 127 / the greatest to be finite count as zeros, and so do those of which the
 * greatest is NaN. */
EXPANDED void quantize_together(const float *x, size_t columns, struct quantized_block *blocks,
                                size_t count, const bool all) {
    struct numbers numbers[QUANTIZE_TOGETHER];
    float units[QUANTIZE_TOGETHER];
    float factors[QUANTIZE_TOGETHER];
    for (size_t i = 0; i < count; i++) {
        numbers[i] = load_numbers(x, i * (all ? 2 * LANES : LANES), columns, all);
        float greatest = greatest_magnitude(&numbers[i], all);
        bool empty = !(greatest > 127.0f / FLT_MAX);
        units[i] = empty ? 0.0f : greatest * (1.0f / 127.0f);
        numbers[i] = scale_numbers(&numbers[i], empty ? 0.0f : 127.0f / greatest, all);
    }
    for (size_t i = 0; i < count; i++) {
        factors[i] = find_factor(&numbers[i], all);
    }
    for (size_t i = 0; i < count; i++) {
        round_numbers(&numbers[i], factors[i], units[i], &blocks[all ? i : i / 2], all ? 0 : i % 2,
                      all);
    }
}

EXPANDED void quantize_row(const float *x, size_t columns, struct quantized_block *blocks,
                           const bool all) {
    size_t count = (columns + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK * (all ? 1 : 2);
    const size_t step = QUANTIZE_TOGETHER * (all ? ACTIVATION_BLOCK : ACTIVATION_BLOCK / 2);
    for (; count > QUANTIZE_TOGETHER; count -= QUANTIZE_TOGETHER) {
        quantize_together(x, columns, blocks, QUANTIZE_TOGETHER, all);
        x += step;
        columns -= step;
        blocks += step / ACTIVATION_BLOCK;
    }
    quantize_together(x, columns, blocks, count, all);
}

static void quantize(const float *x, size_t columns, bool halves, struct quantized_block *blocks) {
    if (halves) {
        quantize_row(x, columns, blocks, false);
    } else {
        quantize_row(x, columns, blocks, true);
    }
}

static void round_to_codes(const float *x, const float *scales, unsigned bits, size_t n, float *y) {
    const lanes least = lanes_set(-(float)(1u << (bits - 1)));
    const lanes greatest = lanes_set((float)(1u << (bits - 1)) - 1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        lanes scale = row_load(scales, i, n);
        lanes quotient = lanes_mul(row_load(x, i, n), lanes_div(lanes_set(1.0f), scale));
        lanes bounded = lanes_min(lanes_max(quotient, least), greatest);
        lanes code = lanes_from_int(lanes_round_to_int(bounded));
        row_store(y, i, n, lanes_mul(code, scale));
    }
}

/* ---- Norms ---- */

/* x + residual from index i on; the sum is kept where someone wants it. Norms walk over the row
 * twice or more: where the sum is kept, the later walks read it, as it may have replaced x or
 * residual. */
static inline lanes add_residual(const float *x, const float *residual, float *sum, size_t i,
                                 size_t n) {
    lanes s = row_load(x, i, n);
    if (residual != NULL) {
        s = lanes_add(s, row_load(residual, i, n));
    }
    if (sum != NULL) {
        row_store(sum, i, n, s);
    }
    return s;
}

static void rms_norm(const float *x, const float *residual, float *sum, const float *weight,
                     float epsilon, size_t n, float *y) {
    lanes squares = lanes_zero();
    for (size_t i = 0; i < n; i += LANES) {
        lanes s = add_residual(x, residual, sum, i, n);
        squares = lanes_fma(s, s, squares);
    }
    lanes factor = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)n + epsilon));

    const float *again = sum != NULL ? sum : x;
    const float *residual_again = sum != NULL ? NULL : residual;
    for (size_t i = 0; i < n; i += LANES) {
        lanes s = add_residual(again, residual_again, NULL, i, n);
        row_store(y, i, n, lanes_mul(lanes_mul(s, factor), row_load(weight, i, n)));
    }
}

static void layer_norm(const float *x, const float *residual, float *sum, const float *weight,
                       const float *bias, float epsilon, size_t n, float *y) {
    lanes total = lanes_zero();
    for (size_t i = 0; i < n; i += LANES) {
        total = lanes_add(total, add_residual(x, residual, sum, i, n));
    }
    lanes mean = lanes_set(lanes_sum(total) / (float)n);

    const float *again = sum != NULL ? sum : x;
    const float *residual_again = sum != NULL ? NULL : residual;
    lanes squares = lanes_zero();
    for (size_t i = 0; i < n; i += LANES) {
        lanes s = lanes_sub(add_residual(again, residual_again, NULL, i, n), mean);
        if (n - i < LANES) {
            s = lanes_select(lanes_mask_range(0, n - i), s, lanes_zero());
        }
        squares = lanes_fma(s, s, squares);
    }
    lanes factor = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)n + epsilon));

    for (size_t i = 0; i < n; i += LANES) {
        lanes s = lanes_sub(add_residual(again, residual_again, NULL, i, n), mean);
        lanes shift = bias != NULL ? row_load(bias, i, n) : lanes_zero();
        row_store(y, i, n, lanes_fma(lanes_mul(s, factor), row_load(weight, i, n), shift));
    }
}

/* ---- Gated activations ---- */

/* 0.5 x (1 + tanh(u)) is x / (1 + e^-2u), which does not cancel for negative u. */
static inline lanes gelu_tanh(lanes x) {
    lanes cubic = lanes_fma(lanes_mul(x, x), lanes_set(0.044715f), lanes_set(1.0f));
    lanes twice_u = lanes_mul(lanes_mul(x, lanes_set(1.595769122f)), cubic);
    return lanes_mul(x, lanes_sigmoid(twice_u));
}

EXPANDED lanes activate(lanes x, const enum plan_activation activation) {
    switch (activation) {
    case PLAN_ACTIVATION_GELU_TANH:
        return gelu_tanh(x);
    case PLAN_ACTIVATION_GELU_ERF:
        return lanes_mul(x, lanes_normal_distribution(x));
    case PLAN_ACTIVATION_SILU:
        return lanes_mul(x, lanes_sigmoid(x));
    case PLAN_ACTIVATION_QUICK_GELU:
        return lanes_mul(x, lanes_sigmoid(lanes_mul(x, lanes_set(1.702f))));
    case PLAN_ACTIVATION_RELU:
        return lanes_max(lanes_zero(), x); /* in this order a NaN stays one */
    case PLAN_ACTIVATION_RELU_SQUARED:
        x = lanes_max(lanes_zero(), x);
        return lanes_mul(x, x);
    case PLAN_ACTIVATION_SIGMOID:
        return lanes_sigmoid(x);
    case PLAN_ACTIVATION_IDENTITY:
    case PLAN_ACTIVATION_COUNT:
        break;
    }
    return x;
}

EXPANDED void gate_row(const float *gate, const float *up, size_t n, float *y,
                       const enum plan_activation activation) {
    for (size_t i = 0; i < n; i += LANES) {
        lanes activated = activate(row_load(gate, i, n), activation);
        if (up != NULL) {
            activated = lanes_mul(activated, row_load(up, i, n));
        }
        row_store(y, i, n, activated);
    }
}

static void gate_gelu_tanh(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_GELU_TANH);
}

static void gate_gelu_erf(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_GELU_ERF);
}

static void gate_silu(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_SILU);
}

static void gate_quick_gelu(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_QUICK_GELU);
}

static void gate_relu(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_RELU);
}

static void gate_relu_squared(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_RELU_SQUARED);
}

static void gate_sigmoid(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_SIGMOID);
}

static void gate_identity(const float *gate, const float *up, size_t n, float *y) {
    gate_row(gate, up, n, y, PLAN_ACTIVATION_IDENTITY);
}

static void swiglu(const float *gate, const float *up, size_t n, float alpha, float beta,
                   float limit, float *y) {
    for (size_t i = 0; i < n; i += LANES) {
        lanes g = lanes_min(row_load(gate, i, n), lanes_set(limit));
        lanes u = lanes_min(row_load(up, i, n), lanes_set(limit));
        u = lanes_add(lanes_max(u, lanes_set(-limit)), lanes_set(beta));
        lanes activated = lanes_mul(g, lanes_sigmoid(lanes_mul(g, lanes_set(alpha))));
        row_store(y, i, n, lanes_mul(activated, u));
    }
}

/* ---- Sums and factors ---- */

static void add(const float *a, const float *b, size_t n, float *y) {
    for (size_t i = 0; i < n; i += LANES) {
        row_store(y, i, n, lanes_add(row_load(a, i, n), row_load(b, i, n)));
    }
}

static void scale(const float *x, float factor, float softcap, size_t n, float *y) {
    const lanes cap = lanes_set(softcap);
    const lanes inverse = lanes_set(softcap > 0 ? 1.0f / softcap : 0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        lanes scaled = lanes_mul(row_load(x, i, n), lanes_set(factor));
        if (softcap > 0) {
            scaled = lanes_mul(cap, lanes_tanh(lanes_mul(scaled, inverse)));
        }
        row_store(y, i, n, scaled);
    }
}

/* ---- Rotary position embedding ---- */

static void rope_halves(float *head, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += LANES) {
        lanes a = row_load(head, i, half);
        lanes b = row_load(head + half, i, half);
        lanes cosine = row_load(cosines, i, half);
        lanes sine = row_load(sines, i, half);
        row_store(head, i, half, lanes_sub(lanes_mul(a, cosine), lanes_mul(b, sine)));
        row_store(head + half, i, half, lanes_add(lanes_mul(b, cosine), lanes_mul(a, sine)));
    }
}

static void rope(float *head, const float *cosines, const float *sines, size_t half,
                 bool interleaved) {
    if (!interleaved) {
        rope_halves(head, cosines, sines, half);
        return;
    }
    for (size_t i = 0; i < half; i++) {
        float a = head[2 * i];
        float b = head[2 * i + 1];
        head[2 * i] = a * cosines[i] - b * sines[i];
        head[2 * i + 1] = b * cosines[i] + a * sines[i];
    }
}

/* ---- Sampling ---- */

static float greatest(const float *x, size_t n) {
    const lanes least = lanes_set(-INFINITY);
    lanes most = least;
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        most = lanes_max(lanes_load(x + i), most); /* a NaN leaves it as it is */
    }
    if (i < n) {
        lanes rest = lanes_select(lanes_mask_range(0, n - i), row_load(x, i, n), least);
        most = lanes_max(rest, most);
    }
    return lanes_greatest(most);
}

/* One walk finds the first block that holds the greatest number; only that block is searched. */
static size_t argmax(const float *x, size_t n) {
    const size_t block = (size_t)64 * LANES;
    float most = -INFINITY;
    size_t candidate = 0;
    for (size_t i = 0; i < n; i += block) {
        float here = greatest(x + i, n - i < block ? n - i : block);
        if (here > most) {
            most = here;
            candidate = i;
        }
    }
    for (size_t i = candidate; i < n; i++) {
        if (x[i] == most) {
            return i;
        }
    }
    return 0;
}

static float sum(const float *x, size_t n) {
    lanes total = lanes_zero();
    for (size_t i = 0; i < n; i += LANES) {
        total = lanes_add(total, row_load(x, i, n));
    }
    return lanes_sum(total);
}

static size_t find_above(const float *x, size_t n, float threshold, int32_t *indices,
                         float *values) {
    const unsigned all = (1u << LANES) - 1;
    lanes limit = lanes_set(threshold);
    size_t count = 0;
    for (size_t i = 0; i < n; i += LANES) {
        lanes sixteen = row_load(x, i, n);
        unsigned above = lanes_mask_bits(lanes_greater(sixteen, limit));
        above &= n - i < LANES ? (1u << (n - i)) - 1 : all;
        if (above == all) {
            lanes_store(values + count, sixteen);
            for (size_t lane = 0; lane < LANES; lane++) {
                indices[count + lane] = (int32_t)(i + lane);
            }
            count += LANES;
            continue;
        }
        for (; above != 0; above &= above - 1) {
            size_t index = i + (size_t)__builtin_ctz(above);
            indices[count] = (int32_t)index;
            values[count] = x[index];
            count++;
        }
    }
    return count;
}

static void exponentials(const float *x, size_t n, float origin, float divisor, float *y) {
    for (size_t i = 0; i < n; i += LANES) {
        lanes distance = lanes_sub(row_load(x, i, n), lanes_set(origin));
        row_store(y, i, n, lanes_exp(lanes_div(distance, lanes_set(divisor))));
    }
}

#define ROW_KERNELS                                                                                \
    .quantize = quantize, .round_to_codes = round_to_codes, .rms_norm = rms_norm,                  \
    .layer_norm = layer_norm, .gate = {[PLAN_ACTIVATION_GELU_TANH] = gate_gelu_tanh,               \
                                       [PLAN_ACTIVATION_GELU_ERF] = gate_gelu_erf,                 \
                                       [PLAN_ACTIVATION_SILU] = gate_silu,                         \
                                       [PLAN_ACTIVATION_QUICK_GELU] = gate_quick_gelu,             \
                                       [PLAN_ACTIVATION_RELU] = gate_relu,                         \
                                       [PLAN_ACTIVATION_RELU_SQUARED] = gate_relu_squared,         \
                                       [PLAN_ACTIVATION_SIGMOID] = gate_sigmoid,                   \
                                       [PLAN_ACTIVATION_IDENTITY] = gate_identity},                \
    .swiglu = swiglu, .add = add, .scale = scale, .rope = rope, .greatest = greatest,              \
    .argmax = argmax, .sum = sum, .find_above = find_above, .exponentials = exponentials
