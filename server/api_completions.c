/* POST /v1/completions: one request becomes prompts x best_of completions that run together.
 *
 *     read ─▶ open every completion ─▶ defer ─▶ advance … ─▶ whole:  one JSON when all have finished
 *                                                            stream: an event for each piece
 *
 * The job lives until the exchange closes; a completion's session only until it has finished. */
#include "server/completion.h"
#include "server/completion_request.h"
#include "server/json.h"
#include "server/routes.h"
#include "server/sse.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A stream pauses taking tokens while this much is on its way to a slow reader. */
enum { BACKLOG_MAX = 64 << 10 };

struct job {
    const struct service *service;
    char id[32];
    double created;
    bool stream;
    bool include_usage;
    size_t prompt_tokens;
    size_t best_of;  /* completions of each prompt ... */
    size_t n;        /* ... of which so many are told */
    size_t finished; /* completions whose finish has been handled */
    size_t count;
    struct completion completions[]; /* index = prompt * best_of + choice */
};

/* ---- Opening and closing ---- */

static void close_completions(struct job *job) {
    for (size_t i = 0; i < job->count; i++) {
        completion_close(&job->completions[i]);
    }
    job->count = 0;
}

static struct job *create_job(const struct completion_request *request) {
    size_t count = request->prompt_count * (size_t)request->best_of;
    struct job *job = calloc(1, sizeof *job + count * sizeof *job->completions);
    if (job == NULL) {
        return NULL;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        random = (uint64_t)(uintptr_t)job;
    }
    snprintf(job->id, sizeof job->id, "cmpl-%016llx", (unsigned long long)random);
    job->service = request->service;
    job->created = (double)time(NULL);
    job->best_of = (size_t)request->best_of;
    job->n = (size_t)request->generation.n;
    job->stream = request->generation.stream;
    job->include_usage = request->generation.include_usage;
    return job;
}

static bool open_completions(struct job *job, const struct completion_request *request,
                             struct api_error *error) {
    for (size_t prompt = 0; prompt < request->prompt_count; prompt++) {
        job->prompt_tokens += request->prompts[prompt].ids.length;
        for (size_t choice = 0; choice < job->best_of; choice++) {
            struct error err = {0};
            if (!completion_open(&job->completions[job->count++], request, prompt, choice, &err)) {
                return api_error_from(error, &err, "prompt");
            }
        }
    }
    return true;
}

/* ---- JSON ---- */

static size_t count_tokens(const struct job *job) {
    size_t tokens = 0;
    for (size_t i = 0; i < job->count; i++) {
        tokens += job->completions[i].tokens;
    }
    return tokens;
}

/* Of each prompt once, as it counts once: its first choice found only what others had left. */
static size_t count_cached_tokens(const struct job *job) {
    size_t tokens = 0;
    for (size_t i = 0; i < job->count; i += job->best_of) {
        tokens += job->completions[i].usage.cached_tokens;
    }
    return tokens;
}

static const char *finish_name(enum finish_reason reason) {
    return reason == FINISH_STOP ? "stop" : reason == FINISH_LENGTH ? "length" : NULL;
}

/* Takes over `item`, which may be NULL. */
static bool add_item(cJSON *object, const char *name, cJSON *item) {
    if (item != NULL && cJSON_AddItemToObject(object, name, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

/* Appends one choice with the text that is ready, and takes that. */
static bool add_choice(cJSON *choices, const struct job *job, struct completion *completion,
                       size_t index) {
    cJSON *choice = cJSON_CreateObject();
    cJSON *text = json_create_text(completion->text.bytes, completion->text.length);
    cJSON *logprobs = completion_take_logprobs(completion, job->service->model->tokenizer);
    const char *finish = finish_name(completion->finish);
    completion->text.length = 0;
    bool complete = add_item(choice, "text", text);
    complete = complete && cJSON_AddNumberToObject(choice, "index", (double)index);
    complete = add_item(choice, "logprobs", logprobs) && complete;
    complete =
        complete && (finish != NULL ? cJSON_AddStringToObject(choice, "finish_reason", finish)
                                    : cJSON_AddNullToObject(choice, "finish_reason"));
    if (!cJSON_AddItemToArray(choices, choice)) {
        cJSON_Delete(choice);
        return false;
    }
    return complete;
}

static bool add_usage(cJSON *root, const struct job *job) {
    size_t tokens = count_tokens(job);
    cJSON *usage = cJSON_AddObjectToObject(root, "usage");
    cJSON *prompt = cJSON_AddObjectToObject(usage, "prompt_tokens_details");
    cJSON *reply = cJSON_AddObjectToObject(usage, "completion_tokens_details");
    size_t drafted = 0;
    size_t accepted = 0;
    for (size_t i = 0; i < job->count; i++) {
        drafted += job->completions[i].usage.drafted_tokens;
        accepted += job->completions[i].usage.accepted_tokens;
    }
    return cJSON_AddNumberToObject(usage, "prompt_tokens", (double)job->prompt_tokens) &&
           cJSON_AddNumberToObject(usage, "completion_tokens", (double)tokens) &&
           cJSON_AddNumberToObject(usage, "total_tokens", (double)(job->prompt_tokens + tokens)) &&
           cJSON_AddNumberToObject(prompt, "cached_tokens", (double)count_cached_tokens(job)) &&
           cJSON_AddNumberToObject(reply, "accepted_prediction_tokens", (double)accepted) &&
           cJSON_AddNumberToObject(reply, "rejected_prediction_tokens",
                                   (double)(drafted - accepted));
}

/* The object that a whole answer and every event of a stream share, and its empty choices. */
static cJSON *create_answer(const struct job *job, cJSON **choices) {
    cJSON *root = cJSON_CreateObject();
    *choices = NULL;
    if (cJSON_AddStringToObject(root, "id", job->id) &&
        cJSON_AddStringToObject(root, "object", "text_completion") &&
        cJSON_AddNumberToObject(root, "created", job->created) &&
        cJSON_AddStringToObject(root, "model", job->service->model_id)) {
        *choices = cJSON_AddArrayToObject(root, "choices");
    }
    return root;
}

static char *print_answer(cJSON *root, bool complete) {
    char *text = complete ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
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
    return print_answer(root, complete && add_usage(root, job));
}

/* An event of the stream: a piece of one choice. */
static char *print_piece(struct job *job, size_t index) {
    cJSON *choices;
    cJSON *root = create_answer(job, &choices);
    bool complete = choices != NULL && add_choice(choices, job, &job->completions[index], index) &&
                    (!job->include_usage || cJSON_AddNullToObject(root, "usage"));
    return print_answer(root, complete);
}

static char *print_usage(struct job *job) {
    cJSON *choices;
    cJSON *root = create_answer(job, &choices);
    return print_answer(root, choices != NULL && add_usage(root, job));
}

/* ---- Running ---- */

/* What the log says: the first choice's reason stands for all. */
static void note(struct http_exchange *exchange, const struct job *job, const char *finish) {
    http_note(exchange, "prompt=%zu cached=%zu generated=%zu finish=%s", job->prompt_tokens,
              count_cached_tokens(job), count_tokens(job), finish);
}

static void fail(struct http_exchange *exchange, struct job *job, enum api_error_kind kind,
                 const char *message) {
    struct api_error error;
    api_error_set(&error, kind, NULL, "%s", message);
    note(exchange, job, "error");
    close_completions(job);
    if (job->stream) {
        sse_send(exchange, api_error_print(&error));
        http_stream_end(exchange);
    } else {
        api_error_respond(exchange, &error);
    }
}

/* Counts a completion that has just finished; false if that ended the exchange in failure. */
static bool handle_finish(struct http_exchange *exchange, struct job *job, size_t index) {
    const struct completion *completion = &job->completions[index];
    if (completion->out_of_memory) {
        fail(exchange, job, API_INTERNAL, "Out of memory");
        return false;
    }
    if (finish_name(completion->finish) == NULL) {
        fail(exchange, job, API_DRAINING, "The server is shutting down");
        return false;
    }
    job->finished++;
    return true;
}

/* Takes what one completion has; false if the exchange has failed. */
static bool advance_completion(struct http_exchange *exchange, struct job *job, size_t index) {
    struct completion *completion = &job->completions[index];
    while (http_stream_backlog(exchange) < BACKLOG_MAX && completion_advance(completion)) {
        bool finished = completion->finish != FINISH_NONE;
        if (finished && !handle_finish(exchange, job, index)) {
            return false;
        }
        if (job->stream && (finished || (completion->text.length > 0 && !completion->in_prompt))) {
            sse_send(exchange, print_piece(job, index));
        }
    }
    return true;
}

static void complete(struct http_exchange *exchange, struct job *job) {
    note(exchange, job, finish_name(job->completions[0].finish));
    if (!job->stream) {
        http_respond_json(exchange, 200, print_whole(job));
        return;
    }
    if (job->include_usage) {
        sse_send(exchange, print_usage(job));
    }
    sse_done(exchange);
}

static void advance_job(struct http_exchange *exchange, void *context) {
    struct job *job = context;
    for (size_t i = 0; i < job->count; i++) {
        if (!advance_completion(exchange, job, i)) {
            return;
        }
    }
    if (job->count > 0 && job->finished == job->count) {
        complete(exchange, job);
    }
}

static void cancel_job(struct http_exchange *exchange, void *context) {
    fail(exchange, context, API_DRAINING, "The server is shutting down");
}

static void close_job(struct http_exchange *exchange, void *context, bool delivered) {
    struct job *job = context;
    if (!delivered && job->count > 0 && job->finished < job->count) {
        note(exchange, job, "cancelled");
    }
    close_completions(job);
    free(job);
}

/* ---- The handler ---- */

/* Choices that need no session have finished before anything ran. */
static void begin(struct http_exchange *exchange, struct job *job) {
    static const struct http_task task = {advance_job, cancel_job, close_job};
    http_defer(exchange, &task, job);
    if (job->stream) {
        sse_begin(exchange);
    }
    for (size_t i = 0; i < job->count; i++) {
        if (job->completions[i].finish != FINISH_NONE) {
            job->finished++;
            if (job->stream) {
                sse_send(exchange, print_piece(job, i));
            }
        }
    }
    advance_job(exchange, job);
}

void api_completions(struct http_exchange *exchange, const struct service *service,
                     const char *rest) {
    (void)rest;
    size_t length;
    const char *body = http_body(exchange, &length);
    struct completion_request request;
    struct api_error error;
    struct job *job = NULL;
    bool fine = completion_request_read(&request, service, body, length, &error);
    if (fine) {
        job = create_job(&request);
        fine = job != NULL ? open_completions(job, &request, &error)
                           : api_error_set(&error, API_INTERNAL, NULL, "Out of memory");
    }
    completion_request_deinit(&request);
    if (fine) {
        begin(exchange, job);
        return;
    }
    if (job != NULL) {
        close_completions(job);
        free(job);
    }
    api_error_respond(exchange, &error);
}
