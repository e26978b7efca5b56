#include "engine/sampling.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(sampling, check_names_the_parameter_that_is_out_of_range) {
    struct logit_bias outside = {10, 0.0f};
    struct logit_bias too_strong = {9, -101.0f};
    struct logit_bias no_number = {0, NAN};
    struct sampling sampling;
    struct error err;
#define REFUSED(parameter, value, word)                                                            \
    sampling = sampling_default();                                                                 \
    sampling.parameter = value;                                                                    \
    sampling.bias_count = sampling.biases != NULL;                                                 \
    err = (struct error){0};                                                                       \
    cr_assert_not(sampling_check(&sampling, 10, &err), #parameter " = " #value " passed");         \
    cr_assert_eq(err.code, ERROR_INVALID);                                                         \
    cr_assert(strstr(err.text, word) != NULL, "\"%s\" does not say \"%s\"", err.text, word)

    REFUSED(temperature, -0.1f, "temperature is -0.1");
    REFUSED(temperature, NAN, "temperature is nan");
    REFUSED(temperature, INFINITY, "temperature is inf");
    REFUSED(top_p, 1.01f, "top_p is 1.01");
    REFUSED(top_p, NAN, "top_p");
    REFUSED(min_p, -1.0f, "min_p");
    REFUSED(repetition_penalty, 0.0f, "repetition_penalty");
    REFUSED(presence_penalty, 2.5f, "presence_penalty");
    REFUSED(frequency_penalty, -INFINITY, "frequency_penalty");
    REFUSED(typical_p, 2.0f, "typical_p is 2");
    REFUSED(dynatemp_range, -1.0f, "dynatemp_range");
    REFUSED(xtc_probability, 1.5f, "xtc_probability");
    REFUSED(mirostat_tau, -1.0f, "mirostat_tau");
    REFUSED(dry.base, 0.5f, "dry_base is 0.5");
    REFUSED(dry.multiplier, NAN, "dry_multiplier");
    REFUSED(biases, &outside, "token 10");
    REFUSED(biases, &too_strong, "-101");
    REFUSED(biases, &no_number, "nan");
    sampling = sampling_default();
    cr_assert(sampling_check(&sampling, 10, &err));
}
