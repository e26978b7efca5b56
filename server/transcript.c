#include "server/transcript.h"

#include "engine/arena.h"
#include "engine/text/utf8.h"
#include "server/chat_prompt.h"
#include "server/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void transcript_deinit(struct transcript *transcript) {
    transcript_cut(transcript, 0);
    free(transcript->messages);
    text_buffer_deinit(&transcript->system);
    *transcript = (struct transcript){0};
}

/* ---- The messages ---- */

static bool append_valid(struct text_buffer *out, const char *text, size_t length,
                         struct error *err) {
    bool fine = text_buffer_append(out, "", 0);
    while (fine && length > 0) {
        size_t valid = utf8_valid_prefix(text, length);
        fine = text_buffer_append(out, text, valid);
        if (fine && valid < length) {
            fine = text_buffer_append(out, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
            valid++;
        }
        text += valid;
        length -= valid;
    }
    return fine || error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the conversation");
}

bool transcript_set_system(struct transcript *transcript, const char *text, struct error *err) {
    transcript->system.length = 0;
    return append_valid(&transcript->system, text, strlen(text), err);
}

bool transcript_add(struct transcript *transcript, const char *role, const char *text,
                    size_t length, struct error *err) {
    if (transcript->count == transcript->capacity) {
        size_t capacity = transcript->capacity * 2 + 8;
        struct transcript_message *messages =
            reallocarray(transcript->messages, capacity, sizeof *messages);
        if (messages == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the conversation");
        }
        transcript->messages = messages;
        transcript->capacity = capacity;
    }
    struct transcript_message message = {.role = role};
    if (!append_valid(&message.text, text, length, err)) {
        text_buffer_deinit(&message.text);
        return false;
    }
    transcript->messages[transcript->count++] = message;
    return true;
}

void transcript_cut(struct transcript *transcript, size_t count) {
    while (transcript->count > count) {
        text_buffer_deinit(&transcript->messages[--transcript->count].text);
    }
}

/* ---- As a prompt ---- */

static bool push_message(struct arena *arena, struct template_list *list, const char *role,
                         const struct text_buffer *text) {
    struct template_dict *dict = template_dict_new(arena);
    return dict != NULL &&
           template_dict_set_text(arena, dict, "role", template_from_text(role, strlen(role))) &&
           template_dict_set_text(arena, dict, "content",
                                  template_from_text(text->bytes, text->length)) &&
           template_list_push(arena, list, template_from_dict(dict));
}

/* NULL when memory is out. */
static struct template_dict *variables_of(const struct transcript *transcript,
                                          struct arena *arena) {
    struct template_dict *variables = template_dict_new(arena);
    struct template_list *list = template_list_new(arena);
    bool fine = variables != NULL && list != NULL &&
                (transcript->system.length == 0 ||
                 push_message(arena, list, "system", &transcript->system));
    for (size_t i = 0; fine && i < transcript->count; i++) {
        const struct transcript_message *message = &transcript->messages[i];
        fine = push_message(arena, list, message->role, &message->text);
    }
    fine = fine && template_dict_set_text(arena, variables, "messages", template_from_list(list)) &&
           template_dict_set_text(arena, variables, "add_generation_prompt",
                                  template_from_boolean(true));
    return fine ? variables : NULL;
}

bool transcript_prompt(const struct transcript *transcript, const struct chat_template *chat,
                       struct text_buffer *prompt, struct error *err) {
    struct arena arena;
    arena_init(&arena);
    struct template_dict *variables = variables_of(transcript, &arena);
    bool fine = variables != NULL
                    ? chat_prompt_render(chat, variables, prompt, err)
                    : error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the conversation");
    arena_deinit(&arena);
    return fine;
}

/* ---- As a file ---- */

static bool json_add_message(cJSON *list, const char *role, const struct text_buffer *text) {
    cJSON *message = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, message)) {
        cJSON_Delete(message);
        return false;
    }
    return cJSON_AddStringToObject(message, "role", role) != NULL &&
           cJSON_AddItemToObject(message, "content", json_create_text(text->bytes, text->length));
}

/* NULL when memory is out. */
static char *json_of(const struct transcript *transcript) {
    cJSON *root = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(root, "messages");
    bool fine = list != NULL && (transcript->system.length == 0 ||
                                 json_add_message(list, "system", &transcript->system));
    for (size_t i = 0; fine && i < transcript->count; i++) {
        const struct transcript_message *message = &transcript->messages[i];
        fine = json_add_message(list, message->role, &message->text);
    }
    char *text = fine ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    return text;
}

bool transcript_save(const struct transcript *transcript, const char *path, struct error *err) {
    char *json = json_of(transcript);
    if (json == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the conversation");
    }
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    bool written = file != NULL && fprintf(file, "%s\n", json) > 0;
    written = file != NULL && fclose(file) == 0 && written;
    if (file == NULL && descriptor >= 0) {
        close(descriptor);
    }
    free(json);
    return written || error_set(err, ERROR_IO, "cannot write \"%s\": %s", path, strerror(errno));
}
