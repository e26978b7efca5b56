/* tokenizer.json files of the Gemma kind against what Hugging Face tokenizers make of the same
 * texts. */
#include "importer/tokenizer_file.h"

#include "importer/json_reader.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    cr_assert(bytes != NULL && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static struct tokenizer *load(const char *path) {
    size_t size;
    char *bytes = read_file(path, &size);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (uint8_t *)bytes, size, &err), "%s: %s", path,
              err.text);
    free(bytes);
    return tokenizer;
}

/* ---- Reference cases ---- */

struct reference {
    struct text_buffer text;
    struct token_list ids;
    struct token_list ids_with_special;
    struct text_buffer decoded;
    struct text_buffer decoded_skip_special;
};

static void read_string(struct json_reader *json, struct text_buffer *text) {
    struct token_text string = {"", 0};
    cr_assert(json_string(json, &string), "%s", json->error.text);
    cr_assert(text_buffer_append(text, string.bytes, string.length));
}

static void read_ids(struct json_reader *json, struct token_list *ids) {
    int64_t id;
    json_begin_array(json);
    while (json_next_element(json) && json_integer(json, &id)) {
        cr_assert(token_list_push(ids, (int32_t)id));
    }
}

static struct reference read_reference(struct json_reader *json) {
    struct reference reference = {0};
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "text")) {
            read_string(json, &reference.text);
        } else if (token_text_is(key, "ids")) {
            read_ids(json, &reference.ids);
        } else if (token_text_is(key, "ids_with_special")) {
            read_ids(json, &reference.ids_with_special);
        } else if (token_text_is(key, "decoded")) {
            read_string(json, &reference.decoded);
        } else if (token_text_is(key, "decoded_skip_special")) {
            read_string(json, &reference.decoded_skip_special);
        } else {
            json_skip(json);
        }
    }
    return reference;
}

static void reference_deinit(struct reference *reference) {
    text_buffer_deinit(&reference->text);
    token_list_deinit(&reference->ids);
    token_list_deinit(&reference->ids_with_special);
    text_buffer_deinit(&reference->decoded);
    text_buffer_deinit(&reference->decoded_skip_special);
}

static void check_encode(const struct tokenizer *tokenizer, const struct reference *reference,
                         bool special) {
    const struct token_list *expected = special ? &reference->ids_with_special : &reference->ids;
    struct token_list ids = {0};
    cr_assert(tokenizer_encode(tokenizer, reference->text.bytes, reference->text.length, special,
                               &ids, NULL));
    bool same =
        ids.length == expected->length &&
        (ids.length == 0 || memcmp(ids.ids, expected->ids, ids.length * sizeof *ids.ids) == 0);
    cr_assert(same, "\"%s\": %zu ids, expected %zu", reference->text.bytes, ids.length,
              expected->length);
    token_list_deinit(&ids);
}

static void check_decode(const struct tokenizer *tokenizer, const struct token_list *ids, bool skip,
                         const struct text_buffer *expected) {
    struct text_buffer text = {0};
    cr_assert(tokenizer_decode(tokenizer, ids->ids, ids->length, skip, &text, NULL));
    cr_assert(text.length == expected->length &&
                  memcmp(text.bytes, expected->bytes, text.length) == 0,
              "decoded \"%s\", expected \"%s\"", text.bytes, expected->bytes);
    text_buffer_deinit(&text);
}

/* One token at a time gives the same text, and never half a character: if the text of all bytes is
 * valid. */
static void check_stream(const struct tokenizer *tokenizer, const struct reference *reference) {
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    cr_assert(detokenizer_open(&detokenizer, tokenizer, false, NULL));
    cr_assert(text_buffer_append(&text, "", 0));
    for (size_t i = 0; i < reference->ids.length; i++) {
        cr_assert(detokenizer_push(detokenizer, reference->ids.ids[i], &text, NULL));
        bool half = text.length > 0 && ((unsigned char)text.bytes[text.length - 1] & 0xC0) == 0xC0;
        cr_assert_not(half, "a first byte of a character at the end of \"%s\"", text.bytes);
    }
    cr_assert(detokenizer_finish(detokenizer, &text, NULL));
    cr_assert(text.length == reference->decoded.length &&
                  memcmp(text.bytes, reference->decoded.bytes, text.length) == 0,
              "streamed \"%s\", expected \"%s\"", text.bytes, reference->decoded.bytes);
    detokenizer_close(detokenizer);
    text_buffer_deinit(&text);
}

static size_t check_all(const char *tokenizer_path, const char *cases_path) {
    struct tokenizer *tokenizer = load(tokenizer_path);
    size_t size;
    size_t count = 0;
    char *bytes = read_file(cases_path, &size);
    struct json_reader json;
    struct token_text key;
    json_reader_init(&json, bytes, size);
    json_begin_object(&json);
    while (json_next_key(&json, &key)) {
        bool encode = token_text_is(key, "encode");
        if (!encode && !token_text_is(key, "random_ids_decode")) {
            json_skip(&json);
            continue;
        }
        json_begin_array(&json);
        for (; json_next_element(&json); count++) {
            struct reference reference = read_reference(&json);
            if (encode) {
                check_encode(tokenizer, &reference, false);
                check_encode(tokenizer, &reference, true);
                check_stream(tokenizer, &reference);
            }
            const struct token_list *skipped =
                encode ? &reference.ids_with_special : &reference.ids;
            check_decode(tokenizer, &reference.ids, false, &reference.decoded);
            check_decode(tokenizer, skipped, true, &reference.decoded_skip_special);
            reference_deinit(&reference);
        }
    }
    cr_assert_eq(json.error.code, ERROR_NONE, "%s: %s", cases_path, json.error.text);
    json_reader_deinit(&json);
    free(bytes);
    tokenizer_close(tokenizer);
    return count;
}

Test(tokenizer_file, gemma_agrees_with_the_reference) {
    cr_assert_gt(check_all("tokenizers/gemma/tokenizer.json", "tokenizers/gemma/cases.json"), 200);
}

Test(tokenizer_file, demo_agrees_with_the_reference) {
    cr_assert_gt(check_all("../config/demo/tokenizer.json", "tokenizers/demo/cases.json"), 200);
}

/* 33 MB, not part of the source tree: QUERN_LARGE_TOKENIZERS names a folder that holds gemma3/. */
Test(tokenizer_file, gemma3_agrees_with_the_reference) {
    const char *folder = getenv("QUERN_LARGE_TOKENIZERS");
    if (folder == NULL) {
        cr_skip_test("QUERN_LARGE_TOKENIZERS is not set");
    }
    char tokenizer[4096];
    char cases[4096];
    snprintf(tokenizer, sizeof tokenizer, "%s/gemma3/tokenizer.json", folder);
    snprintf(cases, sizeof cases, "%s/gemma3/cases.json", folder);
    cr_assert_gt(check_all(tokenizer, cases), 200);
}

/* ---- Long and odd texts ---- */

Test(tokenizer_file, a_megabyte_without_a_space_comes_back_as_it_was) {
    enum { LENGTH = 1000000 };
    struct tokenizer *tokenizer = load("tokenizers/gemma/tokenizer.json");
    char *text = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) {
        text[i] = "the wind"[i * i % 3];
    }
    struct token_list ids = {0};
    struct text_buffer back = {0};
    cr_assert(tokenizer_encode(tokenizer, text, LENGTH, false, &ids, NULL));
    cr_assert(tokenizer_decode(tokenizer, ids.ids, ids.length, false, &back, NULL));
    cr_assert(back.length == LENGTH && memcmp(back.bytes, text, LENGTH) == 0);
    token_list_deinit(&ids);
    text_buffer_deinit(&back);
    free(text);
    tokenizer_close(tokenizer);
}

Test(tokenizer_file, bytes_that_are_no_utf8_count_as_replacement_characters) {
    struct tokenizer *tokenizer = load("tokenizers/gemma/tokenizer.json");
    struct token_list broken = {0};
    struct token_list repaired = {0};
    cr_assert(tokenizer_encode(tokenizer, "a\xC3(\xFFz", 5, false, &broken, NULL));
    cr_assert(
        tokenizer_encode(tokenizer, "a\xEF\xBF\xBD(\xEF\xBF\xBDz", 9, false, &repaired, NULL));
    cr_assert_eq(broken.length, repaired.length);
    cr_assert_arr_eq(broken.ids, repaired.ids, broken.length * sizeof *broken.ids);
    token_list_deinit(&broken);
    token_list_deinit(&repaired);
    tokenizer_close(tokenizer);
}

Test(tokenizer_file, a_stream_ends_an_unfinished_or_impossible_character_with_replacements) {
    struct tokenizer *tokenizer = load("tokenizers/gemma/tokenizer.json");
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    cr_assert(detokenizer_open(&detokenizer, tokenizer, false, NULL));
    cr_assert(detokenizer_push(detokenizer, tokenizer_find(tokenizer, "<0xE2>"), &text, NULL));
    cr_assert_eq(text.length, 0, "half a character waits");
    cr_assert(detokenizer_push(detokenizer, tokenizer_find(tokenizer, "<0xC3>"), &text, NULL));
    cr_assert_str_eq(text.bytes, "\xEF\xBF\xBD", "the first byte cannot become anything any more");
    cr_assert(detokenizer_push(detokenizer, tokenizer_find(tokenizer, "<0xA9>"), &text, NULL));
    cr_assert_str_eq(text.bytes, "\xEF\xBF\xBD\xC3\xA9");
    cr_assert(detokenizer_push(detokenizer, tokenizer_find(tokenizer, "<0xF0>"), &text, NULL));
    cr_assert(detokenizer_finish(detokenizer, &text, NULL));
    cr_assert_str_eq(text.bytes, "\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD");
    detokenizer_close(detokenizer);
    text_buffer_deinit(&text);
    tokenizer_close(tokenizer);
}

Test(tokenizer_file, a_normalized_added_token_is_found_in_normalized_text) {
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 3, \"content\": \"b b\", \"normalized\": true}],"
        " \"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"},"
        " \"content\": \"_\"},"
        " \"model\": {\"vocab\": {\"a\": 0, \"b\": 1, \"_\": 2}, \"merges\": []}}";
    const int32_t expected[] = {0, 2, 3, 2, 1, 0, 3};
    struct tokenizer *tokenizer = NULL;
    struct token_list ids = {0};
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (const uint8_t *)json, strlen(json), &err), "%s",
              err.text);
    cr_assert(tokenizer_encode(tokenizer, "a b b bab_b", 11, false, &ids, &err), "%s", err.text);
    cr_assert_eq(ids.length, 7, "%zu ids, not 7", ids.length);
    cr_assert_arr_eq(ids.ids, expected, sizeof expected);
    token_list_deinit(&ids);
    tokenizer_close(tokenizer);
}

/* ---- Hostile files ---- */

static void expect_refusal(const char *json, const char *part_of_message) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    cr_assert_not(tokenizer_file_load(&tokenizer, (const uint8_t *)json, strlen(json), &err),
                  "accepted %s", json);
    cr_assert(strstr(err.text, part_of_message) != NULL, "\"%s\" does not say \"%s\"", err.text,
              part_of_message);
}

Test(tokenizer_file, an_empty_token_is_never_made_and_breaks_nothing) {
    static const char json[] = "{\"model\": {\"vocab\": {\"\": 0, \"a\": 1}, \"merges\": []}}";
    struct tokenizer *tokenizer = NULL;
    struct token_list ids = {0};
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (const uint8_t *)json, strlen(json), &err), "%s",
              err.text);
    cr_assert(tokenizer_encode(tokenizer, "aa", 2, false, &ids, NULL));
    cr_assert_eq(ids.length, 2, "%zu ids", ids.length);
    token_list_deinit(&ids);
    tokenizer_close(tokenizer);
}

Test(tokenizer_file, contradictions_are_refused_by_name) {
    expect_refusal("", "object");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0}", "end");
    expect_refusal("{}", "vocab");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0}}}", "merges");
    expect_refusal("{\"model\": {\"type\": \"Unigram\"}}", "Unigram");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}", "id 0");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 99999999}, \"merges\": []}}", "ids are");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}}", "ids are");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\", \"b\"]]}}",
                   "right part");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}}", "pair");
    expect_refusal("{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [], \"unk_token\": \"?\"}}",
                   "unk_token");
    expect_refusal("{\"model\": {\"ignore_merges\": true}}", "ignore_merges");
    expect_refusal("{\"model\": {\"end_of_word_suffix\": \"</w>\"}}", "end_of_word_suffix");
    expect_refusal("{\"normalizer\": {\"type\": \"Nmt\"}}", "Nmt");
    expect_refusal("{\"normalizer\": {\"type\": \"Sequence\"}}", "no parts");
    expect_refusal("{\"post_processor\": {\"type\": \"TemplateProcessing\"}}", "single");
    expect_refusal("{} x", "end");
    expect_refusal("{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"x+\"}}}",
                   "x+");
}

Test(tokenizer_file, a_file_cut_or_changed_anywhere_never_crashes) {
    size_t size;
    char *bytes = read_file("tokenizers/gemma/tokenizer.json", &size);
    char *copy = malloc(size);
    uint32_t random = 1;
    for (size_t i = 0; i < 400; i++) {
        struct tokenizer *tokenizer = NULL;
        struct error err = {0};
        random = random * 1664525 + 1013904223;
        size_t at = random % size;
        memcpy(copy, bytes, size);
        copy[at] = (char)(random >> 24);
        bool loaded =
            tokenizer_file_load(&tokenizer, (uint8_t *)copy, i % 2 == 0 ? size : at, &err);
        cr_assert(loaded || err.text[0] != '\0', "a refusal without a reason, byte %zu", at);
        if (loaded) {
            tokenizer_close(tokenizer);
        }
    }
    free(copy);
    free(bytes);
}
