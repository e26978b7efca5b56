#include "server/schema/json_text.h"
#include "server/schema/schema_compiler.h"
#include "server/schema/schema_types.h"

#include "engine/text/grammar/grammar_intersection.h"
#include "engine/text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Formats ----
 *
 * As RFC 3339 (date, time), RFC 4122 (uuid) and RFC 3986 (uri) have them, but for what is rare: the 29th
 * of February, leap seconds, quoted local parts of addresses. Other formats say nothing. */

#define HOURS_AND_MINUTES "([01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME              HOURS_AND_MINUTES ":[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]" HOURS_AND_MINUTES ")"
#define DATE                                                                                       \
    "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"  \
    "02-(0[1-9]|1[0-9]|2[0-8]))"
#define BYTE  "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST  LABEL "(\\." LABEL "){0,4}"

static const struct {
    const char *name;
    const char *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", "(" DATE ")T" TIME},
    {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
    {"duration",
     "P([1-9][0-9]{0,3}W|[1-9][0-9]{0,3}D(T[1-9][0-9]{0,3}[HMS])?|T[1-9][0-9]{0,3}[HMS])"},
    {"email", "[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,32}){0,3}@" LABEL "(\\." LABEL "){1,4}"},
    {"hostname", HOST},
    {"ipv4", BYTE "(\\." BYTE "){3}"},
    {"ipv6", "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}"},
    {"uri", "https?://" HOST "(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{0,64}){0,16}"
            "(\\?[A-Za-z0-9._~=&-]{0,128})?"},
};

static const char *pattern_of_format(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return formats[i].pattern;
        }
    }
    return NULL;
}

/* ---- Strings ---- */

static bool add_pattern(struct schema_compiler *compiler, struct grammar_intersection *conditions,
                        const cJSON *schema, const char *pattern, bool search) {
    if (conditions->pattern_count == INTERSECTION_PATTERNS_MAX) {
        schema_reader_fail(&compiler->reader, ERROR_UNSUPPORTED, schema, "pattern",
                           "is one of more than 6 that are to match the same string");
        return false;
    }
    conditions->patterns[conditions->pattern_count].text =
        (struct token_text){pattern, strlen(pattern)};
    conditions->patterns[conditions->pattern_count++].search = search;
    return true;
}

static bool add_patterns(struct schema_compiler *compiler, struct schema_list schemas,
                         bool formats_too, struct grammar_intersection *conditions) {
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(schemas.items[i], "pattern");
        const cJSON *format = cJSON_GetObjectItemCaseSensitive(schemas.items[i], "format");
        const char *known = format != NULL ? pattern_of_format(format->valuestring) : NULL;
        if (pattern != NULL &&
            !add_pattern(compiler, conditions, schemas.items[i], pattern->valuestring, true)) {
            return false;
        }
        if (known != NULL && formats_too &&
            !add_pattern(compiler, conditions, schemas.items[i], known, false)) {
            return false;
        }
    }
    return true;
}

static grammar_expression write_conditions(struct grammar_builder *builder,
                                           const struct grammar_intersection *conditions) {
    bool any_length = conditions->least == 0 && conditions->most == GRAMMAR_UNBOUNDED;
    if (conditions->pattern_count > 1 || !any_length) {
        return json_text_quoted(builder, grammar_intersect(builder, conditions, &json_text_style));
    }
    struct grammar_regex_style style = json_text_style;
    style.search = conditions->patterns[0].search;
    const struct token_text pattern = conditions->patterns[0].text;
    return json_text_quoted(builder, grammar_regex(builder, pattern.bytes, pattern.length, &style));
}

static struct grammar_intersection lengths_of(struct schema_list schemas) {
    return (struct grammar_intersection){
        .least = schema_greatest(schemas, "minLength"),
        .most = schema_least(schemas, "maxLength"),
    };
}

grammar_expression schema_string(struct schema_compiler *compiler, struct schema_list schemas) {
    struct grammar_intersection conditions = lengths_of(schemas);
    if (!add_patterns(compiler, schemas, true, &conditions)) {
        return 0;
    }
    return conditions.pattern_count == 0
               ? json_text_string(compiler->builder, conditions.least, conditions.most)
               : write_conditions(compiler->builder, &conditions);
}

/* ---- Constants ---- */

/* The values that a schema allows: `const`, or the elements of `enum`; NULL if it has neither. */
static const cJSON *first_constant(const cJSON *schema, bool *only) {
    const cJSON *constant = cJSON_GetObjectItemCaseSensitive(schema, "const");
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(schema, "enum");
    *only = constant != NULL;
    return constant != NULL ? constant : values != NULL ? values->child : NULL;
}

static char *print(struct schema_compiler *compiler, const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    if (text == NULL) {
        grammar_fail(compiler->builder, ERROR_OUT_OF_MEMORY, "no memory for a constant");
    } else {
        schema_reader_work(&compiler->reader, 1 + strlen(text) / 16);
    }
    return text;
}

/* Constants are equal if they are printed in the same way. */
static bool is_allowed_by(struct schema_compiler *compiler, const cJSON *schema, const char *text) {
    bool only;
    const cJSON *constant = first_constant(schema, &only);
    bool allowed = constant == NULL;
    while (constant != NULL && !allowed && schema_reader_work(&compiler->reader, 1)) {
        char *other = print(compiler, constant);
        allowed = other != NULL && strcmp(other, text) == 0;
        cJSON_free(other);
        constant = only ? NULL : constant->next;
    }
    return allowed;
}

static bool is_in_range(const struct number_range *range, double number) {
    if (range->multiple_of != 0 && fabs(fmod(number, (double)range->multiple_of)) > 0) {
        return false;
    }
    return (range->least_open ? number > range->least : number >= range->least) &&
           (range->most_open ? number < range->most : number <= range->most);
}

static size_t count_characters(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

/* What arrays and objects are to be is not checked of constants. */
static bool has_conditions_on(struct schema_list schemas, enum schema_type type) {
    static const struct {
        enum schema_type type;
        const char *keyword;
    } conditions[] = {
        {TYPE_ARRAY, "items"},          {TYPE_ARRAY, "prefixItems"},
        {TYPE_ARRAY, "minItems"},       {TYPE_ARRAY, "maxItems"},
        {TYPE_OBJECT, "properties"},    {TYPE_OBJECT, "additionalProperties"},
        {TYPE_OBJECT, "required"},      {TYPE_OBJECT, "minProperties"},
        {TYPE_OBJECT, "maxProperties"},
    };
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        if (conditions[i].type == type && schema_has(schemas, conditions[i].keyword)) {
            return true;
        }
    }
    return false;
}

/* Does a constant that is no pattern's satisfy all else that the schemas say? */
static bool satisfies(struct schema_compiler *compiler, struct schema_list schemas,
                      const cJSON *value, const char *text) {
    enum schema_type type = schema_type_of(value);
    if ((schema_types(schemas) & type) == 0) {
        return false;
    }
    for (size_t i = 0; i < schemas.count; i++) {
        if (!is_allowed_by(compiler, schemas.items[i], text)) {
            return false;
        }
    }
    if ((type & TYPE_NUMBER) != 0) {
        struct number_range range = schema_number_range(schemas);
        return is_in_range(&range, value->valuedouble);
    }
    if (type == TYPE_STRING) {
        struct grammar_intersection lengths = lengths_of(schemas);
        size_t length = count_characters(value->valuestring);
        return length >= lengths.least && length <= lengths.most;
    }
    if (has_conditions_on(schemas, type)) {
        grammar_fail(compiler->builder, ERROR_UNSUPPORTED,
                     "the schema has \"enum\" or \"const\" with arrays or objects beside other "
                     "conditions on them: this is not supported");
        return false;
    }
    return true;
}

/* A string that is to match patterns, too: it is a pattern itself. */
static grammar_expression write_matching(struct schema_compiler *compiler,
                                         struct schema_list schemas, const char *string) {
    struct grammar_intersection conditions = {.most = GRAMMAR_UNBOUNDED};
    struct text_buffer pattern = {0};
    grammar_expression expression = 0;
    bool ok = text_buffer_append(&pattern, "", 0);
    for (const char *at = string; ok && *at != '\0'; at++) {
        bool special = strchr("\\^$.|?*+()[]{}/-", *at) != NULL;
        ok = (!special || text_buffer_append(&pattern, "\\", 1)) &&
             text_buffer_append(&pattern, at, 1);
    }
    if (!ok || !text_buffer_append(&pattern, "", 1)) {
        grammar_fail(compiler->builder, ERROR_OUT_OF_MEMORY, "no memory for a constant");
    } else if (add_patterns(compiler, schemas, false, &conditions) &&
               add_pattern(compiler, &conditions, schemas.items[0], pattern.bytes, false)) {
        expression = write_conditions(compiler->builder, &conditions);
    }
    text_buffer_deinit(&pattern);
    return expression;
}

struct constants {
    struct grammar_parts parts;
    struct token_text *texts;
    size_t count;
};

static void add_constant(struct schema_compiler *compiler, struct schema_list schemas,
                         const cJSON *value, struct constants *constants) {
    char *text = print(compiler, value);
    if (text == NULL || !satisfies(compiler, schemas, value, text)) {
        cJSON_free(text);
    } else if (cJSON_IsString(value) && schema_has(schemas, "pattern")) {
        grammar_parts_add(compiler->builder, &constants->parts,
                          write_matching(compiler, schemas, value->valuestring));
        cJSON_free(text);
    } else {
        constants->texts[constants->count++] = (struct token_text){text, strlen(text)};
    }
}

grammar_expression schema_constants(struct schema_compiler *compiler, struct schema_list schemas) {
    struct constants constants = {0};
    size_t first = 0;
    bool only;
    while (first_constant(schemas.items[first], &only) == NULL) {
        first++;
    }
    const cJSON *value = first_constant(schemas.items[first], &only);
    size_t most = 0;
    for (const cJSON *at = value; at != NULL; at = at->next) {
        most++;
    }
    constants.texts = schema_reader_allocate(&compiler->reader, most, sizeof *constants.texts);
    while (constants.texts != NULL && value != NULL && schema_reader_work(&compiler->reader, 1)) {
        add_constant(compiler, schemas, value, &constants);
        value = only ? NULL : value->next;
    }
    grammar_parts_add(compiler->builder, &constants.parts,
                      grammar_texts(compiler->builder, constants.texts, constants.count));
    for (size_t i = 0; i < constants.count; i++) {
        cJSON_free((void *)(uintptr_t)constants.texts[i].bytes);
    }
    grammar_expression choice =
        grammar_choice(compiler->builder, constants.parts.items, constants.parts.count);
    free(constants.parts.items);
    return choice;
}
