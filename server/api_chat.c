/* POST /v1/chat/completions: the dialect of chat completions. */
#include "server/answer.h"
#include "server/chat_request.h"
#include "server/json.h"
#include "server/preparation.h"
#include "server/routes.h"
#include "server/sse.h"

#include <stdlib.h>

struct chat_choice {
    struct chat_reply reply;
    size_t reasoning_tokens;
};

struct chat {
    size_t count;
    struct chat_choice choices[];
};

static void close_chat(void *state) {
    struct chat *chat = state;
    for (size_t i = 0; i < chat->count; i++) {
        chat_reply_close(&chat->choices[i].reply);
    }
    free(chat);
}

/* ---- JSON ---- */

static bool add_calls(cJSON *message, const struct chat_reply *reply) {
    cJSON *calls = cJSON_AddArrayToObject(message, "tool_calls");
    bool complete = calls != NULL;
    for (size_t i = 0; complete && i < reply->call_count; i++) {
        cJSON *call = cJSON_CreateObject();
        cJSON *function = cJSON_CreateObject();
        complete = answer_add_text(call, "id", reply->all_calls[i].id) &&
                   answer_add_text(call, "type", "function") &&
                   answer_add_bytes(function, "name", &reply->all_calls[i].name) &&
                   answer_add_bytes(function, "arguments", &reply->all_calls[i].arguments);
        complete = answer_add(call, "function", function) && complete;
        complete = answer_append(calls, call) && complete;
    }
    return complete;
}

static bool add_message(cJSON *choice, const struct chat_reply *reply) {
    cJSON *message = cJSON_AddObjectToObject(choice, "message");
    bool silent = reply->all_text.length == 0 && reply->call_count > 0;
    bool complete = message != NULL && answer_add_text(message, "role", "assistant") &&
                    (silent ? answer_add_text(message, "content", NULL)
                            : answer_add_bytes(message, "content", &reply->all_text)) &&
                    answer_add_text(message, "refusal", NULL);
    if (reply->all_thoughts.length > 0) {
        complete = complete && answer_add_bytes(message, "reasoning_content", &reply->all_thoughts);
    }
    return complete && (reply->call_count == 0 || add_calls(message, reply));
}

static const char *finish_name(const struct completion *completion,
                               const struct chat_reply *reply) {
    bool calls = completion->finish == FINISH_STOP && reply->call_count > 0;
    return calls ? "tool_calls" : job_finish_name(completion->finish);
}

static cJSON *take_logprobs(const struct job *job, struct completion *completion) {
    return completion_take_logprobs(completion, job->service->model->tokenizer, logprobs_take_chat);
}

static bool add_choice(cJSON *choices, struct job *job, size_t index) {
    const struct chat *chat = job->state;
    struct completion *completion = &job->completions[index];
    const struct chat_reply *reply = &chat->choices[index].reply;
    cJSON *choice = cJSON_CreateObject();
    bool complete = cJSON_AddNumberToObject(choice, "index", (double)index) &&
                    add_message(choice, reply) &&
                    answer_add(choice, "logprobs", take_logprobs(job, completion)) &&
                    answer_add_tokens(choice, completion) &&
                    answer_add_text(choice, "finish_reason", finish_name(completion, reply));
    return answer_append(choices, choice) && complete;
}

static bool add_usage(cJSON *root, const struct job *job) {
    const struct chat *chat = job->state;
    size_t tokens = 0;
    for (size_t i = 0; i < chat->count; i++) {
        tokens += chat->choices[i].reasoning_tokens;
    }
    bool complete = answer_add_usage(root, job);
    cJSON *usage = cJSON_GetObjectItemCaseSensitive(root, "usage");
    cJSON *reply = cJSON_GetObjectItemCaseSensitive(usage, "completion_tokens_details");
    return complete && cJSON_AddNumberToObject(reply, "reasoning_tokens", (double)tokens) != NULL;
}

static char *print_whole(struct job *job) {
    cJSON *choices;
    cJSON *root = answer_create(job, "chat.completion", &choices);
    bool complete = choices != NULL;
    for (size_t i = 0; complete && i < job->count; i++) {
        complete = add_choice(choices, job, i);
    }
    return answer_print(root, complete && add_usage(root, job));
}

/* ---- Events ---- */

/* Sends a chunk of one choice; takes over `delta`, which is NULL where memory was out. */
static void send_chunk(struct http_exchange *exchange, struct job *job, size_t index, cJSON *delta,
                       const char *finish) {
    cJSON *choices;
    cJSON *root = answer_create(job, "chat.completion.chunk", &choices);
    cJSON *choice = cJSON_CreateObject();
    bool complete = cJSON_AddNumberToObject(choice, "index", (double)index) != NULL;
    complete = answer_add(choice, "delta", delta) && complete;
    complete =
        complete && answer_add(choice, "logprobs", take_logprobs(job, &job->completions[index]));
    complete = complete && answer_add_tokens(choice, &job->completions[index]) &&
               answer_add_text(choice, "finish_reason", finish);
    complete = answer_append(choices, choice) && complete;
    complete = complete && (!job->include_usage || cJSON_AddNullToObject(root, "usage"));
    sse_send(exchange, answer_print(root, complete));
}

static void send_roles(struct http_exchange *exchange, struct job *job) {
    for (size_t i = 0; i < job->count; i++) {
        cJSON *delta = cJSON_CreateObject();
        bool complete =
            answer_add_text(delta, "role", "assistant") && answer_add_text(delta, "content", "");
        if (!complete) {
            cJSON_Delete(delta);
            delta = NULL;
        }
        send_chunk(exchange, job, i, delta, NULL);
    }
}

static bool add_call_delta(cJSON *delta, const struct chat_reply *reply,
                           const struct tool_event *event) {
    cJSON *calls = cJSON_AddArrayToObject(delta, "tool_calls");
    cJSON *call = cJSON_CreateObject();
    cJSON *function = cJSON_CreateObject();
    cJSON *text = json_create_text(event->bytes, event->length);
    bool begins = event->kind == TOOL_EVENT_BEGIN;
    bool complete = cJSON_AddNumberToObject(call, "index", (double)event->call) != NULL;
    if (begins) {
        complete = complete && answer_add_text(call, "id", reply->all_calls[event->call].id) &&
                   answer_add_text(call, "type", "function");
    }
    complete = answer_add(function, begins ? "name" : "arguments", text) && complete;
    complete = (!begins || answer_add_text(function, "arguments", "")) && complete;
    complete = answer_add(call, "function", function) && complete;
    return answer_append(calls, call) && complete;
}

static void send_event(struct http_exchange *exchange, struct job *job, size_t index,
                       const struct tool_event *event) {
    const struct chat *chat = job->state;
    cJSON *delta = cJSON_CreateObject();
    bool complete = false;
    switch (event->kind) {
    case TOOL_EVENT_TEXT:
    case TOOL_EVENT_REASONING:
        complete =
            answer_add(delta, event->kind == TOOL_EVENT_TEXT ? "content" : "reasoning_content",
                       json_create_text(event->bytes, event->length));
        break;
    case TOOL_EVENT_BEGIN:
    case TOOL_EVENT_ARGUMENTS:
        complete = add_call_delta(delta, &chat->choices[index].reply, event);
        break;
    case TOOL_EVENT_END:
        cJSON_Delete(delta);
        return;
    }
    if (!complete) {
        cJSON_Delete(delta);
        delta = NULL;
    }
    send_chunk(exchange, job, index, delta, NULL);
}

static bool tell(struct http_exchange *exchange, struct job *job, size_t index) {
    struct chat *chat = job->state;
    struct tool_event event;
    bool fine = true;
    while (chat_reply_next(&chat->choices[index].reply, &event, &fine)) {
        if (job->stream) {
            send_event(exchange, job, index, &event);
        }
    }
    if (chat->choices[index].reply.over && job->completions[index].finish == FINISH_NONE) {
        completion_stop(&job->completions[index]);
    }
    return fine;
}

static bool take(struct http_exchange *exchange, struct job *job, size_t index) {
    struct chat *chat = job->state;
    struct chat_choice *choice = &chat->choices[index];
    struct completion *completion = &job->completions[index];
    size_t length = completion->text.length;
    completion->text.length = 0;
    if (length > 0 && (!chat_reply_push(&choice->reply, completion->text.bytes, length) ||
                       !tell(exchange, job, index))) {
        return false;
    }
    if (choice->reply.reasoning.state == REASONING_WITHIN) {
        choice->reasoning_tokens = completion->tokens;
    }
    if (completion->finish == FINISH_NONE) {
        return true;
    }
    bool fine = chat_reply_finish(&choice->reply) && tell(exchange, job, index);
    if (fine && job->stream) {
        send_chunk(exchange, job, index, cJSON_CreateObject(),
                   finish_name(completion, &choice->reply));
    }
    return fine;
}

static void send_end(struct http_exchange *exchange, struct job *job) {
    if (job->include_usage) {
        cJSON *choices;
        cJSON *root = answer_create(job, "chat.completion.chunk", &choices);
        sse_send(exchange, answer_print(root, choices != NULL && add_usage(root, job)));
    }
    sse_done(exchange);
}

/* ---- The handler ---- */

static const struct dialect chat_completions = {
    .id_prefix = "chatcmpl-",
    .prompt = "messages",
    .begin = send_roles,
    .take = take,
    .end = send_end,
    .print = print_whole,
    .fail = answer_fail,
    .refuse = api_error_respond,
    .close = close_chat,
};

/* NULL and an error when memory is out. */
static struct chat *open_chat(const struct chat_request *request, struct api_error *error) {
    struct chat_reply_options options = chat_request_reply_options(request);
    size_t count = (size_t)request->generation.n;
    struct chat *chat = calloc(1, sizeof *chat + count * sizeof *chat->choices);
    struct error err = {0};
    bool fine = true;
    if (chat == NULL) {
        error_set(&err, ERROR_OUT_OF_MEMORY, "Out of memory");
        api_error_from(error, &err, NULL);
        return NULL;
    }
    while (fine && chat->count < count) {
        fine = chat_reply_open(&chat->choices[chat->count++].reply, &options, &err);
    }
    if (!fine) {
        api_error_from(error, &err, NULL);
        close_chat(chat);
        return NULL;
    }
    return chat;
}

static bool read_request(void *request, const struct service *service, const char *body,
                         size_t length, struct api_error *error) {
    return chat_request_read(request, service, body, length, error);
}

static bool takes_long(void *request) {
    return generation_takes_long(&((struct chat_request *)request)->generation);
}

static bool encode(void *request, struct api_error *error) {
    return chat_request_encode(request, error);
}

static void start(struct http_exchange *exchange, void *context) {
    const struct chat_request *request = context;
    struct api_error error;
    struct chat *chat = open_chat(request, &error);
    if (chat == NULL) {
        api_error_respond(exchange, &error);
        return;
    }
    job_start(exchange, &(struct job_request){
                            .dialect = &chat_completions,
                            .state = chat,
                            .completion = chat_request_options(request),
                            .prompts = &request->prompt,
                            .prompt_count = 1,
                            .best_of = (size_t)request->generation.n,
                        });
}

static void close_request(void *request) {
    chat_request_deinit(request);
}

void api_chat(struct http_exchange *exchange, const struct service *service, const char *rest) {
    static const struct preparation preparation = {
        .size = sizeof(struct chat_request),
        .model = offsetof(struct chat_request, generation.model),
        .read = read_request,
        .takes_long = takes_long,
        .encode = encode,
        .start = start,
        .close = close_request,
    };
    (void)rest;
    preparation_begin(exchange, service, &preparation);
}
