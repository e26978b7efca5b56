#include "server/structured_output.h"

#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_gbnf.h"
#include "engine/text/grammar/grammar_regex.h"
#include "server/parameters.h"

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

/* ---- Parameters ---- */

/* What a request asks for: at most one thing. */
struct constraint {
    const struct notation *notation; /* NULL: nothing yet */
    const cJSON *value;
    char parameter[64];
};

struct member {
    const char *name;
    const struct notation *notation;
};

static const struct member of_requests[] = {
    {"grammar", &gbnf},
    {"guided_grammar", &gbnf},
    {"guided_regex", &regex},
    {"guided_choice", &choice},
};

static const struct member of_structured_outputs[] = {
    {"grammar", &gbnf},
    {"regex", &regex},
    {"choice", &choice},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* llama-server's clients send an empty grammar where they want none. */
static bool is_nothing(const cJSON *value) {
    return value == NULL || cJSON_IsNull(value) ||
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
        bool known = is_nothing(member) || cJSON_IsFalse(member);
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

/* ---- Grammars ---- */

static bool refuse(struct api_error *error, const struct constraint *constraint,
                   const struct error *cause) {
    enum api_error_kind kind = cause->code == ERROR_OUT_OF_MEMORY ? API_INTERNAL : API_INVALID;
    return api_error_set(error, kind, constraint->parameter, "%s: %s", constraint->parameter,
                         cause->text);
}

static bool compile(struct grammar **out, const struct service *service,
                    const struct constraint *constraint, struct error *err) {
    const struct token_trie *trie = vocabulary_index_trie(service->index, err);
    struct grammar_builder *builder;
    if (trie == NULL || !grammar_builder_open(&builder, trie, err)) {
        return false;
    }
    grammar_expression root = constraint->notation->build(builder, constraint->value);
    bool ok = grammar_builder_finish(builder, root, out, err);
    grammar_builder_close(builder);
    return ok;
}

static bool make_key(struct text_buffer *key, const struct constraint *constraint) {
    const char *name = constraint->notation->name;
    char *printed = cJSON_PrintUnformatted(constraint->value);
    bool ok = printed != NULL && text_buffer_append(key, name, strlen(name)) &&
              text_buffer_append(key, printed, strlen(printed));
    cJSON_free(printed);
    return ok;
}

static bool find_or_compile(struct grammar **out, const struct service *service,
                            const struct constraint *constraint, struct api_error *error) {
    struct text_buffer key = {0};
    struct error err = {0};
    if (!make_key(&key, constraint)) {
        text_buffer_deinit(&key);
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    *out = grammar_cache_find(service->grammars, key.bytes, key.length);
    if (*out == NULL && compile(out, service, constraint, &err)) {
        grammar_cache_keep(service->grammars, key.bytes, key.length, *out);
    }
    text_buffer_deinit(&key);
    return *out != NULL || refuse(error, constraint, &err);
}

bool structured_output_read(struct grammar **out, const struct service *service,
                            const cJSON *request, struct api_error *error) {
    struct constraint constraint = {0};
    const cJSON *structured = cJSON_GetObjectItemCaseSensitive(request, "structured_outputs");
    *out = NULL;
    return read_members(&constraint, request, "", of_requests, COUNT(of_requests), error) &&
           (is_nothing(structured) || read_structured_outputs(&constraint, structured, error)) &&
           (constraint.notation == NULL || find_or_compile(out, service, &constraint, error));
}
