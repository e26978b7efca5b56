#include "engine/half.h"
#include "engine/kernels/kernels.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t lengths[] = {1, 7, 16, 17, 31, 32, 33, 64, 100, 1152};

#define EACH_LENGTH(n)                                                                             \
    for (size_t at_ = 0, n = 0;                                                                    \
         at_ < sizeof lengths / sizeof *lengths && (n = lengths[at_], true); at_++)

#define EACH_TABLE(table)                                                                          \
    for (const char *const *name_ = kernels_available(); *name_ != NULL; name_++)                  \
        for (const struct kernels *table = kernels_select(*name_); table != NULL; table = NULL)

/* n numbers in (-amplitude, amplitude), in memory of exactly that size, so that AddressSanitizer
 * sees every read beyond it. */
static float *random_row(size_t n, float amplitude, uint32_t seed) {
    float *row = malloc(n * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        row[i] = ((float)(seed >> 8) * 0x1p-23f - 1.0f) * amplitude;
    }
    return row;
}

/* Infinite where a number is none. */
static double worst_difference(const float *got, const double *want, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double scale = fabs(want[i]) > 1 ? fabs(want[i]) : 1;
        double difference = fabs(got[i] - want[i]) / scale;
        if (!(difference <= worst)) {
            worst = isnan(difference) ? INFINITY : difference;
        }
    }
    return worst;
}

/* Everything that row kernels compute from three rows of n numbers, one after another. */
static size_t all_results(const struct kernels *kernels, const float *x, const float *r,
                          const float *w, size_t n, float *results) {
    float *y = results;
    kernels->rms_norm(x, r, y, w, 1e-6f, n, y + n);
    y += 2 * n;
    kernels->rms_norm(x, NULL, NULL, w, 1e-6f, n, y);
    y += n;
    kernels->layer_norm(x, r, NULL, w, r, 1e-5f, n, y);
    y += n;
    for (int activation = 0; activation < PLAN_ACTIVATION_COUNT; activation++) {
        kernels->gate[activation](x, w, n, y);
        y += n;
        kernels->gate[activation](x, NULL, n, y);
        y += n;
    }
    kernels->add(x, r, n, y);
    y += n;
    kernels->scale(x, 0.3f, 0, n, y);
    y += n;
    kernels->scale(x, 0.3f, 2.0f, n, y);
    y += n;
    kernels->round_to_codes(x, r, 4, n, y);
    y += n;
    kernels->swiglu(x, r, n, 1.702f, 1.0f, 2.0f, y);
    y += n;
    memcpy(y, x, n * sizeof(float));
    kernels->rope(y, r, w, n / 2, false);
    y += n;
    memcpy(y, x, n * sizeof(float));
    kernels->rope(y, r, w, n / 2, true);
    y += n;
    kernels->exponentials(x, n, 3.0f, 0.7f, y);
    y += n;

    size_t blocks = (n + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK;
    struct quantized_block quantized[64];
    for (int halves = 0; halves < 2; halves++) {
        kernels->quantize(x, n, halves == 1, quantized);
        for (size_t b = 0; b < blocks; b++) {
            for (size_t i = 0; i < ACTIVATION_BLOCK; i++) {
                *y++ = (float)quantized[b].codes[i];
            }
            for (size_t half = 0; half < 2; half++) {
                *y++ = quantized[b].scales[half];
                *y++ = (float)quantized[b].offsets[half];
            }
        }
    }

    int32_t indices[2048];
    size_t above = kernels->find_above(x, n, 0.5f, indices, y);
    y += above;
    for (size_t i = 0; i < above; i++) {
        *y++ = (float)indices[i];
    }
    *y++ = (float)kernels->argmax(x, n);
    *y++ = kernels->greatest(x, n);
    *y++ = kernels->sum(x, n);
    return (size_t)(y - results);
}

Test(rows, every_table_gives_the_bits_of_the_scalar_one) {
    const struct kernels *scalar = kernels_select("scalar");
    float *want = malloc(40 * 2048 * sizeof *want);
    float *got = malloc(40 * 2048 * sizeof *got);
    EACH_LENGTH(n) {
        float *x = random_row(n, 9.0f, 1);
        float *r = random_row(n, 3.0f, 2);
        float *w = random_row(n, 1.0f, 3);
        size_t count = all_results(scalar, x, r, w, n, want);
        EACH_TABLE(kernels) {
            cr_assert_eq(all_results(kernels, x, r, w, n, got), count);
            for (size_t i = 0; i < count; i++) {
                cr_assert_eq(float_to_bits(got[i]), float_to_bits(want[i]),
                             "%s, n = %zu: result %zu is %.9g, scalar %.9g", kernels->name, n, i,
                             (double)got[i], (double)want[i]);
            }
        }
        free(x);
        free(r);
        free(w);
    }
    free(want);
    free(got);
}

/* The squared error of a block whose greatest magnitude is code 127. */
static double plain_error(const float *x, size_t n) {
    double greatest = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        greatest = fmax(greatest, fabs((double)x[i]));
    }
    for (size_t i = 0; i < n; i++) {
        double code = rint((double)x[i] * 127 / greatest);
        error += pow(code * greatest / 127 - (double)x[i], 2);
    }
    return error;
}

/* The squared errors of a row's runs of numbers that share a scale, ours and the plain ones. */
static void compare_errors(const struct kernels *kernels, const float *x, size_t n, bool halves,
                           double *ours, double *plain) {
    const size_t run = halves ? 16 : 32;
    struct quantized_block blocks[64];
    kernels->quantize(x, n, halves, blocks);
    for (size_t first = 0; first < n; first += run) {
        const struct quantized_block *block = &blocks[first / 32];
        size_t count = n - first < run ? n - first : run;
        double error = 0;
        for (size_t i = first; i < first + run; i++) {
            double number = i < n ? (double)x[i] : 0;
            double scale = (double)block->scales[i % 32 / 16];
            error += pow((double)block->codes[i % 32] * scale - number, 2);
        }
        double limit = plain_error(x + first, count);
        cr_assert_leq(error, limit * 1.001 + 1e-8, "%s, %zu at %zu of %zu: %g, plain %g",
                      kernels->name, run, first, n, error, limit);
        *ours += error;
        *plain += limit;
    }
}

Test(rows, quantized_blocks_lose_less_than_with_the_greatest_for_a_scale) {
    EACH_TABLE(kernels) {
        double ours[2] = {0, 0}, plain[2] = {0, 0};
        EACH_LENGTH(n) {
            float *x = random_row(n, 50.0f, 4);
            compare_errors(kernels, x, n, false, &ours[0], &plain[0]);
            compare_errors(kernels, x, n, true, &ours[1], &plain[1]);
            free(x);
        }
        for (size_t i = 0; i < 2; i++) {
            cr_assert_leq(ours[i], 0.9 * plain[i], "%s: %g, plain %g", kernels->name, ours[i],
                          plain[i]);
        }
        cr_assert_leq(ours[1], 0.8 * ours[0], "%s: halves lose %g, blocks %g", kernels->name,
                      ours[1], ours[0]);
    }
}

Test(rows, numbers_round_to_the_codes_of_a_quantized_cache) {
    static const float x[] = {0.0f,  0.24f, 0.25f,  0.75f,   -0.26f,
                              -3.9f, 3.9f,  100.0f, -100.0f, 3.0f};
    static const float scales[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, -0.5f};
    static const float four_bits[] = {0.0f,  0.0f, 0.0f, 1.0f,  -0.5f,
                                      -4.0f, 3.5f, 3.5f, -4.0f, 3.0f};
    static const float eight_bits[] = {0.0f,  0.0f, 0.0f,  1.0f,   -0.5f,
                                       -4.0f, 4.0f, 63.5f, -64.0f, 3.0f};
    EACH_TABLE(kernels) {
        float y[10];
        kernels->round_to_codes(x, scales, 4, 10, y);
        for (size_t i = 0; i < 10; i++) {
            cr_assert_eq(y[i], four_bits[i], "%g became %g", (double)x[i], (double)y[i]);
        }
        kernels->round_to_codes(x, scales, 8, 10, y);
        for (size_t i = 0; i < 10; i++) {
            cr_assert_eq(y[i], eight_bits[i], "%g became %g", (double)x[i], (double)y[i]);
        }
    }
}

Test(rows, offsets_of_quantized_blocks_are_minus_eight_sums) {
    EACH_TABLE(kernels) {
        float *x = random_row(100, 50.0f, 4);
        for (int halves = 0; halves < 2; halves++) {
            struct quantized_block blocks[4];
            kernels->quantize(x, 100, halves == 1, blocks);
            for (size_t b = 0; b < 4; b++) {
                int32_t sums[2] = {0, 0};
                for (size_t i = 0; i < 32; i++) {
                    sums[i / 16] += blocks[b].codes[i];
                }
                int32_t all = sums[0] + sums[1];
                cr_assert_eq(blocks[b].offsets[0], -8 * (halves == 1 ? sums[0] : all));
                cr_assert_eq(blocks[b].offsets[1], -8 * (halves == 1 ? sums[1] : all));
            }
        }
        free(x);
    }
}

Test(rows, zeros_quantize_to_zeros_and_what_is_not_finite_stays_defined) {
    EACH_TABLE(kernels) {
        float x[96] = {0};
        x[32] = 1e-42f;
        x[64] = NAN;
        x[65] = INFINITY;
        struct quantized_block blocks[3];
        kernels->quantize(x, 96, false, blocks);
        for (size_t i = 0; i < 64; i++) {
            int code = blocks[i / 32].codes[i % 32];
            cr_assert_eq(code, 0, "%s: code %zu is %d", kernels->name, i, code);
        }
        cr_assert_eq(blocks[0].scales[0], 0.0f);
        cr_assert_eq(blocks[1].scales[0], 0.0f);
    }
}

Test(rows, norms_agree_with_double_precision) {
    EACH_TABLE(kernels) {
        EACH_LENGTH(n) {
            float *x = random_row(n, 20.0f, 5);
            float *r = random_row(n, 5.0f, 6);
            float *w = random_row(n, 2.0f, 7);
            float *y = malloc(n * sizeof *y);
            double mean = 0, squares = 0, variance = 0;
            for (size_t i = 0; i < n; i++) {
                double s = (double)(x[i] + r[i]);
                mean += s / (double)n;
                squares += s * s / (double)n;
            }
            for (size_t i = 0; i < n; i++) {
                double s = (double)(x[i] + r[i]);
                variance += (s - mean) * (s - mean) / (double)n;
            }
            double rms[2048], layer[2048];
            for (size_t i = 0; i < n; i++) {
                double s = (double)(x[i] + r[i]);
                rms[i] = s / sqrt(squares + 1e-6) * (double)w[i];
                layer[i] = (s - mean) / sqrt(variance + 1e-5) * (double)w[i] + (double)r[i];
            }
            kernels->layer_norm(x, r, NULL, w, r, 1e-5f, n, y);
            double error = worst_difference(y, layer, n);
            /* One element has no variance: its mean's rounding is all that is left. */
            cr_assert_leq(error, n == 1 ? 1e-2 : 2e-6, "%s layer: %g", kernels->name, error);
            kernels->rms_norm(x, r, r, w, 1e-6f, n, y); /* the sum replaces the residual */
            error = worst_difference(y, rms, n);
            cr_assert_leq(error, 2e-6, "%s rms: %g", kernels->name, error);
            kernels->rms_norm(r, NULL, NULL, w, 1e-6f, n, y);
            cr_assert_eq(worst_difference(y, rms, n), error, "the sum is not x + residual");
            free(x);
            free(r);
            free(w);
            free(y);
        }
    }
}

static double slow_activation(enum plan_activation activation, double x) {
    switch (activation) {
    case PLAN_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case PLAN_ACTIVATION_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case PLAN_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case PLAN_ACTIVATION_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case PLAN_ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case PLAN_ACTIVATION_RELU_SQUARED:
        return x > 0 ? x * x : 0;
    case PLAN_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x;
    }
}

Test(rows, gates_agree_with_double_precision_far_out_too) {
    EACH_TABLE(kernels) {
        for (int activation = 0; activation < PLAN_ACTIVATION_COUNT; activation++) {
            for (float amplitude = 0.01f; amplitude < 1e4f; amplitude *= 10.0f) {
                float *x = random_row(1000, amplitude, 8);
                float *up = random_row(1000, 3.0f, 9);
                float y[1000];
                double alone[1000], gated[1000];
                for (size_t i = 0; i < 1000; i++) {
                    alone[i] = slow_activation((enum plan_activation)activation, (double)x[i]);
                    gated[i] = alone[i] * (double)up[i];
                }
                kernels->gate[activation](x, up, 1000, y);
                double error = worst_difference(y, gated, 1000);
                kernels->gate[activation](x, NULL, 1000, y);
                error = fmax(error, worst_difference(y, alone, 1000));
                cr_assert_leq(error, 3e-6, "%s %s: %g", kernels->name,
                              plan_activation_name((enum plan_activation)activation), error);
                free(x);
                free(up);
            }
        }
    }
}

Test(rows, a_soft_cap_bounds_what_a_factor_scales) {
    EACH_TABLE(kernels) {
        EACH_LENGTH(n) {
            float *x = random_row(n, 90.0f, 10);
            float *y = malloc(n * sizeof *y);
            double scaled[2048], capped[2048];
            for (size_t i = 0; i < n; i++) {
                scaled[i] = 0.22 * (double)x[i];
                capped[i] = 30 * tanh(0.22 * (double)x[i] / 30);
            }
            kernels->scale(x, 0.22f, 0, n, y);
            cr_assert_leq(worst_difference(y, scaled, n), 2e-7, "%s", kernels->name);
            kernels->scale(x, 0.22f, 30, n, y);
            cr_assert_leq(worst_difference(y, capped, n), 1e-6, "%s", kernels->name);
            free(x);
            free(y);
        }
    }
}

Test(rows, rope_rotates_each_pair) {
    const size_t half = 20;
    EACH_TABLE(kernels) {
        for (int interleaved = 0; interleaved < 2; interleaved++) {
            float *x = random_row(2 * half, 3.0f, 9);
            float cosines[20], sines[20];
            double want[40];
            for (size_t i = 0; i < half; i++) {
                cosines[i] = cosf((float)i);
                sines[i] = sinf((float)i);
                size_t a = interleaved ? 2 * i : i;
                size_t b = interleaved ? 2 * i + 1 : i + half;
                double c = (double)cosines[i], s = (double)sines[i];
                want[a] = (double)x[a] * c - (double)x[b] * s;
                want[b] = (double)x[b] * c + (double)x[a] * s;
            }
            kernels->rope(x, cosines, sines, half, interleaved);
            double error = worst_difference(x, want, 2 * half);
            cr_assert_leq(error, 1e-6, "%s: %g", kernels->name, error);
            free(x);
        }
    }
}

Test(rows, argmax_takes_the_lowest_of_equals_and_never_a_nan) {
    EACH_TABLE(kernels) {
        float *x = random_row(5000, 1.0f, 10);
        x[0] = NAN;
        x[1300] = x[1301] = x[4999] = 2.0f;
        x[2000] = NAN;
        cr_assert_eq(kernels->argmax(x, 5000), 1300, "%s: %zu", kernels->name,
                     kernels->argmax(x, 5000));
        cr_assert_eq(kernels->argmax(x + 1302, 5000 - 1302), 4999 - 1302);
        for (size_t i = 0; i < 5000; i++) {
            x[i] = NAN;
        }
        cr_assert_lt(kernels->argmax(x, 5000), 5000);
        x[3] = -INFINITY;
        cr_assert_eq(kernels->argmax(x, 5000), 3, "-infinity is more than NaN");
        free(x);
    }
}

Test(rows, exponentials_are_right_to_a_few_last_bits) {
    EACH_TABLE(kernels) {
        float *x = random_row(4000, 80.0f, 11);
        float y[4000];
        kernels->exponentials(x, 4000, 0.5f, 1.25f, y);
        for (size_t i = 0; i < 4000; i++) {
            double want = exp(((double)x[i] - 0.5) / 1.25);
            /* The exponent itself is rounded before: half a last bit of up to 65. */
            cr_assert_float_eq(y[i] / want, 1.0, 1e-5, "%s: e^%g is %g, not %g", kernels->name,
                               ((double)x[i] - 0.5) / 1.25, (double)y[i], want);
        }
        free(x);
        const float special[4] = {-INFINITY, NAN, -1000.0f, 0.0f};
        kernels->exponentials(special, 4, 0.0f, 1.0f, y);
        cr_assert_eq(y[0], 0.0f);
        cr_assert_eq(y[1], 0.0f);
        cr_assert_eq(y[2], 0.0f);
        cr_assert_eq(y[3], 1.0f);
    }
}

Test(half, every_half_survives_a_round_trip) {
    for (uint32_t bits = 0; bits <= 0xffff; bits++) {
        uint16_t half = (uint16_t)bits;
        bool nan = (half & 0x7fff) > 0x7c00;
        uint16_t want = nan ? half | 0x0200 : half;
        uint16_t got = half_from_float(half_to_float(half));
        cr_assert_eq(got, want, "%04x became %04x", half, got);
    }
}

Test(half, rounding_is_to_nearest_and_ties_to_even) {
    for (uint32_t half = 0; half < 0x7bff; half++) {
        float low = half_to_float((uint16_t)half);
        float high = half_to_float((uint16_t)(half + 1));
        float middle = 0.5f * low + 0.5f * high;
        uint32_t even = half + (half & 1);
        cr_assert_eq(half_from_float(middle), even, "%a became %04x", (double)middle,
                     half_from_float(middle));
        cr_assert_eq(half_from_float(nextafterf(middle, 0.0f)), half);
        cr_assert_eq(half_from_float(-nextafterf(middle, 1e9f)), 0x8000 | (half + 1));
    }
    cr_assert_eq(half_from_float(65519.9f), 0x7bff);
    cr_assert_eq(half_from_float(65520.0f), 0x7c00);
}
