#include "importer/tokenizer_components.h"

#include "engine/text/utf8.h"

#include <string.h>

struct reading {
    struct tokenizer_builder *builder;
    struct error *err; /* of the builder; that of the JSON is in its reader */
};

/* ---- What a component says ---- */

/* The members that components of the known types have. Strings are copied; they are short. */
struct component {
    struct text_buffer type;
    struct text_buffer pattern; /* {"String": ...} or {"Regex": ...} */
    bool pattern_is_regex;
    struct text_buffer content;
    struct text_buffer prepend;
    struct text_buffer behavior;
    bool invert;
    bool strip_left;
    bool strip_right;
    bool individual_digits;
    bool use_regex;
    bool add_prefix_space;
    struct text_buffer replacement;
    struct text_buffer prepend_scheme;
    bool split;
    int64_t start;
    int64_t stop;
    /* Values that are read once the rest of the component is known; NULL bytes: there is none. */
    struct token_text parts;  /* normalizers, pretokenizers, decoders or processors */
    struct token_text single; /* of a TemplateProcessing */
    struct token_text special_tokens;
};

enum member_type { MEMBER_TEXT, MEMBER_FLAG, MEMBER_COUNT, MEMBER_VALUE, MEMBER_PATTERN };

static const struct member {
    const char *key;
    enum member_type type;
    size_t offset;
} members[] = {
    {"type", MEMBER_TEXT, offsetof(struct component, type)},
    {"pattern", MEMBER_PATTERN, 0},
    {"content", MEMBER_TEXT, offsetof(struct component, content)},
    {"prepend", MEMBER_TEXT, offsetof(struct component, prepend)},
    {"behavior", MEMBER_TEXT, offsetof(struct component, behavior)},
    {"invert", MEMBER_FLAG, offsetof(struct component, invert)},
    {"strip_left", MEMBER_FLAG, offsetof(struct component, strip_left)},
    {"strip_right", MEMBER_FLAG, offsetof(struct component, strip_right)},
    {"individual_digits", MEMBER_FLAG, offsetof(struct component, individual_digits)},
    {"use_regex", MEMBER_FLAG, offsetof(struct component, use_regex)},
    {"add_prefix_space", MEMBER_FLAG, offsetof(struct component, add_prefix_space)},
    {"replacement", MEMBER_TEXT, offsetof(struct component, replacement)},
    {"prepend_scheme", MEMBER_TEXT, offsetof(struct component, prepend_scheme)},
    {"split", MEMBER_FLAG, offsetof(struct component, split)},
    {"start", MEMBER_COUNT, offsetof(struct component, start)},
    {"stop", MEMBER_COUNT, offsetof(struct component, stop)},
    {"normalizers", MEMBER_VALUE, offsetof(struct component, parts)},
    {"pretokenizers", MEMBER_VALUE, offsetof(struct component, parts)},
    {"decoders", MEMBER_VALUE, offsetof(struct component, parts)},
    {"processors", MEMBER_VALUE, offsetof(struct component, parts)},
    {"single", MEMBER_VALUE, offsetof(struct component, single)},
    {"special_tokens", MEMBER_VALUE, offsetof(struct component, special_tokens)},
};

static void component_deinit(struct component *component) {
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (members[i].type == MEMBER_TEXT) {
            text_buffer_deinit(
                (struct text_buffer *)(void *)((char *)component + members[i].offset));
        }
    }
    text_buffer_deinit(&component->pattern);
}

static bool read_pattern(struct json_reader *json, struct component *component) {
    struct token_text key;
    if (json_peek(json) != JSON_OBJECT) {
        return json_skip(json);
    }
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        component->pattern_is_regex |= token_text_is(key, "Regex");
        json_optional_string(json, &component->pattern);
    }
    return true;
}

static bool read_member(struct json_reader *json, struct component *component,
                        const struct member *member) {
    void *value = (char *)component + member->offset;
    switch (member->type) {
    case MEMBER_TEXT:
        return json_optional_string(json, value);
    case MEMBER_FLAG:
        return json_optional_boolean(json, value);
    case MEMBER_COUNT:
        return json_optional_integer(json, value);
    case MEMBER_VALUE:
        return json_value(json, value);
    case MEMBER_PATTERN:
        return read_pattern(json, component);
    }
    return false;
}

static void read_members(struct json_reader *json, struct component *component) {
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        const struct member *member = NULL;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            member = token_text_is(key, members[i].key) ? &members[i] : member;
        }
        if (member != NULL) {
            read_member(json, component, member);
        } else {
            json_skip(json);
        }
    }
}

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

static bool is(const struct text_buffer *buffer, const char *expected) {
    return token_text_is(text_buffer_text(buffer), expected);
}

static struct pattern_definition pattern_of(const struct component *component) {
    return (struct pattern_definition){.kind = component->pattern_is_regex ? PATTERN_REGEX
                                                                           : PATTERN_STRING,
                                       .text = text_buffer_text(&component->pattern)};
}

static struct pattern_definition string_pattern(struct token_text string) {
    return (struct pattern_definition){.kind = PATTERN_STRING, .text = string};
}

static bool is_character(struct token_text text) {
    return text.length > 0 && utf8_character(text.bytes, text.length) == text.length;
}

/* ---- Normalizers ---- */

static bool add_normalizer(struct reading *reading, const struct text_step_definition *step) {
    return tokenizer_builder_add_normalizer(reading->builder, step, reading->err);
}

static bool add_replace(struct reading *reading, const struct component *component) {
    return add_normalizer(
        reading, &(struct text_step_definition){.kind = TEXT_REPLACE,
                                                .pattern = pattern_of(component),
                                                .content = text_buffer_text(&component->content)});
}

static bool add_prepend(struct reading *reading, const struct component *component) {
    return add_normalizer(
        reading, &(struct text_step_definition){.kind = TEXT_PREPEND,
                                                .content = text_buffer_text(&component->prepend)});
}

static bool add_strip(struct reading *reading, const struct component *component) {
    return add_normalizer(reading, &(struct text_step_definition){.kind = TEXT_STRIP,
                                                                  .left = component->strip_left,
                                                                  .right = component->strip_right});
}

static bool add_lowercase(struct reading *reading, const struct component *component) {
    (void)component;
    return add_normalizer(reading, &(struct text_step_definition){.kind = TEXT_LOWERCASE});
}

static bool add_byte_alphabet(struct reading *reading, const struct component *component) {
    (void)component;
    return add_normalizer(reading, &(struct text_step_definition){.kind = TEXT_BYTE_ALPHABET});
}

/* The type's name is that of the form. */
static bool add_normal_form(struct reading *reading, const struct component *component) {
    static const char *const names[] = {[NORMAL_FORM_C] = "NFC",
                                        [NORMAL_FORM_D] = "NFD",
                                        [NORMAL_FORM_KC] = "NFKC",
                                        [NORMAL_FORM_KD] = "NFKD"};
    struct text_step_definition step = {.kind = TEXT_NORMAL_FORM};
    while (!is(&component->type, names[step.form])) {
        step.form++;
    }
    return add_normalizer(reading, &step);
}

/* ---- Pre-tokenizers ---- */

static bool add_pre_tokenizer(struct reading *reading,
                              const struct pre_tokenizer_step_definition *step) {
    return tokenizer_builder_add_pre_tokenizer(reading->builder, step, reading->err);
}

static const char *const behaviors[] = {
    [SPLIT_ISOLATED] = "Isolated",
    [SPLIT_REMOVED] = "Removed",
    [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
    [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
    [SPLIT_CONTIGUOUS] = "Contiguous",
};

static bool read_behavior(struct reading *reading, const struct component *component,
                          enum split_behavior *behavior) {
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++) {
        if (is(&component->behavior, behaviors[i])) {
            *behavior = (enum split_behavior)i;
            return true;
        }
    }
    return error_set(reading->err, ERROR_BAD_FILE, "a %s has the unknown behavior \"%.40s\"",
                     component->type.bytes, text_buffer_text(&component->behavior).bytes);
}

static bool add_split(struct reading *reading, const struct component *component) {
    struct pre_tokenizer_step_definition step = {
        .kind = PRE_TOKENIZER_SPLIT, .pattern = pattern_of(component), .invert = component->invert};
    return read_behavior(reading, component, &step.behavior) && add_pre_tokenizer(reading, &step);
}

static bool add_digits(struct reading *reading, const struct component *component) {
    return add_pre_tokenizer(
        reading, &(struct pre_tokenizer_step_definition){
                     .kind = PRE_TOKENIZER_SPLIT,
                     .pattern.kind = PATTERN_NUMBER,
                     .behavior = component->individual_digits ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS});
}

static bool add_punctuation(struct reading *reading, const struct component *component) {
    struct pre_tokenizer_step_definition step = {.kind = PRE_TOKENIZER_SPLIT,
                                                 .pattern.kind = PATTERN_PUNCTUATION,
                                                 .behavior = SPLIT_ISOLATED};
    return (component->behavior.length == 0 || read_behavior(reading, component, &step.behavior)) &&
           add_pre_tokenizer(reading, &step);
}

static bool add_white_space_split(struct reading *reading, const struct component *component) {
    (void)component;
    return add_pre_tokenizer(reading,
                             &(struct pre_tokenizer_step_definition){.kind = PRE_TOKENIZER_SPLIT,
                                                                     .pattern.kind = PATTERN_SPACE,
                                                                     .behavior = SPLIT_REMOVED});
}

static bool add_text_step(struct reading *reading, enum pre_tokenizer_step_kind kind,
                          struct text_step_definition text) {
    return add_pre_tokenizer(reading,
                             &(struct pre_tokenizer_step_definition){.kind = kind, .text = text});
}

static bool add_byte_level(struct reading *reading, const struct component *component) {
    /* The pattern of GPT-2, which use_regex means. */
    static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                                "|\\s+(?!\\S)|\\s+";
    const struct pre_tokenizer_step_definition cut = {
        .kind = PRE_TOKENIZER_SPLIT,
        .pattern = {.kind = PATTERN_REGEX, .text = text(words)},
        .behavior = SPLIT_ISOLATED};
    return (!component->add_prefix_space ||
            add_text_step(
                reading, PRE_TOKENIZER_TEXT,
                (struct text_step_definition){.kind = TEXT_BEGIN_WITH, .content = text(" ")})) &&
           (!component->use_regex || add_pre_tokenizer(reading, &cut)) &&
           add_text_step(reading, PRE_TOKENIZER_TEXT,
                         (struct text_step_definition){.kind = TEXT_BYTE_ALPHABET});
}

enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

/* What a Metaspace says, as a pre-tokenizer or as a decoder. Older files say only add_prefix_space. */
static bool read_metaspace(struct reading *reading, const struct component *component,
                           enum prepend_scheme *scheme) {
    static const char *const names[] = {
        [PREPEND_ALWAYS] = "always", [PREPEND_FIRST] = "first", [PREPEND_NEVER] = "never"};
    const struct text_buffer *name = &component->prepend_scheme;
    if (!is_character(text_buffer_text(&component->replacement))) {
        return error_set(reading->err, ERROR_BAD_FILE,
                         "the replacement of a Metaspace is not one character");
    }
    if (name->length == 0) {
        *scheme = component->add_prefix_space ? PREPEND_ALWAYS : PREPEND_NEVER;
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is(name, names[i])) {
            *scheme = (enum prepend_scheme)i;
            return component->add_prefix_space || *scheme == PREPEND_NEVER ||
                   error_set(reading->err, ERROR_BAD_FILE,
                             "a Metaspace has add_prefix_space false and the prepend_scheme \"%s\"",
                             names[i]);
        }
    }
    return error_set(reading->err, ERROR_BAD_FILE,
                     "a Metaspace has the unknown prepend_scheme \"%.40s\"", name->bytes);
}

static bool add_metaspace(struct reading *reading, const struct component *component) {
    enum prepend_scheme scheme;
    if (!read_metaspace(reading, component, &scheme)) {
        return false;
    }
    struct token_text replacement = text_buffer_text(&component->replacement);
    const struct text_step_definition replace = {
        .kind = TEXT_REPLACE, .pattern = string_pattern(text(" ")), .content = replacement};
    const struct text_step_definition begin = {.kind = TEXT_BEGIN_WITH, .content = replacement};
    const struct pre_tokenizer_step_definition cut = {.kind = PRE_TOKENIZER_SPLIT,
                                                      .pattern = string_pattern(replacement),
                                                      .behavior = SPLIT_MERGED_WITH_NEXT};
    return add_text_step(reading, PRE_TOKENIZER_TEXT, replace) &&
           (scheme == PREPEND_NEVER ||
            add_text_step(reading,
                          scheme == PREPEND_FIRST ? PRE_TOKENIZER_FIRST_TEXT : PRE_TOKENIZER_TEXT,
                          begin)) &&
           (!component->split || add_pre_tokenizer(reading, &cut));
}

/* ---- Post-processors ---- */

/* A template: the ids that go before the text, and those that go behind it. */
struct surroundings {
    struct token_list before;
    struct token_list after;
    size_t texts; /* times that the text itself was named */
};

/* special_tokens: {"<bos>": {"ids": [2], ...}}: adds the ids of the one called `name`. */
static bool read_special_ids(struct json_reader *json, struct token_text name,
                             struct token_list *ids) {
    struct token_text key;
    bool ok = true;
    json_begin_object(json);
    while (ok && json_next_key(json, &key)) {
        if (key.length != name.length || memcmp(key.bytes, name.bytes, key.length) != 0) {
            json_skip(json);
            continue;
        }
        json_begin_object(json);
        while (ok && json_next_key(json, &key)) {
            if (!token_text_is(key, "ids")) {
                json_skip(json);
                continue;
            }
            int64_t id;
            json_begin_array(json);
            while (ok && json_next_element(json) && json_integer(json, &id)) {
                ok = token_list_push(ids, id >= 0 && id < TOKEN_ID_LIMIT ? (int32_t)id : -1);
            }
        }
    }
    return ok || error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for ids");
}

static bool add_special_ids(struct reading *reading, const struct component *component,
                            struct token_text name, struct token_list *ids) {
    struct json_reader json;
    json_reader_init(&json, component->special_tokens.bytes, component->special_tokens.length);
    read_special_ids(&json, name, ids);
    bool ok = json.error.code == ERROR_NONE ||
              error_set(reading->err, json.error.code, "special_tokens: %s", json.error.text);
    json_reader_deinit(&json);
    return ok;
}

/* {"SpecialToken": {"id": "<bos>"}} or {"Sequence": {"id": "A"}} */
static bool read_piece(struct reading *reading, const struct component *component,
                       struct json_reader *json, struct surroundings *surroundings) {
    struct token_text key;
    bool ok = true;
    json_begin_object(json);
    while (ok && json_next_key(json, &key)) {
        bool special = token_text_is(key, "SpecialToken");
        struct text_buffer id = {0};
        json_begin_object(json);
        while (json_next_key(json, &key)) {
            if (token_text_is(key, "id")) {
                json_optional_string(json, &id);
            } else {
                json_skip(json);
            }
        }
        surroundings->texts += !special;
        ok = !special || add_special_ids(reading, component, text_buffer_text(&id),
                                         surroundings->texts == 0 ? &surroundings->before
                                                                  : &surroundings->after);
        text_buffer_deinit(&id);
    }
    return ok;
}

static bool add_template(struct reading *reading, const struct component *component) {
    struct surroundings surroundings = {0};
    struct json_reader json;
    bool ok = true;
    if (component->single.bytes == NULL || component->special_tokens.bytes == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE,
                         "TemplateProcessing has no \"single\" or no \"special_tokens\"");
    }
    json_reader_init(&json, component->single.bytes, component->single.length);
    json_begin_array(&json);
    while (ok && json_next_element(&json)) {
        ok = read_piece(reading, component, &json, &surroundings);
    }
    if (ok && json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "single: %s", json.error.text);
    }
    if (ok && surroundings.texts != 1) {
        ok = error_set(reading->err, ERROR_UNSUPPORTED,
                       "TemplateProcessing: \"single\" has the text %zu times, not once",
                       surroundings.texts);
    }
    ok = ok && tokenizer_builder_surround(reading->builder, &surroundings.before,
                                          &surroundings.after, reading->err);
    token_list_deinit(&surroundings.before);
    token_list_deinit(&surroundings.after);
    json_reader_deinit(&json);
    return ok;
}

/* As a post-processor ByteLevel only trims offsets, which nobody here asks for. */
static bool add_nothing(struct reading *reading, const struct component *component) {
    (void)reading;
    (void)component;
    return true;
}

/* ---- Decoders ---- */

static bool add_decoder(struct reading *reading, const struct decoder_step_definition *step) {
    return tokenizer_builder_add_decoder(reading->builder, step, reading->err);
}

static bool add_decoder_replace(struct reading *reading, const struct component *component) {
    return add_decoder(reading, &(struct decoder_step_definition){
                                    .kind = DECODER_REPLACE,
                                    .pattern = pattern_of(component),
                                    .content = text_buffer_text(&component->content)});
}

static bool add_decoder_bytes(struct reading *reading, const struct component *component) {
    (void)component;
    return add_decoder(reading, &(struct decoder_step_definition){.kind = DECODER_BYTE_FALLBACK});
}

static bool add_decoder_fuse(struct reading *reading, const struct component *component) {
    (void)component;
    return add_decoder(reading, &(struct decoder_step_definition){.kind = DECODER_FUSE});
}

static bool add_decoder_byte_level(struct reading *reading, const struct component *component) {
    (void)component;
    return add_decoder(reading, &(struct decoder_step_definition){.kind = DECODER_BYTE_LEVEL});
}

static bool add_decoder_strip(struct reading *reading, const struct component *component) {
    struct token_text content = text_buffer_text(&component->content);
    if (!is_character(content) || component->start < 0 || component->stop < 0) {
        return error_set(reading->err, ERROR_BAD_FILE,
                         "a Strip needs one character as \"content\", and counts as \"start\" and "
                         "\"stop\"");
    }
    return add_decoder(reading, &(struct decoder_step_definition){.kind = DECODER_STRIP,
                                                                  .content = content,
                                                                  .start = (size_t)component->start,
                                                                  .stop = (size_t)component->stop});
}

static bool add_decoder_metaspace(struct reading *reading, const struct component *component) {
    enum prepend_scheme scheme;
    return read_metaspace(reading, component, &scheme) &&
           add_decoder(reading, &(struct decoder_step_definition){
                                    .kind = DECODER_METASPACE,
                                    .content = text_buffer_text(&component->replacement),
                                    .left = scheme != PREPEND_NEVER});
}

/* ---- All types ---- */

struct component_type {
    const char *name;
    bool (*add)(struct reading *reading, const struct component *component);
};

/* A Sequence, which every kind has, holds components of its kind. */
struct component_kind {
    const char *name;
    const struct component_type *types; /* ends with a NULL name */
};

static const struct component_type normalizers[] = {{"Replace", add_replace},
                                                    {"Prepend", add_prepend},
                                                    {"Strip", add_strip},
                                                    {"Lowercase", add_lowercase},
                                                    {"NFC", add_normal_form},
                                                    {"NFD", add_normal_form},
                                                    {"NFKC", add_normal_form},
                                                    {"NFKD", add_normal_form},
                                                    {"ByteLevel", add_byte_alphabet},
                                                    {NULL, NULL}};

static const struct component_type pre_tokenizers[] = {{"Split", add_split},
                                                       {"ByteLevel", add_byte_level},
                                                       {"Metaspace", add_metaspace},
                                                       {"Digits", add_digits},
                                                       {"Punctuation", add_punctuation},
                                                       {"WhitespaceSplit", add_white_space_split},
                                                       {NULL, NULL}};

static const struct component_type post_processors[] = {
    {"TemplateProcessing", add_template}, {"ByteLevel", add_nothing}, {NULL, NULL}};

static const struct component_type decoders[] = {{"Replace", add_decoder_replace},
                                                 {"ByteFallback", add_decoder_bytes},
                                                 {"Fuse", add_decoder_fuse},
                                                 {"Strip", add_decoder_strip},
                                                 {"Metaspace", add_decoder_metaspace},
                                                 {"ByteLevel", add_decoder_byte_level},
                                                 {NULL, NULL}};

static const struct component_kind kinds[] = {{"normalizer", normalizers},
                                              {"pre_tokenizer", pre_tokenizers},
                                              {"post_processor", post_processors},
                                              {"decoder", decoders}};

const struct component_kind *component_kind_find(struct token_text key) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (token_text_is(key, kinds[i].name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static bool read_one(const struct component_kind *kind, struct json_reader *json,
                     struct reading *reading);

static bool add_parts(const struct component_kind *kind, const struct component *sequence,
                      struct reading *reading) {
    struct json_reader json;
    bool ok = true;
    if (sequence->parts.bytes == NULL) {
        return error_set(reading->err, ERROR_BAD_FILE, "%s: a Sequence has no parts", kind->name);
    }
    json_reader_init(&json, sequence->parts.bytes, sequence->parts.length);
    json_begin_array(&json);
    while (ok && json_next_element(&json)) {
        ok = read_one(kind, &json, reading);
    }
    if (json.error.code != ERROR_NONE) {
        ok = error_set(reading->err, json.error.code, "%s: %s", kind->name, json.error.text);
    }
    json_reader_deinit(&json);
    return ok;
}

static bool add_component(const struct component_kind *kind, const struct component *component,
                          struct reading *reading) {
    if (is(&component->type, "Sequence")) {
        return add_parts(kind, component, reading);
    }
    for (const struct component_type *type = kind->types; type->name != NULL; type++) {
        if (is(&component->type, type->name)) {
            return type->add(reading, component);
        }
    }
    return error_set(reading->err, ERROR_UNSUPPORTED, "%s of type \"%.60s\" is not supported",
                     kind->name, text_buffer_text(&component->type).bytes);
}

/* Sequences within sequences end where the JSON reader's levels do. */
static bool read_one(const struct component_kind *kind, struct json_reader *json,
                     struct reading *reading) {
    struct component component = {.use_regex = true, .add_prefix_space = true, .split = true};
    if (json_peek(json) == JSON_NULL) {
        return json_skip(json);
    }
    read_members(json, &component);
    bool ok = json->error.code == ERROR_NONE && add_component(kind, &component, reading);
    component_deinit(&component);
    return ok;
}

bool component_read(const struct component_kind *kind, struct json_reader *json,
                    struct tokenizer_builder *builder, struct error *err) {
    return read_one(kind, json, &(struct reading){builder, err});
}
