#include "importer/chat_template.h"

#include "importer/json_reader.h"
#include "importer/json_values.h"

#include <stdlib.h>
#include <string.h>

static const char template_file[] = "chat_template.jinja";
static const char config_file[] = "tokenizer_config.json";
static const char tokens_file[] = "special_tokens_map.json";

enum {
    TEMPLATE_BYTES_MAX = 1 << 20, /* the longest there are have some 20,000 */
    CONFIG_BYTES_MAX = 64 << 20,  /* some list all added tokens of a large vocabulary */
};

/* ---- Special tokens ---- */

static bool no_memory(struct json_reader *json) {
    return error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
}

/* A token is its text, or an object with that as its "content". The first file that names it
 * decides. */
static bool add_token(struct json_reader *json, struct chat_template *chat,
                      struct template_value name, struct template_value value) {
    const struct template_value *token =
        value.type == TEMPLATE_DICT ? template_dict_find_text(value.dict, "content") : &value;
    bool wanted = token != NULL && token->type == TEMPLATE_TEXT &&
                  template_dict_find(chat->tokens, name) == NULL;
    return !wanted || template_dict_set(&chat->arena, chat->tokens, name, *token) ||
           no_memory(json);
}

static bool read_token(struct json_reader *json, struct chat_template *chat,
                       struct token_text key) {
    struct template_value value = {.type = TEMPLATE_ABSENT};
    const char *name = arena_copy_text(&chat->arena, key.bytes, key.length);
    if (name == NULL) {
        return no_memory(json);
    }
    return json_values_read(json, &chat->arena, &value) &&
           add_token(json, chat, template_from_text(name, key.length), value);
}

/* {"image_token": …}, or a list, whose tokens have no names. */
static bool read_extra_tokens(struct json_reader *json, struct chat_template *chat) {
    struct template_value tokens = {.type = TEMPLATE_ABSENT};
    if (!json_values_read(json, &chat->arena, &tokens)) {
        return false;
    }
    for (size_t i = 0; tokens.type == TEMPLATE_DICT && i < tokens.dict->count; i++) {
        const struct template_entry *entry = &tokens.dict->entries[i];
        if (!add_token(json, chat, entry->key, entry->value)) {
            return false;
        }
    }
    return true;
}

static bool is_token_name(struct token_text key) {
    static const char ending[] = "_token";
    size_t length = sizeof ending - 1;
    return key.length > length && memcmp(key.bytes + key.length - length, ending, length) == 0;
}

/* ---- Templates ---- */

/* `out` is a member of chat. */
static bool parse(struct chat_template *chat, struct template **out, struct token_text source,
                  struct error *err) {
    if (*out != NULL) { /* of two of the same name the last counts, as in Python */
        template_close(*out);
        *out = NULL;
    }
    if (source.length > TEMPLATE_BYTES_MAX) {
        return error_set(err, ERROR_TOO_LARGE, "a template of %zu bytes; at most %d are read",
                         source.length, TEMPLATE_BYTES_MAX);
    }
    if (!template_parse(out, source.bytes, source.length, err)) {
        return false;
    }
    if (out == &chat->with_tools || chat->with_tools == NULL) {
        const char *copy = arena_copy_text(&chat->arena, source.bytes, source.length);
        if (copy == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
        }
        chat->source = (struct token_text){copy, source.length};
    }
    return true;
}

static bool parse_member(struct json_reader *json, struct chat_template *chat,
                         struct template **out, struct token_text source) {
    struct error failure = {0};
    return parse(chat, out, source, &failure) ||
           error_set(&json->error, failure.code, "chat_template: %s", failure.text);
}

/* {"name": …, "template": …}, in any order. */
static bool read_named_template(struct json_reader *json, struct chat_template *chat) {
    struct token_text key;
    struct token_text text;
    struct text_buffer name = {0};
    struct text_buffer source = {0};
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        struct text_buffer *kept = token_text_is(key, "name")       ? &name
                                   : token_text_is(key, "template") ? &source
                                                                    : NULL;
        if (kept == NULL || json_peek(json) != JSON_STRING) {
            json_skip(json);
            continue;
        }
        kept->length = 0;
        if (json_string(json, &text) && !text_buffer_append(kept, text.bytes, text.length)) {
            no_memory(json);
        }
    }
    struct token_text named = {name.length > 0 ? name.bytes : "", name.length};
    struct template **place = token_text_is(named, "default")    ? &chat->usual
                              : token_text_is(named, "tool_use") ? &chat->with_tools
                                                                 : NULL;
    bool fine = json->error.code == ERROR_NONE &&
                (place == NULL || source.bytes == NULL ||
                 parse_member(json, chat, place, (struct token_text){source.bytes, source.length}));
    text_buffer_deinit(&name);
    text_buffer_deinit(&source);
    return fine;
}

static bool read_templates(struct json_reader *json, struct chat_template *chat) {
    struct token_text source;
    switch (json_peek(json)) {
    case JSON_STRING:
        return json_string(json, &source) && parse_member(json, chat, &chat->usual, source);
    case JSON_ARRAY:
        json_begin_array(json);
        while (json_next_element(json)) {
            if (!read_named_template(json, chat)) {
                return false;
            }
        }
        return json->error.code == ERROR_NONE;
    default:
        return json_skip(json);
    }
}

/* ---- Files ---- */

static void read_members(struct json_reader *json, struct chat_template *chat) {
    struct token_text key;
    bool has_template = chat->usual != NULL;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "chat_template") && !has_template) {
            read_templates(json, chat);
        } else if (token_text_is(key, "extra_special_tokens")) {
            read_extra_tokens(json, chat);
        } else if (is_token_name(key)) {
            read_token(json, chat, key);
        } else {
            json_skip(json);
        }
    }
    json_end(json);
}

/* A file that is not there says nothing. */
static bool read_config(struct chat_template *chat, struct model_dir *directory, const char *name,
                        struct error *err) {
    if (!model_dir_has(directory, name)) {
        return true;
    }
    const struct model_file *file = model_dir_map_text(directory, name, CONFIG_BYTES_MAX, err);
    if (file == NULL) {
        return false;
    }
    struct json_reader json;
    json_reader_init(&json, (const char *)file->bytes, file->size);
    read_members(&json, chat);
    struct error failure = json.error;
    json_reader_deinit(&json);
    model_dir_release_pages(file);
    return failure.code == ERROR_NONE || error_set(err, failure.code, "%s: %s", name, failure.text);
}

static bool read_template_file(struct chat_template *chat, struct model_dir *directory,
                               struct error *err) {
    if (!model_dir_has(directory, template_file)) {
        return true;
    }
    const struct model_file *file = model_dir_map(directory, template_file, err);
    return file != NULL &&
           (parse(chat, &chat->usual, (struct token_text){(const char *)file->bytes, file->size},
                  err) ||
            error_prefix(err, "%s", template_file));
}

static bool read_all(struct chat_template *chat, struct model_dir *directory, struct error *err) {
    chat->tokens = template_dict_new(&chat->arena);
    if (chat->tokens == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    if (!read_template_file(chat, directory, err) ||
        !read_config(chat, directory, config_file, err) ||
        !read_config(chat, directory, tokens_file, err)) {
        return false;
    }
    return chat->usual != NULL ||
           error_set(err, ERROR_UNSUPPORTED,
                     "the folder has no chat template, neither %s nor chat_template in %s",
                     template_file, config_file);
}

bool chat_template_open(struct chat_template **out, struct model_dir *directory,
                        struct error *err) {
    struct chat_template *chat = calloc(1, sizeof *chat);
    if (chat == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a chat template");
    }
    arena_init(&chat->arena);
    if (!read_all(chat, directory, err)) {
        chat_template_close(chat);
        return false;
    }
    *out = chat;
    return true;
}

void chat_template_close(struct chat_template *chat) {
    if (chat == NULL) {
        return;
    }
    template_close(chat->usual);
    template_close(chat->with_tools);
    arena_deinit(&chat->arena);
    free(chat);
}
