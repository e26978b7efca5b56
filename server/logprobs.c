#include "server/logprobs.h"

#include "engine/text/token_bytes.h"
#include "engine/text/utf8.h"
#include "server/answer.h"
#include "server/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenAI's, for what is impossible: JSON has no infinity. */
static const double logprob_least = -9999.0;

static bool grow(struct logprobs *logprobs) {
    size_t capacity = logprobs->capacity > 0 ? 2 * logprobs->capacity : 64;
    struct logprobs_entry *entries =
        reallocarray(logprobs->entries, capacity, sizeof *logprobs->entries);
    if (entries == NULL) {
        return false;
    }
    logprobs->entries = entries;
    struct token_logprob *tops =
        reallocarray(logprobs->tops, capacity, (logprobs->top_count + 1) * sizeof *logprobs->tops);
    if (tops == NULL) {
        return false;
    }
    logprobs->tops = tops;
    logprobs->capacity = capacity;
    return true;
}

bool logprobs_push(struct logprobs *logprobs, int32_t token, const float *logprob,
                   const struct token_logprob *top, size_t offset) {
    if (logprobs->count == logprobs->capacity && !grow(logprobs)) {
        return false;
    }
    if (logprob != NULL) {
        memcpy(logprobs->tops + logprobs->count * logprobs->top_count, top,
               logprobs->top_count * sizeof *top);
    }
    logprobs->entries[logprobs->count++] = (struct logprobs_entry){
        .token = token,
        .known = logprob != NULL,
        .logprob = logprob != NULL ? *logprob : 0.0f,
        .offset = offset,
    };
    return true;
}

void logprobs_deinit(struct logprobs *logprobs) {
    free(logprobs->entries);
    free(logprobs->tops);
    *logprobs = (struct logprobs){0};
}

/* ---- JSON ----
 *
 * Written as text: trees of what one request with many choices may want would take gigabytes. */

struct writing {
    const struct tokenizer *tokenizer;
    struct text_buffer json;
    struct text_buffer bytes; /* of one token */
};

static void end_writing(struct writing *writing) {
    text_buffer_deinit(&writing->json);
    text_buffer_deinit(&writing->bytes);
}

/* What has been written, as an item; NULL when memory is out. The next one may be written then. */
static cJSON *take_written(struct writing *writing, bool ok) {
    cJSON *item = ok ? cJSON_CreateRaw(writing->json.bytes) : NULL;
    writing->json.length = 0;
    return item;
}

static bool put(struct writing *writing, const char *json) {
    return text_buffer_append(&writing->json, json, strlen(json));
}

static bool put_number(struct writing *writing, double number) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.15g", number);
    return put(writing, digits);
}

/* To a millionth: an f32 has no more. */
static bool put_logprob(struct writing *writing, float logprob) {
    double rounded = round((double)logprob * 1e6) / 1e6 + 0.0; /* no -0 */
    return put_number(writing, rounded > logprob_least ? rounded : logprob_least);
}

static bool find_bytes(struct writing *writing, int32_t token) {
    writing->bytes.length = 0;
    return text_buffer_append(&writing->bytes, "", 0) &&
           tokenizer_token_bytes(writing->tokenizer, token, &writing->bytes, NULL);
}

static bool put_escaped(struct writing *writing) {
    bool ok = put(writing, "\"bytes:");
    for (size_t i = 0; ok && i < writing->bytes.length; i++) {
        char escape[8];
        snprintf(escape, sizeof escape, "\\\\x%02x", (unsigned char)writing->bytes.bytes[i]);
        ok = put(writing, escape);
    }
    return ok && put(writing, "\"");
}

/* The token's text as a string. */
static bool put_name(struct writing *writing, int32_t token) {
    const struct text_buffer *bytes = &writing->bytes;
    if (!find_bytes(writing, token)) {
        return false;
    }
    return utf8_valid_prefix(bytes->bytes, bytes->length) == bytes->length
               ? json_append_text(&writing->json, bytes->bytes, bytes->length)
               : put_escaped(writing);
}

/* ---- Of completions ---- */

/* The names that an object has, as they stand in its JSON. */
struct names {
    size_t count;
    struct {
        size_t begin;
        size_t length;
    } items[TOP_LOGPROBS_MAX + 1];
};

/* Adds a name and its logprob, unless the name is there: other tokens may have the same text. */
static bool put_top(struct writing *writing, struct names *names, int32_t token, float logprob) {
    struct text_buffer *json = &writing->json;
    const size_t before = json->length;
    if (!put(writing, names->count > 0 ? "," : "")) {
        return false;
    }
    const size_t begin = json->length;
    if (!put_name(writing, token)) {
        return false;
    }
    const size_t length = json->length - begin;
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].length == length &&
            memcmp(json->bytes + names->items[i].begin, json->bytes + begin, length) == 0) {
            json->length = before;
            return true;
        }
    }
    names->items[names->count].begin = begin;
    names->items[names->count++].length = length;
    return put(writing, ":") && put_logprob(writing, logprob);
}

/* The most probable tokens, and the one that came, if it is none of them. */
static bool put_tops(struct writing *writing, const struct logprobs *logprobs, size_t index) {
    const struct logprobs_entry *entry = &logprobs->entries[index];
    const struct token_logprob *top = logprobs->tops + index * logprobs->top_count;
    struct names names = {0};
    if (!entry->known) {
        return put(writing, "null");
    }
    bool ok = put(writing, "{");
    for (size_t i = 0; ok && i < logprobs->top_count && top[i].token >= 0; i++) {
        ok = put_top(writing, &names, top[i].token, top[i].logprob);
    }
    return ok && put_top(writing, &names, entry->token, entry->logprob) && put(writing, "}");
}

static bool put_token(struct writing *writing, const struct logprobs *logprobs, size_t index) {
    return put_name(writing, logprobs->entries[index].token);
}

static bool put_token_logprob(struct writing *writing, const struct logprobs *logprobs,
                              size_t index) {
    const struct logprobs_entry *entry = &logprobs->entries[index];
    return entry->known ? put_logprob(writing, entry->logprob) : put(writing, "null");
}

static bool put_offset(struct writing *writing, const struct logprobs *logprobs, size_t index) {
    return put_number(writing, (double)logprobs->entries[index].offset);
}

/* The index behind the last token that begins before character `end`. */
static size_t find_end(const struct logprobs *logprobs, size_t end) {
    size_t next = logprobs->taken;
    while (next < logprobs->count && logprobs->entries[next].offset < end) {
        next++;
    }
    return next;
}

/* Adds an array of something about each of the tokens up to `next`. */
static bool add_array(cJSON *object, const char *name, struct writing *writing,
                      const struct logprobs *logprobs, size_t next,
                      bool (*put_one)(struct writing *, const struct logprobs *, size_t index)) {
    bool ok = true;
    for (size_t i = logprobs->taken; ok && i < next; i++) {
        ok = put(writing, i > logprobs->taken ? "," : "[") && put_one(writing, logprobs, i);
    }
    return answer_add(object, name, take_written(writing, ok && put(writing, "]")));
}

cJSON *logprobs_take(struct logprobs *logprobs, const struct tokenizer *tokenizer, size_t end) {
    size_t next = find_end(logprobs, end);
    if (next == logprobs->taken) {
        return cJSON_CreateNull();
    }
    struct writing writing = {.tokenizer = tokenizer};
    cJSON *object = cJSON_CreateObject();
    bool ok = add_array(object, "tokens", &writing, logprobs, next, put_token) &&
              add_array(object, "token_logprobs", &writing, logprobs, next, put_token_logprob) &&
              (logprobs->top_count > 0
                   ? add_array(object, "top_logprobs", &writing, logprobs, next, put_tops)
                   : cJSON_AddNullToObject(object, "top_logprobs") != NULL) &&
              add_array(object, "text_offset", &writing, logprobs, next, put_offset);
    end_writing(&writing);
    if (!ok) {
        cJSON_Delete(object);
        return NULL;
    }
    logprobs->taken = next;
    return object;
}

/* ---- Of chat completions ---- */

/* The members of a token's object, and its brace. */
static bool put_members(struct writing *writing, int32_t token, float logprob) {
    bool ok = put(writing, "{\"token\":") && put_name(writing, token) &&
              put(writing, ",\"logprob\":") && put_logprob(writing, logprob) &&
              put(writing, ",\"bytes\":[");
    for (size_t i = 0; ok && i < writing->bytes.length; i++) {
        ok = put(writing, i > 0 ? "," : "") &&
             put_number(writing, (unsigned char)writing->bytes.bytes[i]);
    }
    return ok && put(writing, "]");
}

static bool put_entry(struct writing *writing, const struct logprobs *logprobs, size_t index) {
    const struct logprobs_entry *entry = &logprobs->entries[index];
    const struct token_logprob *top = logprobs->tops + index * logprobs->top_count;
    bool ok =
        put_members(writing, entry->token, entry->logprob) && put(writing, ",\"top_logprobs\":[");
    for (size_t i = 0; ok && i < logprobs->top_count && top[i].token >= 0; i++) {
        ok = put(writing, i > 0 ? "," : "") && put_members(writing, top[i].token, top[i].logprob) &&
             put(writing, "}");
    }
    return ok && put(writing, "]}");
}

cJSON *logprobs_take_list(struct logprobs *logprobs, const struct tokenizer *tokenizer,
                          size_t end) {
    size_t next = find_end(logprobs, end);
    struct writing writing = {.tokenizer = tokenizer};
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (size_t i = logprobs->taken; ok && i < next; i++) {
        bool written = put_entry(&writing, logprobs, i);
        ok = answer_append(list, take_written(&writing, written));
    }
    end_writing(&writing);
    if (!ok) {
        cJSON_Delete(list);
        return NULL;
    }
    logprobs->taken = next;
    return list;
}

cJSON *logprobs_take_chat(struct logprobs *logprobs, const struct tokenizer *tokenizer,
                          size_t end) {
    if (find_end(logprobs, end) == logprobs->taken) {
        return cJSON_CreateNull();
    }
    cJSON *object = cJSON_CreateObject();
    if (!answer_add(object, "content", logprobs_take_list(logprobs, tokenizer, end)) ||
        cJSON_AddNullToObject(object, "refusal") == NULL) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

/* A token ends where the next one begins. Several of one character begin where it does. */
void logprobs_skip(struct logprobs *logprobs, size_t begin) {
    const struct logprobs_entry *entries = logprobs->entries;
    while (logprobs->taken + 1 < logprobs->count && entries[logprobs->taken].offset < begin &&
           entries[logprobs->taken + 1].offset <= begin) {
        logprobs->taken++;
    }
}
