/* POST /v1/completions: the dialect of completions. */
#include "server/answer.h"
#include "server/completion_request.h"
#include "server/json.h"
#include "server/preparation.h"
#include "server/routes.h"
#include "server/sse.h"

#include <math.h>
#include <stdlib.h>

/* ---- JSON ---- */

/* Appends one choice with the text that is ready, and takes that. */
static bool add_choice(cJSON *choices, const struct job *job, struct completion *completion,
                       size_t index) {
    cJSON *choice = cJSON_CreateObject();
    cJSON *text = json_create_text(completion->text.bytes, completion->text.length);
    cJSON *logprobs =
        completion_take_logprobs(completion, job->service->model->tokenizer, logprobs_take);
    completion->text.length = 0;
    bool complete = answer_add(choice, "text", text);
    complete = complete && cJSON_AddNumberToObject(choice, "index", (double)index);
    complete = answer_add(choice, "logprobs", logprobs) && complete;
    complete = complete && answer_add_tokens(choice, completion);
    complete =
        complete && answer_add_text(choice, "finish_reason", job_finish_name(completion->finish));
    return answer_append(choices, choice) && complete;
}

static cJSON *create_answer(const struct job *job, cJSON **choices) {
    return answer_create(job, "text_completion", choices);
}

/* By the mean logprob of its tokens: the sum would favour short ones. */
static double rank(const struct completion *completion) {
    return completion->tokens > 0 ? completion->logprob_sum / (double)completion->tokens
                                  : -INFINITY;
}

/* The best of a prompt's completions that have not been told. */
static struct completion *best_left(const struct job *job, struct completion *completions,
                                    bool *told) {
    size_t best = job->best_of;
    for (size_t i = 0; i < job->best_of; i++) {
        if (!told[i] &&
            (best == job->best_of || rank(&completions[i]) > rank(&completions[best]))) {
            best = i;
        }
    }
    told[best] = true;
    return &completions[best];
}

static char *print_whole(struct job *job) {
    cJSON *choices;
    cJSON *root = create_answer(job, &choices);
    bool complete = choices != NULL;
    size_t index = 0;
    for (size_t i = 0; i < job->count; i += job->best_of) {
        bool told[CHOICES_OF_ONE_PROMPT_MAX] = {false};
        for (size_t choice = 0; choice < job->n && complete; choice++) {
            struct completion *completion = job->best_of == job->n
                                                ? &job->completions[i + choice]
                                                : best_left(job, &job->completions[i], told);
            complete = add_choice(choices, job, completion, index++);
        }
    }
    return answer_print(root, complete && answer_add_usage(root, job));
}

/* ---- Events ---- */

static bool send_piece(struct http_exchange *exchange, struct job *job, size_t index) {
    if (!job->stream) {
        return true;
    }
    cJSON *choices;
    cJSON *root = create_answer(job, &choices);
    bool complete = choices != NULL && add_choice(choices, job, &job->completions[index], index) &&
                    (!job->include_usage || cJSON_AddNullToObject(root, "usage"));
    sse_send(exchange, answer_print(root, complete));
    return true;
}

static void send_end(struct http_exchange *exchange, struct job *job) {
    if (job->include_usage) {
        cJSON *choices;
        cJSON *root = create_answer(job, &choices);
        sse_send(exchange, answer_print(root, choices != NULL && answer_add_usage(root, job)));
    }
    sse_done(exchange);
}

/* ---- The handler ---- */

static const struct dialect completions = {
    .id_prefix = "cmpl-",
    .prompt = "prompt",
    .take = send_piece,
    .end = send_end,
    .print = print_whole,
    .fail = answer_fail,
    .refuse = api_error_respond,
};

static bool read_request(void *request, const struct service *service, const char *body,
                         size_t length, struct api_error *error) {
    return completion_request_read(request, service, body, length, error);
}

static bool takes_long(void *request) {
    return generation_takes_long(&((struct completion_request *)request)->generation);
}

static bool encode(void *request, struct api_error *error) {
    return completion_request_encode(request, error);
}

static void start(struct http_exchange *exchange, void *context) {
    const struct completion_request *request = context;
    job_start(exchange, &(struct job_request){
                            .dialect = &completions,
                            .completion = completion_request_options(request),
                            .prompts = request->prompts,
                            .prompt_count = request->prompt_count,
                            .best_of = (size_t)request->best_of,
                        });
}

static void close_request(void *request) {
    completion_request_deinit(request);
}

void api_completions(struct http_exchange *exchange, const struct service *service,
                     const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct completion_request),
        .model = offsetof(struct completion_request, generation.model),
        .read = read_request,
        .takes_long = takes_long,
        .encode = encode,
        .start = start,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}
