#include "server/completion_request.h"

#include "server/json.h"
#include "server/parameters.h"

#include <stdlib.h>
#include <string.h>

/* ---- Parameters with a shape of their own ---- */

static bool read_logprobs(const cJSON *value, void *target, struct api_error *error) {
    struct completion_request *request = target;
    if (cJSON_IsFalse(value)) {
        return true;
    }
    if (!parameters_is_integer(value, 0, TOP_LOGPROBS_MAX)) {
        return api_error_set(
            error, API_INVALID, "logprobs",
            "logprobs must be an integer from 0 to %d, but is %s: it says how many "
            "of the most probable tokens to tell of",
            TOP_LOGPROBS_MAX, parameters_found(value).text);
    }
    request->logprobs = true;
    request->top_logprobs = (size_t)value->valuedouble;
    return true;
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
        prompt->text = value->valuestring;
        return true;
    }
    if (cJSON_IsArray(value)) {
        return read_ids(value, model->plan.vocabulary_size, &prompt->ids, error);
    }
    return api_error_set(error, API_INVALID, "prompt",
                         "prompt must be a string, an array of strings, an array of token ids "
                         "or an array of such arrays, but holds %s",
                         parameters_kind(value));
}

static bool encode_prompt(const struct service *service, struct prompt *prompt,
                          struct api_error *error) {
    struct error err = {0};
    if (prompt->text != NULL && prompt->text[0] != '\0' &&
        !tokenizer_encode(service->model->tokenizer, prompt->text, strlen(prompt->text), true,
                          &prompt->ids, &err)) {
        return api_error_from(error, &err, "prompt");
    }
    if (prompt->ids.length == 0) {
        return api_error_set(error, API_INVALID, "prompt",
                             "prompt must have at least one token, but is empty");
    }
    size_t context = engine_context_length(service->engine);
    return prompt->ids.length < context ||
           api_error_context(error, "prompt", prompt->ids.length, context);
}

bool completion_request_encode(struct completion_request *request, struct api_error *error) {
    if (!generation_prepare(&request->generation, error)) {
        return false;
    }
    for (size_t i = 0; i < request->prompt_count; i++) {
        if (!encode_prompt(request->service, &request->prompts[i], error)) {
            return false;
        }
    }
    return true;
}

/* An array of numbers is one prompt, any other array is a list of prompts. */
static bool read_prompts(struct completion_request *request, struct api_error *error) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(request->json, "prompt");
    bool is_list = cJSON_IsArray(value) && value->child != NULL && !cJSON_IsNumber(value->child);
    size_t count = is_list ? (size_t)cJSON_GetArraySize(value) : 1;
    size_t limit = request->service->choices_max;
    if (count > limit / (size_t)request->best_of) {
        bool ranked = request->best_of > request->generation.n;
        return api_error_set(
            error, API_INVALID,
            count > limit ? "prompt"
            : ranked      ? "best_of"
                          : "n",
            "%zu prompts with %lld completions each are more than the %zu that one "
            "request may have",
            count, (long long)request->best_of, limit);
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

/* clang-format off */
static const struct parameter parameters[] = {
    {"prompt", PARAMETER_REQUIRED, 0, 0, 0, NULL,
     "A text, several, a list of token ids, or several such lists.",
     JSON({"anyOf": [{"type": "string", "minLength": 1},
          {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
          {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
          {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1,
          "items": {"type": "integer", "minimum": 0}}}]})},
    {"best_of", PARAMETER_INTEGER, 1, CHOICES_OF_ONE_PROMPT_MAX, FIELD(best_of), NULL,
     "Completions made for each prompt, of which the n best are told; not with stream.", NULL},
    {"echo", PARAMETER_BOOLEAN, 0, 0, FIELD(echo), NULL,
     "The prompt stands before the reply.", NULL},
    {"logprobs", PARAMETER_OTHER, 0, 0, 0, read_logprobs,
     "Each token's logprob, and those of so many of the most probable tokens.",
     JSON({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 20},
          {"enum": [false, null]}]})},
    {"suffix", PARAMETER_REFUSED, 0, 0, 0, NULL, "completions only continue the prompt", NULL},
};
/* clang-format on */

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

bool completion_request_describe(const struct service *service, cJSON *schema) {
    struct completion_request defaults = {.service = service};
    return parameters_describe(parameters, PARAMETERS, &defaults, schema) &&
           generation_describe(service, REPLY_TOKENS_FEW, schema);
}

static bool check_together(struct completion_request *request, struct api_error *error) {
    const struct generation *generation = &request->generation;
    if (request->best_of == 0) {
        request->best_of = generation->n;
    }
    if (request->best_of < generation->n) {
        return api_error_set(error, API_INVALID, "best_of",
                             "best_of must be at least n, which is %lld, but is %lld",
                             (long long)generation->n, (long long)request->best_of);
    }
    if (request->best_of > generation->n && generation->stream) {
        return api_error_set(error, API_INVALID, "best_of",
                             "best_of must be n with stream, but is %lld: which completion is best "
                             "is known only at the end",
                             (long long)request->best_of);
    }
    return true;
}

bool completion_request_read(struct completion_request *request, const struct service *service,
                             const char *body, size_t length, struct api_error *error) {
    *request = (struct completion_request){.service = service};
    struct error err = {0};
    if (!json_parse(&request->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    if (!cJSON_IsObject(request->json)) {
        return api_error_set(error, API_INVALID, NULL, "The body must be a JSON object, but is %s",
                             parameters_kind(request->json));
    }
    return parameters_read(request->json, parameters, PARAMETERS, request, error) &&
           generation_read(&request->generation, service, request->json, REPLY_TOKENS_FEW, error) &&
           check_together(request, error) && read_prompts(request, error);
}

void completion_request_deinit(struct completion_request *request) {
    for (size_t i = 0; i < request->prompt_count; i++) {
        token_list_deinit(&request->prompts[i].ids);
    }
    free(request->prompts);
    generation_deinit(&request->generation);
    cJSON_Delete(request->json);
}

struct completion_options completion_request_options(const struct completion_request *request) {
    return (struct completion_options){
        .service = request->service,
        .generation = &request->generation,
        .echo = request->echo,
        .logprobs = request->logprobs,
        .top_logprobs = request->top_logprobs,
        .ranked = request->best_of > request->generation.n,
    };
}
