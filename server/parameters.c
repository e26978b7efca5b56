#include "server/parameters.h"

#include <math.h>
#include <stdint.h>

const char *parameters_kind(const cJSON *value) {
    static const struct {
        int type;
        const char *words;
    } kinds[] = {
        {cJSON_False, "a boolean"},  {cJSON_True, "a boolean"},  {cJSON_NULL, "null"},
        {cJSON_Number, "a number"},  {cJSON_String, "a string"}, {cJSON_Array, "an array"},
        {cJSON_Object, "an object"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if ((value->type & 0xFF) == kinds[i].type) {
            return kinds[i].words;
        }
    }
    return "nothing";
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

static bool read_one(const struct parameter *parameter, const cJSON *value, void *target,
                     struct api_error *error) {
    void *field = (char *)target + parameter->offset;
    switch (parameter->type) {
    case PARAMETER_FLOAT:
    case PARAMETER_INTEGER:
        return read_number(parameter, value, field, error);
    case PARAMETER_BOOLEAN:
        return read_boolean(parameter, value, field, error);
    case PARAMETER_TEXT:
        return read_text(parameter, value, field, error);
    case PARAMETER_OTHER:
        return parameter->read(value, target, error);
    }
    return false;
}

bool parameters_read(const cJSON *object, const struct parameter *table, size_t count, void *target,
                     struct api_error *error) {
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, table[i].name);
        if (value != NULL && !cJSON_IsNull(value) && !read_one(&table[i], value, target, error)) {
            return false;
        }
    }
    return true;
}
