#include "bench/peaks.h"

#include <immintrin.h>
#include <string.h>

/* Independent sums, so that none waits for the one before: four cycles of latency, two or three
 * instructions a cycle. With the operands they fit into the 16 registers that AVX2 has. */
enum { SUMS = 12 };

/* sum += a * b by that instruction. As an instruction, not as an intrinsic, because a compiler sees
 * that all sums are the same, and that most products are. */
#define MULTIPLY_ADD(instruction, sum, a, b)                                                       \
    __asm__ volatile(instruction " %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))

/* AVX2 has none: products of pairs, which are then added. */
#define MULTIPLY_ADD_PAIRS(sum, a, b)                                                              \
    do {                                                                                           \
        __m256i products;                                                                          \
        __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(products) : "x"(a), "x"(b));               \
        __asm__ volatile("vpaddw %1, %0, %0" : "+x"(sum) : "x"(products));                         \
    } while (0)

__attribute__((target("avx2"))) static void int8_avx2(size_t rounds) {
    const __m256i codes = _mm256_set1_epi8(3);
    const __m256i inputs = _mm256_set1_epi8(-1);
    __m256i sums[SUMS] = {0};
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            MULTIPLY_ADD_PAIRS(sums[i], codes, inputs);
        }
    }
}

__attribute__((target("avx2,fma"))) static void f32_avx2(size_t rounds) {
    const __m256 weights = _mm256_set1_ps(0.5f);
    const __m256 inputs = _mm256_set1_ps(1.0f);
    __m256 sums[SUMS] = {{0}};
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            MULTIPLY_ADD("vfmadd231ps", sums[i], weights, inputs);
        }
    }
}

__attribute__((target("avx2,avxvnni"))) static void int8_avxvnni(size_t rounds) {
    const __m256i codes = _mm256_set1_epi8(3);
    const __m256i inputs = _mm256_set1_epi8(-1);
    __m256i sums[SUMS] = {0};
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            MULTIPLY_ADD("%{vex%} vpdpbusd", sums[i], codes, inputs);
        }
    }
}

__attribute__((target("avx512f,avx512vnni"))) static void int8_avx512(size_t rounds) {
    const __m512i codes = _mm512_set1_epi8(3);
    const __m512i inputs = _mm512_set1_epi8(-1);
    __m512i sums[SUMS] = {0};
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            MULTIPLY_ADD("vpdpbusd", sums[i], codes, inputs);
        }
    }
}

__attribute__((target("avx512f"))) static void f32_avx512(size_t rounds) {
    const __m512 weights = _mm512_set1_ps(0.5f);
    const __m512 inputs = _mm512_set1_ps(1.0f);
    __m512 sums[SUMS] = {{0}};
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            MULTIPLY_ADD("vfmadd231ps", sums[i], weights, inputs);
        }
    }
}

static const struct peak peaks[] = {
    {"avx2", {int8_avx2, (size_t)SUMS * 32}, {f32_avx2, (size_t)SUMS * 8}},
    {"avxvnni", {int8_avxvnni, (size_t)SUMS * 32}, {f32_avx2, (size_t)SUMS * 8}},
    {"avx512", {int8_avx512, (size_t)SUMS * 64}, {f32_avx512, (size_t)SUMS * 16}},
};

const struct peak *peak_of(const char *kernels) {
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        if (strcmp(peaks[i].kernels, kernels) == 0) {
            return &peaks[i];
        }
    }
    return NULL;
}
