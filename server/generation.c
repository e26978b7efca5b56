#include "server/generation.h"

#include "engine/text/token_search.h"
#include "server/parameters.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { MAX_TOKENS_DEFAULT = 16 }; /* OpenAI's */

/* The greatest double below 2^63: seeds are 64-bit integers, JSON numbers are doubles. */
#define SEED_LIMIT 9223372036854774784.0

/* ---- Parameters with a shape of their own ---- */

static bool read_seed(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    if (!parameters_is_integer(value, -SEED_LIMIT, SEED_LIMIT)) {
        return api_error_set(error, API_INVALID, "seed", "seed must be an integer of 64 bits");
    }
    generation->seed = (int64_t)value->valuedouble;
    generation->has_seed = true;
    return true;
}

static bool add_text(const char *name, const cJSON *value, const char **list, size_t *count,
                     size_t most, struct api_error *error) {
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        return api_error_set(error, API_INVALID, name,
                             "%s must be a string or an array of strings that are not empty", name);
    }
    if (*count == most) {
        return api_error_set(error, API_INVALID, name, "%s must have at most %zu strings", name,
                             most);
    }
    list[(*count)++] = value->valuestring;
    return true;
}

static bool add_texts(const char *name, const cJSON *value, const char **list, size_t *count,
                      size_t most, struct api_error *error) {
    if (!cJSON_IsArray(value)) {
        return add_text(name, value, list, count, most, error);
    }
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        if (!add_text(name, element, list, count, most, error)) {
            return false;
        }
    }
    return true;
}

static bool read_stop(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    return add_texts("stop", value, generation->stops, &generation->stop_count, STOP_STRINGS_MAX,
                     error);
}

/* An empty array takes away the default. */
static bool read_breakers(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    generation->breaker_count = 0;
    return add_texts("dry_sequence_breakers", value, generation->breakers,
                     &generation->breaker_count, BREAKERS_MAX, error);
}

static bool read_mirostat(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    if (!parameters_is_integer(value, 0, 2) || value->valuedouble == 1) {
        return api_error_set(error, API_INVALID, "mirostat",
                             "mirostat must be 0 (off) or 2 (version 2; 1 is not supported)");
    }
    generation->sampling.mirostat = value->valuedouble == 2;
    return true;
}

/* A key of logit_bias: a token id in decimal, written as a string because JSON has no other keys.
 */
static bool parse_token(const char *text, size_t vocabulary_size, int32_t *token) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 ||
        value >= vocabulary_size) {
        return false;
    }
    *token = (int32_t)value;
    return true;
}

static bool read_logit_bias(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    if (!cJSON_IsObject(value)) {
        return api_error_set(error, API_INVALID, "logit_bias",
                             "logit_bias must be an object from token ids to numbers, but is %s",
                             parameters_kind(value));
    }
    size_t count = (size_t)cJSON_GetArraySize(value);
    if (count > LOGIT_BIASES_MAX) {
        return api_error_set(error, API_INVALID, "logit_bias",
                             "logit_bias must have at most %d entries, but has %zu",
                             LOGIT_BIASES_MAX, count);
    }
    size_t vocabulary_size = generation->service->model->plan.vocabulary_size;
    generation->biases = calloc(count > 0 ? count : 1, sizeof *generation->biases);
    if (generation->biases == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, value) {
        struct logit_bias *bias = &generation->biases[generation->sampling.bias_count++];
        if (!parse_token(entry->string, vocabulary_size, &bias->token)) {
            return api_error_set(error, API_INVALID, "logit_bias",
                                 "logit_bias names the token \"%.40s\", but token ids are 0 to %zu",
                                 entry->string, vocabulary_size - 1);
        }
        if (!cJSON_IsNumber(entry) || !(entry->valuedouble >= -100 && entry->valuedouble <= 100)) {
            return api_error_set(error, API_INVALID, "logit_bias",
                                 "logit_bias of token %d must be a number from -100 to 100",
                                 bias->token);
        }
        bias->bias = (float)entry->valuedouble;
    }
    generation->sampling.biases = generation->biases;
    return true;
}

static bool read_stream_options(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    const cJSON *usage = cJSON_GetObjectItemCaseSensitive(value, "include_usage");
    if (!cJSON_IsObject(value) || !(usage == NULL || cJSON_IsNull(usage) || cJSON_IsBool(usage))) {
        return api_error_set(error, API_INVALID, "stream_options",
                             "stream_options must be an object; its include_usage true or false");
    }
    generation->include_usage = cJSON_IsTrue(usage);
    return true;
}

/* ---- The table ---- */

#define FIELD(name) offsetof(struct generation, name)

static const struct parameter parameters[] = {
    {"max_tokens", PARAMETER_INTEGER, 0, 1e9, FIELD(max_tokens), NULL},
    {"n", PARAMETER_INTEGER, 1, CHOICES_OF_ONE_PROMPT_MAX, FIELD(n), NULL},
    {"temperature", PARAMETER_FLOAT, 0, 2, FIELD(sampling.temperature), NULL},
    {"dynatemp_range", PARAMETER_FLOAT, 0, 2, FIELD(sampling.dynatemp_range), NULL},
    {"dynatemp_exponent", PARAMETER_FLOAT, 0, 100, FIELD(sampling.dynatemp_exponent), NULL},
    {"top_k", PARAMETER_INTEGER, -1, 1e9, FIELD(top_k), NULL}, /* -1: off, as vLLM has it */
    {"typical_p", PARAMETER_FLOAT, 0, 1, FIELD(sampling.typical_p), NULL},
    {"top_p", PARAMETER_FLOAT, 0, 1, FIELD(sampling.top_p), NULL},
    {"min_p", PARAMETER_FLOAT, 0, 1, FIELD(sampling.min_p), NULL},
    {"xtc_probability", PARAMETER_FLOAT, 0, 1, FIELD(sampling.xtc_probability), NULL},
    {"xtc_threshold", PARAMETER_FLOAT, 0, 1, FIELD(sampling.xtc_threshold), NULL},
    {"mirostat", PARAMETER_OTHER, 0, 0, 0, read_mirostat},
    {"mirostat_tau", PARAMETER_FLOAT, 0, 100, FIELD(sampling.mirostat_tau), NULL},
    {"mirostat_eta", PARAMETER_FLOAT, 0, 100, FIELD(sampling.mirostat_eta), NULL},
    {"presence_penalty", PARAMETER_FLOAT, -2, 2, FIELD(sampling.presence_penalty), NULL},
    {"frequency_penalty", PARAMETER_FLOAT, -2, 2, FIELD(sampling.frequency_penalty), NULL},
    {"repetition_penalty", PARAMETER_FLOAT, 0.01, 100, FIELD(sampling.repetition_penalty), NULL},
    {"repeat_penalty", PARAMETER_FLOAT, 0.01, 100, FIELD(sampling.repetition_penalty), NULL},
    {"repeat_last_n", PARAMETER_INTEGER, -1, 1e9, FIELD(repeat_last_n), NULL},
    {"dry_multiplier", PARAMETER_FLOAT, 0, 100, FIELD(sampling.dry.multiplier), NULL},
    {"dry_base", PARAMETER_FLOAT, 1, 100, FIELD(sampling.dry.base), NULL},
    {"dry_allowed_length", PARAMETER_INTEGER, 0, 1e9, FIELD(dry_allowed_length), NULL},
    {"dry_penalty_last_n", PARAMETER_INTEGER, -1, 1e9, FIELD(dry_penalty_last_n), NULL},
    {"dry_sequence_breakers", PARAMETER_OTHER, 0, 0, 0, read_breakers},
    {"logit_bias", PARAMETER_OTHER, 0, 0, 0, read_logit_bias},
    {"seed", PARAMETER_OTHER, 0, 0, 0, read_seed},
    {"stop", PARAMETER_OTHER, 0, 0, 0, read_stop},
    {"ignore_eos", PARAMETER_BOOLEAN, 0, 0, FIELD(ignore_eos), NULL},
    {"draft_tokens", PARAMETER_INTEGER, 0, DRAFTS_MAX, FIELD(draft_tokens), NULL},
    {"stream", PARAMETER_BOOLEAN, 0, 0, FIELD(stream), NULL},
    {"stream_options", PARAMETER_OTHER, 0, 0, 0, read_stream_options},
};

/* ---- What follows from them ---- */

static uint64_t random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_nsec;
    }
    return seed;
}

/* llama-server's -1: all there is. */
static size_t window_of(int64_t tokens) {
    return tokens < 0 ? WHOLE_CONTEXT : (size_t)tokens;
}

static bool find_breakers(struct generation *generation, struct api_error *error) {
    const struct model *model = generation->service->model;
    struct dry_sampling *dry = &generation->sampling.dry;
    if (dry->multiplier == 0.0f || generation->breaker_count == 0) {
        return true;
    }
    struct error err = {0};
    const struct token_bytes *tokens = vocabulary_index_bytes(generation->service->index, &err);
    if (tokens == NULL) {
        return api_error_from(error, &err, NULL);
    }
    size_t size = model->plan.vocabulary_size;
    size_t bits = size > tokens->size ? size : tokens->size;
    generation->breaker_bits = calloc(bits / 64 + 1, sizeof *generation->breaker_bits);
    if (generation->breaker_bits == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    if (!token_search(model->tokenizer, tokens, generation->breakers, generation->breaker_count,
                      generation->breaker_bits, &generation->breaker_runs, &err)) {
        return api_error_from(error, &err, "dry_sequence_breakers");
    }
    dry->breaker_bits = generation->breaker_bits;
    dry->breaker_runs = generation->breaker_runs.ids;
    dry->breaker_run_length = generation->breaker_runs.length;
    return true;
}

bool generation_read(struct generation *generation, const struct service *service,
                     const cJSON *object, struct api_error *error) {
    *generation = (struct generation){
        .service = service,
        .max_tokens = MAX_TOKENS_DEFAULT,
        .n = 1,
        .draft_tokens = (int64_t)service->draft_tokens,
        .sampling = sampling_default(),
        .repeat_last_n = -1,
        .dry_penalty_last_n = -1,
        .breakers = {"\n", ":", "\"", "*"}, /* llama.cpp's */
        .breaker_count = 4,
    };
    struct sampling *sampling = &generation->sampling;
    sampling->temperature = 1.0f;
    generation->dry_allowed_length = (int64_t)sampling->dry.allowed_length;
    if (!parameters_read(object, parameters, sizeof parameters / sizeof *parameters, generation,
                         error)) {
        return false;
    }
    sampling->top_k = generation->top_k > 0 ? (size_t)generation->top_k : 0;
    sampling->penalty_window = window_of(generation->repeat_last_n);
    sampling->dry.allowed_length = (size_t)generation->dry_allowed_length;
    sampling->dry.window = window_of(generation->dry_penalty_last_n);
    sampling->seed = generation->has_seed ? (uint64_t)generation->seed : random_seed();
    return find_breakers(generation, error);
}

void generation_deinit(struct generation *generation) {
    free(generation->biases);
    free(generation->breaker_bits);
    token_list_deinit(&generation->breaker_runs);
}

struct session_request generation_session(const struct generation *generation, size_t prompt,
                                          size_t choice) {
    const struct model *model = generation->service->model;
    struct session_request session = {
        .max_tokens = (size_t)generation->max_tokens,
        .stop_tokens = model->stop_tokens,
        .stop_token_count = generation->ignore_eos ? 0 : model->stop_token_count,
        .sampling = generation->sampling,
        .drafts_max = (size_t)generation->draft_tokens,
    };
    /* With a seed, a choice is what it would be if its prompt came alone; without one, equal
     * prompts of one request still get different replies. */
    session.sampling.seed +=
        choice + (generation->has_seed ? 0 : prompt * CHOICES_OF_ONE_PROMPT_MAX);
    return session;
}
