/* Elementary functions over lanes, included at the end of each lanes_*.h. They are built from
 * lane operations alone, so they have the same bits in every table. Polynomials are those of
 * Cephes (exp, tanh) and of Abramowitz and Stegun 7.1.26 (the normal distribution). */
#ifndef QUERN_ENGINE_KERNELS_LANES_MATH_H
#define QUERN_ENGINE_KERNELS_LANES_MATH_H

/* e^x to 1e-7 of itself. Below -87.3 (where results turn subnormal), at -infinity and for NaN it
 * is 0; above 88 it stays at e^88. */
static inline lanes lanes_exp(lanes x) {
    const lanes least = lanes_set(-87.3f);
    lanes bounded = lanes_min(lanes_max(x, least), lanes_set(88.0f));

    /* x = n ln 2 + r with |r| <= ln(2) / 2; ln 2 in two parts, of which n times the first is
     * exact. */
    int_lanes n = lanes_round_to_int(lanes_mul(bounded, lanes_set(1.44269504f)));
    lanes whole = lanes_from_int(n);
    lanes r = lanes_fma(whole, lanes_set(-0.693359375f), bounded);
    r = lanes_fma(whole, lanes_set(2.12194440e-4f), r);

    lanes p = lanes_set(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_add(lanes_fma(p, lanes_mul(r, r), r), lanes_set(1.0f));
    return lanes_select(lanes_greater(x, least), lanes_times_power_of_two(p, n), lanes_zero());
}

/* 1 / (1 + e^-x) */
static inline lanes lanes_sigmoid(lanes x) {
    lanes decayed = lanes_exp(lanes_sub(lanes_zero(), x));
    return lanes_div(lanes_set(1.0f), lanes_add(lanes_set(1.0f), decayed));
}

static inline lanes lanes_tanh(lanes x) {
    /* Near 0 a polynomial, since 1 - 2 / (e^2|x| + 1) would cancel there. */
    lanes square = lanes_mul(x, x);
    lanes p = lanes_set(-5.70498872745e-3f);
    p = lanes_fma(p, square, lanes_set(2.06390887954e-2f));
    p = lanes_fma(p, square, lanes_set(-5.37397155531e-2f));
    p = lanes_fma(p, square, lanes_set(1.33314422036e-1f));
    p = lanes_fma(p, square, lanes_set(-3.33332819422e-1f));
    lanes near = lanes_fma(lanes_mul(p, square), x, x);

    lanes magnitude = lanes_abs(x);
    lanes grown = lanes_exp(lanes_add(magnitude, magnitude));
    lanes quotient = lanes_div(lanes_set(2.0f), lanes_add(grown, lanes_set(1.0f)));
    lanes far = lanes_copy_sign(lanes_sub(lanes_set(1.0f), quotient), x);
    return lanes_select(lanes_greater(magnitude, lanes_set(0.625f)), far, near);
}

/* The standard normal distribution function, (1 + erf(x / sqrt 2)) / 2, to 2e-7. */
static inline lanes lanes_normal_distribution(lanes x) {
    lanes z = lanes_mul(lanes_abs(x), lanes_set(0.707106781f));
    lanes t = lanes_div(lanes_set(1.0f), lanes_fma(z, lanes_set(0.3275911f), lanes_set(1.0f)));
    lanes p = lanes_set(1.061405429f);
    p = lanes_fma(p, t, lanes_set(-1.453152027f));
    p = lanes_fma(p, t, lanes_set(1.421413741f));
    p = lanes_fma(p, t, lanes_set(-0.284496736f));
    p = lanes_fma(p, t, lanes_set(0.254829592f));
    lanes decayed = lanes_exp(lanes_mul(lanes_sub(lanes_zero(), z), z));
    lanes tail = lanes_mul(lanes_mul(lanes_mul(p, t), decayed), lanes_set(0.5f));
    return lanes_select(lanes_greater(x, lanes_zero()), lanes_sub(lanes_set(1.0f), tail), tail);
}

#endif
