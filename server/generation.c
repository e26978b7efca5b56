#include "server/generation.h"

#include "engine/text/token_search.h"
#include "server/parameters.h"
#include "server/refused_parameters.h"
#include "server/structured_output.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* The greatest double below 2^63: seeds are 64-bit integers, JSON numbers are doubles. */
#define SEED_LIMIT 9223372036854774784.0

/* ---- Parameters with a shape of their own ---- */

static bool read_seed(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    if (!parameters_is_integer(value, -SEED_LIMIT, SEED_LIMIT)) {
        return api_error_set(error, API_INVALID, "seed",
                             "seed must be an integer of 64 bits, but is %s",
                             parameters_found(value).text);
    }
    generation->seed = (int64_t)value->valuedouble;
    generation->has_seed = true;
    return true;
}

static bool add_text(const char *name, const cJSON *value, const char **list, size_t *count,
                     size_t most, struct api_error *error) {
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        return api_error_set(error, API_INVALID, name,
                             "%s must be a string or an array of strings that are not empty, but "
                             "has %s",
                             name, parameters_found(value).text);
    }
    if (*count == most) {
        return api_error_set(error, API_INVALID, name,
                             "%s must have at most %zu strings, but has more", name, most);
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

static bool read_stop_token_ids(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    const struct model *model = generation->service->model;
    size_t count = (size_t)cJSON_GetArraySize(value);
    if (!cJSON_IsArray(value)) {
        return api_error_set(error, API_INVALID, "stop_token_ids",
                             "stop_token_ids must be an array, but is %s", parameters_kind(value));
    }
    if (count > STOP_TOKENS_MAX) {
        return api_error_set(error, API_INVALID, "stop_token_ids",
                             "stop_token_ids must have at most %d token ids, but has %zu",
                             STOP_TOKENS_MAX, count);
    }
    int32_t *tokens = calloc(count + model->stop_token_count + 1, sizeof *tokens);
    if (tokens == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    generation->stop_tokens = tokens;
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        double greatest = (double)(model->plan.vocabulary_size - 1);
        if (!parameters_is_integer(element, 0, greatest)) {
            return api_error_set(error, API_INVALID, "stop_token_ids",
                                 "stop_token_ids must be integers from 0 to %.0f, but has %s",
                                 greatest, parameters_found(element).text);
        }
        tokens[generation->stop_token_count++] = (int32_t)element->valuedouble;
    }
    for (size_t i = 0; i < model->stop_token_count; i++) {
        tokens[count + i] = model->stop_tokens[i];
    }
    return true;
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
                             "mirostat must be 0 (off) or 2 (version 2; 1 is not supported), but "
                             "is %s",
                             parameters_found(value).text);
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
                                 "logit_bias of token %d must be a number from -100 to 100, but "
                                 "is %s",
                                 bias->token, parameters_found(entry).text);
        }
        bias->bias = (float)entry->valuedouble;
    }
    generation->sampling.biases = generation->biases;
    return true;
}

static bool read_stream_options(const cJSON *value, void *target, struct api_error *error) {
    struct generation *generation = target;
    const cJSON *usage = cJSON_GetObjectItemCaseSensitive(value, "include_usage");
    if (!cJSON_IsObject(value)) {
        return api_error_set(error, API_INVALID, "stream_options",
                             "stream_options must be an object, but is %s", parameters_kind(value));
    }
    if (usage != NULL && !cJSON_IsNull(usage) && !cJSON_IsBool(usage)) {
        return api_error_set(error, API_INVALID, "stream_options.include_usage",
                             "stream_options.include_usage must be true or false, but is %s",
                             parameters_kind(usage));
    }
    generation->include_usage = cJSON_IsTrue(usage);
    return true;
}

/* ---- The table ---- */

#define FLOAT(name, least, greatest, field, help)                                                  \
    { name, PARAMETER_FLOAT, least, greatest, offsetof(struct generation, field), NULL, help, NULL }
#define INTEGER(name, least, greatest, field, help)                                                \
    {                                                                                              \
        name, PARAMETER_INTEGER, least, greatest, offsetof(struct generation, field), NULL, help,  \
            NULL                                                                                   \
    }
#define BOOLEAN(name, field, help)                                                                 \
    { name, PARAMETER_BOOLEAN, 0, 0, offsetof(struct generation, field), NULL, help, NULL }
#define OTHER(name, read, help, schema)                                                            \
    { name, PARAMETER_OTHER, 0, 0, 0, read, help, schema }

/* clang-format off */
static const struct parameter parameters[] = { /* those without a function: structured_output.h */
    {"model", PARAMETER_TEXT, 0, 0, offsetof(struct generation, model), NULL,
     "Which model answers: its name, or an alias.", NULL},
    INTEGER("max_tokens", -1, 1e9, max_tokens,
            "Tokens after which a choice ends; -1: as many as the context holds."),
    INTEGER("n_predict", -1, 1e9, max_tokens, "Another name of max_tokens."),
    INTEGER("min_tokens", 0, 1e9, min_tokens, "Tokens before which the model cannot stop."),
    INTEGER("n", 1, CHOICES_OF_ONE_PROMPT_MAX, n, "Choices for each prompt."),
    FLOAT("temperature", 0, 2, sampling.temperature,
          "How freely tokens are chosen; 0 always takes the most likely one."),
    FLOAT("dynatemp_range", 0, 2, sampling.dynatemp_range,
          "The temperature lies within this range around temperature, by the entropy."),
    FLOAT("dynatemp_exponent", 0, 100, sampling.dynatemp_exponent,
          "The power of the normalized entropy that dynatemp_range goes by."),
    INTEGER("top_k", -1, 1e9, top_k, "Only the k most likely tokens; 0 or -1: all."),
    FLOAT("typical_p", 0, 1, sampling.typical_p,
          "Only the most typical tokens that together reach this probability."),
    FLOAT("top_p", 0, 1, sampling.top_p,
          "Only the most likely tokens that together reach this probability."),
    FLOAT("min_p", 0, 1, sampling.min_p,
          "Only tokens at least this times as likely as the most likely one."),
    FLOAT("xtc_probability", 0, 1, sampling.xtc_probability,
          "How often all but the least likely of the tokens at xtc_threshold are left out."),
    FLOAT("xtc_threshold", 0, 1, sampling.xtc_threshold,
          "The probability from which xtc_probability sees a token."),
    OTHER("mirostat", read_mirostat, "2: Mirostat 2, instead of all cuts; 0: off.",
          JSON({"enum": [0, 2, null], "default": 0})),
    FLOAT("mirostat_tau", 0, 100, sampling.mirostat_tau, "The surprise aimed at, in bits."),
    FLOAT("mirostat_eta", 0, 100, sampling.mirostat_eta, "How fast Mirostat 2 adapts."),
    FLOAT("presence_penalty", -2, 2, sampling.presence_penalty,
          "Subtracted from the logits of tokens that the reply has."),
    FLOAT("frequency_penalty", -2, 2, sampling.frequency_penalty,
          "Subtracted from the logits of tokens, as often as the reply has them."),
    FLOAT("repetition_penalty", 0.01, 100, sampling.repetition_penalty,
          "Above 1, tokens of prompt and reply become less likely."),
    FLOAT("repeat_penalty", 0.01, 100, sampling.repetition_penalty,
          "Another name of repetition_penalty."),
    INTEGER("repeat_last_n", -1, 1e9, repeat_last_n,
            "How many of the last tokens the penalties look back to; -1: all."),
    FLOAT("dry_multiplier", 0, 100, sampling.dry.multiplier,
          "DRY: what would prolong a repetition of n tokens loses "
          "dry_multiplier * dry_base^(n - dry_allowed_length)."),
    FLOAT("dry_base", 1, 100, sampling.dry.base, "See dry_multiplier."),
    INTEGER("dry_allowed_length", 0, 1e9, dry_allowed_length,
            "Repetitions shorter than this cost nothing; see dry_multiplier."),
    INTEGER("dry_penalty_last_n", -1, 1e9, dry_penalty_last_n,
            "How many of the last tokens DRY looks back to; -1: all."),
    OTHER("dry_sequence_breakers", read_breakers, "Repetitions do not reach over these texts.",
          JSON({"type": ["string", "array", "null"], "minLength": 1, "maxItems": 64,
          "items": {"type": "string", "minLength": 1}})),
    OTHER("logit_bias", read_logit_bias, "From token ids to what is added to their logits.",
          JSON({"type": ["object", "null"], "maxProperties": 1024,
          "propertyNames": {"pattern": "^[0-9]+$"},
          "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}})),
    OTHER("seed", read_seed, "The same seed gives the same text, whatever else the server does.",
          JSON({"type": ["integer", "null"], "minimum": -9223372036854774784,
          "maximum": 9223372036854774784})),
    OTHER("stop", read_stop, "Texts before the first of which the reply ends.",
          JSON({"type": ["string", "array", "null"], "minLength": 1, "maxItems": 16,
          "items": {"type": "string", "minLength": 1}})),
    OTHER("stop_token_ids", read_stop_token_ids, "Tokens before the first of which the reply ends.",
          JSON({"type": ["array", "null"], "maxItems": 256,
          "items": {"type": "integer", "minimum": 0}})),
    OTHER("grammar", NULL, "A grammar in GBNF that the reply matches.",
          JSON({"type": ["string", "null"]})),
    OTHER("guided_grammar", NULL, "Another name of grammar.", JSON({"type": ["string", "null"]})),
    OTHER("guided_regex", NULL, "A regular expression that the whole reply matches.",
          JSON({"type": ["string", "null"]})),
    OTHER("guided_choice", NULL, "Texts of which the reply is one.",
          JSON({"type": ["array", "null"], "minItems": 1, "items": {"type": "string"}})),
    OTHER("guided_json", NULL, "A JSON Schema that the reply matches, or its text.",
          JSON({"type": ["object", "string", "boolean", "null"]})),
    OTHER("json_schema", NULL, "Another name of guided_json.",
          JSON({"type": ["object", "string", "boolean", "null"]})),
    OTHER("response_format", NULL, "OpenAI's form: text, any JSON object, or JSON by a schema.",
          JSON({"type": ["object", "null"], "required": ["type"], "properties": {
          "type": {"enum": ["text", "json_object", "json_schema"]},
          "schema": {"type": "object"}, "json_schema": {"type": "object", "required": ["schema"],
          "properties": {"name": {"type": "string"}, "schema": {"type": "object"},
          "strict": {"type": ["boolean", "null"]}}}}})),
    OTHER("structured_outputs", NULL, "vLLM's form: grammar, regex, choice, json or json_object.",
          JSON({"type": ["object", "null"], "properties": {"grammar": {"type": "string"},
          "regex": {"type": "string"}, "json": {"type": ["object", "string", "boolean"]},
          "choice": {"type": "array", "minItems": 1, "items": {"type": "string"}},
          "json_object": {"type": "boolean"}}})),
    BOOLEAN("include_stop_str_in_output", include_stop,
            "The text of stop that ends a reply is part of it."),
    BOOLEAN("skip_special_tokens", skip_special, "Special tokens are no part of the text."),
    BOOLEAN("ignore_eos", ignore_eos, "Go on where the model would stop."),
    INTEGER("draft_tokens", 0, DRAFTS_MAX, draft_tokens,
            "Tokens guessed ahead: changes the speed, not the reply."),
    BOOLEAN("stream", stream, "Answer with server-sent events."),
    BOOLEAN("return_tokens", return_tokens, "Choices tell the ids of their tokens, too."),
    BOOLEAN("timings_per_token", timings_per_token,
            "The answer, or each event, tells how long prompt and reply took."),
    OTHER("stream_options", read_stream_options,
          "include_usage: the last event before the end has the usage.",
          JSON({"type": ["object", "null"],
          "properties": {"include_usage": {"type": ["boolean", "null"]}}})),
};
/* clang-format on */

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

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

static bool has_breakers(const struct generation *generation) {
    return generation->sampling.dry.multiplier != 0.0f && generation->breaker_count > 0;
}

static bool find_breakers(struct generation *generation, struct api_error *error) {
    const struct model *model = generation->service->model;
    struct dry_sampling *dry = &generation->sampling.dry;
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

static struct generation defaults_of(const struct service *service, int64_t max_tokens) {
    struct sampling sampling = sampling_default();
    sampling.temperature = 1.0f;
    return (struct generation){
        .service = service,
        .max_tokens = max_tokens,
        .n = 1,
        .skip_special = true,
        .draft_tokens = DRAFT_TOKENS_OF_SERVICE,
        .sampling = sampling,
        .repeat_last_n = -1,
        .dry_allowed_length = (int64_t)sampling.dry.allowed_length,
        .dry_penalty_last_n = -1,
        .breakers = {"\n", ":", "\"", "*"}, /* llama.cpp's */
        .breaker_count = 4,
    };
}

bool generation_describe(const struct service *service, int64_t max_tokens, cJSON *schema) {
    struct generation defaults = defaults_of(service, max_tokens);
    defaults.draft_tokens = (int64_t)service->draft_tokens;
    return parameters_describe(parameters, PARAMETERS, &defaults, schema) &&
           parameters_describe(refused_parameters, refused_parameter_count, NULL, schema);
}

bool generation_read(struct generation *generation, const struct service *service,
                     const cJSON *object, int64_t max_tokens, struct api_error *error) {
    *generation = defaults_of(service, max_tokens);
    struct sampling *sampling = &generation->sampling;
    if (!parameters_read(object, refused_parameters, refused_parameter_count, NULL, error) ||
        !parameters_read(object, parameters, PARAMETERS, generation, error)) {
        return false;
    }
    sampling->top_k = generation->top_k > 0 ? (size_t)generation->top_k : 0;
    sampling->penalty_window = window_of(generation->repeat_last_n);
    sampling->dry.allowed_length = (size_t)generation->dry_allowed_length;
    sampling->dry.window = window_of(generation->dry_penalty_last_n);
    sampling->seed = generation->has_seed ? (uint64_t)generation->seed : random_seed();
    return structured_output_read(&generation->form, object, error);
}

bool generation_takes_long(struct generation *generation) {
    bool has_form = reply_form_is_wanted(&generation->form);
    return has_breakers(generation) ||
           (has_form && !reply_form_find(&generation->form, generation->service));
}

bool generation_prepare(struct generation *generation, struct api_error *error) {
    bool has_form = reply_form_is_wanted(&generation->form);
    return (!has_breakers(generation) || find_breakers(generation, error)) &&
           (!has_form || reply_form_make(&generation->form, generation->service, error));
}

void generation_deinit(struct generation *generation) {
    reply_form_deinit(&generation->form);
    free(generation->stop_tokens);
    free(generation->biases);
    free(generation->breaker_bits);
    token_list_deinit(&generation->breaker_runs);
}

struct session_request generation_session(const struct generation *generation, size_t prompt,
                                          size_t choice) {
    const struct service *service = generation->service;
    const struct model *model = service->model;
    int64_t drafts = generation->draft_tokens;
    int64_t max_tokens = generation->max_tokens;
    struct session_request session = {
        .max_tokens = (size_t)(max_tokens >= 0 ? max_tokens : REPLY_TOKENS_ALL),
        .min_tokens = (size_t)generation->min_tokens,
        .stop_tokens =
            generation->stop_tokens != NULL ? generation->stop_tokens : model->stop_tokens,
        .stop_token_count =
            generation->stop_token_count + (generation->ignore_eos ? 0 : model->stop_token_count),
        .sampling = generation->sampling,
        .grammar = generation->form.grammar,
        .drafts_max = drafts == DRAFT_TOKENS_OF_SERVICE ? service->draft_tokens : (size_t)drafts,
        .adapter = service->adapter,
    };
    /* With a seed, a choice is what it would be if its prompt came alone; without one, equal
     * prompts of one request still get different replies. */
    session.sampling.seed +=
        choice + (generation->has_seed ? 0 : prompt * CHOICES_OF_ONE_PROMPT_MAX);
    return session;
}
