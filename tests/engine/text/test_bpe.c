#include "engine/text/bpe.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

static const char *const tokens[] = {"?",   "a",  "b",    "c",      "ab",    "bc",
                                     "abc", "aa", "aaaa", "<0xC3>", "<0xA9>"};
static const char *const merges[][2] = {
    {"a", "b"}, {"b", "c"}, {"ab", "c"}, {"a", "a"}, {"aa", "aa"}};

static void build(struct bpe *bpe, struct vocabulary *vocabulary, struct bpe_options options) {
    struct error err = {0};
    *vocabulary = (struct vocabulary){0};
    bpe_init(bpe);
    for (int32_t i = 0; i < (int32_t)(sizeof tokens / sizeof tokens[0]); i++) {
        cr_assert(vocabulary_add(vocabulary, i, tokens[i], strlen(tokens[i]), &err), "%s",
                  err.text);
    }
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) {
        cr_assert(bpe_add_merge(bpe, vocabulary, text(merges[i][0]), text(merges[i][1]), &err),
                  "%s", err.text);
    }
    cr_assert(bpe_finish(bpe, vocabulary, options, &err), "%s", err.text);
}

/* The tokens' texts with a bar between them. */
static void check(struct bpe_options options, const char *word, const char *expected) {
    struct bpe bpe;
    struct vocabulary vocabulary;
    struct token_list ids = {0};
    struct bpe_word memory = {0};
    char shown[200] = "";
    build(&bpe, &vocabulary, options);
    cr_assert(bpe_encode(&bpe, &vocabulary, word, strlen(word), &memory, &ids, NULL));
    for (size_t i = 0; i < ids.length; i++) {
        size_t length = strlen(shown);
        snprintf(shown + length, sizeof shown - length, "%s%s", i == 0 ? "" : "|",
                 tokens[ids.ids[i]]);
    }
    cr_assert_str_eq(shown, expected);
    token_list_deinit(&ids);
    bpe_word_deinit(&memory);
    vocabulary_deinit(&vocabulary);
    bpe_deinit(&bpe);
}

Test(bpe, merges_the_lowest_rank_first_and_the_leftmost_of_equals) {
    static const struct bpe_options options = {.unknown = 0};
    check(options, "abc", "abc");
    check(options, "bc", "bc");
    check(options, "aab", "a|ab");
    check(options, "aaa", "aa|a");
    check(options, "aaaaa", "aaaa|a");
    check(options, "cab", "c|ab");
    check(options, "", "");
}

Test(bpe, unknown_characters_become_bytes_or_the_unknown_token_or_nothing) {
    check((struct bpe_options){.byte_fallback = true, .unknown = 0},
          "a\xC3\xA9"
          "b",
          "a|<0xC3>|<0xA9>|b");
    check((struct bpe_options){.byte_fallback = true, .unknown = 0},
          "\xE2\x82\xAC"
          "a",
          "?|a");
    check((struct bpe_options){.unknown = 0}, "xyazb", "?|?|a|?|b");
    check((struct bpe_options){.unknown = 0, .fuse_unknown = true}, "xyazb", "?|a|?|b");
    check((struct bpe_options){.unknown = -1}, "xayb", "ab");
}

Test(bpe, a_word_that_is_a_token_needs_no_merges_if_they_are_ignored) {
    check((struct bpe_options){.unknown = 0, .ignore_merges = true}, "aaaa", "aaaa");
    check((struct bpe_options){.unknown = 0, .ignore_merges = true}, "?", "?");
    check((struct bpe_options){.unknown = 0, .ignore_merges = true}, "aaab", "aa|ab");
    check((struct bpe_options){.unknown = 0}, "aaa", "aa|a");
}

/* Merges are looked up in batches: the refusal may come as late as bpe_finish. */
static void check_refusal(const char *left, const char *right, const char *part_of_message) {
    struct bpe bpe;
    struct vocabulary vocabulary = {0};
    struct error err = {0};
    bpe_init(&bpe);
    for (int32_t i = 0; i < (int32_t)(sizeof tokens / sizeof tokens[0]); i++) {
        cr_assert(vocabulary_add(&vocabulary, i, tokens[i], strlen(tokens[i]), &err));
    }
    bool accepted = bpe_add_merge(&bpe, &vocabulary, text(left), text(right), &err) &&
                    bpe_finish(&bpe, &vocabulary, (struct bpe_options){.unknown = 0}, &err);
    cr_assert_not(accepted, "\"%s\" + \"%s\"", left, right);
    cr_assert(strstr(err.text, part_of_message) != NULL, "\"%s\" does not say \"%s\"", err.text,
              part_of_message);
    vocabulary_deinit(&vocabulary);
    bpe_deinit(&bpe);
}

Test(bpe, a_merge_of_texts_that_are_no_tokens_is_refused_by_name) {
    check_refusal("c", "nowhere", "nowhere");
    check_refusal("c", "nowhere", "right part");
    check_refusal("", "c", "left part");
    check_refusal("c", "a", "result");
}
