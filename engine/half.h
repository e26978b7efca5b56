/* IEEE 754 half precision (binary16) in software, with the results of the processors' conversion
 * instructions bit for bit: round to nearest even, subnormals, infinities, quiet NaNs. */
#ifndef QUERN_ENGINE_HALF_H
#define QUERN_ENGINE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 0x1f;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f; /* zero or subnormal: exact in f32 */
        return float_from_bits(sign | float_to_bits(magnitude));
    }
    if (exponent == 31) {
        uint32_t quiet = mantissa != 0 ? 0x00400000 : 0;
        return float_from_bits(sign | 0x7f800000 | quiet | mantissa << 13);
    }
    return float_from_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

static inline uint16_t half_from_float(float value) {
    uint32_t bits = float_to_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
    }
    if (magnitude >= 0x477ff000) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    }
    if (magnitude < 0x38800000) {
        /* Below 2^-14 a half counts in steps of 2^-24, as does the mantissa of a float in
         * [0.5, 1): adding 0.5 lets the processor round. */
        float shifted = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_to_bits(shifted) - float_to_bits(0.5f)));
    }
    uint32_t odd = (magnitude >> 13) & 1;
    uint32_t rounded = magnitude + 0xfff + odd; /* a carry moves into the exponent, as it should */
    return (uint16_t)(sign | ((rounded >> 13) - ((127 - 15) << 10)));
}

#endif
