#include "importer/json_reader.h"

#include <criterion/criterion.h>
#include <string.h>

static struct json_reader reader(const char *text) {
    struct json_reader json;
    json_reader_init(&json, text, strlen(text));
    return json;
}

Test(json_reader, walks_nested_values_and_skips_what_nobody_wants) {
    struct json_reader json = reader(
        "{\"skip\": [1, {\"a\": [true, null]}, \"]}\"], \"n\": -12, \"list\": [\"x\", \"y\"]}");
    struct token_text text;
    int64_t number = 0;
    size_t strings = 0;
    json_begin_object(&json);
    while (json_next_key(&json, &text)) {
        if (token_text_is(text, "n")) {
            cr_assert(json_integer(&json, &number));
        } else if (token_text_is(text, "list")) {
            json_begin_array(&json);
            while (json_next_element(&json) && json_string(&json, &text)) {
                strings++;
            }
        } else {
            json_skip(&json);
        }
    }
    cr_assert_eq(json.error.code, ERROR_NONE, "%s", json.error.text);
    cr_assert_eq(number, -12);
    cr_assert_eq(strings, 2);
    json_reader_deinit(&json);
}

Test(json_reader, keeps_numbers_as_they_are_written) {
    static const char *const numbers[] = {
        "0", "-1", "1.0", "1e5", "-0.5E-10", "123", "12345678901234567890123456789"};
    static const char *const others[] = {"-", "1.", ".5", "1e", "1e+", "+1", "-a", "\"1\"", ""};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct json_reader json = reader(numbers[i]);
        struct token_text digits;
        cr_assert(json_number(&json, &digits) && json_end(&json), "%s: %s", numbers[i],
                  json.error.text);
        cr_assert(token_text_is(digits, numbers[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct json_reader json = reader(others[i]);
        struct token_text digits;
        cr_assert_not(json_number(&json, &digits), "accepted %s", others[i]);
    }
}

Test(json_reader, unescapes_strings) {
    static const struct {
        const char *json;
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\"plain\"", "plain", 5},
        {"\"a\\n\\\"\\\\\\/b\"", "a\n\"\\/b", 6},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC", 6},
        {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80", 4},
        {"\"\\ud83dx\"", "\xEF\xBF\xBDx", 4},
        {"\"\\ud83d\\u0041\"",
         "\xEF\xBF\xBD"
         "A",
         4},
        {"\"a\\u0000b\"", "a\0b", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_reader json = reader(cases[i].json);
        struct token_text text;
        cr_assert(json_string(&json, &text), "%s: %s", cases[i].json, json.error.text);
        cr_assert_eq(text.length, cases[i].length, "%s: %zu bytes", cases[i].json, text.length);
        cr_assert_arr_eq(text.bytes, cases[i].bytes, text.length);
        json_reader_deinit(&json);
    }
}

Test(json_reader, refuses_what_is_not_json) {
    static const char *const cases[] = {
        "",
        "{",
        "[1",
        "[1 2]",
        "[1,]",
        "{\"a\"}",
        "{\"a\": }",
        "\"open",
        "\"\\x\"",
        "\"\\u12\"",
        "tru",
        "nul",
        "[\"a\" \"b\"]",
        "{1: 2}",
        "]",
        "\"line\nbreak\"",
        "\"half a character: \xE2\x82\"",
        "{\"\\n\xFF\": 1}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_reader json = reader(cases[i]);
        cr_assert_not(json_skip(&json), "accepted %s", cases[i]);
        cr_assert_neq(json.error.code, ERROR_NONE);
        json_reader_deinit(&json);
    }
}

Test(json_reader, refuses_nesting_beyond_its_limit) {
    char deep[1000];
    memset(deep, '[', sizeof deep);
    struct json_reader json;
    json_reader_init(&json, deep, sizeof deep);
    cr_assert_not(json_skip(&json));
    cr_assert(strstr(json.error.text, "nesting") != NULL, "%s", json.error.text);
    json_reader_deinit(&json);
}

Test(json_reader, messages_are_readable_whatever_the_bytes_are) {
    struct json_reader json = reader("\xFF");
    cr_assert_not(json_skip(&json));
    cr_assert(strstr(json.error.text, "0xFF") != NULL, "%s", json.error.text);
    json_reader_deinit(&json);
}

Test(json_reader, nothing_may_follow_the_last_value) {
    struct json_reader json = reader("1 \n");
    cr_assert(json_skip(&json) && json_end(&json), "%s", json.error.text);
    json = reader("1 2");
    cr_assert(json_skip(&json));
    cr_assert_not(json_end(&json));
}
