#include "server/answer.h"

#include "server/json.h"
#include "server/sse.h"

#include <stdint.h>
#include <stdio.h>

bool answer_add(cJSON *object, const char *name, cJSON *item) {
    if (item != NULL && cJSON_AddItemToObject(object, name, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

bool answer_append(cJSON *array, cJSON *item) {
    if (item != NULL && cJSON_AddItemToArray(array, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

bool answer_add_text(cJSON *object, const char *name, const char *text) {
    return answer_add(object, name, text != NULL ? cJSON_CreateString(text) : cJSON_CreateNull());
}

bool answer_add_bytes(cJSON *object, const char *name, const struct text_buffer *text) {
    return answer_add(object, name, json_create_text(text->bytes, text->length));
}

bool answer_add_tokens(cJSON *choice, struct completion *completion) {
    return !completion->keeps_tokens ||
           answer_add(choice, "tokens", completion_take_tokens(completion));
}

/* Of all completions together: from when the first one began to run, to its first token, to the last
 * token of all. */
struct times {
    uint64_t admitted_ns;
    uint64_t first_ns; /* 0: there is no token yet */
    uint64_t last_ns;
};

static struct times times_of(const struct job *job) {
    struct times times = {.admitted_ns = UINT64_MAX};
    for (size_t i = 0; i < job->count; i++) {
        const struct completion *completion = &job->completions[i];
        if (completion->first_ns == 0) {
            continue;
        }
        if (completion->usage.admitted_ns < times.admitted_ns) {
            times.admitted_ns = completion->usage.admitted_ns;
        }
        if (times.first_ns == 0 || completion->first_ns < times.first_ns) {
            times.first_ns = completion->first_ns;
        }
        if (completion->last_ns > times.last_ns) {
            times.last_ns = completion->last_ns;
        }
    }
    return times;
}

/* In the names of llama-server: {prefix}_n, {prefix}_ms, … */
static bool add_rate(cJSON *timings, const char *prefix, size_t tokens, uint64_t begin_ns,
                     uint64_t end_ns) {
    double ms = (double)(end_ns - begin_ns) / 1e6;
    const struct {
        const char *name;
        double value;
    } members[] = {
        {"n", (double)tokens},
        {"ms", ms},
        {"per_token_ms", tokens > 0 ? ms / (double)tokens : 0},
        {"per_second", ms > 0 ? (double)tokens / ms * 1e3 : 0},
    };
    bool complete = true;
    for (size_t i = 0; complete && i < sizeof members / sizeof *members; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_%s", prefix, members[i].name);
        complete = cJSON_AddNumberToObject(timings, name, members[i].value) != NULL;
    }
    return complete;
}

bool answer_add_timings(cJSON *root, const struct job *job) {
    struct times times = times_of(job);
    if (!job->timings || times.first_ns == 0) {
        return true;
    }
    size_t cached = job_cached_tokens(job);
    struct session_usage drafts = job_drafts(job);
    cJSON *timings = cJSON_AddObjectToObject(root, "timings");
    return cJSON_AddNumberToObject(timings, "cache_n", (double)cached) &&
           add_rate(timings, "prompt", job->prompt_tokens - cached, times.admitted_ns,
                    times.first_ns) &&
           add_rate(timings, "predicted", job_generated_tokens(job), times.first_ns,
                    times.last_ns) &&
           cJSON_AddNumberToObject(timings, "draft_n", (double)drafts.drafted_tokens) &&
           cJSON_AddNumberToObject(timings, "draft_n_accepted", (double)drafts.accepted_tokens);
}

cJSON *answer_create(const struct job *job, const char *object, cJSON **choices) {
    cJSON *root = cJSON_CreateObject();
    *choices = NULL;
    if (cJSON_AddStringToObject(root, "id", job->id) &&
        cJSON_AddStringToObject(root, "object", object) &&
        cJSON_AddNumberToObject(root, "created", job->created) &&
        cJSON_AddStringToObject(root, "model", job->service->model_id) &&
        answer_add_timings(root, job)) {
        *choices = cJSON_AddArrayToObject(root, "choices");
    }
    return root;
}

bool answer_add_usage(cJSON *root, const struct job *job) {
    size_t tokens = job_generated_tokens(job);
    struct session_usage drafts = job_drafts(job);
    cJSON *usage = cJSON_AddObjectToObject(root, "usage");
    if (!cJSON_AddNumberToObject(usage, "prompt_tokens", (double)job->prompt_tokens) ||
        !cJSON_AddNumberToObject(usage, "completion_tokens", (double)tokens) ||
        !cJSON_AddNumberToObject(usage, "total_tokens", (double)(job->prompt_tokens + tokens))) {
        return false;
    }
    cJSON *prompt = cJSON_AddObjectToObject(usage, "prompt_tokens_details");
    cJSON *reply = cJSON_AddObjectToObject(usage, "completion_tokens_details");
    return cJSON_AddNumberToObject(prompt, "cached_tokens", (double)job_cached_tokens(job)) &&
           cJSON_AddNumberToObject(reply, "accepted_prediction_tokens",
                                   (double)drafts.accepted_tokens) &&
           cJSON_AddNumberToObject(reply, "rejected_prediction_tokens",
                                   (double)(drafts.drafted_tokens - drafts.accepted_tokens));
}

char *answer_print(cJSON *root, bool complete) {
    char *text = complete ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

void answer_fail(struct http_exchange *exchange, struct job *job, const struct api_error *error) {
    (void)job;
    sse_send(exchange, api_error_print(error));
    http_stream_end(exchange);
}
