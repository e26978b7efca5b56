/* tokenizer.json files against what Hugging Face tokenizers make of the same texts, and hostile ones. */
#include "importer/tokenizer_file.h"

#include "tokenizer_cases.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(tokenizer_file, gemma_agrees_with_the_reference) {
    cr_assert_gt(check_cases("tokenizers/gemma/tokenizer.json", "tokenizers/gemma/cases.json"),
                 200);
}

Test(tokenizer_file, byte_level_agrees_with_the_reference) {
    cr_assert_gt(
        check_cases("tokenizers/bytelevel/tokenizer.json", "tokenizers/bytelevel/cases.json"), 200);
}

Test(tokenizer_file, metaspace_agrees_with_the_reference) {
    cr_assert_gt(
        check_cases("tokenizers/metaspace/tokenizer.json", "tokenizers/metaspace/cases.json"), 200);
}

Test(tokenizer_file, demo_agrees_with_the_reference) {
    cr_assert_gt(check_cases("../config/demo/tokenizer.json", "tokenizers/demo/cases.json"), 200);
}

/* ---- Long and odd texts ---- */

/* A unit again and again: one word, or as many as there are units. */
static void check_repeated(const char *path, const char *unit) {
    enum { LENGTH = 300000 };
    struct tokenizer *tokenizer = load_tokenizer(path);
    struct text_buffer text = {0};
    struct token_list ids = {0};
    struct text_buffer back = {0};
    struct error err = {0};
    while (text.length < LENGTH) {
        cr_assert(text_buffer_append(&text, unit, strlen(unit)));
    }
    cr_assert(tokenizer_encode(tokenizer, text.bytes, text.length, false, &ids, &err), "%s",
              err.text);
    cr_assert(tokenizer_decode(tokenizer, ids.ids, ids.length, false, &back, &err), "%s", err.text);
    cr_assert(back.length == text.length && memcmp(back.bytes, text.bytes, text.length) == 0,
              "%s: a long run of \"%s\" does not come back", path, unit);
    text_buffer_deinit(&text);
    token_list_deinit(&ids);
    text_buffer_deinit(&back);
    tokenizer_close(tokenizer);
}

Test(tokenizer_file, a_long_run_of_anything_comes_back_as_it_was) {
    static const char *const paths[] = {"tokenizers/gemma/tokenizer.json",
                                        "tokenizers/metaspace/tokenizer.json",
                                        "tokenizers/bytelevel/tokenizer.json"};
    static const char *const units[] = {"a",  " ",
                                        "\n", "the wind",
                                        "Aa", "\xCC\x81\xCC\xA3",
                                        "世", "1",
                                        "<",  "\U0001F468\u200D\U0001F469\uFE0F"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (size_t j = 0; j < sizeof units / sizeof *units; j++) {
            check_repeated(paths[i], units[j]);
        }
    }
}

Test(tokenizer_file, bytes_that_are_no_utf8_count_as_replacement_characters) {
    struct tokenizer *tokenizer = load_tokenizer("tokenizers/gemma/tokenizer.json");
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

Test(tokenizer_file, special_tokens_in_a_literal_text_are_text) {
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 4, \"content\": \"<a>\", \"special\": true},"
        " {\"id\": 5, \"content\": \"aa\"}],"
        " \"model\": {\"vocab\": {\"a\": 0, \"<\": 1, \">\": 2}, \"merges\": []}}";
    const int32_t expected[] = {1, 0, 2, 5, 1, 0, 2};
    struct tokenizer *tokenizer = NULL;
    struct token_list ids = {0};
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (const uint8_t *)json, strlen(json), &err), "%s",
              err.text);
    cr_assert(tokenizer_encode_literal(tokenizer, "<a>aa<a>", 8, false, &ids, &err), "%s",
              err.text);
    cr_assert_eq(ids.length, 7, "%zu ids, not 7", ids.length);
    cr_assert_arr_eq(ids.ids, expected, sizeof expected);
    ids.length = 0;
    cr_assert(tokenizer_encode(tokenizer, "<a>aa", 5, false, &ids, &err), "%s", err.text);
    cr_assert_eq(ids.length, 2, "%zu ids, not 2", ids.length);
    token_list_deinit(&ids);
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

/* "Ġa" is what a word becomes, and the text of an added token, which only "Ġa" itself is. */
Test(tokenizer_file, an_added_token_is_not_made_of_a_word_that_reads_like_it) {
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 4, \"content\": \"Ġa\", \"normalized\": false}],"
        " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
        " \"model\": {\"vocab\": {\"a\": 0, \"Ġ\": 1}, \"merges\": [], \"ignore_merges\": true}}";
    const int32_t expected[] = {1, 0, 4};
    struct tokenizer *tokenizer = NULL;
    struct token_list ids = {0};
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (const uint8_t *)json, strlen(json), &err), "%s",
              err.text);
    cr_assert(tokenizer_encode(tokenizer, " aĠa", 5, false, &ids, &err), "%s", err.text);
    cr_assert_eq(ids.length, 3, "%zu ids, not 3", ids.length);
    cr_assert_arr_eq(ids.ids, expected, sizeof expected);
    cr_assert_eq(tokenizer_find(tokenizer, "Ġa"), 4);
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
    expect_refusal("{\"model\": {\"dropout\": 0.1}}", "dropout");
    expect_refusal("{\"model\": {\"end_of_word_suffix\": \"</w>\"}}", "end_of_word_suffix");
    expect_refusal("{\"normalizer\": {\"type\": \"Nmt\"}}", "Nmt");
    expect_refusal("{\"normalizer\": {\"type\": \"Sequence\"}}", "no parts");
    expect_refusal("{\"post_processor\": {\"type\": \"TemplateProcessing\"}}", "single");
    expect_refusal("{} x", "end");
    expect_refusal("{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [],"
                   " \"special_tokens\": {}}}",
                   "0 times");
    expect_refusal("{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"x+\"}}}",
                   "behavior");
    expect_refusal("{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(x\"}}}",
                   "(x");
    expect_refusal("{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"ab\"}}",
                   "one character");
    expect_refusal("{\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"_\","
                   " \"prepend_scheme\": \"first\", \"add_prefix_space\": false}}",
                   "add_prefix_space");
    expect_refusal("{\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"},"
                   " {\"type\": \"ByteFallback\"}]}}",
                   "ByteFallback");
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

Test(tokenizer_file, a_stream_shows_the_special_tokens_that_it_is_told_to_show) {
    struct tokenizer *tokenizer = load_tokenizer("tokenizers/metaspace/tokenizer.json");
    struct token_list ids = {0};
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    int32_t shown = tokenizer_find(tokenizer, "<|user|>");
    static const char written[] = "a<|user|>b<|end|>c";
    cr_assert(tokenizer_encode(tokenizer, written, sizeof written - 1, false, &ids, NULL));
    cr_assert(detokenizer_open(&detokenizer, tokenizer, true, NULL));
    detokenizer_show(detokenizer, &shown, 1);
    for (size_t i = 0; i < ids.length; i++) {
        cr_assert(detokenizer_push(detokenizer, ids.ids[i], &text, NULL));
    }
    cr_assert(detokenizer_finish(detokenizer, &text, NULL));
    cr_assert_not_null(strstr(text.bytes, "<|user|>"), "\"%s\"", text.bytes);
    cr_assert_null(strstr(text.bytes, "<|end|>"), "\"%s\"", text.bytes);
    detokenizer_close(detokenizer);
    token_list_deinit(&ids);
    text_buffer_deinit(&text);
    tokenizer_close(tokenizer);
}
