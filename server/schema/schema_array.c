/* Arrays:
 *
 *     prefixItems A, B; items C; minItems 1        "[" A ("," B ("," C)*)? "]"
 */
#include "server/schema/schema_compiler.h"
#include "server/schema/schema_types.h"

struct array {
    size_t prefix; /* items that have schemas of their own */
    bool has_rest; /* more may follow */
    uint32_t least;
    uint32_t most;
};

static const cJSON *get(const cJSON *schema, const char *keyword) {
    return cJSON_GetObjectItemCaseSensitive(schema, keyword);
}

/* The schemas of the first items, an array or NULL. */
static const cJSON *prefix_of(const cJSON *schema) {
    const cJSON *items = get(schema, "items");
    return cJSON_IsArray(items) ? items : get(schema, "prefixItems");
}

/* What a schema says of the items behind those, or NULL. */
static const cJSON *rest_of(const cJSON *schema) {
    const cJSON *items = get(schema, "items");
    return cJSON_IsArray(items) ? get(schema, "additionalItems") : items;
}

static struct array measure(struct schema_list schemas) {
    struct array array = {
        .has_rest = true,
        .least = schema_greatest(schemas, "minItems"),
        .most = schema_least(schemas, "maxItems"),
    };
    for (size_t i = 0; i < schemas.count; i++) {
        size_t count = (size_t)cJSON_GetArraySize(prefix_of(schemas.items[i]));
        array.prefix = count > array.prefix ? count : array.prefix;
        array.has_rest = array.has_rest && !cJSON_IsFalse(rest_of(schemas.items[i]));
    }
    if (array.prefix > array.most) {
        array.prefix = array.most;
    }
    if (!array.has_rest && array.most > array.prefix) {
        array.most = (uint32_t)array.prefix;
    }
    return array;
}

/* The item at an index; SIZE_MAX: any that has no schema of its own. */
static grammar_expression item(struct schema_compiler *compiler, struct schema_list schemas,
                               size_t index) {
    struct schema_list all = {
        .items = schema_reader_allocate(&compiler->reader, schemas.count, sizeof *all.items)};
    if (all.items == NULL || !schema_reader_work(&compiler->reader, 1 + schemas.count)) {
        return 0;
    }
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *prefix = prefix_of(schemas.items[i]);
        const cJSON *own = index < (size_t)cJSON_GetArraySize(prefix)
                               ? cJSON_GetArrayItem(prefix, (int)index)
                               : rest_of(schemas.items[i]);
        if (own != NULL) {
            all.items[all.count++] = own;
        }
    }
    return schema_value(compiler, all);
}

/* The items from an index on, each with a comma before it. */
static grammar_expression items_from(struct schema_compiler *compiler, struct schema_list schemas,
                                     const struct array *array, size_t index) {
    struct grammar_builder *builder = compiler->builder;
    uint32_t done = (uint32_t)(array->prefix > index ? array->prefix : index);
    grammar_expression comma = schema_comma(compiler);
    grammar_expression more = GRAMMAR_TEXT(builder, "");
    if (array->has_rest && array->most > done) {
        more = grammar_repeat(
            builder, GRAMMAR_SEQUENCE(builder, comma, item(compiler, schemas, SIZE_MAX)),
            array->least > done ? array->least - done : 0,
            array->most == GRAMMAR_UNBOUNDED ? GRAMMAR_UNBOUNDED : array->most - done);
    }
    for (size_t i = array->prefix; i-- > index && !grammar_builder_failed(builder);) {
        more = GRAMMAR_SEQUENCE(builder, comma, item(compiler, schemas, i), more);
        if (i >= array->least) {
            more = grammar_repeat(builder, more, 0, 1);
        }
    }
    return more;
}

grammar_expression schema_array(struct schema_compiler *compiler, struct schema_list schemas) {
    struct grammar_builder *builder = compiler->builder;
    const struct array array = measure(schemas);
    grammar_expression inside = GRAMMAR_TEXT(builder, "");
    if (array.least > array.most) {
        return grammar_characters(builder, NULL, 0);
    }
    if (array.most > 0) {
        grammar_expression first = item(compiler, schemas, array.prefix > 0 ? 0 : SIZE_MAX);
        inside = GRAMMAR_SEQUENCE(builder, first, items_from(compiler, schemas, &array, 1));
        inside = array.least == 0 ? grammar_repeat(builder, inside, 0, 1) : inside;
    }
    return GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "["), inside,
                            GRAMMAR_TEXT(builder, "]"));
}
