#include "server/parameters.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct target {
    int64_t count;
    float share;
    bool loud;
    const char *name;
};

#define FIELD(name) offsetof(struct target, name)

static const struct parameter table[] = {
    {"count", PARAMETER_INTEGER, 1, 9, FIELD(count), NULL, "How many.", NULL},
    {"share", PARAMETER_FLOAT, 0, 1, FIELD(share), NULL, "How much.", NULL},
    {"loud", PARAMETER_BOOLEAN, 0, 0, FIELD(loud), NULL, "Whether.", NULL},
    {"name", PARAMETER_TEXT, 0, 0, FIELD(name), NULL, "Who.", NULL},
    {"what", PARAMETER_REQUIRED, 0, 0, 0, NULL, "What.", "{\"type\": \"string\"}"},
    {"suffix", PARAMETER_REFUSED, 0, 0, 0, NULL, "there is none", NULL},
    {"beams", PARAMETER_REFUSED, 0, 0, 0, NULL, "there are none", "1"},
};
enum { ROWS = sizeof table / sizeof *table };

static bool read_text(const char *text, struct target *target, struct api_error *error) {
    cJSON *object = cJSON_Parse(text);
    cr_assert(object != NULL, "%s", text);
    target->name = "";
    bool fine = parameters_read(object, table, ROWS, target, error);
    target->name = NULL; /* borrowed from what is deleted */
    cJSON_Delete(object);
    return fine;
}

Test(parameters, what_is_absent_or_null_keeps_its_default) {
    struct target target = {.count = 3, .share = 0.5f};
    struct api_error error;
    cr_assert(read_text("{\"what\": \"\", \"share\": null, \"loud\": true, \"other\": [1]}",
                        &target, &error));
    cr_assert(target.count == 3 && target.share == 0.5f && target.loud);
}

Test(parameters, errors_name_the_parameter) {
    static const struct {
        const char *text;
        const char *param;
        const char *says;
    } cases[] = {
        {"{}", "what", "is required"},
        {"{\"what\": null}", "what", "is required"},
        {"{\"what\": 1, \"count\": 0}", "count", "from 1 to 9, but is 0"},
        {"{\"what\": 1, \"count\": 1.5}", "count", "an integer"},
        {"{\"what\": 1, \"count\": 1e999}", "count", "from 1 to 9, but is inf"},
        {"{\"what\": 1, \"share\": \"x\"}", "share", "but is a string"},
        {"{\"what\": 1, \"loud\": 1}", "loud", "true or false, but is a number"},
        {"{\"what\": 1, \"name\": {}}", "name", "a string, but is an object"},
        {"{\"what\": 1, \"suffix\": \"x\"}", "suffix", "suffix is not supported: there is none"},
        {"{\"what\": 1, \"beams\": 2}", "beams", "not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct target target = {0};
        struct api_error error = {0};
        cr_assert_not(read_text(cases[i].text, &target, &error), "%s", cases[i].text);
        cr_assert_str_eq(error.param, cases[i].param);
        cr_assert(strstr(error.message, cases[i].says) != NULL, "\"%s\" lacks \"%s\"",
                  error.message, cases[i].says);
    }
}

Test(parameters, a_refused_one_may_ask_for_nothing) {
    static const char *const values[] = {"null", "false", "0", "\"\"", "[]", "{}"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[64];
        struct target target;
        struct api_error error = {0};
        snprintf(text, sizeof text, "{\"what\": 1, \"suffix\": %s, \"beams\": 1}", values[i]);
        cr_assert(read_text(text, &target, &error), "%s: %s", text, error.message);
    }
}

Test(parameters, a_description_has_ranges_and_defaults) {
    struct target defaults = {.count = 3, .share = 0.1f};
    cJSON *schema = cJSON_CreateObject();
    cr_assert(parameters_describe(table, ROWS, &defaults, schema));
    cJSON *expected =
        cJSON_Parse("{\"properties\": {"
                    "\"count\": {\"type\": [\"integer\", \"null\"], \"minimum\": 1, \"maximum\": 9,"
                    " \"default\": 3, \"description\": \"How many.\"},"
                    "\"share\": {\"type\": [\"number\", \"null\"], \"minimum\": 0, \"maximum\": 1,"
                    " \"default\": 0.1, \"description\": \"How much.\"},"
                    "\"loud\": {\"type\": [\"boolean\", \"null\"], \"default\": false,"
                    " \"description\": \"Whether.\"},"
                    "\"name\": {\"type\": [\"string\", \"null\"], \"description\": \"Who.\"},"
                    "\"what\": {\"type\": \"string\", \"description\": \"What.\"},"
                    "\"suffix\": {\"enum\": [null, false, 0, \"\", [], {}],"
                    " \"description\": \"Not supported: there is none\"},"
                    "\"beams\": {\"enum\": [null, false, 0, \"\", [], {}, 1],"
                    " \"description\": \"Not supported: there are none\"}},"
                    "\"required\": [\"what\"]}");
    cr_assert(cJSON_Compare(schema, expected, true), "%s", cJSON_Print(schema));
    cJSON_Delete(expected);
    cJSON_Delete(schema);
}
