#include "importer/tokenizer_file.h"

#include "engine/text/tokenizer_builder.h"
#include "importer/json_reader.h"

#include <string.h>

/* A part of the file that has to wait for another one. */
struct span {
    const char *begin;
    const char *end;
};

struct reading {
    struct tokenizer_builder *builder;
    struct error *err; /* of the builder; that of the JSON is in its reader */
};

/* ---- Components: {"type": NAME, ...} ---- */

/* The members that components of the known types have. Strings are copied; they are short. */
struct component {
    struct text_buffer type;
    struct text_buffer content;
    struct text_buffer pattern; /* pattern.String */
    bool pattern_is_regex;
    struct text_buffer behavior;
    bool invert;
    struct span parts;  /* normalizers, pretokenizers, decoders or processors */
    struct span single; /* TemplateProcessing */
    struct span special_tokens;
};

static void component_deinit(struct component *component) {
    text_buffer_deinit(&component->type);
    text_buffer_deinit(&component->content);
    text_buffer_deinit(&component->pattern);
    text_buffer_deinit(&component->behavior);
}

static bool read_text(struct json_reader *json, struct text_buffer *text) {
    struct token_text string;
    if (json_peek(json) != JSON_STRING) {
        return json_skip(json);
    }
    text->length = 0;
    return json_string(json, &string) && text_buffer_append(text, string.bytes, string.length);
}

static bool read_span(struct json_reader *json, struct span *span) {
    json_peek(json); /* moves to where the value begins */
    span->begin = json->at;
    bool ok = json_skip(json);
    span->end = json->at;
    return ok;
}

static bool read_pattern(struct json_reader *json, struct component *component) {
    struct token_text key;
    if (json_peek(json) != JSON_OBJECT) {
        return json_skip(json);
    }
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        component->pattern_is_regex |= token_text_is(key, "Regex");
        read_text(json, &component->pattern);
    }
    return true;
}

static bool is_parts_key(struct token_text key) {
    return token_text_is(key, "normalizers") || token_text_is(key, "pretokenizers") ||
           token_text_is(key, "decoders") || token_text_is(key, "processors");
}

static void read_component(struct json_reader *json, struct component *component) {
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "type")) {
            read_text(json, &component->type);
        } else if (token_text_is(key, "content")) {
            read_text(json, &component->content);
        } else if (token_text_is(key, "behavior")) {
            read_text(json, &component->behavior);
        } else if (token_text_is(key, "pattern")) {
            read_pattern(json, component);
        } else if (token_text_is(key, "invert") && json_peek(json) == JSON_BOOLEAN) {
            json_boolean(json, &component->invert);
        } else if (is_parts_key(key)) {
            read_span(json, &component->parts);
        } else if (token_text_is(key, "single")) {
            read_span(json, &component->single);
        } else if (token_text_is(key, "special_tokens")) {
            read_span(json, &component->special_tokens);
        } else {
            json_skip(json);
        }
    }
}

static struct token_text text_of(const struct text_buffer *buffer) {
    return (struct token_text){buffer->bytes == NULL ? "" : buffer->bytes, buffer->length};
}

/* One kind of component (normalizers, say): what types it has, and what each adds to the tokenizer.
 */
struct component_type {
    const char *name;
    bool (*add)(struct reading *reading, const struct component *component);
};

struct component_kind {
    const char *name;
    const struct component_type *types; /* ends with a NULL name */
};

static bool refuse_regex(struct reading *reading, const struct component *component) {
    return error_set(
        reading->err, ERROR_UNSUPPORTED,
        "the pattern of a %s is a regular expression, \"%.80s\"; only plain strings are supported",
        component->type.bytes, text_of(&component->pattern).bytes);
}

static bool add_nothing(struct reading *reading, const struct component *component) {
    (void)reading;
    (void)component;
    return true;
}

static bool add_replacement(struct reading *reading, const struct component *component) {
    if (component->pattern_is_regex) {
        return refuse_regex(reading, component);
    }
    return tokenizer_builder_add_replacement(reading->builder, text_of(&component->pattern),
                                             text_of(&component->content), reading->err);
}

static bool add_decoder_replacement(struct reading *reading, const struct component *component) {
    if (component->pattern_is_regex) {
        return refuse_regex(reading, component);
    }
    return tokenizer_builder_add_decoder_replacement(reading->builder, text_of(&component->pattern),
                                                     text_of(&component->content), reading->err);
}

static bool add_decoder_bytes(struct reading *reading, const struct component *component) {
    (void)component;
    tokenizer_builder_set_decoder_bytes(reading->builder);
    return true;
}

static bool add_split(struct reading *reading, const struct component *component) {
    const char *behavior = text_of(&component->behavior).bytes;
    if (component->pattern_is_regex) {
        return refuse_regex(reading, component);
    }
    if (strcmp(behavior, "MergedWithPrevious") != 0 || component->invert) {
        return error_set(reading->err, ERROR_UNSUPPORTED,
                         "Split with behavior \"%.40s\"%s; only MergedWithPrevious is supported",
                         behavior, component->invert ? ", inverted" : "");
    }
    return tokenizer_builder_set_split(reading->builder, text_of(&component->pattern),
                                       reading->err);
}

/* special_tokens: {"<bos>": {"ids": [2], ...}}: adds the ids of the one called `name`. */
static bool add_special_ids(struct reading *reading, const struct component *component,
                            struct token_text name, bool before) {
    struct json_reader json;
    struct token_text key;
    bool ok = true;
    const struct span *tokens = &component->special_tokens;
    json_reader_init(&json, tokens->begin, (size_t)(tokens->end - tokens->begin));
    json_begin_object(&json);
    while (ok && json_next_key(&json, &key)) {
        if (key.length != name.length || memcmp(key.bytes, name.bytes, key.length) != 0) {
            json_skip(&json);
            continue;
        }
        json_begin_object(&json);
        while (ok && json_next_key(&json, &key)) {
            if (!token_text_is(key, "ids")) {
                json_skip(&json);
                continue;
            }
            int64_t id;
            json_begin_array(&json);
            while (ok && json_next_element(&json) && json_integer(&json, &id)) {
                bool fits = id >= 0 && id < TOKEN_ID_LIMIT;
                ok = tokenizer_builder_add_special(reading->builder, before,
                                                   fits ? (int32_t)id : -1, reading->err);
            }
        }
    }
    if (ok && json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "special_tokens: %s", json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

/* single: [{"SpecialToken": {"id": "<bos>"}}, {"Sequence": {"id": "A"}}] */
static bool add_template(struct reading *reading, const struct component *component) {
    if (component->single.begin == NULL || component->special_tokens.begin == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE,
                         "TemplateProcessing has no \"single\" or no \"special_tokens\"");
    }
    struct json_reader json;
    struct token_text kind;
    struct token_text key;
    bool before = true;
    bool ok = true;
    json_reader_init(&json, component->single.begin,
                     (size_t)(component->single.end - component->single.begin));
    json_begin_array(&json);
    while (ok && json_next_element(&json)) {
        json_begin_object(&json);
        while (ok && json_next_key(&json, &kind)) {
            bool special = token_text_is(kind, "SpecialToken");
            struct text_buffer id = {0};
            json_begin_object(&json);
            while (json_next_key(&json, &key)) {
                if (token_text_is(key, "id")) {
                    read_text(&json, &id);
                } else {
                    json_skip(&json);
                }
            }
            before = before && special; /* the first Sequence is the text */
            ok = !special || add_special_ids(reading, component, text_of(&id), before);
            text_buffer_deinit(&id);
        }
    }
    if (ok && json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "single: %s", json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

static const struct component_kind normalizers = {
    "normalizer", (const struct component_type[]){{"Replace", add_replacement}, {NULL, NULL}}};
static const struct component_kind pre_tokenizers = {
    "pre_tokenizer", (const struct component_type[]){{"Split", add_split}, {NULL, NULL}}};
static const struct component_kind post_processors = {
    "post_processor",
    (const struct component_type[]){{"TemplateProcessing", add_template}, {NULL, NULL}}};
static const struct component_kind decoders = {
    "decoder",
    (const struct component_type[]){{"Replace", add_decoder_replacement},
                                    {"ByteFallback", add_decoder_bytes},
                                    {"Fuse", add_nothing}, /* decoding joins tokens anyway */
                                    {NULL, NULL}}};

static bool add_component(struct reading *reading, struct json_reader *json,
                          const struct component_kind *kind);

static bool add_parts(struct reading *reading, const struct component *sequence,
                      const struct component_kind *kind) {
    struct json_reader json;
    bool ok = true;
    if (sequence->parts.begin == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE, "%s: a Sequence has no parts", kind->name);
    }
    json_reader_init(&json, sequence->parts.begin,
                     (size_t)(sequence->parts.end - sequence->parts.begin));
    json_begin_array(&json);
    while (ok && json_next_element(&json)) {
        ok = add_component(reading, &json, kind);
    }
    if (ok && json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "%s: %s", kind->name, json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

/* A Sequence holds components of its kind; nesting ends where the JSON reader's does. */
static bool add_component(struct reading *reading, struct json_reader *json,
                          const struct component_kind *kind) {
    struct component component = {0};
    if (json_peek(json) == JSON_NULL) {
        return json_skip(json);
    }
    read_component(json, &component);
    bool ok = json->error.code == ERROR_NONE;
    if (ok && token_text_is(text_of(&component.type), "Sequence")) {
        ok = add_parts(reading, &component, kind);
    } else if (ok) {
        const struct component_type *type = kind->types;
        while (type->name != NULL && !token_text_is(text_of(&component.type), type->name)) {
            type++;
        }
        ok = type->name != NULL ? type->add(reading, &component)
                                : error_set(reading->err, ERROR_UNSUPPORTED,
                                            "%s of type \"%.60s\" is not supported", kind->name,
                                            text_of(&component.type).bytes);
    }
    component_deinit(&component);
    return ok;
}

/* ---- The model ---- */

struct model_parts {
    struct span vocabulary;
    struct span merges;
    struct text_buffer type;
    struct text_buffer unknown;
    bool has_unknown;
    bool byte_fallback;
    bool fuse_unknown;
    const char *unsupported; /* an option that is set and would change ids; NULL: none */
};

/* Options of BPE that are not supported unless they are null, false or empty. */
static const char *const unsupported_options[] = {"continuing_subword_prefix", "end_of_word_suffix",
                                                  "ignore_merges"};

static void read_other_option(struct json_reader *json, struct token_text key,
                              const char **unsupported) {
    const char *known = NULL;
    for (size_t i = 0; i < sizeof unsupported_options / sizeof *unsupported_options; i++) {
        known = token_text_is(key, unsupported_options[i]) ? unsupported_options[i] : known;
    }
    struct token_text text = {"", 0};
    bool truth = false;
    if (known != NULL && json_peek(json) == JSON_STRING) {
        json_string(json, &text);
    } else if (known != NULL && json_peek(json) == JSON_BOOLEAN) {
        json_boolean(json, &truth);
    } else {
        json_skip(json);
    }
    if (truth || text.length > 0) {
        *unsupported = known;
    }
}

static void read_flag(struct json_reader *json, bool *flag) {
    if (json_peek(json) == JSON_BOOLEAN) {
        json_boolean(json, flag);
    } else {
        json_skip(json);
    }
}

static void read_model_parts(struct json_reader *json, struct model_parts *parts) {
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "type")) {
            read_text(json, &parts->type);
        } else if (token_text_is(key, "unk_token")) {
            parts->has_unknown = json_peek(json) == JSON_STRING;
            read_text(json, &parts->unknown);
        } else if (token_text_is(key, "byte_fallback")) {
            read_flag(json, &parts->byte_fallback);
        } else if (token_text_is(key, "fuse_unk")) {
            read_flag(json, &parts->fuse_unknown);
        } else if (token_text_is(key, "vocab")) {
            read_span(json, &parts->vocabulary);
        } else if (token_text_is(key, "merges")) {
            read_span(json, &parts->merges);
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
                                         text_of(&copy), reading->err);
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

static bool add_span(struct reading *reading, const struct span *span, const char *name,
                     bool (*add)(struct reading *reading, struct json_reader *json)) {
    struct json_reader json;
    if (span->begin == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE, "the model has no %s", name);
    }
    json_reader_init(&json, span->begin, (size_t)(span->end - span->begin));
    bool ok = add(reading, &json);
    if (json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "%s: %s", name, json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

static bool add_model(struct reading *reading, const struct model_parts *parts) {
    /* Files of old leave the type out; only BPE has merges. */
    if (parts->type.length > 0 && !token_text_is(text_of(&parts->type), "BPE")) {
        return error_set(reading->err, ERROR_UNSUPPORTED,
                         "a model of type \"%.60s\" is not supported, only BPE is",
                         parts->type.bytes);
    }
    if (parts->unsupported != NULL) {
        return error_set(reading->err, ERROR_UNSUPPORTED,
                         "the model sets \"%s\", which is not supported", parts->unsupported);
    }
    struct token_text unknown = {parts->has_unknown ? parts->unknown.bytes : NULL,
                                 parts->unknown.length};
    return tokenizer_builder_set_model(reading->builder, parts->byte_fallback, parts->fuse_unknown,
                                       unknown, reading->err) &&
           add_span(reading, &parts->vocabulary, "vocab", add_vocabulary) &&
           add_span(reading, &parts->merges, "merges", add_merges);
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
            json_integer(json, &id);
        } else if (token_text_is(key, "content")) {
            read_text(json, &content);
        } else if (token_text_is(key, "single_word")) {
            read_flag(json, &token.single_word);
        } else if (token_text_is(key, "lstrip")) {
            read_flag(json, &token.strip_left);
        } else if (token_text_is(key, "rstrip")) {
            read_flag(json, &token.strip_right);
        } else if (token_text_is(key, "normalized")) {
            read_flag(json, &token.normalized);
        } else if (token_text_is(key, "special")) {
            read_flag(json, &token.special);
        } else {
            json_skip(json);
        }
    }
    token.id = id >= 0 && id < TOKEN_ID_LIMIT ? (int32_t)id : -1;
    bool ok = json->error.code == ERROR_NONE &&
              tokenizer_builder_add_added_token(reading->builder, &token, text_of(&content),
                                                reading->err);
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

static bool read_file(struct reading *reading, struct json_reader *json,
                      struct model_parts *parts) {
    struct token_text key;
    bool ok = true;
    json_begin_object(json);
    while (ok && json_next_key(json, &key)) {
        if (token_text_is(key, "added_tokens")) {
            ok = add_added_tokens(reading, json);
        } else if (token_text_is(key, "normalizer")) {
            ok = add_component(reading, json, &normalizers);
        } else if (token_text_is(key, "pre_tokenizer")) {
            ok = add_component(reading, json, &pre_tokenizers);
        } else if (token_text_is(key, "post_processor")) {
            ok = add_component(reading, json, &post_processors);
        } else if (token_text_is(key, "decoder")) {
            ok = add_component(reading, json, &decoders);
        } else if (token_text_is(key, "model")) {
            read_model_parts(json, parts);
        } else {
            json_skip(json);
        }
    }
    return ok && json_end(json);
}

bool tokenizer_file_load(struct tokenizer **out, const uint8_t *bytes, size_t size,
                         struct error *err) {
    struct error local = {0};
    struct reading reading = {.err = &local};
    struct json_reader json;
    struct model_parts parts = {0};
    if (!tokenizer_builder_open(&reading.builder, err)) {
        return false;
    }
    json_reader_init(&json, (const char *)bytes, size);
    bool ok = read_file(&reading, &json, &parts) && add_model(&reading, &parts) &&
              tokenizer_builder_finish(reading.builder, out, &local);
    if (!ok) {
        const struct error *cause = json.error.code != ERROR_NONE ? &json.error : &local;
        if (cause->code == ERROR_NONE) {
            error_set(&local, ERROR_OUT_OF_MEMORY, "no memory for its strings");
        }
        error_set(err, cause->code, "%s", cause->text);
    }
    text_buffer_deinit(&parts.type);
    text_buffer_deinit(&parts.unknown);
    json_reader_deinit(&json);
    tokenizer_builder_close(reading.builder);
    return ok;
}
