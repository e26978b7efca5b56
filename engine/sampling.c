#include "engine/sampling.h"

#include <math.h>
#include <string.h>

struct sampling sampling_default(void) {
    return (struct sampling){
        .dynatemp_exponent = 1.0f,
        .typical_p = 1.0f,
        .top_p = 1.0f,
        .xtc_threshold = 0.1f,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
        .repetition_penalty = 1.0f,
        .penalty_window = WHOLE_CONTEXT,
        .dry = {.base = 1.75f, .allowed_length = 2, .window = WHOLE_CONTEXT},
    };
}

#define FIELD(name) offsetof(struct sampling, name)

/* The ranges of OpenAI where it has them. */
static const struct {
    const char *name;
    size_t offset;
    float least;
    float greatest;
} parameters[] = {
    {"temperature", FIELD(temperature), 0.0f, 100.0f},
    {"dynatemp_range", FIELD(dynatemp_range), 0.0f, 100.0f},
    {"dynatemp_exponent", FIELD(dynatemp_exponent), 0.0f, 100.0f},
    {"typical_p", FIELD(typical_p), 0.0f, 1.0f},
    {"top_p", FIELD(top_p), 0.0f, 1.0f},
    {"min_p", FIELD(min_p), 0.0f, 1.0f},
    {"xtc_probability", FIELD(xtc_probability), 0.0f, 1.0f},
    {"xtc_threshold", FIELD(xtc_threshold), 0.0f, 1.0f},
    {"mirostat_tau", FIELD(mirostat_tau), 0.0f, 100.0f},
    {"mirostat_eta", FIELD(mirostat_eta), 0.0f, 100.0f},
    {"repetition_penalty", FIELD(repetition_penalty), 0.01f, 100.0f},
    {"presence_penalty", FIELD(presence_penalty), -2.0f, 2.0f},
    {"frequency_penalty", FIELD(frequency_penalty), -2.0f, 2.0f},
    {"dry_multiplier", FIELD(dry.multiplier), 0.0f, 100.0f},
    {"dry_base", FIELD(dry.base), 1.0f, 100.0f},
};

static const float bias_limit = 100.0f;

static bool check_biases(const struct sampling *sampling, size_t vocabulary_size,
                         struct error *err) {
    for (size_t i = 0; i < sampling->bias_count; i++) {
        const struct logit_bias *entry = &sampling->biases[i];
        if (entry->token < 0 || (size_t)entry->token >= vocabulary_size) {
            return error_set(err, ERROR_INVALID,
                             "logit_bias names token %d, but the vocabulary has tokens 0 to %zu",
                             entry->token, vocabulary_size - 1);
        }
        if (!(fabsf(entry->bias) <= bias_limit)) {
            return error_set(err, ERROR_INVALID,
                             "logit_bias of token %d is %g, but must be a number from %g to %g",
                             entry->token, (double)entry->bias, (double)-bias_limit,
                             (double)bias_limit);
        }
    }
    return true;
}

bool sampling_check(const struct sampling *sampling, size_t vocabulary_size, struct error *err) {
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        float value;
        memcpy(&value, (const char *)sampling + parameters[i].offset, sizeof value);
        if (!(value >= parameters[i].least && value <= parameters[i].greatest)) {
            return error_set(err, ERROR_INVALID, "%s is %g, but must be a number from %g to %g",
                             parameters[i].name, (double)value, (double)parameters[i].least,
                             (double)parameters[i].greatest);
        }
    }
    return check_biases(sampling, vocabulary_size, err);
}

struct sampling_state sampling_begin(const struct sampling *sampling) {
    return (struct sampling_state){.surprise_limit = 2.0f * sampling->mirostat_tau};
}
