#include "server/schema/schema_reader.h"

#include "server/parameters.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_WORK = 8 }; /* of the builder's */

/* ---- Keywords ---- */

/* What the value of a keyword must be. What is not in the table says nothing about validity (title,
 * default, …) or is an extension, and is ignored. */
enum keyword_kind {
    KEYWORD_SCHEMA,
    KEYWORD_SCHEMAS,
    KEYWORD_ITEMS, /* a schema, or as drafts before 2020-12 have it, one for each of the first items */
    KEYWORD_PROPERTIES,
    KEYWORD_TYPES,
    KEYWORD_NAMES,
    KEYWORD_VALUES,
    KEYWORD_ANY,
    KEYWORD_TEXT,
    KEYWORD_COUNT,
    KEYWORD_NUMBER,
    KEYWORD_NUMBER_OR_BOOLEAN, /* draft 4 */
    KEYWORD_MULTIPLE,
    KEYWORD_BOOLEAN,
    KEYWORD_REFUSED,
    KEYWORD_REFUSED_UNLESS_FALSE,
};

static const struct keyword {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"type", KEYWORD_TYPES},
    {"enum", KEYWORD_VALUES},
    {"const", KEYWORD_ANY},
    {"nullable", KEYWORD_BOOLEAN},
    {"$ref", KEYWORD_TEXT},
    {"allOf", KEYWORD_SCHEMAS},
    {"anyOf", KEYWORD_SCHEMAS},
    {"oneOf", KEYWORD_SCHEMAS},
    {"properties", KEYWORD_PROPERTIES},
    {"required", KEYWORD_NAMES},
    {"additionalProperties", KEYWORD_SCHEMA},
    {"unevaluatedProperties", KEYWORD_BOOLEAN},
    {"minProperties", KEYWORD_COUNT},
    {"maxProperties", KEYWORD_COUNT},
    {"items", KEYWORD_ITEMS},
    {"prefixItems", KEYWORD_SCHEMAS},
    {"additionalItems", KEYWORD_SCHEMA},
    {"minItems", KEYWORD_COUNT},
    {"maxItems", KEYWORD_COUNT},
    {"pattern", KEYWORD_TEXT},
    {"format", KEYWORD_TEXT},
    {"minLength", KEYWORD_COUNT},
    {"maxLength", KEYWORD_COUNT},
    {"minimum", KEYWORD_NUMBER},
    {"maximum", KEYWORD_NUMBER},
    {"exclusiveMinimum", KEYWORD_NUMBER_OR_BOOLEAN},
    {"exclusiveMaximum", KEYWORD_NUMBER_OR_BOOLEAN},
    {"multipleOf", KEYWORD_MULTIPLE},
    {"uniqueItems", KEYWORD_REFUSED_UNLESS_FALSE},
    {"not", KEYWORD_REFUSED},
    {"if", KEYWORD_REFUSED},
    {"contains", KEYWORD_REFUSED},
    {"patternProperties", KEYWORD_REFUSED},
    {"propertyNames", KEYWORD_REFUSED},
    {"dependencies", KEYWORD_REFUSED},
    {"dependentRequired", KEYWORD_REFUSED},
    {"dependentSchemas", KEYWORD_REFUSED},
    {"unevaluatedItems", KEYWORD_REFUSED},
    {"$dynamicRef", KEYWORD_REFUSED},
    {"$recursiveRef", KEYWORD_REFUSED},
};

static const char *const wanted[] = {
    [KEYWORD_SCHEMA] = "must be a schema: an object, true or false",
    [KEYWORD_SCHEMAS] = "must be an array of schemas that is not empty",
    [KEYWORD_ITEMS] = "must be a schema",
    [KEYWORD_PROPERTIES] = "must be an object of schemas",
    [KEYWORD_TYPES] = ("must be \"null\", \"boolean\", \"integer\", \"number\", \"string\", "
                       "\"array\" or \"object\", or an array of these"),
    [KEYWORD_NAMES] = "must be an array of strings",
    [KEYWORD_VALUES] = "must be an array that is not empty",
    [KEYWORD_ANY] = "may be anything",
    [KEYWORD_TEXT] = "must be a string",
    [KEYWORD_COUNT] = "must be a whole number from 0 on",
    [KEYWORD_NUMBER] = "must be a number",
    [KEYWORD_NUMBER_OR_BOOLEAN] = "must be a number",
    [KEYWORD_MULTIPLE] = "must be a whole number from 1 to 1000000: others are not supported",
    [KEYWORD_BOOLEAN] = "must be true or false",
    [KEYWORD_REFUSED] = "is not supported",
    [KEYWORD_REFUSED_UNLESS_FALSE] = "is not supported",
};

static bool is_schema(const cJSON *value) {
    return cJSON_IsObject(value) || cJSON_IsBool(value);
}

static bool is_type(const cJSON *value) {
    static const char *const types[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    for (size_t i = 0; cJSON_IsString(value) && i < sizeof types / sizeof *types; i++) {
        if (strcmp(value->valuestring, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_text(const cJSON *value) {
    return cJSON_IsString(value) != 0;
}

static bool all_are(const cJSON *values, bool (*check)(const cJSON *value)) {
    const cJSON *value;
    cJSON_ArrayForEach(value, values) {
        if (!check(value)) {
            return false;
        }
    }
    return true;
}

static bool is_list(const cJSON *value, bool (*check)(const cJSON *value)) {
    return cJSON_IsArray(value) && value->child != NULL && all_are(value, check);
}

static bool is_finite(const cJSON *value) {
    return cJSON_IsNumber(value) && isfinite(value->valuedouble);
}

static bool fits(enum keyword_kind kind, const cJSON *value) {
    switch (kind) {
    case KEYWORD_SCHEMA:
        return is_schema(value);
    case KEYWORD_SCHEMAS:
        return is_list(value, is_schema);
    case KEYWORD_ITEMS:
        return is_schema(value) || (cJSON_IsArray(value) && all_are(value, is_schema));
    case KEYWORD_PROPERTIES:
        return cJSON_IsObject(value) && all_are(value, is_schema);
    case KEYWORD_TYPES:
        return is_type(value) || is_list(value, is_type);
    case KEYWORD_NAMES:
        return cJSON_IsArray(value) && all_are(value, is_text);
    case KEYWORD_VALUES:
        return cJSON_IsArray(value) && value->child != NULL;
    case KEYWORD_ANY:
        return true;
    case KEYWORD_TEXT:
        return is_text(value);
    case KEYWORD_COUNT:
        return parameters_is_integer(value, 0, 1e300);
    case KEYWORD_MULTIPLE:
        return parameters_is_integer(value, 1, 1e6);
    case KEYWORD_NUMBER:
        return is_finite(value);
    case KEYWORD_NUMBER_OR_BOOLEAN:
        return is_finite(value) || cJSON_IsBool(value);
    case KEYWORD_BOOLEAN:
        return cJSON_IsBool(value) != 0;
    case KEYWORD_REFUSED:
        return false;
    case KEYWORD_REFUSED_UNLESS_FALSE:
        return cJSON_IsFalse(value) != 0;
    }
    return false;
}

static bool check_keywords(struct schema_reader *reader, const cJSON *schema) {
    const cJSON *member;
    if (!schema_reader_work(reader, (size_t)cJSON_GetArraySize(schema))) {
        return false;
    }
    cJSON_ArrayForEach(member, schema) {
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
            enum keyword_kind kind = keywords[i].kind;
            if (strcmp(keywords[i].name, member->string) != 0 || fits(kind, member)) {
                continue;
            }
            bool refused = kind == KEYWORD_REFUSED || kind == KEYWORD_REFUSED_UNLESS_FALSE;
            schema_reader_fail(reader, refused ? ERROR_UNSUPPORTED : ERROR_INVALID, schema,
                               keywords[i].name, wanted[kind]);
            return false;
        }
    }
    return true;
}

/* ---- Lifetime, work and errors ---- */

void schema_reader_open(struct schema_reader *reader, struct grammar_builder *builder,
                        const cJSON *root) {
    *reader = (struct schema_reader){.builder = builder, .root = root};
    arena_init(&reader->arena);
    reader->null = cJSON_CreateObject();
    if (cJSON_AddStringToObject(reader->null, "type", "null") == NULL) {
        grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a schema");
    }
}

void schema_reader_close(struct schema_reader *reader) {
    arena_deinit(&reader->arena);
    cJSON_Delete(reader->null);
}

bool schema_reader_work(struct schema_reader *reader, size_t steps) {
    return grammar_builder_work(reader->builder, STEP_WORK * (uint64_t)steps);
}

void *schema_reader_allocate(struct schema_reader *reader, size_t count, size_t size) {
    void *memory = arena_allocate(&reader->arena, count, size);
    if (memory == NULL) {
        grammar_fail(reader->builder, ERROR_OUT_OF_MEMORY, "no memory for a schema");
    }
    return memory;
}

struct place {
    char text[160];
    size_t length;
};

/* Appends the way from a value to one that is within it. */
static bool find_place(const cJSON *from, const cJSON *to, struct place *place) {
    if (from == to) {
        return true;
    }
    size_t index = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, from) {
        struct place further = *place;
        size_t room = sizeof further.text - further.length;
        int written = child->string != NULL
                          ? snprintf(further.text + further.length, room, "/%s", child->string)
                          : snprintf(further.text + further.length, room, "/%zu", index);
        further.length += (size_t)written < room ? (size_t)written : room - 1;
        if (find_place(child, to, &further)) {
            *place = further;
            return true;
        }
        index++;
    }
    return false;
}

grammar_expression schema_reader_fail(struct schema_reader *reader, enum error_code code,
                                      const cJSON *schema, const char *keyword, const char *what) {
    struct place place = {.text = "#", .length = 1};
    find_place(reader->root, schema, &place);
    return grammar_fail(reader->builder, code, "at %s of the schema, \"%s\" %s", place.text,
                        keyword, what);
}

/* ---- References ---- */

static int hexadecimal(char c) {
    const char *const all = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(all, tolower((unsigned char)c)) : NULL;
    return at != NULL ? (int)(at - all) : -1;
}

/* The next name of a pointer, decoded: %XX first, then ~1 and ~0. (RFC 6901, 6) */
static const char *read_name(const char *pointer, char *name) {
    while (*pointer != '\0' && *pointer != '/') {
        char c = *pointer++;
        if (c == '%' && hexadecimal(pointer[0]) >= 0 && hexadecimal(pointer[1]) >= 0) {
            c = (char)(hexadecimal(pointer[0]) << 4 | hexadecimal(pointer[1]));
            pointer += 2;
        }
        if (c == '~' && (*pointer == '0' || *pointer == '1')) {
            c = *pointer++ == '0' ? '~' : '/';
        }
        *name++ = c;
    }
    *name = '\0';
    return pointer;
}

static const cJSON *step_into(const cJSON *value, const char *name) {
    if (!cJSON_IsArray(value)) {
        return cJSON_GetObjectItemCaseSensitive(value, name);
    }
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && digits < 9 && name[digits] == '\0' ? cJSON_GetArrayItem(value, atoi(name))
                                                            : NULL;
}

static const cJSON *resolve(struct schema_reader *reader, const cJSON *schema,
                            const char *reference) {
    if (reference[0] != '#' || (reference[1] != '\0' && reference[1] != '/')) {
        schema_reader_fail(reader, ERROR_UNSUPPORTED, schema, "$ref",
                           "must lead to a place in this schema, like \"#/$defs/name\"");
        return NULL;
    }
    char *name = schema_reader_allocate(reader, strlen(reference) + 1, 1);
    const cJSON *found = reader->root;
    for (const char *at = reference + 1; name != NULL && found != NULL && *at == '/';) {
        at = read_name(at + 1, name);
        found = step_into(found, name);
    }
    if (found == NULL || !is_schema(found)) {
        schema_reader_fail(reader, ERROR_INVALID, schema, "$ref", "leads to no schema");
        return NULL;
    }
    return found;
}

/* ---- Alternatives ---- */

static const struct schema_alternatives no_alternatives;

static bool is_in(const struct schema_list *list, const cJSON *schema) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] == schema) {
            return true;
        }
    }
    return false;
}

/* Both lists, without what would be there twice. */
static bool join(struct schema_reader *reader, const struct schema_list *a,
                 const struct schema_list *b, struct schema_list *joined) {
    joined->items = schema_reader_allocate(reader, a->count + b->count, sizeof *joined->items);
    if (joined->items == NULL || !schema_reader_work(reader, 1 + a->count * (1 + b->count))) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        joined->items[joined->count++] = a->items[i];
    }
    for (size_t i = 0; i < b->count; i++) {
        if (!is_in(a, b->items[i])) {
            joined->items[joined->count++] = b->items[i];
        }
    }
    return true;
}

/* Each alternative of `a` with each of `b`. */
static struct schema_alternatives
combine(struct schema_reader *reader, struct schema_alternatives a, struct schema_alternatives b) {
    size_t count = a.count * b.count;
    if (count > SCHEMA_ALTERNATIVES_MAX) {
        grammar_fail(reader->builder, ERROR_TOO_LARGE,
                     "the schema is too large: a value has more than %d combinations of "
                     "alternatives",
                     SCHEMA_ALTERNATIVES_MAX);
        return no_alternatives;
    }
    struct schema_alternatives both = {
        .items = schema_reader_allocate(reader, count, sizeof *both.items)};
    for (size_t i = 0; i < a.count && both.items != NULL; i++) {
        for (size_t j = 0; j < b.count; j++) {
            if (!join(reader, &a.items[i], &b.items[j], &both.items[both.count++])) {
                return no_alternatives;
            }
        }
    }
    return both;
}

/* The alternatives of one or the other. */
static struct schema_alternatives unite(struct schema_reader *reader, struct schema_alternatives a,
                                        struct schema_alternatives b) {
    size_t count = a.count + b.count;
    struct schema_alternatives both = {
        .items = schema_reader_allocate(reader, count, sizeof *both.items)};
    if (both.items == NULL || !schema_reader_work(reader, count)) {
        return no_alternatives;
    }
    if (a.count > 0) {
        memcpy(both.items, a.items, a.count * sizeof *a.items);
    }
    if (b.count > 0) {
        memcpy(both.items + a.count, b.items, b.count * sizeof *b.items);
    }
    both.count = count;
    return both;
}

/* One alternative: the schema itself, or nothing to be said of the value. */
static struct schema_alternatives just(struct schema_reader *reader, const cJSON *schema) {
    struct schema_alternatives one = {.items =
                                          schema_reader_allocate(reader, 1, sizeof *one.items)};
    if (one.items == NULL) {
        return no_alternatives;
    }
    one.count = 1;
    if (schema != NULL) {
        one.items->items = schema_reader_allocate(reader, 1, sizeof *one.items->items);
        if (one.items->items == NULL) {
            return no_alternatives;
        }
        one.items->items[0] = schema;
        one.items->count = 1;
    }
    return one;
}

static struct schema_alternatives expand(struct schema_reader *reader, const cJSON *schema);

static struct schema_alternatives expand_any(struct schema_reader *reader, const cJSON *schemas) {
    struct schema_alternatives any = no_alternatives;
    const cJSON *schema;
    cJSON_ArrayForEach(schema, schemas) {
        any = unite(reader, any, expand(reader, schema));
    }
    return any;
}

static struct schema_alternatives expand_object(struct schema_reader *reader, const cJSON *schema) {
    const cJSON *reference = cJSON_GetObjectItemCaseSensitive(schema, "$ref");
    const cJSON *target =
        reference != NULL ? resolve(reader, schema, reference->valuestring) : NULL;
    struct schema_alternatives all = just(reader, schema);
    if (target != NULL) {
        all = combine(reader, all, expand(reader, target));
    }
    const cJSON *part;
    cJSON_ArrayForEach(part, cJSON_GetObjectItemCaseSensitive(schema, "allOf")) {
        all = combine(reader, all, expand(reader, part));
    }
    static const char *const choices[] = {"anyOf", "oneOf"};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const cJSON *schemas = cJSON_GetObjectItemCaseSensitive(schema, choices[i]);
        if (schemas != NULL) {
            all = combine(reader, all, expand_any(reader, schemas));
        }
    }
    bool nullable = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(schema, "nullable"));
    return nullable ? unite(reader, all, just(reader, reader->null)) : all;
}

static struct schema_alternatives expand(struct schema_reader *reader, const cJSON *schema) {
    if (grammar_builder_failed(reader->builder) || cJSON_IsFalse(schema)) {
        return no_alternatives;
    }
    if (cJSON_IsTrue(schema)) {
        return just(reader, NULL);
    }
    for (size_t i = 0; i < reader->open_count; i++) {
        if (reader->open[i] == schema) {
            schema_reader_fail(reader, ERROR_INVALID, schema, "$ref",
                               "leads back to itself, with no property or item between");
            return no_alternatives;
        }
    }
    if (reader->open_count == SCHEMA_REFERENCES_MAX) {
        schema_reader_fail(reader, ERROR_TOO_LARGE, schema, "$ref",
                           "is reached over too many other references");
        return no_alternatives;
    }
    if (!check_keywords(reader, schema)) {
        return no_alternatives;
    }
    reader->open[reader->open_count++] = schema;
    struct schema_alternatives all = expand_object(reader, schema);
    reader->open_count--;
    return grammar_builder_failed(reader->builder) ? no_alternatives : all;
}

struct schema_alternatives schema_reader_expand(struct schema_reader *reader,
                                                struct schema_list schemas) {
    struct schema_alternatives all = just(reader, NULL);
    for (size_t i = 0; i < schemas.count; i++) {
        all = combine(reader, all, expand(reader, schemas.items[i]));
    }
    return grammar_builder_failed(reader->builder) ? no_alternatives : all;
}
