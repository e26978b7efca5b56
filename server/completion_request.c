#include "server/completion_request.h"

#include "server/json.h"
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
    struct completion_request *request = target;
    if (!parameters_is_integer(value, -SEED_LIMIT, SEED_LIMIT)) {
        return api_error_set(error, API_INVALID, "seed", "seed must be an integer of 64 bits");
    }
    request->seed = (int64_t)value->valuedouble;
    request->has_seed = true;
    return true;
}

static bool add_stop(struct completion_request *request, const cJSON *value,
                     struct api_error *error) {
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        return api_error_set(error, API_INVALID, "stop",
                             "stop must be a string or an array of strings that are not empty");
    }
    if (request->stop_count == STOP_STRINGS_MAX) {
        return api_error_set(error, API_INVALID, "stop", "stop must have at most %d strings",
                             STOP_STRINGS_MAX);
    }
    request->stops[request->stop_count++] = value->valuestring;
    return true;
}

static bool read_stop(const cJSON *value, void *target, struct api_error *error) {
    if (!cJSON_IsArray(value)) {
        return add_stop(target, value, error);
    }
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        if (!add_stop(target, element, error)) {
            return false;
        }
    }
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
    struct completion_request *request = target;
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
    size_t vocabulary_size = request->service->model->plan.vocabulary_size;
    request->biases = calloc(count > 0 ? count : 1, sizeof *request->biases);
    if (request->biases == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, value) {
        struct logit_bias *bias = &request->biases[request->sampling.bias_count++];
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
    request->sampling.biases = request->biases;
    return true;
}

static bool read_stream_options(const cJSON *value, void *target, struct api_error *error) {
    struct completion_request *request = target;
    const cJSON *usage = cJSON_GetObjectItemCaseSensitive(value, "include_usage");
    if (!cJSON_IsObject(value) || !(usage == NULL || cJSON_IsNull(usage) || cJSON_IsBool(usage))) {
        return api_error_set(error, API_INVALID, "stream_options",
                             "stream_options must be an object; its include_usage true or false");
    }
    request->include_usage = cJSON_IsTrue(usage);
    return true;
}

static bool refuse_suffix(const cJSON *value, void *target, struct api_error *error) {
    (void)target;
    if (cJSON_IsString(value) && value->valuestring[0] == '\0') {
        return true;
    }
    return api_error_set(error, API_INVALID, "suffix",
                         "suffix is not supported: completions only continue the prompt");
}

static bool refuse_logprobs(const cJSON *value, void *target, struct api_error *error) {
    (void)target;
    if (cJSON_IsFalse(value)) {
        return true;
    }
    return api_error_set(error, API_INVALID, "logprobs", "logprobs is not supported: leave it out");
}

/* ---- Prompts ---- */

/* The prompt's tokens, one of "a list of token ids". */
static bool read_ids(const cJSON *array, size_t vocabulary_size, struct token_list *ids,
                     struct api_error *error) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) {
        if (!parameters_is_integer(element, 0, (double)(vocabulary_size - 1))) {
            return cJSON_IsNumber(element)
                       ? api_error_set(error, API_INVALID, "prompt",
                                       "prompt holds the token id %.16g at index %zu, but ids are "
                                       "integers from 0 to %zu",
                                       element->valuedouble, ids->length, vocabulary_size - 1)
                       : api_error_set(error, API_INVALID, "prompt",
                                       "prompt holds %s at index %zu among token ids",
                                       parameters_kind(element), ids->length);
        }
        if (!token_list_push(ids, (int32_t)element->valuedouble)) {
            return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
        }
    }
    return true;
}

static bool add_prompt(struct completion_request *request, const cJSON *value,
                       struct api_error *error) {
    const struct model *model = request->service->model;
    struct prompt *prompt = &request->prompts[request->prompt_count++];
    if (cJSON_IsString(value)) {
        struct error err = {0};
        prompt->text = value->valuestring;
        if (prompt->text[0] != '\0' &&
            !tokenizer_encode(model->tokenizer, prompt->text, strlen(prompt->text), true,
                              &prompt->ids, &err)) {
            return api_error_from(error, &err, "prompt");
        }
    } else if (cJSON_IsArray(value)) {
        if (!read_ids(value, model->plan.vocabulary_size, &prompt->ids, error)) {
            return false;
        }
    } else {
        return api_error_set(error, API_INVALID, "prompt",
                             "prompt must be a string, an array of strings, an array of token ids "
                             "or an array of such arrays, but holds %s",
                             parameters_kind(value));
    }
    if (prompt->ids.length == 0) {
        return api_error_set(error, API_INVALID, "prompt",
                             "prompt must not be empty: it needs at least one token");
    }
    if (prompt->ids.length >= model->plan.context_length) {
        return api_error_set(error, API_CONTEXT_LENGTH, "prompt",
                             "prompt has %zu tokens, but the model's context has room for %zu, the "
                             "reply included",
                             prompt->ids.length, model->plan.context_length);
    }
    return true;
}

/* An array of numbers is one prompt, any other array is a list of prompts. */
static bool read_prompts(struct completion_request *request, struct api_error *error) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(request->json, "prompt");
    if (value == NULL || cJSON_IsNull(value)) {
        return api_error_set(error, API_INVALID, "prompt", "prompt is required");
    }
    bool is_list = cJSON_IsArray(value) && value->child != NULL && !cJSON_IsNumber(value->child);
    size_t count = is_list ? (size_t)cJSON_GetArraySize(value) : 1;
    size_t limit = request->service->choices_max;
    if (count > limit / (size_t)request->n) {
        return api_error_set(error, API_INVALID, count > limit ? "prompt" : "n",
                             "%zu prompts with n = %lld choices each are more than the %zu choices "
                             "that one request may have",
                             count, (long long)request->n, limit);
    }
    request->prompts = calloc(count, sizeof *request->prompts);
    if (request->prompts == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    if (!is_list) {
        return add_prompt(request, value, error);
    }
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        if (!add_prompt(request, element, error)) {
            return false;
        }
    }
    return true;
}

/* ---- The table ---- */

#define FIELD(name) offsetof(struct completion_request, name)

static const struct parameter parameters[] = {
    {"model", PARAMETER_TEXT, 0, 0, FIELD(model), NULL},
    {"max_tokens", PARAMETER_INTEGER, 0, 1e9, FIELD(max_tokens), NULL},
    {"n", PARAMETER_INTEGER, 1, 128, FIELD(n), NULL},
    {"best_of", PARAMETER_INTEGER, 1, 128, FIELD(best_of), NULL},
    {"temperature", PARAMETER_FLOAT, 0, 2, FIELD(sampling.temperature), NULL},
    {"top_p", PARAMETER_FLOAT, 0, 1, FIELD(sampling.top_p), NULL},
    {"top_k", PARAMETER_INTEGER, -1, 1e9, FIELD(top_k), NULL}, /* -1: off, as vLLM has it */
    {"min_p", PARAMETER_FLOAT, 0, 1, FIELD(sampling.min_p), NULL},
    {"presence_penalty", PARAMETER_FLOAT, -2, 2, FIELD(sampling.presence_penalty), NULL},
    {"frequency_penalty", PARAMETER_FLOAT, -2, 2, FIELD(sampling.frequency_penalty), NULL},
    {"repetition_penalty", PARAMETER_FLOAT, 0.01, 100, FIELD(sampling.repetition_penalty), NULL},
    {"echo", PARAMETER_BOOLEAN, 0, 0, FIELD(echo), NULL},
    {"stream", PARAMETER_BOOLEAN, 0, 0, FIELD(stream), NULL},
    {"ignore_eos", PARAMETER_BOOLEAN, 0, 0, FIELD(ignore_eos), NULL},
    {"draft_tokens", PARAMETER_INTEGER, 0, DRAFTS_MAX, FIELD(draft_tokens), NULL},
    {"seed", PARAMETER_OTHER, 0, 0, 0, read_seed},
    {"stop", PARAMETER_OTHER, 0, 0, 0, read_stop},
    {"logit_bias", PARAMETER_OTHER, 0, 0, 0, read_logit_bias},
    {"stream_options", PARAMETER_OTHER, 0, 0, 0, read_stream_options},
    {"suffix", PARAMETER_OTHER, 0, 0, 0, refuse_suffix},
    {"logprobs", PARAMETER_OTHER, 0, 0, 0, refuse_logprobs},
};

static bool check_together(const struct completion_request *request, struct api_error *error) {
    if (request->model != NULL && strcmp(request->model, request->service->model_id) != 0) {
        return api_error_set(error, API_MODEL_NOT_FOUND, "model",
                             "The model \"%.100s\" does not exist; this server has \"%.100s\"",
                             request->model, request->service->model_id);
    }
    if (request->best_of != 0 && request->best_of != request->n) {
        return api_error_set(error, API_INVALID, "best_of",
                             "best_of must equal n, which is %lld, but is %lld: choices are not "
                             "ranked",
                             (long long)request->n, (long long)request->best_of);
    }
    return true;
}

static uint64_t random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_nsec;
    }
    return seed;
}

bool completion_request_read(struct completion_request *request, const struct service *service,
                             const char *body, size_t length, struct api_error *error) {
    *request = (struct completion_request){
        .service = service,
        .max_tokens = MAX_TOKENS_DEFAULT,
        .n = 1,
        .draft_tokens = (int64_t)service->draft_tokens,
        .sampling = sampling_default(),
    };
    request->sampling.temperature = 1.0f;
    struct error err = {0};
    if (!json_parse(&request->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    if (!cJSON_IsObject(request->json)) {
        return api_error_set(error, API_INVALID, NULL, "The body must be a JSON object, but is %s",
                             parameters_kind(request->json));
    }
    if (!parameters_read(request->json, parameters, sizeof parameters / sizeof *parameters, request,
                         error) ||
        !check_together(request, error) || !read_prompts(request, error)) {
        return false;
    }
    request->sampling.top_k = request->top_k > 0 ? (size_t)request->top_k : 0;
    request->sampling.seed = request->has_seed ? (uint64_t)request->seed : random_seed();
    return true;
}

void completion_request_deinit(struct completion_request *request) {
    for (size_t i = 0; i < request->prompt_count; i++) {
        token_list_deinit(&request->prompts[i].ids);
    }
    free(request->prompts);
    free(request->biases);
    cJSON_Delete(request->json);
}
