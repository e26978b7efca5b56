/* Objects:
 *
 *     A and B optional, C required      "{" ( A (comma B)? comma C rest
 *                                           |       B      comma C rest
 *                                           |              C       rest ) "}"
 *
 * The ends that the ways have in common are rules, so that n properties take n steps and not n * n. `rest`
 * is what additionalProperties allows, under other names. */
#include "server/schema/json_text.h"
#include "server/schema/schema_compiler.h"
#include "server/schema/schema_types.h"

#include <stdlib.h>
#include <string.h>

struct property {
    const char *name;
    bool required;
    struct schema_list schemas; /* there is room for one of each schema of the object */
    size_t said_by;             /* 1 + the schema that said something of it last */
    struct property *chain;
};

struct object {
    struct schema_list schemas;
    struct property *properties; /* in the order in which they were met */
    size_t count;
    size_t required;
    struct property **chains; /* [chain_count] by hash */
    size_t chain_count;
    bool has_others;
    struct schema_list others; /* what holds of them */
    uint32_t least;            /* properties */
    uint32_t most;
};

static const cJSON *get(const cJSON *schema, const char *keyword) {
    return cJSON_GetObjectItemCaseSensitive(schema, keyword);
}

/* ---- Gathering ---- */

static size_t hash_name(const char *name) {
    uint64_t hash = 0;
    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (size_t)hash;
}

static struct property *find_or_add(struct schema_compiler *compiler, struct object *object,
                                    const char *name) {
    struct property **chain = &object->chains[hash_name(name) % object->chain_count];
    for (struct property *property = *chain; property != NULL; property = property->chain) {
        if (strcmp(property->name, name) == 0) {
            return property;
        }
    }
    struct property *property = &object->properties[object->count++];
    *property = (struct property){.name = name, .chain = *chain};
    property->schemas.items =
        schema_reader_allocate(&compiler->reader, object->schemas.count, sizeof(const cJSON *));
    *chain = property;
    return property;
}

static bool make_room(struct schema_compiler *compiler, struct object *object) {
    size_t most = 1;
    for (size_t i = 0; i < object->schemas.count; i++) {
        most += (size_t)cJSON_GetArraySize(get(object->schemas.items[i], "properties"));
        most += (size_t)cJSON_GetArraySize(get(object->schemas.items[i], "required"));
    }
    object->chain_count = most;
    object->properties =
        schema_reader_allocate(&compiler->reader, most, sizeof *object->properties);
    object->chains = schema_reader_allocate(&compiler->reader, most, sizeof(struct property *));
    object->others.items =
        schema_reader_allocate(&compiler->reader, object->schemas.count, sizeof(const cJSON *));
    return object->properties != NULL && object->chains != NULL && object->others.items != NULL &&
           schema_reader_work(&compiler->reader, most * (1 + object->schemas.count));
}

static void find_names(struct schema_compiler *compiler, struct object *object) {
    const cJSON *member;
    for (size_t i = 0; i < object->schemas.count; i++) {
        cJSON_ArrayForEach(member, get(object->schemas.items[i], "properties")) {
            find_or_add(compiler, object, member->string);
        }
    }
    for (size_t i = 0; i < object->schemas.count; i++) {
        cJSON_ArrayForEach(member, get(object->schemas.items[i], "required")) {
            struct property *property = find_or_add(compiler, object, member->valuestring);
            object->required += !property->required;
            property->required = true;
        }
    }
}

/* What schema `index` says of each property. Of equal keys the last one counts. */
static void add_schema(struct schema_compiler *compiler, struct object *object, size_t index) {
    const cJSON *schema = object->schemas.items[index];
    const cJSON *others = get(schema, "additionalProperties");
    const cJSON *member;
    cJSON_ArrayForEach(member, get(schema, "properties")) {
        struct property *property = find_or_add(compiler, object, member->string);
        struct schema_list *list = &property->schemas;
        list->count += property->said_by != index + 1;
        list->items[list->count - 1] = member;
        property->said_by = index + 1;
    }
    for (size_t i = 0; i < object->count && others != NULL; i++) {
        struct property *property = &object->properties[i];
        if (property->said_by != index + 1) {
            property->schemas.items[property->schemas.count++] = others;
        }
    }
    if (others != NULL) {
        object->others.items[object->others.count++] = others;
    }
}

/* Where nothing is said of other properties, there are some only where there are no others at all. */
static void find_others(struct object *object) {
    object->has_others = object->others.count > 0 || !schema_has(object->schemas, "properties");
    for (size_t i = 0; i < object->schemas.count; i++) {
        const cJSON *schema = object->schemas.items[i];
        if (cJSON_IsFalse(get(schema, "additionalProperties")) ||
            cJSON_IsFalse(get(schema, "unevaluatedProperties"))) {
            object->has_others = false;
        }
    }
}

/* Numbers of properties are kept only where that takes no counting. */
static bool check_numbers(struct schema_compiler *compiler, struct object *object) {
    object->least = schema_greatest(object->schemas, "minProperties");
    object->most = schema_least(object->schemas, "maxProperties");
    if (object->least > 1 && object->least > object->required) {
        schema_reader_fail(&compiler->reader, ERROR_UNSUPPORTED, object->schemas.items[0],
                           "minProperties",
                           "is supported up to the number of required properties, or 1");
        return false;
    }
    if (object->most < object->count && object->required < object->count) {
        schema_reader_fail(&compiler->reader, ERROR_UNSUPPORTED, object->schemas.items[0],
                           "maxProperties",
                           "is supported only from the number of the schema's properties on");
        return false;
    }
    return true;
}

static bool gather(struct schema_compiler *compiler, struct object *object) {
    if (!make_room(compiler, object)) {
        return false;
    }
    find_names(compiler, object);
    if (grammar_builder_failed(compiler->builder)) {
        return false;
    }
    for (size_t i = 0; i < object->schemas.count; i++) {
        add_schema(compiler, object, i);
    }
    find_others(object);
    return check_numbers(compiler, object);
}

/* ---- Writing ---- */

static grammar_expression pair(struct schema_compiler *compiler, const struct property *property) {
    char *name;
    memcpy(&name, &property->name, sizeof name);
    const cJSON key = {.type = cJSON_String, .valuestring = name};
    return GRAMMAR_SEQUENCE(compiler->builder, json_text_constant(compiler->builder, &key),
                            schema_colon(compiler), schema_value(compiler, property->schemas));
}

static grammar_expression other_pair(struct schema_compiler *compiler,
                                     const struct object *object) {
    struct token_text *names =
        schema_reader_allocate(&compiler->reader, object->count, sizeof *names);
    if (names == NULL) {
        return 0;
    }
    for (size_t i = 0; i < object->count; i++) {
        names[i] =
            (struct token_text){object->properties[i].name, strlen(object->properties[i].name)};
    }
    return GRAMMAR_SEQUENCE(compiler->builder,
                            json_text_other_than(compiler->builder, names, object->count),
                            schema_colon(compiler), schema_value(compiler, object->others));
}

/* Other properties, each behind a comma; `had` of them have been before. */
static grammar_expression others(struct schema_compiler *compiler, const struct object *object,
                                 grammar_expression other, uint32_t had) {
    struct grammar_builder *builder = compiler->builder;
    if (!object->has_others || object->most <= object->count + had) {
        return GRAMMAR_TEXT(builder, "");
    }
    uint32_t most = object->most == GRAMMAR_UNBOUNDED
                        ? GRAMMAR_UNBOUNDED
                        : object->most - (uint32_t)object->count - had;
    return grammar_repeat(builder, GRAMMAR_SEQUENCE(builder, schema_comma(compiler), other), 0,
                          most);
}

static grammar_expression comma_pair(struct schema_compiler *compiler,
                                     const struct property *property) {
    struct grammar_builder *builder = compiler->builder;
    grammar_expression both =
        GRAMMAR_SEQUENCE(builder, schema_comma(compiler), pair(compiler, property));
    return property->required ? both : grammar_repeat(builder, both, 0, 1);
}

/* All properties from an index on, behind another one. */
static grammar_expression rest_from(struct schema_compiler *compiler, const struct object *object,
                                    size_t index, grammar_expression other) {
    struct grammar_parts parts = {0};
    for (size_t i = index; i < object->count; i++) {
        grammar_parts_add(compiler->builder, &parts, comma_pair(compiler, &object->properties[i]));
    }
    grammar_parts_add(compiler->builder, &parts, others(compiler, object, other, 0));
    grammar_expression rest = grammar_sequence(compiler->builder, parts.items, parts.count);
    free(parts.items);
    return rest;
}

static grammar_rule create_rule(struct schema_compiler *compiler, grammar_expression expression) {
    grammar_rule rule = grammar_rule_create(compiler->builder, "properties", 10);
    grammar_rule_define(compiler->builder, rule, expression);
    return rule;
}

/* The ways to begin, from the last one that there is: the first required property, or the last of
 * all. */
static void add_beginnings(struct schema_compiler *compiler, const struct object *object,
                           grammar_expression other, struct grammar_parts *ways) {
    struct grammar_builder *builder = compiler->builder;
    size_t last = 0;
    while (last + 1 < object->count && !object->properties[last].required) {
        last++;
    }
    grammar_expression rest = rest_from(compiler, object, last + 1, other);
    for (size_t i = last + 1; i-- > 0 && !grammar_builder_failed(builder);) {
        if (last > 0) {
            rest = grammar_reference(builder, create_rule(compiler, rest));
        }
        const struct property *property = &object->properties[i];
        grammar_parts_add(builder, ways, GRAMMAR_SEQUENCE(builder, pair(compiler, property), rest));
        rest = GRAMMAR_SEQUENCE(builder, comma_pair(compiler, property), rest);
    }
}

grammar_expression schema_object(struct schema_compiler *compiler, struct schema_list schemas) {
    struct grammar_builder *builder = compiler->builder;
    struct object object = {.schemas = schemas};
    if (!gather(compiler, &object)) {
        return 0;
    }
    if (object.most < object.required || object.most < object.least) {
        return grammar_characters(builder, NULL, 0);
    }
    grammar_expression other =
        object.has_others ? other_pair(compiler, &object) : GRAMMAR_TEXT(builder, "");
    struct grammar_parts ways = {0};
    if (object.count > 0) {
        add_beginnings(compiler, &object, other, &ways);
    }
    if (object.required == 0 && object.has_others && object.most > object.count) {
        grammar_parts_add(builder, &ways,
                          GRAMMAR_SEQUENCE(builder, other, others(compiler, &object, other, 1)));
    }
    if (object.required == 0 && object.least == 0) {
        grammar_parts_add(builder, &ways, GRAMMAR_TEXT(builder, ""));
    }
    grammar_expression inside = grammar_choice(builder, ways.items, ways.count);
    free(ways.items);
    return GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "{"), inside,
                            GRAMMAR_TEXT(builder, "}"));
}
