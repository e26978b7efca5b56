#include "server/responses_output.h"

#include "server/answer.h"
#include "server/json.h"
#include "server/sse.h"

#include <stdio.h>

struct item_kind {
    const char *type;
    const char *id_prefix;
    const char *part;  /* the type of its content part; NULL: it has none */
    const char *delta; /* the events of its text */
    const char *done;
    const char *done_name; /* the member of the last one that has all of it */
};

static const struct item_kind message = {
    .type = "message",
    .id_prefix = "msg_",
    .part = "output_text",
    .delta = "response.output_text.delta",
    .done = "response.output_text.done",
    .done_name = "text",
};

static const struct item_kind reasoning = {
    .type = "reasoning",
    .id_prefix = "rs_",
    .part = "reasoning_text",
    .delta = "response.reasoning_text.delta",
    .done = "response.reasoning_text.done",
    .done_name = "text",
};

static const struct item_kind call = {
    .type = "function_call",
    .id_prefix = "fc_",
    .delta = "response.function_call_arguments.delta",
    .done = "response.function_call_arguments.done",
    .done_name = "arguments",
};

/* ---- JSON ---- */

static size_t index_of_open(const struct responses_output *output) {
    return (size_t)cJSON_GetArraySize(output->items);
}

static bool add_id(cJSON *object, const char *name, const struct responses_output *output) {
    char id[64];
    snprintf(id, sizeof id, "%s%s_%zu", output->open->id_prefix, output->id, index_of_open(output));
    return answer_add_text(object, name, id);
}

static cJSON *copy_list(const cJSON *list) {
    return list != NULL ? cJSON_Duplicate(list, true) : cJSON_CreateArray();
}

/* The open item's content part, with the text so far; NULL when memory is out. */
static cJSON *create_part(const struct responses_output *output) {
    cJSON *part = cJSON_CreateObject();
    bool complete = answer_add_text(part, "type", output->open->part) &&
                    answer_add_bytes(part, "text", &output->text);
    if (complete && output->open == &message) {
        complete = cJSON_AddArrayToObject(part, "annotations") != NULL &&
                   answer_add(part, "logprobs", copy_list(output->logprobs));
    }
    if (!complete) {
        cJSON_Delete(part);
        return NULL;
    }
    return part;
}

static bool add_content(cJSON *item, const struct responses_output *output, bool begins) {
    cJSON *content = cJSON_AddArrayToObject(item, "content");
    return content != NULL && (begins || answer_append(content, create_part(output)));
}

/* The open item as it is; NULL when memory is out. */
static cJSON *create_item(const struct responses_output *output, const char *status) {
    bool begins = output->text.length == 0;
    cJSON *item = cJSON_CreateObject();
    bool complete = add_id(item, "id", output) &&
                    answer_add_text(item, "type", output->open->type) &&
                    answer_add_text(item, "status", status);
    if (output->open == &call) {
        complete = complete && answer_add_text(item, "call_id", output->call_id) &&
                   answer_add_bytes(item, "name", &output->name) &&
                   answer_add_bytes(item, "arguments", &output->text);
    } else {
        complete = complete && add_content(item, output, begins) &&
                   (output->open == &message ? answer_add_text(item, "role", "assistant")
                                             : cJSON_AddArrayToObject(item, "summary") != NULL);
    }
    if (!complete) {
        cJSON_Delete(item);
        return NULL;
    }
    return item;
}

/* ---- Events ---- */

void responses_output_send(struct responses_output *output, const char *type, cJSON *event,
                           bool whole) {
    whole = whole && answer_add_text(event, "type", type) &&
            cJSON_AddNumberToObject(event, "sequence_number", (double)output->sequence++) != NULL;
    sse_send_event(output->stream, type, answer_print(event, whole));
}

/* An event of the open item. */
static void send_item(struct responses_output *output, const char *type, const char *status) {
    cJSON *event = cJSON_CreateObject();
    bool whole = cJSON_AddNumberToObject(event, "output_index", (double)index_of_open(output)) &&
                 answer_add(event, "item", create_item(output, status));
    responses_output_send(output, type, event, whole);
}

/* An event of the open item's text, what it says being `value`, and its logprobs. */
static void send_text(struct responses_output *output, const char *type, const char *name,
                      cJSON *value, const cJSON *logprobs) {
    cJSON *event = cJSON_CreateObject();
    bool whole = answer_add(event, name, value);
    whole = whole && add_id(event, "item_id", output) &&
            cJSON_AddNumberToObject(event, "output_index", (double)index_of_open(output));
    if (output->open->part != NULL) {
        whole = whole && cJSON_AddNumberToObject(event, "content_index", 0);
    }
    if (type == message.delta || type == message.done) {
        whole = whole && answer_add(event, "logprobs", copy_list(logprobs));
    }
    if (output->open == &call && type == call.done) {
        whole = whole && answer_add_bytes(event, "name", &output->name);
    }
    responses_output_send(output, type, event, whole);
}

/* ---- Items ---- */

static bool open_item(struct responses_output *output, const struct item_kind *kind) {
    if (output->open == kind && kind != &call) {
        return true;
    }
    if (!responses_output_finish(output, true)) {
        return false;
    }
    output->open = kind;
    output->text.length = 0;
    if (output->stream != NULL) {
        send_item(output, "response.output_item.added", "in_progress");
        if (kind->part != NULL) {
            send_text(output, "response.content_part.added", "part", create_part(output), NULL);
        }
    }
    return true;
}

static bool open_call(struct responses_output *output, const struct chat_reply *reply,
                      const struct tool_event *event) {
    if (!responses_output_finish(output, true)) {
        return false;
    }
    snprintf(output->call_id, sizeof output->call_id, "%s", reply->all_calls[event->call].id);
    output->name.length = 0;
    return text_buffer_append(&output->name, event->bytes, event->length) &&
           open_item(output, &call);
}

static bool add_logprobs(struct responses_output *output, const cJSON *logprobs) {
    if (output->logprobs == NULL && (output->logprobs = cJSON_CreateArray()) == NULL) {
        return false;
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, logprobs) {
        if (!answer_append(output->logprobs, cJSON_Duplicate(entry, true))) {
            return false;
        }
    }
    return true;
}

static bool grow(struct responses_output *output, const struct tool_event *event,
                 const cJSON *logprobs) {
    if (output->stream != NULL) {
        send_text(output, output->open->delta, "delta",
                  json_create_text(event->bytes, event->length), logprobs);
    }
    return text_buffer_append(&output->text, event->bytes, event->length) &&
           add_logprobs(output, logprobs);
}

bool responses_output_add(struct responses_output *output, const struct chat_reply *reply,
                          const struct tool_event *event, const cJSON *logprobs) {
    switch (event->kind) {
    case TOOL_EVENT_TEXT:
        return open_item(output, &message) && grow(output, event, logprobs);
    case TOOL_EVENT_REASONING:
        return open_item(output, &reasoning) && grow(output, event, NULL);
    case TOOL_EVENT_BEGIN:
        return open_call(output, reply, event);
    case TOOL_EVENT_ARGUMENTS:
        return grow(output, event, NULL);
    case TOOL_EVENT_END:
        return responses_output_finish(output, true);
    }
    return false;
}

bool responses_output_finish(struct responses_output *output, bool complete) {
    const char *status = complete ? "completed" : "incomplete";
    if (output->open == NULL) {
        return true;
    }
    if (output->items == NULL && (output->items = cJSON_CreateArray()) == NULL) {
        return false;
    }
    if (output->stream != NULL) {
        send_text(output, output->open->done, output->open->done_name,
                  json_create_text(output->text.bytes, output->text.length), output->logprobs);
        if (output->open->part != NULL) {
            send_text(output, "response.content_part.done", "part", create_part(output), NULL);
        }
        send_item(output, "response.output_item.done", status);
    }
    bool fine = answer_append(output->items, create_item(output, status));
    output->open = NULL;
    cJSON_Delete(output->logprobs);
    output->logprobs = NULL;
    return fine;
}

cJSON *responses_output_items(const struct responses_output *output) {
    return output->items != NULL ? cJSON_Duplicate(output->items, true) : cJSON_CreateArray();
}

void responses_output_deinit(struct responses_output *output) {
    cJSON_Delete(output->items);
    cJSON_Delete(output->logprobs);
    text_buffer_deinit(&output->text);
    text_buffer_deinit(&output->name);
}
