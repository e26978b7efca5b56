#include "server/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(json, what_cjson_would_misread_is_refused_with_its_place) {
    static const struct {
        const char *text;
        size_t length;
        const char *says;
    } cases[] = {
        {"{\"a\":1,}", 8, "Malformed JSON at byte"},
        {"", 0, "There must be JSON, but there is nothing"},
        {"{} x", 4, "Malformed JSON at byte 3"},
        {"{\"a\":\"b", 7, "string at byte 5 does not end"},
        {"\"a\\u0000b\"", 10, "The string at byte 2 contains \\u0000"},
        {"{\"a\":[{}],\"b\":[1,{\"c\":\"\\u0000\"}]}", 33, "in \"b\" contains \\u0000"},
        {"{\"a\":\"\\ud800x\"}", 15, "in \"a\" contains a lone surrogate, \\ud800"},
        {"[\"\\uD83D\\uD83D\\uDE00\"]", 22, "lone surrogate, \\ud83d"},
        {"[\"\\uDE00\"]", 10, "lone surrogate, \\ude00"},
        {"[\"\\uDE0\"]", 9, "Malformed JSON at byte"},
        {"{\"a\":1,\"b\":2,\"\\u0061\":3}", 24, "\"a\" is given twice"},
        {"[{\"a\":{\"b\":1,\"b\":1}}]", 21, "\"b\" is given twice"},
        {"\"a\0b\"", 5, "control character 0x00 at byte 2"},
        {"\"a\nb\"", 5, "control character 0x0a at byte 2"},
        {"\"\xFF\"", 3, "not UTF-8 at byte 1"},
        {"\"\xC0\x80\"", 4, "not UTF-8 at byte 1"},
        {"\"\xED\xA0\x80\"", 5, "not UTF-8 at byte 1"},
        {"[\xC3\xA9]", 4, "unexpected byte 0xc3 at byte 1"},
        {"{\"a\":01}", 8, "\"01\" at byte 5 in \"a\" is not how JSON writes a number"},
        {"[1.]", 4, "\"1.\" at byte 1"},
        {"[-.5]", 5, "\"-.5\" at byte 1"},
        {"[-]", 3, "\"-\" at byte 1"},
        {"[1e+]", 5, "\"1e+\" at byte 1"},
        {"[1.5.5]", 7, "\"1.5.5\" at byte 1"},
        {"[-00]", 5, "\"-00\" at byte 1"},
        {"[+1]", 4, "Malformed JSON at byte"},
        {"[.5]", 4, "Malformed JSON at byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = NULL;
        struct error err = {0};
        cr_assert_not(json_parse(&json, cases[i].text, cases[i].length, &err), "case %zu", i);
        cr_assert(strstr(err.text, cases[i].says) != NULL, "case %zu: \"%s\" lacks \"%s\"", i,
                  err.text, cases[i].says);
        cJSON_Delete(json);
    }
}

Test(json, an_escaped_backslash_before_u0000_is_plain_text) {
    static const char text[] = "{\"a\":\"\\\\u0000 \xF0\x9F\x8C\xBE\"}";
    cJSON *json = NULL;
    struct error err = {0};
    cr_assert(json_parse(&json, text, sizeof text - 1, &err), "%s", err.text);
    cr_assert_str_eq(cJSON_GetObjectItem(json, "a")->valuestring, "\\u0000 \xF0\x9F\x8C\xBE");
    cJSON_Delete(json);
}

Test(json, numbers_are_taken_as_json_writes_them) {
    static const char text[] = "[0, -0, 10, 0.5, -12.25, 1e3, 1E+3, 1.5e-1]";
    static const double expected[] = {0, -0.0, 10, 0.5, -12.25, 1000, 1000, 0.15};
    cJSON *json = NULL;
    struct error err = {0};
    cr_assert(json_parse(&json, text, sizeof text - 1, &err), "%s", err.text);
    for (int i = 0; i < cJSON_GetArraySize(json); i++) {
        cr_expect(cJSON_GetArrayItem(json, i)->valuedouble == expected[i], "number %d", i);
    }
    cJSON_Delete(json);
}

Test(json, nesting_is_bounded_before_anything_recurses) {
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 1);
    cr_assert(text != NULL);
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    cJSON *json = NULL;
    struct error err = {0};
    cr_assert_not(json_parse(&json, text, DEPTH, &err));
    cr_assert(strstr(err.text, "deeper than 64") != NULL, "%s", err.text);
    free(text);
}

Test(json, an_object_has_at_most_so_many_names) {
    char *text = malloc(64 << 10);
    cr_assert(text != NULL);
    for (int count = JSON_MEMBERS_MAX; count <= JSON_MEMBERS_MAX + 1; count++) {
        size_t length = 0;
        for (int i = 0; i < count; i++) {
            length += (size_t)sprintf(text + length, "%c\"%d\":1", i > 0 ? ',' : '{', i);
        }
        length += (size_t)sprintf(text + length, "}");
        cJSON *json = NULL;
        struct error err = {0};
        bool fine = json_parse(&json, text, length, &err);
        cr_assert_eq(fine, count == JSON_MEMBERS_MAX, "%d names: %s", count, err.text);
        cJSON_Delete(json);
    }
    free(text);
}

Test(json, text_is_printed_exactly_also_with_zero_bytes) {
    static const struct {
        const char *text;
        size_t length;
        const char *printed;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\0b\0", 4, "\"a\\u0000b\\u0000\""},
        {"\0\"\\\n\xC2\x85\xE2\x80\xA8\xC3\xA9", 11,
         "\"\\u0000\\\"\\\\\\u000a\\u0085\\u2028\xC3\xA9\""},
        {"\xF0\x9F\x8C\xBE", 4, "\"\xF0\x9F\x8C\xBE\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *text = json_create_text(cases[i].text, cases[i].length);
        char *printed = cJSON_PrintUnformatted(text);
        cr_assert_str_eq(printed, cases[i].printed);
        cJSON_free(printed);
        cJSON_Delete(text);
    }
}
