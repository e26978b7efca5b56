/* POST /tokenize and POST /detokenize, in the form of llama-server:
 *
 *     {"content": "Hello <b>"}                      ─▶ {"tokens": [9259, 655, 236763, 236813]}
 *     {"content": "Hello", "with_pieces": true}     ─▶ {"tokens": [{"id": 9259, "piece": "Hello"}]}
 *     {"tokens": [9259, 655, 236763, 236813]}       ─▶ {"content": "Hello <b>"}
 *
 * A piece that is no whole characters is an array of its bytes. A long text takes a while, and its
 * tokens more room than itself: both are computed and written beside the loop. */
#include "server/json.h"
#include "server/parameters.h"
#include "server/preparation.h"
#include "server/routes.h"

#include "engine/text/utf8.h"

#include <stdio.h>
#include <string.h>

struct job {
    const struct service *service;
    cJSON *json;
    const struct token_bytes *pieces; /* NULL: not wanted */
    struct token_list ids;
    struct text_buffer answer;
    const char *model;
    bool add_special;
    bool parse_special;
    bool with_pieces;
};

/* ---- Reading ---- */

#define FIELD(name) offsetof(struct job, name)

/* clang-format off */
static const struct parameter tokenize_parameters[] = {
    {"model", PARAMETER_TEXT, 0, 0, FIELD(model), NULL, "Whose tokens: the name of a model, or an alias.", NULL},
    {"content", PARAMETER_REQUIRED, 0, 0, 0, NULL, "The text.", JSON({"type": "string"})},
    {"add_special", PARAMETER_BOOLEAN, 0, 0, FIELD(add_special), NULL,
     "Put around it what the tokenizer puts around a prompt.", NULL},
    {"parse_special", PARAMETER_BOOLEAN, 0, 0, FIELD(parse_special), NULL,
     "Special tokens that the text spells are special tokens, and not text.", NULL},
    {"with_pieces", PARAMETER_BOOLEAN, 0, 0, FIELD(with_pieces), NULL,
     "Tell the text of each token, too.", NULL},
};

static const struct parameter detokenize_parameters[] = {
    {"model", PARAMETER_TEXT, 0, 0, FIELD(model), NULL, "Whose tokens: the name of a model, or an alias.", NULL},
    {"tokens", PARAMETER_REQUIRED, 0, 0, 0, NULL, "The token ids.",
     JSON({"type": "array", "items": {"type": "integer", "minimum": 0}})},
};
/* clang-format on */

enum {
    TOKENIZE_PARAMETERS = sizeof tokenize_parameters / sizeof *tokenize_parameters,
    DETOKENIZE_PARAMETERS = sizeof detokenize_parameters / sizeof *detokenize_parameters,
};

static const struct job defaults = {.parse_special = true};

bool api_tokenize_describe(const struct service *service, cJSON *schema) {
    (void)service;
    return parameters_describe(tokenize_parameters, TOKENIZE_PARAMETERS, &defaults, schema);
}

bool api_detokenize_describe(const struct service *service, cJSON *schema) {
    (void)service;
    return parameters_describe(detokenize_parameters, DETOKENIZE_PARAMETERS, &defaults, schema);
}

static bool read_body(struct job *job, const char *body, size_t length,
                      const struct parameter *parameters, size_t count, struct api_error *error) {
    struct error err = {0};
    if (!json_parse(&job->json, body, length, &err)) {
        return api_error_from(error, &err, NULL);
    }
    if (!cJSON_IsObject(job->json)) {
        return api_error_set(error, API_INVALID, NULL, "The body must be a JSON object, but is %s",
                             parameters_kind(job->json));
    }
    return parameters_read(job->json, parameters, count, job, error);
}

static bool read_tokenize(void *context, const struct service *service, const char *body,
                          size_t length, struct api_error *error) {
    struct job *job = context;
    *job = defaults;
    job->service = service;
    if (!read_body(job, body, length, tokenize_parameters, TOKENIZE_PARAMETERS, error)) {
        return false;
    }
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(job->json, "content");
    if (!cJSON_IsString(content)) {
        return api_error_set(error, API_INVALID, "content", "content must be a string, but is %s",
                             parameters_kind(content));
    }
    return true;
}

static bool read_detokenize(void *context, const struct service *service, const char *body,
                            size_t length, struct api_error *error) {
    struct job *job = context;
    size_t size = service->model->plan.vocabulary_size;
    job->service = service;
    if (!read_body(job, body, length, detokenize_parameters, DETOKENIZE_PARAMETERS, error)) {
        return false;
    }
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(job->json, "tokens");
    if (!cJSON_IsArray(tokens)) {
        return api_error_set(error, API_INVALID, "tokens", "tokens must be an array, but is %s",
                             parameters_kind(tokens));
    }
    const cJSON *element;
    cJSON_ArrayForEach(element, tokens) {
        if (!parameters_is_integer(element, 0, (double)size - 1)) {
            return api_error_set(error, API_INVALID, "tokens",
                                 "tokens must be integers from 0 to %zu, but the one at index %zu "
                                 "is %s",
                                 size - 1, job->ids.length, parameters_found(element).text);
        }
        if (!token_list_push(&job->ids, (int32_t)element->valuedouble)) {
            return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
        }
    }
    return true;
}

/* ---- Computing ---- */

static bool append(struct text_buffer *answer, const char *text) {
    return text_buffer_append(answer, text, strlen(text));
}

static bool append_number(struct text_buffer *answer, int number) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    return append(answer, digits);
}

static bool append_bytes(struct text_buffer *answer, const char *bytes, size_t length) {
    bool fine = append(answer, "[");
    for (size_t i = 0; fine && i < length; i++) {
        fine = append(answer, i > 0 ? "," : "") && append_number(answer, (unsigned char)bytes[i]);
    }
    return fine && append(answer, "]");
}

static bool append_piece(const struct job *job, struct text_buffer *answer, int32_t id) {
    struct token_text piece = token_bytes_of(job->pieces, (size_t)id);
    struct text_buffer special = {0};
    bool fine = true;
    if (tokenizer_is_special(job->service->model->tokenizer, id)) {
        fine = tokenizer_token_bytes(job->service->model->tokenizer, id, &special, NULL);
        piece = (struct token_text){special.bytes, special.length};
    }
    bool whole = utf8_valid_prefix(piece.bytes, piece.length) == piece.length;
    fine = fine && append(answer, "{\"id\":") && append_number(answer, id) &&
           append(answer, ",\"piece\":") &&
           (whole ? json_append_text(answer, piece.bytes, piece.length)
                  : append_bytes(answer, piece.bytes, piece.length)) &&
           append(answer, "}");
    text_buffer_deinit(&special);
    return fine;
}

/* The pieces of the whole vocabulary are found when they are first wanted. */
static bool takes_long(void *context) {
    const struct job *job = context;
    return job->with_pieces;
}

static bool make_tokens(struct job *job, struct error *err) {
    const char *content = cJSON_GetObjectItemCaseSensitive(job->json, "content")->valuestring;
    const struct tokenizer *tokenizer = job->service->model->tokenizer;
    size_t length = strlen(content);
    if (job->with_pieces) {
        job->pieces = vocabulary_index_bytes(job->service->index, err);
        if (job->pieces == NULL) {
            return false;
        }
    }
    return job->parse_special
               ? tokenizer_encode(tokenizer, content, length, job->add_special, &job->ids, err)
               : tokenizer_encode_literal(tokenizer, content, length, job->add_special, &job->ids,
                                          err);
}

static bool write_tokens(void *context, struct api_error *error) {
    struct job *job = context;
    struct error err = {0};
    if (!make_tokens(job, &err)) {
        return api_error_from(error, &err, "content");
    }
    bool fine = append(&job->answer, "{\"tokens\":[");
    for (size_t i = 0; fine && i < job->ids.length; i++) {
        int32_t id = job->ids.ids[i];
        fine = append(&job->answer, i > 0 ? "," : "") &&
               (job->with_pieces ? append_piece(job, &job->answer, id)
                                 : append_number(&job->answer, id));
    }
    return (fine && append(&job->answer, "]}")) ||
           api_error_set(error, API_INTERNAL, NULL, "No memory for the tokens");
}

static bool write_content(void *context, struct api_error *error) {
    struct job *job = context;
    struct text_buffer content = {0};
    struct error err = {0};
    bool fine = tokenizer_decode(job->service->model->tokenizer, job->ids.ids, job->ids.length,
                                 false, &content, &err) ||
                api_error_from(error, &err, "tokens");
    if (fine) {
        fine = (append(&job->answer, "{\"content\":") &&
                json_append_text(&job->answer, content.bytes, content.length) &&
                append(&job->answer, "}")) ||
               api_error_set(error, API_INTERNAL, NULL, "No memory for the content");
    }
    text_buffer_deinit(&content);
    return fine;
}

/* ---- Answering ---- */

static void respond(struct http_exchange *exchange, void *context) {
    struct job *job = context;
    http_respond_json(exchange, 200, job->answer.bytes);
    job->answer = (struct text_buffer){0};
}

static void close_job(void *context) {
    struct job *job = context;
    cJSON_Delete(job->json);
    token_list_deinit(&job->ids);
    text_buffer_deinit(&job->answer);
}

void api_tokenize(struct http_exchange *exchange, const struct service *service, const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct job),
        .model = offsetof(struct job, model),
        .read = read_tokenize,
        .takes_long = takes_long,
        .encode = write_tokens,
        .start = respond,
        .close = close_job,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}

void api_detokenize(struct http_exchange *exchange, const struct service *service,
                    const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct job),
        .model = offsetof(struct job, model),
        .read = read_detokenize,
        .encode = write_content,
        .start = respond,
        .close = close_job,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}
