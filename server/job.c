#include "server/job.h"

#include "server/http_work.h"
#include "server/models.h"
#include "server/prefix_hash.h"
#include "server/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    /* A stream pauses taking tokens while this much is on its way to a slow reader. */
    BACKLOG_MAX = 64 << 10,
    /* Tokens and logprobs that are printed in less than some 10 ms. */
    PRINTED_AT_ONCE = 1 << 13,
    /* Logprobs of one answer, which are some 60 bytes each in it. */
    LOGPROBS_MAX = 1 << 22,
};

/* ---- For dialects ---- */

size_t job_generated_tokens(const struct job *job) {
    size_t tokens = 0;
    for (size_t i = 0; i < job->count; i++) {
        tokens += job->completions[i].tokens;
    }
    return tokens;
}

/* Of each prompt once, as it counts once: its first choice found only what others had left. */
size_t job_cached_tokens(const struct job *job) {
    size_t tokens = 0;
    for (size_t i = 0; i < job->count; i += job->best_of) {
        tokens += job->completions[i].usage.cached_tokens;
    }
    return tokens;
}

struct session_usage job_drafts(const struct job *job) {
    struct session_usage usage = {0};
    for (size_t i = 0; i < job->count; i++) {
        usage.drafted_tokens += job->completions[i].usage.drafted_tokens;
        usage.accepted_tokens += job->completions[i].usage.accepted_tokens;
    }
    return usage;
}

const char *job_finish_name(enum finish_reason reason) {
    return reason == FINISH_STOP ? "stop" : reason == FINISH_LENGTH ? "length" : NULL;
}

/* ---- Opening and closing ---- */

static void close_completions(struct job *job) {
    for (size_t i = 0; i < job->count; i++) {
        completion_close(&job->completions[i]);
    }
    job->count = 0;
}

static void close_state(const struct dialect *dialect, void *state) {
    if (dialect->close != NULL) {
        dialect->close(state);
    }
}

/* On any thread, if no completion has a session. */
static void free_job(struct job *job) {
    close_completions(job);
    close_state(job->dialect, job->state);
    free(job->printed);
    free(job);
}

/* The model last: completions have a part of its tokenizer. */
static void close_job(struct job *job) {
    const struct service *service = job->service;
    free_job(job);
    models_release(service);
}

static struct job *create_job(const struct job_request *request) {
    const struct generation *generation = request->completion.generation;
    size_t count = request->prompt_count * request->best_of;
    struct job *job = calloc(1, sizeof *job + count * sizeof *job->completions);
    if (job == NULL) {
        return NULL;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        random = (uint64_t)(uintptr_t)job;
    }
    snprintf(job->id, sizeof job->id, "%s%016llx", request->dialect->id_prefix,
             (unsigned long long)random);
    job->dialect = request->dialect;
    job->state = request->state;
    job->service = request->completion.service;
    models_hold(job->service);
    job->created = (double)time(NULL);
    job->best_of = request->best_of;
    job->n = (size_t)generation->n;
    job->stream = generation->stream;
    job->include_usage = generation->include_usage;
    job->timings = generation->timings_per_token;
    return job;
}

static bool open_completions(struct job *job, const struct job_request *request,
                             struct api_error *error) {
    for (size_t prompt = 0; prompt < request->prompt_count; prompt++) {
        job->prompt_tokens += request->prompts[prompt].ids.length;
        for (size_t choice = 0; choice < job->best_of; choice++) {
            struct error err = {0};
            if (!completion_open(&job->completions[job->count++], &request->completion,
                                 &request->prompts[prompt], prompt, choice, &err)) {
                return api_error_from(error, &err, job->dialect->prompt);
            }
        }
    }
    return true;
}

/* ---- Running ---- */

/* What the log says: the first choice's times and reason stand for all. */
static void note(struct http_exchange *exchange, const struct job *job, const char *finish) {
    const char *model = job->service->model_id;
    struct session_usage first =
        job->count > 0 ? job->completions[0].usage : (struct session_usage){0};
    http_note(exchange,
              "model=%.40s prompt=%zu cached=%zu generated=%zu queue_ms=%.1f prefill_ms=%.1f "
              "decode_ms=%.1f finish=%s",
              strpbrk(model, " =") == NULL ? model : "?", job->prompt_tokens,
              job_cached_tokens(job), job_generated_tokens(job), first.queue_s * 1e3,
              first.prefill_s * 1e3, first.decode_s * 1e3, finish);
}

/* Only when there is something to say: until then the request may be refused, and go elsewhere. */
static void introduce(struct http_exchange *exchange, struct job *job) {
    if (job->stream && !job->introduced && job->dialect->begin != NULL) {
        job->dialect->begin(exchange, job);
    }
    job->introduced = true;
}

static void fail(struct http_exchange *exchange, struct job *job, enum api_error_kind kind,
                 const char *message) {
    struct api_error error;
    api_error_set(&error, kind, NULL, "%s", message);
    note(exchange, job, "error");
    if (job->stream && http_answer_has_begun(exchange)) {
        introduce(exchange, job);
        job->dialect->fail(exchange, job, &error);
    } else {
        job->dialect->refuse(exchange, &error);
    }
    close_completions(job);
}

/* Counts a completion that has just finished; false if that ended the exchange in failure. */
static bool handle_finish(struct http_exchange *exchange, struct job *job, size_t index) {
    const struct completion *completion = &job->completions[index];
    if (completion->out_of_memory) {
        fail(exchange, job, API_INTERNAL, "Out of memory");
        return false;
    }
    if (job_finish_name(completion->finish) == NULL) {
        fail(exchange, job, API_DRAINING, "The server is shutting down");
        return false;
    }
    job->finished++;
    return true;
}

static bool take(struct http_exchange *exchange, struct job *job, size_t index) {
    const struct completion *completion = &job->completions[index];
    introduce(exchange, job);
    bool ran = completion->finish == FINISH_NONE;
    if (job->dialect->take == NULL || job->dialect->take(exchange, job, index)) {
        job->finished += ran && completion->finish != FINISH_NONE;
        return true;
    }
    fail(exchange, job, API_INTERNAL, "Out of memory");
    return false;
}

/* Takes what one completion has; false if the exchange has failed. */
static bool advance_completion(struct http_exchange *exchange, struct job *job, size_t index) {
    struct completion *completion = &job->completions[index];
    while (http_stream_backlog(exchange) < BACKLOG_MAX && completion_advance(completion)) {
        bool finished = completion->finish != FINISH_NONE;
        if (finished && !handle_finish(exchange, job, index)) {
            return false;
        }
        if ((finished || (completion->text.length > 0 && !completion->in_prompt)) &&
            !take(exchange, job, index)) {
            return false;
        }
    }
    return true;
}

static void print_job(void *context) {
    struct job *job = context;
    job->printed = job->dialect->print(job);
}

static void respond_printed(struct http_exchange *exchange, void *context) {
    struct job *job = context;
    http_respond_json(exchange, 200, job->printed);
    job->printed = NULL;
}

static void close_printed(void *context) {
    free_job(context);
}

static void print_beside_loop(struct http_exchange *exchange, struct job *job) {
    static const struct http_work printing = {print_job, respond_printed, close_printed};
    const struct service *service = job->service;
    job->is_printed = true;
    http_work_begin(exchange, service, &printing, job);
    models_release(service); /* the work holds it */
}

static size_t count_logprobs(const struct job *job) {
    size_t count = 0;
    for (size_t i = 0; i < job->count; i++) {
        const struct logprobs *logprobs = &job->completions[i].logprobs;
        count += logprobs->count * (logprobs->top_count + 1);
    }
    return count;
}

static void complete(struct http_exchange *exchange, struct job *job) {
    note(exchange, job, job_finish_name(job->completions[0].finish));
    if (job->stream) {
        job->dialect->end(exchange, job);
    } else if (job_generated_tokens(job) + count_logprobs(job) > PRINTED_AT_ONCE) {
        print_beside_loop(exchange, job);
    } else {
        http_respond_json(exchange, 200, job->dialect->print(job));
    }
}

static void advance_job(struct http_exchange *exchange, void *context) {
    struct job *job = context;
    for (size_t i = 0; i < job->count; i++) {
        if (!advance_completion(exchange, job, i)) {
            return;
        }
    }
    if (!job->stream && count_logprobs(job) > LOGPROBS_MAX) {
        fail(exchange, job, API_INVALID,
             "The answer would have too many logprobs: ask for fewer, or for a stream");
    } else if (job->count > 0 && job->finished == job->count) {
        complete(exchange, job);
    }
}

static void on_cancel(struct http_exchange *exchange, void *context) {
    fail(exchange, context, API_DRAINING, "The server is shutting down");
}

static void on_close(struct http_exchange *exchange, void *context, bool delivered) {
    struct job *job = context;
    if (job->is_printed) {
        return;
    }
    if (!delivered && job->count > 0 && job->finished < job->count) {
        note(exchange, job, "cancelled");
    }
    close_job(job);
}

/* Choices that need no session have finished before anything ran. */
static void begin(struct http_exchange *exchange, struct job *job) {
    static const struct http_task task = {advance_job, on_cancel, on_close};
    http_defer(exchange, &task, job);
    if (job->stream) {
        sse_begin(exchange);
    }
    for (size_t i = 0; i < job->count; i++) {
        if (job->completions[i].finish != FINISH_NONE) {
            job->finished++;
            if (!take(exchange, job, i)) {
                return;
            }
        }
    }
    advance_job(exchange, job);
}

void job_start(struct http_exchange *exchange, const struct job_request *request) {
    struct api_error error;
    struct job *job = create_job(request);
    if (job == NULL) {
        close_state(request->dialect, request->state);
        api_error_set(&error, API_INTERNAL, NULL, "Out of memory");
    } else if (open_completions(job, request, &error)) {
        prefix_hash_add(exchange, &request->prompts[0].ids);
        begin(exchange, job);
        return;
    } else {
        close_job(job);
    }
    request->dialect->refuse(exchange, &error);
}
