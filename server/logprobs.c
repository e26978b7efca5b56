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

/* ---- JSON ---- */

/* To a millionth: an f32 has no more. */
static cJSON *create_logprob(float logprob) {
    double rounded = round((double)logprob * 1e6) / 1e6;
    return cJSON_CreateNumber(rounded > logprob_least ? rounded : logprob_least);
}

static bool append_escaped(struct text_buffer *name, const struct text_buffer *bytes) {
    bool ok = text_buffer_append(name, "bytes:", 6);
    for (size_t i = 0; ok && i < bytes->length; i++) {
        char escape[5];
        snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(unsigned char)bytes->bytes[i]);
        ok = text_buffer_append(name, escape, 4);
    }
    return ok;
}

/* The token's text as a string of its own; NULL when memory is out. */
static cJSON *create_name(const struct tokenizer *tokenizer, int32_t token) {
    struct text_buffer bytes = {0};
    struct text_buffer name = {0};
    cJSON *string = NULL;
    if (text_buffer_append(&bytes, "", 0) &&
        tokenizer_token_bytes(tokenizer, token, &bytes, NULL)) {
        if (utf8_valid_prefix(bytes.bytes, bytes.length) == bytes.length) {
            string = json_create_text(bytes.bytes, bytes.length);
        } else if (append_escaped(&name, &bytes)) {
            string = json_create_text(name.bytes, name.length);
        }
    }
    text_buffer_deinit(&bytes);
    text_buffer_deinit(&name);
    return string;
}

/* Adds a name and its logprob, unless the name is there: other tokens may have the same text. */
static bool add_top(cJSON *object, const struct tokenizer *tokenizer, int32_t token,
                    float logprob) {
    cJSON *name = create_name(tokenizer, token);
    bool ok = name != NULL;
    if (ok && !cJSON_HasObjectItem(object, name->valuestring)) {
        cJSON *number = create_logprob(logprob);
        ok = cJSON_AddItemToObject(object, name->valuestring, number);
        if (!ok) {
            cJSON_Delete(number);
        }
    }
    cJSON_Delete(name);
    return ok;
}

/* The most probable tokens, and the one that came, if it is none of them. */
static cJSON *create_tops(const struct logprobs *logprobs, size_t index,
                          const struct tokenizer *tokenizer) {
    const struct logprobs_entry *entry = &logprobs->entries[index];
    const struct token_logprob *top = logprobs->tops + index * logprobs->top_count;
    if (!entry->known) {
        return cJSON_CreateNull();
    }
    cJSON *object = cJSON_CreateObject();
    bool ok = object != NULL;
    for (size_t i = 0; ok && i < logprobs->top_count && top[i].token >= 0; i++) {
        ok = add_top(object, tokenizer, top[i].token, top[i].logprob);
    }
    if (ok && add_top(object, tokenizer, entry->token, entry->logprob)) {
        return object;
    }
    cJSON_Delete(object);
    return NULL;
}

/* The index behind the last token that begins before character `end`. */
static size_t find_end(const struct logprobs *logprobs, size_t end) {
    size_t next = logprobs->taken;
    while (next < logprobs->count && logprobs->entries[next].offset < end) {
        next++;
    }
    return next;
}

cJSON *logprobs_take(struct logprobs *logprobs, const struct tokenizer *tokenizer, size_t end) {
    size_t first = logprobs->taken;
    size_t next = find_end(logprobs, end);
    if (next == first) {
        return cJSON_CreateNull();
    }
    cJSON *object = cJSON_CreateObject();
    cJSON *names = cJSON_AddArrayToObject(object, "tokens");
    cJSON *numbers = cJSON_AddArrayToObject(object, "token_logprobs");
    cJSON *tops = logprobs->top_count > 0 ? cJSON_AddArrayToObject(object, "top_logprobs")
                                          : cJSON_AddNullToObject(object, "top_logprobs");
    cJSON *offsets = cJSON_AddArrayToObject(object, "text_offset");
    bool ok = names != NULL && numbers != NULL && tops != NULL && offsets != NULL;
    for (size_t i = first; ok && i < next; i++) {
        const struct logprobs_entry *entry = &logprobs->entries[i];
        ok = answer_append(names, create_name(tokenizer, entry->token)) &&
             answer_append(numbers,
                           entry->known ? create_logprob(entry->logprob) : cJSON_CreateNull()) &&
             (logprobs->top_count == 0 ||
              answer_append(tops, create_tops(logprobs, i, tokenizer))) &&
             answer_append(offsets, cJSON_CreateNumber((double)entry->offset));
    }
    if (!ok) {
        cJSON_Delete(object);
        return NULL;
    }
    logprobs->taken = next;
    return object;
}

/* ---- Of chat completions ---- */

static cJSON *create_bytes(const struct tokenizer *tokenizer, int32_t token) {
    struct text_buffer bytes = {0};
    cJSON *array = cJSON_CreateArray();
    bool ok = array != NULL && tokenizer_token_bytes(tokenizer, token, &bytes, NULL);
    for (size_t i = 0; ok && i < bytes.length; i++) {
        ok = answer_append(array, cJSON_CreateNumber((unsigned char)bytes.bytes[i]));
    }
    text_buffer_deinit(&bytes);
    if (!ok) {
        cJSON_Delete(array);
        return NULL;
    }
    return array;
}

/* Appends a token to the array; NULL when memory is out. */
static cJSON *append_token(cJSON *array, const struct tokenizer *tokenizer, int32_t token,
                           float logprob) {
    cJSON *object = cJSON_CreateObject();
    bool ok = answer_add(object, "token", create_name(tokenizer, token)) &&
              answer_add(object, "logprob", create_logprob(logprob)) &&
              answer_add(object, "bytes", create_bytes(tokenizer, token));
    return answer_append(array, object) && ok ? object : NULL;
}

static bool append_entry(cJSON *content, const struct logprobs *logprobs, size_t index,
                         const struct tokenizer *tokenizer) {
    const struct logprobs_entry *entry = &logprobs->entries[index];
    const struct token_logprob *top = logprobs->tops + index * logprobs->top_count;
    cJSON *object = append_token(content, tokenizer, entry->token, entry->logprob);
    cJSON *tops = cJSON_AddArrayToObject(object, "top_logprobs");
    bool ok = tops != NULL;
    for (size_t i = 0; ok && i < logprobs->top_count && top[i].token >= 0; i++) {
        ok = append_token(tops, tokenizer, top[i].token, top[i].logprob) != NULL;
    }
    return ok;
}

cJSON *logprobs_take_list(struct logprobs *logprobs, const struct tokenizer *tokenizer,
                          size_t end) {
    size_t next = find_end(logprobs, end);
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (size_t i = logprobs->taken; ok && i < next; i++) {
        ok = append_entry(list, logprobs, i, tokenizer);
    }
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
