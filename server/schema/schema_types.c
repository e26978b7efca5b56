#include "server/schema/schema_types.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const cJSON *get(const cJSON *schema, const char *keyword) {
    return cJSON_GetObjectItemCaseSensitive(schema, keyword);
}

bool schema_has(struct schema_list schemas, const char *keyword) {
    for (size_t i = 0; i < schemas.count; i++) {
        if (get(schemas.items[i], keyword) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- Types ---- */

static const struct {
    const char *name;
    unsigned types;
} names[] = {
    {"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER},
    {"number", TYPE_NUMBER}, {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
    {"object", TYPE_OBJECT},
};

static const struct {
    const char *keyword;
    unsigned types;
} implied[] = {
    {"properties", TYPE_OBJECT},
    {"required", TYPE_OBJECT},
    {"additionalProperties", TYPE_OBJECT},
    {"minProperties", TYPE_OBJECT},
    {"maxProperties", TYPE_OBJECT},
    {"items", TYPE_ARRAY},
    {"prefixItems", TYPE_ARRAY},
    {"minItems", TYPE_ARRAY},
    {"maxItems", TYPE_ARRAY},
    {"pattern", TYPE_STRING},
    {"format", TYPE_STRING},
    {"minLength", TYPE_STRING},
    {"maxLength", TYPE_STRING},
    {"minimum", TYPE_NUMBER},
    {"maximum", TYPE_NUMBER},
    {"exclusiveMinimum", TYPE_NUMBER},
    {"exclusiveMaximum", TYPE_NUMBER},
    {"multipleOf", TYPE_NUMBER},
};

static unsigned types_of_name(const cJSON *name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name->valuestring, names[i].name) == 0) {
            return names[i].types;
        }
    }
    return 0;
}

static unsigned types_of(const cJSON *type) {
    if (!cJSON_IsArray(type)) {
        return types_of_name(type);
    }
    unsigned types = 0;
    const cJSON *name;
    cJSON_ArrayForEach(name, type) {
        types |= types_of_name(name);
    }
    return types;
}

unsigned schema_types(struct schema_list schemas) {
    unsigned types = TYPE_ALL;
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *type = get(schemas.items[i], "type");
        types &= type != NULL ? types_of(type) : TYPE_ALL;
    }
    if (schema_has(schemas, "type") || schema_has(schemas, "enum") ||
        schema_has(schemas, "const")) {
        return types;
    }
    unsigned others = 0;
    for (size_t i = 0; i < sizeof implied / sizeof *implied; i++) {
        others |= schema_has(schemas, implied[i].keyword) ? implied[i].types : 0;
    }
    return others != 0 ? others : TYPE_ALL;
}

enum schema_type schema_type_of(const cJSON *value) {
    double number = value->valuedouble;
    return cJSON_IsNull(value)      ? TYPE_NULL
           : cJSON_IsBool(value)    ? TYPE_BOOLEAN
           : cJSON_IsString(value)  ? TYPE_STRING
           : cJSON_IsArray(value)   ? TYPE_ARRAY
           : cJSON_IsObject(value)  ? TYPE_OBJECT
           : floor(number) < number ? TYPE_FRACTION
                                    : TYPE_INTEGER;
}

/* ---- Bounds ---- */

static uint32_t count_of(const cJSON *value) {
    return value->valuedouble < UINT32_MAX ? (uint32_t)value->valuedouble : UINT32_MAX;
}

uint32_t schema_greatest(struct schema_list schemas, const char *keyword) {
    uint32_t greatest = 0;
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *value = get(schemas.items[i], keyword);
        if (value != NULL && count_of(value) > greatest) {
            greatest = count_of(value);
        }
    }
    return greatest;
}

uint32_t schema_least(struct schema_list schemas, const char *keyword) {
    uint32_t least = GRAMMAR_UNBOUNDED;
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *value = get(schemas.items[i], keyword);
        if (value != NULL && count_of(value) < least) {
            least = count_of(value);
        }
    }
    return least;
}

static void raise_least(struct number_range *range, double least, bool open) {
    if (least > range->least) {
        range->least = least;
        range->least_open = open;
    } else if (least >= range->least) {
        range->least_open = range->least_open || open;
    }
}

static void lower_most(struct number_range *range, double most, bool open) {
    if (most < range->most) {
        range->most = most;
        range->most_open = open;
    } else if (most <= range->most) {
        range->most_open = range->most_open || open;
    }
}

/* The least common multiple, b if `a` is 0; of what is greater than all numbers that there are, only 0 is
 * a multiple. */
static uint64_t common_multiple(uint64_t a, uint64_t b) {
    const uint64_t beyond = UINT64_C(1) << 60;
    assert(b > 0);
    uint64_t divisor = a;
    for (uint64_t rest = b; rest != 0;) {
        uint64_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return a == 0 ? b : a / divisor < beyond / b ? a / divisor * b : beyond;
}

/* In draft 4, exclusiveMinimum says of minimum that it is itself excluded. */
struct number_range schema_number_range(struct schema_list schemas) {
    struct number_range range = {.least = -INFINITY, .most = INFINITY};
    for (size_t i = 0; i < schemas.count; i++) {
        const cJSON *least = get(schemas.items[i], "minimum");
        const cJSON *most = get(schemas.items[i], "maximum");
        const cJSON *above = get(schemas.items[i], "exclusiveMinimum");
        const cJSON *below = get(schemas.items[i], "exclusiveMaximum");
        const cJSON *multiple = get(schemas.items[i], "multipleOf");
        if (multiple != NULL) {
            range.multiple_of = common_multiple(range.multiple_of, (uint64_t)multiple->valuedouble);
        }
        if (least != NULL) {
            raise_least(&range, least->valuedouble, cJSON_IsTrue(above));
        }
        if (most != NULL) {
            lower_most(&range, most->valuedouble, cJSON_IsTrue(below));
        }
        if (cJSON_IsNumber(above)) {
            raise_least(&range, above->valuedouble, true);
        }
        if (cJSON_IsNumber(below)) {
            lower_most(&range, below->valuedouble, true);
        }
    }
    return range;
}
