#include "server/schema/json_schema.h"

#include "server/schema/json_text.h"
#include "server/schema/schema_compiler.h"
#include "server/schema/schema_types.h"

#include <stdlib.h>
#include <string.h>

/* ---- Values ---- */

static bool says_nothing(const cJSON *schema) {
    return cJSON_IsTrue(schema) || (cJSON_IsObject(schema) && schema->child == NULL);
}

/* Without what says nothing, and each schema once. */
static struct schema_list without_repeats(struct schema_compiler *compiler,
                                          struct schema_list schemas) {
    struct schema_list kept = {
        .items = schema_reader_allocate(&compiler->reader, schemas.count, sizeof *kept.items)};
    if (kept.items == NULL ||
        !schema_reader_work(&compiler->reader, 1 + schemas.count * schemas.count)) {
        return kept;
    }
    for (size_t i = 0; i < schemas.count; i++) {
        bool known = says_nothing(schemas.items[i]);
        for (size_t k = 0; k < kept.count && !known; k++) {
            known = kept.items[k] == schemas.items[i];
        }
        if (!known) {
            kept.items[kept.count++] = schemas.items[i];
        }
    }
    return kept;
}

static size_t hash_list(const struct schema_list *list) {
    uint64_t hash = list->count;
    for (size_t i = 0; i < list->count; i++) {
        hash = (hash ^ (uintptr_t)list->items[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (size_t)(hash % VALUE_CHAINS);
}

static bool same_list(const struct schema_list *a, const struct schema_list *b) {
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->items, b->items, a->count * sizeof *a->items) == 0);
}

grammar_expression schema_value(struct schema_compiler *compiler, struct schema_list schemas) {
    struct schema_list list = without_repeats(compiler, schemas);
    struct schema_value **chain = &compiler->chains[hash_list(&list)];
    struct schema_value *value = *chain;
    while (value != NULL && !same_list(&value->schemas, &list)) {
        value = value->chain;
    }
    if (value == NULL) {
        value = schema_reader_allocate(&compiler->reader, 1, sizeof *value);
        if (value == NULL || grammar_builder_failed(compiler->builder)) {
            return 0;
        }
        *value = (struct schema_value){
            .schemas = list,
            .rule = grammar_rule_create(compiler->builder, "value", 5),
            .chain = *chain,
        };
        *chain = value;
        *(compiler->newest != NULL ? &compiler->newest->next : &compiler->oldest) = value;
        compiler->newest = value;
    }
    return grammar_reference(compiler->builder, value->rule);
}

/* ---- What there is between values ---- */

static grammar_expression with_blank(struct grammar_builder *builder, grammar_expression part) {
    return GRAMMAR_SEQUENCE(builder, part,
                            grammar_repeat(builder, GRAMMAR_TEXT(builder, " "), 0, 1));
}

grammar_expression schema_comma(struct schema_compiler *compiler) {
    return with_blank(compiler->builder, GRAMMAR_TEXT(compiler->builder, ","));
}

grammar_expression schema_colon(struct schema_compiler *compiler) {
    return with_blank(compiler->builder, GRAMMAR_TEXT(compiler->builder, ":"));
}

/* ---- Types ---- */

static grammar_expression write_null(struct schema_compiler *compiler, struct schema_list schemas) {
    (void)schemas;
    return GRAMMAR_TEXT(compiler->builder, "null");
}

static grammar_expression write_boolean(struct schema_compiler *compiler,
                                        struct schema_list schemas) {
    (void)schemas;
    return GRAMMAR_CHOICE(compiler->builder, GRAMMAR_TEXT(compiler->builder, "true"),
                          GRAMMAR_TEXT(compiler->builder, "false"));
}

static grammar_expression write_number(struct schema_compiler *compiler,
                                       struct schema_list schemas) {
    struct number_range range = schema_number_range(schemas);
    range.whole = (schema_types(schemas) & TYPE_FRACTION) == 0 || range.multiple_of != 0;
    return number_range(compiler->builder, &range);
}

static const struct {
    unsigned types; /* any of them */
    grammar_expression (*write)(struct schema_compiler *compiler, struct schema_list schemas);
} types_written[] = {
    {TYPE_OBJECT, schema_object}, {TYPE_ARRAY, schema_array},    {TYPE_STRING, schema_string},
    {TYPE_NUMBER, write_number},  {TYPE_BOOLEAN, write_boolean}, {TYPE_NULL, write_null},
};

static void write_alternative(struct schema_compiler *compiler, struct schema_list schemas,
                              struct grammar_parts *parts) {
    for (size_t i = 0; i < schemas.count; i++) { /* keywords are looked up one by one */
        schema_reader_work(&compiler->reader, 4 * (size_t)cJSON_GetArraySize(schemas.items[i]));
    }
    if (schema_has(schemas, "enum") || schema_has(schemas, "const")) {
        grammar_parts_add(compiler->builder, parts, schema_constants(compiler, schemas));
        return;
    }
    unsigned types = schema_types(schemas);
    for (size_t i = 0; i < sizeof types_written / sizeof *types_written; i++) {
        if ((types & types_written[i].types) != 0) {
            grammar_parts_add(compiler->builder, parts, types_written[i].write(compiler, schemas));
        }
    }
}

/* ---- All of it ---- */

static void define_value(struct schema_compiler *compiler, const struct schema_value *value) {
    struct grammar_parts parts = {0};
    struct schema_alternatives alternatives =
        schema_reader_expand(&compiler->reader, value->schemas);
    for (size_t i = 0; i < alternatives.count && !grammar_builder_failed(compiler->builder); i++) {
        write_alternative(compiler, alternatives.items[i], &parts);
    }
    grammar_rule_define(compiler->builder, value->rule,
                        grammar_choice(compiler->builder, parts.items, parts.count));
    free(parts.items);
}

grammar_expression json_schema(struct grammar_builder *builder, const cJSON *schema) {
    struct schema_compiler *compiler = calloc(1, sizeof *compiler);
    if (compiler == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a schema");
    }
    compiler->builder = builder;
    schema_reader_open(&compiler->reader, builder, schema);
    grammar_expression root = schema_value(compiler, (struct schema_list){&schema, 1});
    for (const struct schema_value *value = compiler->oldest;
         value != NULL && !grammar_builder_failed(builder); value = value->next) {
        define_value(compiler, value);
    }
    schema_reader_close(&compiler->reader);
    free(compiler);
    return root;
}

grammar_expression json_schema_any_object(struct grammar_builder *builder) {
    cJSON type = {
        .type = cJSON_String, .valuestring = (char[]){"object"}, .string = (char[]){"type"}};
    cJSON schema = {.type = cJSON_Object, .child = &type};
    return json_schema(builder, &schema);
}
