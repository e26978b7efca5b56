#include "server/structured_output.h"

#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_gbnf.h"
#include "engine/text/grammar/grammar_regex.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/schema/json_schema.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICES_MAX = 10000 };

/* ---- Notations ---- */

static bool is_choice(const cJSON *value) {
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        if (!cJSON_IsString(element)) {
            return false;
        }
    }
    return cJSON_IsArray(value) && value->child != NULL;
}

static bool is_text(const cJSON *value) {
    return cJSON_IsString(value);
}

static grammar_expression build_gbnf(struct grammar_builder *builder, const cJSON *value) {
    return grammar_gbnf(builder, value->valuestring, strlen(value->valuestring));
}

static grammar_expression build_regex(struct grammar_builder *builder, const cJSON *value) {
    static const struct grammar_regex_style style = {.search = false};
    return grammar_regex(builder, value->valuestring, strlen(value->valuestring), &style);
}

static grammar_expression build_choice(struct grammar_builder *builder, const cJSON *value) {
    size_t count = (size_t)cJSON_GetArraySize(value);
    if (count > CHOICES_MAX) {
        return grammar_fail(builder, ERROR_TOO_LARGE, "there are %zu choices, more than %d", count,
                            CHOICES_MAX);
    }
    struct token_text *texts = calloc(count, sizeof *texts);
    if (texts == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for %zu choices", count);
    }
    size_t filled = 0;
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        texts[filled++] = (struct token_text){element->valuestring, strlen(element->valuestring)};
    }
    grammar_expression choice = grammar_texts(builder, texts, count);
    free(texts);
    return choice;
}

static grammar_expression build_any_object(struct grammar_builder *builder, const cJSON *value) {
    (void)value;
    return json_schema_any_object(builder);
}

static bool is_object(const cJSON *value) {
    return cJSON_IsObject(value) != 0;
}

static bool is_true(const cJSON *value) {
    return cJSON_IsTrue(value) != 0;
}

struct notation {
    const char *name; /* in keys of the cache */
    const char *wanted;
    bool (*fits)(const cJSON *value);
    grammar_expression (*build)(struct grammar_builder *builder, const cJSON *value);
};

static const struct notation gbnf = {"gbnf", "a string", is_text, build_gbnf};
static const struct notation regex = {"regex", "a string", is_text, build_regex};
static const struct notation choice = {"choice", "an array of strings that is not empty", is_choice,
                                       build_choice};

static const struct notation schema = {"json_schema", "a JSON Schema: an object", is_object,
                                       json_schema};
static const struct notation any_object = {"json_object", "true or false", is_true,
                                           build_any_object};

/* ---- Parameters ---- */

/* What a request asks for: at most one thing. */
struct constraint {
    const struct notation *notation; /* NULL: nothing yet */
    const cJSON *value;
    cJSON *parsed; /* owned: where the value is a text that holds JSON */
    char parameter[64];
};

struct member {
    const char *name;
    const struct notation *notation;
};

static const struct member of_requests[] = {
    {"grammar", &gbnf},         {"guided_grammar", &gbnf}, {"guided_regex", &regex},
    {"guided_choice", &choice}, {"guided_json", &schema},  {"json_schema", &schema},
};

static const struct member of_structured_outputs[] = {
    {"grammar", &gbnf},           {"regex", &regex}, {"choice", &choice}, {"json", &schema},
    {"json_object", &any_object},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* llama-server's clients send an empty grammar where they want none. */
static bool is_nothing(const cJSON *value) {
    return value == NULL || cJSON_IsNull(value) || cJSON_IsFalse(value) ||
           (cJSON_IsString(value) && value->valuestring[0] == '\0');
}

static bool set_constraint(struct constraint *constraint, const char *parameter,
                           const struct notation *notation, const cJSON *value,
                           struct api_error *error) {
    if (constraint->notation != NULL) {
        return api_error_set(error, API_INVALID, parameter,
                             "%s cannot be combined with %s: a reply can have one form only",
                             parameter, constraint->parameter);
    }
    if (notation == &schema && cJSON_IsString(value)) {
        struct error err = {0};
        const char *text = value->valuestring;
        if (!json_parse(&constraint->parsed, text, strlen(text), &err)) {
            return api_error_set(error, API_INVALID, parameter, "%s: %s", parameter, err.text);
        }
        value = constraint->parsed;
    }
    if (!notation->fits(value)) {
        return api_error_set(error, API_INVALID, parameter, "%s must be %s, but is %s", parameter,
                             notation->wanted, parameters_kind(value));
    }
    constraint->notation = notation;
    constraint->value = value;
    snprintf(constraint->parameter, sizeof constraint->parameter, "%s", parameter);
    return true;
}

/* The members of an object that are in the table; `prefix` is the object's own name and a dot. */
static bool read_members(struct constraint *constraint, const cJSON *object, const char *prefix,
                         const struct member *members, size_t count, struct api_error *error) {
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, members[i].name);
        char parameter[sizeof constraint->parameter];
        snprintf(parameter, sizeof parameter, "%s%s", prefix, members[i].name);
        if (!is_nothing(value) &&
            !set_constraint(constraint, parameter, members[i].notation, value, error)) {
            return false;
        }
    }
    return true;
}

/* Its other members would change what replies may look like. */
static bool read_structured_outputs(struct constraint *constraint, const cJSON *value,
                                    struct api_error *error) {
    static const char name[] = "structured_outputs";
    if (!cJSON_IsObject(value)) {
        return api_error_set(error, API_INVALID, name, "%s must be an object, but is %s", name,
                             parameters_kind(value));
    }
    const cJSON *member;
    cJSON_ArrayForEach(member, value) {
        bool known = is_nothing(member);
        for (size_t i = 0; i < COUNT(of_structured_outputs); i++) {
            known = known || strcmp(member->string, of_structured_outputs[i].name) == 0;
        }
        if (!known) {
            return api_error_set(error, API_INVALID, name, "%s.%.40s is not supported", name,
                                 member->string);
        }
    }
    return read_members(constraint, value, "structured_outputs.", of_structured_outputs,
                        COUNT(of_structured_outputs), error);
}

static bool refuse_format(struct api_error *error, const char *must, const cJSON *found) {
    return api_error_set(error, API_INVALID, "response_format", "response_format%s, but is %s",
                         must, parameters_found(found).text);
}

/* {"type": "json_schema", "json_schema": {"name", "schema", "strict"}}. Replies are always strict. */
static bool read_schema_format(struct constraint *constraint, const cJSON *format,
                               struct api_error *error) {
    const cJSON *named = cJSON_GetObjectItemCaseSensitive(format, "json_schema");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(named, "name");
    const cJSON *strict = cJSON_GetObjectItemCaseSensitive(named, "strict");
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(named, "schema");
    if (!cJSON_IsObject(named)) {
        return refuse_format(error, ".json_schema must be an object with a \"schema\"", named);
    }
    if (!cJSON_IsObject(value)) {
        return refuse_format(error, ".json_schema.schema must be an object", value);
    }
    if (name != NULL && !cJSON_IsString(name)) {
        return refuse_format(error, ".json_schema.name must be a string", name);
    }
    if (!is_nothing(strict) && !cJSON_IsBool(strict)) {
        return refuse_format(error, ".json_schema.strict must be true or false", strict);
    }
    return set_constraint(constraint, "response_format", &schema, value, error);
}

/* llama-server's json_object may have a schema. */
static bool read_object_format(struct constraint *constraint, const cJSON *format,
                               struct api_error *error) {
    static const cJSON yes = {.type = cJSON_True};
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(format, "schema");
    return value != NULL ? set_constraint(constraint, "response_format", &schema, value, error)
                         : set_constraint(constraint, "response_format", &any_object, &yes, error);
}

static bool read_response_format(struct constraint *constraint, const cJSON *format,
                                 struct api_error *error) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(format, "type");
    const char *name = cJSON_IsString(type) ? type->valuestring : "";
    if (strcmp(name, "json_schema") == 0) {
        return read_schema_format(constraint, format, error);
    }
    if (strcmp(name, "json_object") == 0) {
        return read_object_format(constraint, format, error);
    }
    if (!cJSON_IsObject(format)) {
        return refuse_format(error, " must be an object with a type", format);
    }
    return strcmp(name, "text") == 0 ||
           refuse_format(error, ".type must be \"text\", \"json_object\" or \"json_schema\"", type);
}

/* ---- The form ---- */

static grammar_expression build(struct grammar_builder *builder, const void *context) {
    const struct constraint *constraint = context;
    return constraint->notation->build(builder, constraint->value);
}

static void close_constraint(void *context) {
    struct constraint *constraint = context;
    cJSON_Delete(constraint->parsed);
    free(constraint);
}

static bool make_key(struct text_buffer *key, const struct constraint *constraint) {
    const char *name = constraint->notation->name;
    char *printed = cJSON_PrintUnformatted(constraint->value);
    bool ok = printed != NULL && text_buffer_append(key, name, strlen(name)) &&
              text_buffer_append(key, printed, strlen(printed));
    cJSON_free(printed);
    return ok;
}

static bool read_constraint(struct constraint *constraint, const cJSON *request,
                            struct api_error *error) {
    const cJSON *structured = cJSON_GetObjectItemCaseSensitive(request, "structured_outputs");
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(request, "response_format");
    return read_members(constraint, request, "", of_requests, COUNT(of_requests), error) &&
           (is_nothing(structured) || read_structured_outputs(constraint, structured, error)) &&
           (is_nothing(format) || read_response_format(constraint, format, error));
}

bool structured_output_read(struct reply_form *form, const cJSON *request,
                            struct api_error *error) {
    struct constraint *constraint = calloc(1, sizeof *constraint);
    *form = (struct reply_form){0};
    if (constraint == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    bool fine = read_constraint(constraint, request, error);
    if (!fine || constraint->notation == NULL) {
        close_constraint(constraint);
        return fine;
    }
    *form = (struct reply_form){
        .build = build, .context = constraint, .close = close_constraint, .complaint = ""};
    memcpy(form->parameter, constraint->parameter, sizeof form->parameter);
    return make_key(&form->key, constraint) ||
           api_error_set(error, API_INTERNAL, NULL, "Out of memory");
}
