/* A request that generates text, while it runs: prompts x best_of completions, together.
 *
 *     job_start ─▶ open every completion ─▶ defer ─▶ advance … ─▶ all have finished
 *                                                      │ take        │ print, or end
 *                                                      ▼             ▼
 *                                                   dialect       dialect
 *
 * How the client is told is its endpoint's dialect: a table of functions, which get the job and look
 * at its completions. A job lives until its exchange closes; a completion's session only until it
 * has finished. Loop thread, but for print of a long answer: that is done beside the loop
 * (http_work.h), when nothing else touches the job any more. */
#ifndef QUERN_SERVER_JOB_H
#define QUERN_SERVER_JOB_H

#include "server/api_error.h"
#include "server/completion.h"
#include "server/http.h"

#include <stdbool.h>
#include <stddef.h>

struct job {
    const struct dialect *dialect;
    void *state; /* the dialect's own */
    const struct service *service;
    char id[40];
    double created; /* seconds since 1970 */
    bool stream;
    bool introduced; /* the dialect's begin has been called, if it has one */
    bool include_usage;
    bool timings; /* told with each answer or event */
    size_t prompt_tokens;
    size_t best_of;  /* completions of each prompt ... */
    size_t n;        /* ... of which so many are told */
    size_t finished; /* completions whose finish has been handled */
    bool is_printed; /* beside the loop: no longer the exchange's */
    char *printed;
    size_t count;
    struct completion completions[]; /* index = prompt * best_of + choice */
};

struct dialect {
    const char *id_prefix; /* "cmpl-" */
    const char *prompt;    /* the parameter that has it, for errors */

    /* A stream: what comes before any text, together with it. May be NULL. */
    void (*begin)(struct http_exchange *exchange, struct job *job);

    /* A completion has more text, or has finished. Takes it, and in a stream says it; what is left
     * in the completion's text stays for later. May stop the completion, which is no reason to be
     * called again. False when memory is out. May be NULL: it all stays for print. */
    bool (*take)(struct http_exchange *exchange, struct job *job, size_t index);

    /* A stream: all completions have finished and are taken. Ends the stream. */
    void (*end)(struct http_exchange *exchange, struct job *job);

    /* The whole answer; NULL when memory is out. */
    char *(*print)(struct job *job);

    /* A stream fails after something of it was sent. Ends the stream. */
    void (*fail)(struct http_exchange *exchange, struct job *job, const struct api_error *error);

    /* An answer that is no stream, or not yet, is an error. */
    void (*refuse)(struct http_exchange *exchange, const struct api_error *error);

    void (*close)(void *state); /* may be NULL */
};

struct job_request {
    const struct dialect *dialect;
    void *state; /* taken over */
    struct completion_options completion;
    const struct prompt *prompts;
    size_t prompt_count;
    size_t best_of;
};

/* Answers the exchange, now or later; the request may go then. */
void job_start(struct http_exchange *exchange, const struct job_request *request);

/* ---- For dialects ---- */

size_t job_generated_tokens(const struct job *job);
size_t job_cached_tokens(const struct job *job); /* of the prompts */
struct session_usage job_drafts(const struct job *job);

/* "stop" or "length"; NULL for what is neither. */
const char *job_finish_name(enum finish_reason reason);

#endif
