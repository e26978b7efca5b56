#include "server/parameters.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

const char *parameters_kind(const cJSON *value) {
    static const struct {
        int type;
        const char *words;
    } kinds[] = {
        {cJSON_False, "a boolean"},  {cJSON_True, "a boolean"},  {cJSON_NULL, "null"},
        {cJSON_Number, "a number"},  {cJSON_String, "a string"}, {cJSON_Array, "an array"},
        {cJSON_Object, "an object"},
    };
    for (size_t i = 0; value != NULL && i < sizeof kinds / sizeof *kinds; i++) {
        if ((value->type & 0xFF) == kinds[i].type) {
            return kinds[i].words;
        }
    }
    return "missing";
}

struct parameter_found parameters_found(const cJSON *value) {
    struct parameter_found found;
    if (cJSON_IsString(value)) {
        snprintf(found.text, sizeof found.text, "\"%.40s\"", value->valuestring);
    } else if (cJSON_IsNumber(value)) {
        snprintf(found.text, sizeof found.text, "%.16g", value->valuedouble);
    } else {
        snprintf(found.text, sizeof found.text, "%s", parameters_kind(value));
    }
    return found;
}

bool parameters_is_integer(const cJSON *value, double least, double greatest) {
    double number = value->valuedouble;
    return cJSON_IsNumber(value) && number >= least && number <= greatest &&
           floor(number) >= number;
}

static bool read_number(const struct parameter *parameter, const cJSON *value, void *target,
                        struct api_error *error) {
    bool whole = parameter->type == PARAMETER_INTEGER;
    const char *wanted = whole ? "an integer" : "a number";
    if (!cJSON_IsNumber(value)) {
        return api_error_set(error, API_INVALID, parameter->name, "%s must be %s, but is %s",
                             parameter->name, wanted, parameters_kind(value));
    }
    double number = value->valuedouble;
    bool in_range = number >= parameter->least && number <= parameter->greatest;
    if (!in_range || (whole && !parameters_is_integer(value, number, number))) {
        return api_error_set(error, API_INVALID, parameter->name,
                             "%s must be %s from %.16g to %.16g, but is %.16g", parameter->name,
                             wanted, parameter->least, parameter->greatest, number);
    }
    if (whole) {
        *(int64_t *)target = (int64_t)number;
    } else {
        *(float *)target = (float)number;
    }
    return true;
}

static bool read_boolean(const struct parameter *parameter, const cJSON *value, void *target,
                         struct api_error *error) {
    if (!cJSON_IsBool(value)) {
        return api_error_set(error, API_INVALID, parameter->name,
                             "%s must be true or false, but is %s", parameter->name,
                             parameters_kind(value));
    }
    *(bool *)target = cJSON_IsTrue(value);
    return true;
}

static bool read_text(const struct parameter *parameter, const cJSON *value, void *target,
                      struct api_error *error) {
    if (!cJSON_IsString(value)) {
        return api_error_set(error, API_INVALID, parameter->name, "%s must be a string, but is %s",
                             parameter->name, parameters_kind(value));
    }
    *(const char **)target = value->valuestring;
    return true;
}

/* What asks for nothing: null, false, 0, an empty text, array or object. */
static bool is_nothing(const cJSON *value) {
    return cJSON_IsNull(value) || cJSON_IsFalse(value) ||
           (cJSON_IsNumber(value) && value->valuedouble == 0.0) ||
           (cJSON_IsString(value) && value->valuestring[0] == '\0') ||
           ((cJSON_IsArray(value) || cJSON_IsObject(value)) && value->child == NULL);
}

static bool refuse(const struct parameter *parameter, const cJSON *value, struct api_error *error) {
    cJSON *accepted = parameter->schema != NULL ? cJSON_Parse(parameter->schema) : NULL;
    bool fine = is_nothing(value) || cJSON_Compare(accepted, value, true);
    cJSON_Delete(accepted);
    return fine || api_error_set(error, API_INVALID, parameter->name, "%s is not supported: %s",
                                 parameter->name, parameter->help);
}

/* Does its value have a place in the target, at an offset? */
static bool has_place(const struct parameter *parameter) {
    return parameter->type == PARAMETER_FLOAT || parameter->type == PARAMETER_INTEGER ||
           parameter->type == PARAMETER_BOOLEAN || parameter->type == PARAMETER_TEXT;
}

static bool read_one(const struct parameter *parameter, const cJSON *value, void *target,
                     struct api_error *error) {
    assert(target != NULL || !has_place(parameter));
    void *field = target != NULL ? (char *)target + parameter->offset : NULL;
    switch (parameter->type) {
    case PARAMETER_FLOAT:
    case PARAMETER_INTEGER:
        return read_number(parameter, value, field, error);
    case PARAMETER_BOOLEAN:
        return read_boolean(parameter, value, field, error);
    case PARAMETER_TEXT:
        return read_text(parameter, value, field, error);
    case PARAMETER_OTHER:
        return parameter->read == NULL || parameter->read(value, target, error);
    case PARAMETER_REQUIRED:
        return true;
    case PARAMETER_REFUSED:
        return refuse(parameter, value, error);
    }
    return false;
}

bool parameters_read(const cJSON *object, const struct parameter *table, size_t count, void *target,
                     struct api_error *error) {
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, table[i].name);
        bool given = value != NULL && !cJSON_IsNull(value);
        if (given && !read_one(&table[i], value, target, error)) {
            return false;
        }
        if (!given && table[i].type == PARAMETER_REQUIRED) {
            return api_error_set(error, API_INVALID, table[i].name, "%s is required",
                                 table[i].name);
        }
    }
    return true;
}

/* ---- As JSON Schema ---- */

/* Everything may be null, which is as good as absent. */
static bool add_type(cJSON *schema, const char *type) {
    const char *types[] = {type, "null"};
    return cJSON_AddItemToObject(schema, "type", cJSON_CreateStringArray(types, 2));
}

/* Defaults are floats: 0.1 rather than 0.10000000149. */
static double shortest(float value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.6g", (double)value);
    return strtod(digits, NULL);
}

static bool describe_number(const struct parameter *parameter, const void *field, cJSON *schema) {
    bool whole = parameter->type == PARAMETER_INTEGER;
    double value = whole ? (double)*(const int64_t *)field : shortest(*(const float *)field);
    bool in_range = value >= parameter->least && value <= parameter->greatest;
    return add_type(schema, whole ? "integer" : "number") &&
           cJSON_AddNumberToObject(schema, "minimum", parameter->least) &&
           cJSON_AddNumberToObject(schema, "maximum", parameter->greatest) &&
           (!in_range || cJSON_AddNumberToObject(schema, "default", value));
}

static bool describe_text(const char *fallback, cJSON *schema) {
    return add_type(schema, "string") &&
           (fallback == NULL || cJSON_AddStringToObject(schema, "default", fallback));
}

/* As JSON, {"enum": [null, false, 0, "", [], {}, …]}. */
static bool describe_refused(const struct parameter *parameter, cJSON *schema) {
    char text[128];
    bool more = parameter->schema != NULL;
    snprintf(text, sizeof text, "[null, false, 0, \"\", [], {}%s%s]", more ? ", " : "",
             more ? parameter->schema : "");
    return cJSON_AddItemToObject(schema, "enum", cJSON_Parse(text));
}

static cJSON *describe(const struct parameter *parameter, const void *defaults) {
    assert(defaults != NULL || !has_place(parameter));
    const void *field = defaults != NULL ? (const char *)defaults + parameter->offset : NULL;
    bool apart = parameter->type == PARAMETER_OTHER || parameter->type == PARAMETER_REQUIRED;
    cJSON *schema = apart ? cJSON_Parse(parameter->schema) : cJSON_CreateObject();
    bool fine = schema != NULL;
    switch (parameter->type) {
    case PARAMETER_FLOAT:
    case PARAMETER_INTEGER:
        fine = fine && describe_number(parameter, field, schema);
        break;
    case PARAMETER_BOOLEAN:
        fine = fine && add_type(schema, "boolean") &&
               cJSON_AddBoolToObject(schema, "default", *(const bool *)field);
        break;
    case PARAMETER_TEXT:
        fine = fine && describe_text(*(const char *const *)field, schema);
        break;
    case PARAMETER_REFUSED:
        fine = fine && describe_refused(parameter, schema);
        break;
    case PARAMETER_OTHER:
    case PARAMETER_REQUIRED:
        break;
    }
    const char *lead = parameter->type == PARAMETER_REFUSED ? "Not supported: " : "";
    char help[512];
    snprintf(help, sizeof help, "%s%s", lead, parameter->help);
    if (!fine || cJSON_AddStringToObject(schema, "description", help) == NULL) {
        cJSON_Delete(schema);
        return NULL;
    }
    return schema;
}

static cJSON *member(cJSON *object, const char *name, cJSON *(*add)(cJSON *, const char *)) {
    cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    return found != NULL ? found : add(object, name);
}

bool parameters_describe(const struct parameter *table, size_t count, const void *defaults,
                         cJSON *schema) {
    cJSON *properties = member(schema, "properties", cJSON_AddObjectToObject);
    for (size_t i = 0; i < count; i++) {
        cJSON *property = describe(&table[i], defaults);
        if (!cJSON_AddItemToObject(properties, table[i].name, property)) {
            cJSON_Delete(property);
            return false;
        }
        if (table[i].type == PARAMETER_REQUIRED) {
            cJSON *required = member(schema, "required", cJSON_AddArrayToObject);
            if (!cJSON_AddItemToArray(required, cJSON_CreateString(table[i].name))) {
                return false;
            }
        }
    }
    return true;
}
