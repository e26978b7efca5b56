#include "importer/tokenizer_file.h"

#include "engine/text/tokenizer_builder.h"
#include "importer/json_reader.h"
#include "importer/tokenizer_components.h"

#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30 }; /* the largest vocabularies have some 40 MB */

struct reading {
    struct tokenizer_builder *builder;
    struct error *err; /* of the builder; that of the JSON is in its reader */
};

/* ---- The model ---- */

/* The vocabulary and the merges are read once the options are known. */
struct model_parts {
    struct token_text vocabulary; /* NULL bytes: there is none */
    struct token_text merges;
    struct text_buffer type;
    struct text_buffer unknown;
    bool has_unknown;
    bool byte_fallback;
    bool fuse_unknown;
    bool ignore_merges;
    const char *unsupported; /* an option that is set and would change ids; NULL: none */
};

/* Options of BPE that are not supported unless they are null, zero or empty. */
static const char *const unsupported_options[] = {"continuing_subword_prefix", "end_of_word_suffix",
                                                  "dropout"};

static void read_other_option(struct json_reader *json, struct token_text key,
                              const char **unsupported) {
    static const char *const neutral[] = {"null", "\"\"", "0", "0.0"};
    struct token_text value;
    bool matters = true;
    if (!json_value(json, &value)) {
        return;
    }
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++) {
        matters = matters && !token_text_is(value, neutral[i]);
    }
    for (size_t i = 0; i < sizeof unsupported_options / sizeof *unsupported_options; i++) {
        if (matters && token_text_is(key, unsupported_options[i])) {
            *unsupported = unsupported_options[i];
        }
    }
}

static void read_model_parts(struct json_reader *json, struct model_parts *parts) {
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "type")) {
            json_optional_string(json, &parts->type);
        } else if (token_text_is(key, "unk_token")) {
            parts->has_unknown = json_peek(json) == JSON_STRING;
            json_optional_string(json, &parts->unknown);
        } else if (token_text_is(key, "byte_fallback")) {
            json_optional_boolean(json, &parts->byte_fallback);
        } else if (token_text_is(key, "fuse_unk")) {
            json_optional_boolean(json, &parts->fuse_unknown);
        } else if (token_text_is(key, "ignore_merges")) {
            json_optional_boolean(json, &parts->ignore_merges);
        } else if (token_text_is(key, "vocab")) {
            json_value(json, &parts->vocabulary);
        } else if (token_text_is(key, "merges")) {
            json_value(json, &parts->merges);
        } else {
            read_other_option(json, key, &parts->unsupported);
        }
    }
}

static bool add_vocabulary(struct reading *reading, struct json_reader *json) {
    struct token_text text;
    struct text_buffer copy = {0}; /* reading the id may move the bytes of an escaped text */
    bool ok = true;
    json_begin_object(json);
    while (ok && json_next_key(json, &text)) {
        int64_t id;
        copy.length = 0;
        ok = text_buffer_append(&copy, text.bytes, text.length) && json_integer(json, &id) &&
             tokenizer_builder_add_token(reading->builder,
                                         id >= 0 && id < TOKEN_ID_LIMIT ? (int32_t)id : -1,
                                         text_buffer_text(&copy), reading->err);
    }
    text_buffer_deinit(&copy);
    return ok;
}

/* A merge is ["left", "right"], or "left right" in older files. */
static bool read_merge(struct json_reader *json, struct text_buffer *pair, struct token_text *left,
                       struct token_text *right) {
    struct token_text text;
    pair->length = 0;
    if (json_peek(json) == JSON_STRING) {
        if (!json_string(json, &text) || !text_buffer_append(pair, text.bytes, text.length)) {
            return false;
        }
        const char *space = memchr(pair->bytes, ' ', pair->length);
        size_t left_length = space == NULL ? pair->length : (size_t)(space - pair->bytes);
        size_t right_begin = space == NULL ? pair->length : left_length + 1;
        *left = (struct token_text){pair->bytes, left_length};
        *right = (struct token_text){pair->bytes + right_begin, pair->length - right_begin};
        return true;
    }
    json_begin_array(json);
    if (!json_next_element(json) || !json_string(json, &text) ||
        !text_buffer_append(pair, text.bytes, text.length)) {
        return false;
    }
    *left = (struct token_text){pair->bytes, pair->length};
    return json_next_element(json) && json_string(json, right) && !json_next_element(json);
}

static bool add_merges(struct reading *reading, struct json_reader *json) {
    struct text_buffer pair = {0};
    struct token_text left = {NULL, 0};
    struct token_text right = {NULL, 0};
    bool ok = true;
    json_begin_array(json);
    while (ok && json_next_element(json)) {
        if (!read_merge(json, &pair, &left, &right)) {
            ok = json->error.code != ERROR_NONE ||
                 error_set(reading->err, ERROR_BAD_FILE, "a merge is not a pair of strings");
            break;
        }
        ok = tokenizer_builder_add_merge(reading->builder, left, right, reading->err);
    }
    text_buffer_deinit(&pair);
    return ok;
}

/* Reads a value that was passed over. */
static bool add_value(struct reading *reading, struct token_text value, const char *name,
                      bool (*add)(struct reading *reading, struct json_reader *json)) {
    struct json_reader json;
    json_reader_init(&json, value.bytes, value.length);
    bool ok = add(reading, &json);
    if (json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "%s: %s", name, json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

static bool add_model(struct reading *reading, const struct model_parts *parts) {
    /* Files of old leave the type out; only BPE has merges. */
    if (parts->type.length > 0 && !token_text_is(text_buffer_text(&parts->type), "BPE")) {
        return error_set(reading->err, ERROR_UNSUPPORTED,
                         "a model of type \"%.60s\" is not supported, only BPE is",
                         parts->type.bytes);
    }
    if (parts->unsupported != NULL) {
        return error_set(reading->err, ERROR_UNSUPPORTED,
                         "the model sets \"%s\", which is not supported", parts->unsupported);
    }
    if (parts->vocabulary.bytes == NULL || parts->merges.bytes == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE, "the model has no %s",
                         parts->vocabulary.bytes == NULL ? "vocab" : "merges");
    }
    const struct model_definition definition = {
        .byte_fallback = parts->byte_fallback,
        .fuse_unknown = parts->fuse_unknown,
        .ignore_merges = parts->ignore_merges,
        .unknown = {parts->has_unknown ? parts->unknown.bytes : NULL, parts->unknown.length}};
    return tokenizer_builder_set_model(reading->builder, &definition, reading->err) &&
           add_value(reading, parts->vocabulary, "vocab", add_vocabulary) &&
           add_value(reading, parts->merges, "merges", add_merges);
}

/* ---- Added tokens ---- */

static bool add_added_token(struct reading *reading, struct json_reader *json) {
    struct added_token token = {.id = -1};
    struct text_buffer content = {0};
    struct token_text key;
    int64_t id = -1;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "id")) {
            json_optional_integer(json, &id);
        } else if (token_text_is(key, "content")) {
            json_optional_string(json, &content);
        } else if (token_text_is(key, "single_word")) {
            json_optional_boolean(json, &token.single_word);
        } else if (token_text_is(key, "lstrip")) {
            json_optional_boolean(json, &token.strip_left);
        } else if (token_text_is(key, "rstrip")) {
            json_optional_boolean(json, &token.strip_right);
        } else if (token_text_is(key, "normalized")) {
            json_optional_boolean(json, &token.normalized);
        } else if (token_text_is(key, "special")) {
            json_optional_boolean(json, &token.special);
        } else {
            json_skip(json);
        }
    }
    token.id = id >= 0 && id < TOKEN_ID_LIMIT ? (int32_t)id : -1;
    bool ok = json->error.code == ERROR_NONE &&
              tokenizer_builder_add_added_token(reading->builder, &token,
                                                text_buffer_text(&content), reading->err);
    text_buffer_deinit(&content);
    return ok;
}

static bool add_added_tokens(struct reading *reading, struct json_reader *json) {
    bool ok = true;
    json_begin_array(json);
    while (ok && json_next_element(json)) {
        ok = add_added_token(reading, json);
    }
    return ok;
}

/* ---- The file ---- */

struct file_parts {
    struct model_parts model;
    struct token_text added_tokens; /* added once the model's tokens are known; NULL bytes: none */
    bool has_decoder;
};

static bool read_file(struct reading *reading, struct json_reader *json, struct file_parts *parts) {
    struct token_text key;
    bool ok = true;
    json_begin_object(json);
    while (ok && json_next_key(json, &key)) {
        const struct component_kind *kind = component_kind_find(key);
        if (kind != NULL) {
            parts->has_decoder |= token_text_is(key, "decoder") && json_peek(json) != JSON_NULL;
            ok = component_read(kind, json, reading->builder, reading->err);
        } else if (token_text_is(key, "added_tokens")) {
            json_value(json, &parts->added_tokens);
        } else if (token_text_is(key, "model")) {
            read_model_parts(json, &parts->model);
        } else {
            json_skip(json);
        }
    }
    return ok && json_end(json);
}

/* Without a decoder, tokens are words with a space between them. */
static bool add_default_decoder(struct reading *reading) {
    return tokenizer_builder_add_decoder(
        reading->builder, &(struct decoder_step_definition){.kind = DECODER_JOIN}, reading->err);
}

bool tokenizer_file_load(struct tokenizer **out, const uint8_t *bytes, size_t size,
                         struct error *err) {
    struct error local = {0};
    struct reading reading = {.err = &local};
    struct json_reader json;
    struct file_parts parts = {0};
    if (size > FILE_BYTES_MAX) {
        return error_set(err, ERROR_TOO_LARGE, "%zu bytes; at most %d are read", size,
                         FILE_BYTES_MAX);
    }
    if (!tokenizer_builder_open(&reading.builder, err)) {
        return false;
    }
    json_reader_init(&json, (const char *)bytes, size);
    bool ok = read_file(&reading, &json, &parts) && add_model(&reading, &parts.model) &&
              (parts.added_tokens.bytes == NULL ||
               add_value(&reading, parts.added_tokens, "added_tokens", add_added_tokens)) &&
              (parts.has_decoder || add_default_decoder(&reading)) &&
              tokenizer_builder_finish(reading.builder, out, &local);
    if (!ok) {
        const struct error *cause = json.error.code != ERROR_NONE ? &json.error : &local;
        if (cause->code == ERROR_NONE) {
            error_set(&local, ERROR_OUT_OF_MEMORY, "no memory for its strings");
        }
        error_set(err, cause->code, "%s", cause->text);
    }
    text_buffer_deinit(&parts.model.type);
    text_buffer_deinit(&parts.model.unknown);
    json_reader_deinit(&json);
    tokenizer_builder_close(reading.builder);
    return ok;
}
