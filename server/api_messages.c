/* POST /v1/messages: the dialect of Anthropic's API; and POST /v1/messages/count_tokens.
 *
 *     message_start   ping   content_block_start, _delta …, _stop   message_delta   message_stop */
#include "server/answer.h"
#include "server/messages_blocks.h"
#include "server/messages_request.h"
#include "server/preparation.h"
#include "server/routes.h"
#include "server/sse.h"

#include <stdlib.h>

struct messages {
    struct chat_reply reply;
    struct messages_blocks blocks;
};

static void close_messages(void *state) {
    struct messages *messages = state;
    chat_reply_close(&messages->reply);
    free(messages);
}

/* ---- JSON ---- */

static const char *stop_reason(const struct job *job) {
    const struct messages *messages = job->state;
    const struct completion *completion = &job->completions[0];
    if (completion->finish == FINISH_LENGTH) {
        return "max_tokens";
    }
    return messages->reply.call_count > 0                  ? "tool_use"
           : stop_strings_found(completion->stops) != NULL ? "stop_sequence"
                                                           : "end_turn";
}

static bool add_stop(cJSON *object, const struct job *job) {
    return answer_add_text(object, "stop_reason", stop_reason(job)) &&
           answer_add_text(object, "stop_sequence", stop_strings_found(job->completions[0].stops));
}

/* What came from the prefix cache is no input, as Anthropic counts. */
static bool add_usage(cJSON *object, const struct job *job) {
    size_t cached = job_cached_tokens(job);
    cJSON *usage = cJSON_AddObjectToObject(object, "usage");
    return cJSON_AddNumberToObject(usage, "input_tokens", (double)(job->prompt_tokens - cached)) &&
           cJSON_AddNumberToObject(usage, "cache_creation_input_tokens", 0) &&
           cJSON_AddNumberToObject(usage, "cache_read_input_tokens", (double)cached) &&
           cJSON_AddNumberToObject(usage, "output_tokens", (double)job_generated_tokens(job));
}

/* What other endpoints tell of each choice. */
static bool add_further(cJSON *message, struct job *job) {
    return answer_add_tokens(message, &job->completions[0]) && answer_add_timings(message, job);
}

static bool add_head(cJSON *message, const struct job *job) {
    return answer_add_text(message, "id", job->id) && answer_add_text(message, "type", "message") &&
           answer_add_text(message, "role", "assistant") &&
           answer_add_text(message, "model", job->service->model_id);
}

static char *print_whole(struct job *job) {
    const struct messages *messages = job->state;
    cJSON *message = cJSON_CreateObject();
    bool complete = add_head(message, job) &&
                    answer_add(message, "content", messages_blocks_print(&messages->reply)) &&
                    add_stop(message, job) && add_usage(message, job) && add_further(message, job);
    return answer_print(message, complete);
}

/* ---- Events ---- */

static void send_event(struct http_exchange *exchange, const char *type, cJSON *event,
                       bool complete) {
    complete = complete && answer_add_text(event, "type", type);
    sse_send_event(exchange, type, answer_print(event, complete));
}

static void send_start(struct http_exchange *exchange, struct job *job) {
    cJSON *event = cJSON_CreateObject();
    cJSON *message = cJSON_AddObjectToObject(event, "message");
    bool complete = add_head(message, job) && cJSON_AddArrayToObject(message, "content") != NULL &&
                    answer_add_text(message, "stop_reason", NULL) &&
                    answer_add_text(message, "stop_sequence", NULL) && add_usage(message, job);
    send_event(exchange, "message_start", event, complete);
    send_event(exchange, "ping", cJSON_CreateObject(), true);
}

static void send_end(struct http_exchange *exchange, struct job *job) {
    cJSON *event = cJSON_CreateObject();
    cJSON *delta = cJSON_AddObjectToObject(event, "delta");
    send_event(exchange, "message_delta", event,
               add_stop(delta, job) && add_usage(event, job) && add_further(event, job));
    send_event(exchange, "message_stop", cJSON_CreateObject(), true);
    http_stream_end(exchange);
}

static void send_failure(struct http_exchange *exchange, struct job *job,
                         const struct api_error *error) {
    (void)job;
    sse_send_event(exchange, "error", api_error_print_anthropic(error));
    http_stream_end(exchange);
}

static bool tell(struct http_exchange *exchange, struct job *job) {
    struct messages *messages = job->state;
    struct tool_event event;
    bool fine = true;
    while (chat_reply_next(&messages->reply, &event, &fine)) {
        if (job->stream) {
            messages_blocks_send(&messages->blocks, exchange, &messages->reply, &event);
        }
    }
    return fine;
}

static bool take(struct http_exchange *exchange, struct job *job, size_t index) {
    struct messages *messages = job->state;
    struct completion *completion = &job->completions[index];
    size_t length = completion->text.length;
    completion->text.length = 0;
    if (length > 0 && (!chat_reply_push(&messages->reply, completion->text.bytes, length) ||
                       !tell(exchange, job))) {
        return false;
    }
    if (messages->reply.over && completion->finish == FINISH_NONE) {
        completion_stop(completion);
    }
    if (completion->finish == FINISH_NONE) {
        return true;
    }
    bool fine = chat_reply_finish(&messages->reply) && tell(exchange, job);
    if (job->stream) {
        messages_blocks_stop(&messages->blocks, exchange);
    }
    return fine;
}

static const struct dialect dialect = {
    .id_prefix = "msg_",
    .prompt = "messages",
    .begin = send_start,
    .take = take,
    .end = send_end,
    .print = print_whole,
    .fail = send_failure,
    .refuse = api_error_respond,
    .close = close_messages,
};

/* ---- The handlers ---- */

/* NULL and an error when memory is out. */
static struct messages *open_messages(const struct messages_request *request,
                                      struct api_error *error) {
    struct chat_reply_options options = messages_request_reply_options(request);
    struct messages *messages = calloc(1, sizeof *messages);
    struct error err = {0};
    if (messages == NULL) {
        api_error_set(error, API_INTERNAL, NULL, "Out of memory");
        return NULL;
    }
    if (!chat_reply_open(&messages->reply, &options, &err)) {
        api_error_from(error, &err, NULL);
        close_messages(messages);
        return NULL;
    }
    return messages;
}

static bool read_request(void *request, const struct service *service, const char *body,
                         size_t length, struct api_error *error) {
    return messages_request_read(request, service, body, length, false, error);
}

static bool read_to_count(void *request, const struct service *service, const char *body,
                          size_t length, struct api_error *error) {
    return messages_request_read(request, service, body, length, true, error);
}

static bool takes_long(void *request) {
    return generation_takes_long(&((struct messages_request *)request)->generation);
}

static bool encode(void *request, struct api_error *error) {
    return messages_request_encode(request, error);
}

static void start(struct http_exchange *exchange, void *context) {
    struct messages_request *request = context;
    struct api_error error;
    struct messages *messages = open_messages(request, &error);
    if (messages == NULL) {
        api_error_respond(exchange, &error);
        return;
    }
    job_start(exchange, &(struct job_request){
                            .dialect = &dialect,
                            .state = messages,
                            .completion = messages_request_options(request),
                            .prompts = &request->prompt,
                            .prompt_count = 1,
                            .best_of = 1,
                        });
}

static void count(struct http_exchange *exchange, void *context) {
    const struct messages_request *request = context;
    cJSON *root = cJSON_CreateObject();
    cJSON *tokens =
        cJSON_AddNumberToObject(root, "input_tokens", (double)request->prompt.ids.length);
    http_respond_json(exchange, 200, answer_print(root, tokens != NULL));
}

static void close_request(void *request) {
    messages_request_deinit(request);
}

void api_messages(struct http_exchange *exchange, const struct service *service, const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct messages_request),
        .model = offsetof(struct messages_request, generation.model),
        .read = read_request,
        .takes_long = takes_long,
        .encode = encode,
        .start = start,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}

void api_messages_count_tokens(struct http_exchange *exchange, const struct service *service,
                               const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct messages_request),
        .model = offsetof(struct messages_request, generation.model),
        .read = read_to_count,
        .takes_long = takes_long,
        .encode = encode,
        .start = count,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}
