/* POST /v1/responses: the dialect of OpenAI's newer API, without what a server would have to keep; and
 * POST /v1/responses/input_tokens.
 *
 *     response.created   response.in_progress   the events of items   response.completed */
#include "server/answer.h"
#include "server/preparation.h"
#include "server/responses_output.h"
#include "server/responses_request.h"
#include "server/routes.h"
#include "server/sse.h"
#include "server/text_range.h"

#include <stdlib.h>
#include <string.h>

static const char id_prefix[] = "resp_";

struct responses {
    cJSON *told; /* what each response object repeats of it */
    struct chat_reply reply;
    struct responses_output output;
    struct text_range range; /* of what has been told; only where logprobs are */
    size_t reasoning_tokens;
};

static void close_responses(void *state) {
    struct responses *responses = state;
    chat_reply_close(&responses->reply);
    responses_output_deinit(&responses->output);
    text_range_deinit(&responses->range);
    cJSON_Delete(responses->told);
    free(responses);
}

/* ---- JSON ---- */

static bool add_usage(cJSON *response, const struct job *job) {
    const struct responses *responses = job->state;
    size_t tokens = job_generated_tokens(job);
    cJSON *usage = cJSON_AddObjectToObject(response, "usage");
    cJSON *input = cJSON_AddObjectToObject(usage, "input_tokens_details");
    cJSON *output = cJSON_AddObjectToObject(usage, "output_tokens_details");
    return cJSON_AddNumberToObject(usage, "input_tokens", (double)job->prompt_tokens) &&
           cJSON_AddNumberToObject(usage, "output_tokens", (double)tokens) &&
           cJSON_AddNumberToObject(usage, "total_tokens", (double)(job->prompt_tokens + tokens)) &&
           cJSON_AddNumberToObject(input, "cached_tokens", (double)job_cached_tokens(job)) &&
           cJSON_AddNumberToObject(output, "reasoning_tokens", (double)responses->reasoning_tokens);
}

static bool add_reason(cJSON *response, bool incomplete) {
    if (!incomplete) {
        return cJSON_AddNullToObject(response, "incomplete_details") != NULL;
    }
    cJSON *details = cJSON_AddObjectToObject(response, "incomplete_details");
    return answer_add_text(details, "reason", "max_output_tokens");
}

static bool add_error(cJSON *response, const struct api_error *error) {
    if (error == NULL) {
        return cJSON_AddNullToObject(response, "error") != NULL;
    }
    cJSON *object = cJSON_AddObjectToObject(response, "error");
    return answer_add_text(object, "code", "server_error") &&
           answer_add_text(object, "message", error->message);
}

/* What other endpoints tell of each choice. */
static bool add_further(cJSON *response, struct job *job) {
    return answer_add_tokens(response, &job->completions[0]) && answer_add_timings(response, job);
}

/* Its status follows from the completion, unless there is an error. NULL when memory is out. */
static cJSON *create_response(struct job *job, const struct api_error *error) {
    const struct responses *responses = job->state;
    enum finish_reason finish = error == NULL ? job->completions[0].finish : FINISH_NONE;
    const char *status = error != NULL             ? "failed"
                         : finish == FINISH_NONE   ? "in_progress"
                         : finish == FINISH_LENGTH ? "incomplete"
                                                   : "completed";
    cJSON *response = cJSON_Duplicate(responses->told, true);
    bool complete = answer_add_text(response, "id", job->id) &&
                    answer_add_text(response, "object", "response") &&
                    cJSON_AddNumberToObject(response, "created_at", job->created) &&
                    answer_add_text(response, "status", status) &&
                    answer_add_text(response, "model", job->service->model_id) &&
                    add_error(response, error) && add_reason(response, finish == FINISH_LENGTH) &&
                    answer_add(response, "output", responses_output_items(&responses->output));
    complete = complete &&
               (finish == FINISH_NONE ? answer_add(response, "usage", cJSON_CreateNull())
                                      : add_usage(response, job) && add_further(response, job));
    if (!complete) {
        cJSON_Delete(response);
        return NULL;
    }
    return response;
}

static char *print_whole(struct job *job) {
    cJSON *response = create_response(job, NULL);
    return answer_print(response, response != NULL);
}

/* ---- Events ---- */

static void send_response(struct job *job, const char *type, const struct api_error *error) {
    struct responses *responses = job->state;
    cJSON *event = cJSON_CreateObject();
    bool whole = answer_add(event, "response", create_response(job, error));
    responses_output_send(&responses->output, type, event, whole);
}

static void send_begin(struct http_exchange *exchange, struct job *job) {
    struct responses *responses = job->state;
    responses->output.stream = exchange;
    send_response(job, "response.created", NULL);
    send_response(job, "response.in_progress", NULL);
}

static void send_end(struct http_exchange *exchange, struct job *job) {
    bool incomplete = job->completions[0].finish == FINISH_LENGTH;
    send_response(job, incomplete ? "response.incomplete" : "response.completed", NULL);
    http_stream_end(exchange);
}

static void send_failure(struct http_exchange *exchange, struct job *job,
                         const struct api_error *error) {
    send_response(job, "response.failed", error);
    http_stream_end(exchange);
}

/* ---- The reply ---- */

static bool tell_event(struct job *job, const struct tool_event *event, const cJSON *logprobs) {
    struct responses *responses = job->state;
    responses->output.id = job->id + sizeof id_prefix - 1;
    return responses_output_add(&responses->output, &responses->reply, event, logprobs);
}

/* Text comes with the logprobs of the tokens that it is made of. */
static bool tell_text(struct job *job, const struct tool_event *event) {
    struct responses *responses = job->state;
    struct logprobs *logprobs = &job->completions[0].logprobs;
    if (!text_range_find(&responses->range, event->bytes, event->length)) {
        return tell_event(job, event, NULL);
    }
    logprobs_skip(logprobs, responses->range.begin);
    cJSON *list =
        logprobs_take_list(logprobs, job->service->model->tokenizer, responses->range.end);
    bool fine = list != NULL && tell_event(job, event, list);
    cJSON_Delete(list);
    return fine;
}

static bool tell(struct job *job) {
    struct responses *responses = job->state;
    struct tool_event event = {.kind = TOOL_EVENT_TEXT};
    bool has_logprobs = job->completions[0].tells_logprobs;
    bool fine = true;
    while (chat_reply_next(&responses->reply, &event, &fine)) {
        bool is_text = event.kind == TOOL_EVENT_TEXT && has_logprobs;
        if (!(is_text ? tell_text(job, &event) : tell_event(job, &event, NULL))) {
            return false;
        }
    }
    if (event.kind != TOOL_EVENT_TEXT) {
        text_range_skip(&responses->range);
    }
    return fine;
}

/* The reply's next piece. */
static bool push(struct job *job, const char *bytes, size_t length) {
    struct responses *responses = job->state;
    return (!job->completions[0].tells_logprobs ||
            text_range_push(&responses->range, bytes, length)) &&
           chat_reply_push(&responses->reply, bytes, length) && tell(job);
}

static bool take(struct http_exchange *exchange, struct job *job, size_t index) {
    (void)exchange;
    struct responses *responses = job->state;
    struct completion *completion = &job->completions[index];
    size_t length = completion->text.length;
    completion->text.length = 0;
    if (length > 0 && !push(job, completion->text.bytes, length)) {
        return false;
    }
    if (responses->reply.reasoning.state == REASONING_WITHIN) {
        responses->reasoning_tokens = completion->tokens;
    }
    if (responses->reply.over && completion->finish == FINISH_NONE) {
        completion_stop(completion);
    }
    return completion->finish == FINISH_NONE ||
           (chat_reply_finish(&responses->reply) && tell(job) &&
            responses_output_finish(&responses->output, completion->finish == FINISH_STOP));
}

/* ---- The handlers ---- */

static const struct dialect dialect = {
    .id_prefix = id_prefix,
    .prompt = "input",
    .begin = send_begin,
    .take = take,
    .end = send_end,
    .print = print_whole,
    .fail = send_failure,
    .refuse = api_error_respond,
    .close = close_responses,
};

/* Takes what the answer repeats of the request. NULL and an error when memory is out. */
static struct responses *open_responses(struct responses_request *request,
                                        struct api_error *error) {
    struct chat_reply_options options = chat_request_reply_options(&request->chat);
    struct responses *responses = calloc(1, sizeof *responses);
    struct error err = {0};
    if (responses == NULL) {
        api_error_set(error, API_INTERNAL, NULL, "Out of memory");
        return NULL;
    }
    responses->told = request->told;
    request->told = NULL;
    if (!chat_reply_open(&responses->reply, &options, &err)) {
        api_error_from(error, &err, NULL);
        close_responses(responses);
        return NULL;
    }
    return responses;
}

static bool read_request(void *request, const struct service *service, const char *body,
                         size_t length, struct api_error *error) {
    return responses_request_read(request, service, body, length, error);
}

static bool takes_long(void *request) {
    return generation_takes_long(&((struct responses_request *)request)->chat.generation);
}

static bool encode(void *context, struct api_error *error) {
    struct responses_request *request = context;
    return chat_request_encode(&request->chat, error);
}

static void start(struct http_exchange *exchange, void *context) {
    struct responses_request *request = context;
    struct api_error error;
    struct responses *responses = open_responses(request, &error);
    if (responses == NULL) {
        api_error_respond(exchange, &error);
        return;
    }
    job_start(exchange, &(struct job_request){
                            .dialect = &dialect,
                            .state = responses,
                            .completion = chat_request_options(&request->chat),
                            .prompts = &request->chat.prompt,
                            .prompt_count = 1,
                            .best_of = 1,
                        });
}

static void count(struct http_exchange *exchange, void *context) {
    const struct responses_request *request = context;
    cJSON *root = cJSON_CreateObject();
    bool complete = answer_add_text(root, "object", "response.input_tokens") &&
                    cJSON_AddNumberToObject(root, "input_tokens",
                                            (double)request->chat.prompt.ids.length) != NULL;
    http_respond_json(exchange, 200, answer_print(root, complete));
}

static void close_request(void *request) {
    responses_request_deinit(request);
}

void api_responses(struct http_exchange *exchange, const struct service *service,
                   const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct responses_request),
        .model = offsetof(struct responses_request, chat.generation.model),
        .read = read_request,
        .takes_long = takes_long,
        .encode = encode,
        .start = start,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}

void api_responses_input_tokens(struct http_exchange *exchange, const struct service *service,
                                const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct responses_request),
        .model = offsetof(struct responses_request, chat.generation.model),
        .read = read_request,
        .takes_long = takes_long,
        .encode = encode,
        .start = count,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}

void api_responses_kept(struct http_exchange *exchange, const struct service *service,
                        const char *rest) {
    (void)service;
    api_refuse(exchange, API_PATH_NOT_FOUND, NULL,
               "There is no response \"%.100s\": responses are not kept", rest);
}
