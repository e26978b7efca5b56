#include "engine/text/token_decoder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

enum { STEPS_MAX = 4, TOKENS_MAX = 8 };

static void build(struct token_decoder *decoder, const struct decoder_step_definition *steps) {
    struct error err = {0};
    for (size_t i = 0; i < STEPS_MAX && (i == 0 || steps[i].kind != DECODER_REPLACE ||
                                         steps[i].pattern.text.length > 0);
         i++) {
        cr_assert(token_decoder_add(decoder, &steps[i], &err), "%s", err.text);
    }
}

/* What comes out after each token, and at the end, a bar between them. */
static void check_stream(enum decoder_stream_kind kind, const struct decoder_step_definition *steps,
                         const char *const *tokens, const char *expected) {
    struct token_decoder decoder = {0};
    struct decoder_stream *stream = NULL;
    struct text_buffer output = {0};
    struct error err = {0};
    build(&decoder, steps);
    cr_assert(decoder_stream_open(&stream, &decoder, kind, &err), "%s", err.text);
    for (size_t i = 0; i < TOKENS_MAX && tokens[i] != NULL; i++) {
        cr_assert(decoder_stream_push(stream, text(tokens[i]), &output, &err), "%s", err.text);
        cr_assert(text_buffer_append(&output, "|", 1));
    }
    cr_assert(decoder_stream_finish(stream, &output, &err), "%s", err.text);
    cr_assert_str_eq(output.bytes, expected, "%s, expected %s", output.bytes, expected);
    text_buffer_deinit(&output);
    decoder_stream_close(stream);
    token_decoder_deinit(&decoder);
}

static void check(const struct decoder_step_definition *steps, const char *const *tokens,
                  const char *expected) {
    check_stream(DECODER_STREAM_TEXT, steps, tokens, expected);
}

#define TOKENS(...)                                                                                \
    (const char *const[TOKENS_MAX]) {                                                              \
        __VA_ARGS__                                                                                \
    }

Test(token_decoder, llamas_steps_make_text_of_word_marks_and_bytes) {
    const struct decoder_step_definition steps[STEPS_MAX] = {
        {.kind = DECODER_REPLACE, .pattern = {PATTERN_STRING, text("▁")}, .content = text(" ")},
        {.kind = DECODER_BYTE_FALLBACK},
        {.kind = DECODER_FUSE},
        {.kind = DECODER_STRIP, .content = text(" "), .start = 1}};
    check(steps, TOKENS("▁▁a", "b▁", "▁"), " a|b | |");
    check(steps, TOKENS("▁", "▁", "x"), "| |x|");
    check(steps, TOKENS("<0xC3>", "<0xA9>", "x", "<0x41>"), "||éx||A");
    check(steps, TOKENS("<0xC3>", "<0x41>", "x"), "||��x|");
    check(steps, TOKENS("<0xC3>", "<0xa9>", "<0xFF>"), "|||���");
    check(steps, TOKENS("<0xG0>", "0x41"), "<0xG0>|0x41|");
    check(steps, TOKENS(NULL), "");
}

Test(token_decoder, byte_level_tokens_come_out_as_whole_characters) {
    const struct decoder_step_definition steps[STEPS_MAX] = {{.kind = DECODER_BYTE_LEVEL}};
    check(steps, TOKENS("Ġa", "Ã", "©b"), " a||éb|");
    check(steps, TOKENS("ð", "Ł", "ĺ", "Ģ"), "|||😀|");
    check(steps, TOKENS("ð", "Łx", "Ã"), "|�x||�");
    check(steps, TOKENS("©", "Ã", "Ã"), "�||�|�");
    check(steps, TOKENS("a b", "世", "Ã", "é"),
          "a b|世||�|�"); /* é is in the alphabet, alone no text */
}

Test(token_decoder, fused_text_is_replaced_and_stripped_across_tokens) {
    const struct decoder_step_definition steps[STEPS_MAX] = {
        {.kind = DECODER_FUSE},
        {.kind = DECODER_REPLACE, .pattern = {PATTERN_STRING, text("aab")}, .content = text("X")},
        {.kind = DECODER_STRIP, .content = text("-"), .start = 1, .stop = 2}};
    check(steps, TOKENS("a", "a", "a", "b", "a"), "||a|X||a");
    check(steps, TOKENS("--", "a-", "-", "-", "-b", "---"), "|-a||-|---b|-|");
    check(steps, TOKENS("-", "-", "-"), "|||");
}

Test(token_decoder, steps_within_tokens_begin_anew_with_each) {
    const struct decoder_step_definition strip[STEPS_MAX] = {
        {.kind = DECODER_STRIP, .content = text("▁"), .start = 1, .stop = 1}};
    const struct decoder_step_definition vowels[STEPS_MAX] = {
        {.kind = DECODER_REPLACE,
         .pattern = {PATTERN_REGEX, text("[aeiou]+")},
         .content = text("_")}};
    const struct decoder_step_definition pairs[STEPS_MAX] = {
        {.kind = DECODER_REPLACE, .pattern = {PATTERN_STRING, text("aa")}, .content = text("X")}};
    check(strip, TOKENS("▁▁a▁▁", "▁", "▁▁▁", "b"), "▁a▁||▁|b|");
    check(vowels, TOKENS("bee", "out"), "b_|_t|");
    check(pairs, TOKENS("a", "aaa", "a"), "a|Xa|a|");
}

Test(token_decoder, a_metaspace_drops_the_spaces_of_the_first_token) {
    struct decoder_step_definition steps[STEPS_MAX] = {
        {.kind = DECODER_METASPACE, .content = text("▁"), .left = true}};
    check(steps, TOKENS("▁a▁b", "▁c"), "ab| c|");
    steps[0].left = false;
    check(steps, TOKENS("▁a▁b", "▁c"), " a b| c|");
}

Test(token_decoder, without_a_decoder_tokens_are_joined_by_spaces) {
    const struct decoder_step_definition steps[STEPS_MAX] = {{.kind = DECODER_JOIN}};
    check(steps, TOKENS("a", "", "b"), "a| | b|");
}

Test(token_decoder, a_stream_of_bytes_takes_each_token_as_it_stands_amid_a_text) {
    const struct decoder_step_definition llama[STEPS_MAX] = {
        {.kind = DECODER_REPLACE, .pattern = {PATTERN_STRING, text("▁")}, .content = text(" ")},
        {.kind = DECODER_BYTE_FALLBACK},
        {.kind = DECODER_FUSE},
        {.kind = DECODER_STRIP, .content = text(" "), .start = 1}};
    const struct decoder_step_definition bytes[STEPS_MAX] = {{.kind = DECODER_BYTE_LEVEL}};
    const struct decoder_step_definition metaspace[STEPS_MAX] = {
        {.kind = DECODER_METASPACE, .content = text("▁"), .left = true}};
    check_stream(DECODER_STREAM_BYTES, llama, TOKENS("▁a", "▁", "<0xC3>", "<0xA9>"),
                 " a| |\xC3|\xA9|");
    check_stream(DECODER_STREAM_BYTES, bytes, TOKENS("Ġa", "Ã", "©b"),
                 " a|\xC3|\xA9"
                 "b|");
    check_stream(DECODER_STREAM_BYTES, metaspace, TOKENS("▁a", "▁b"), " a| b|");
}

Test(token_decoder, a_stream_that_goes_on_from_a_text_keeps_its_first_space) {
    const struct decoder_step_definition steps[][STEPS_MAX] = {
        {{.kind = DECODER_FUSE}, {.kind = DECODER_STRIP, .content = text("▁"), .start = 1}},
        {{.kind = DECODER_METASPACE, .content = text("▁"), .left = true}},
        {{.kind = DECODER_JOIN}}};
    static const char *const expected[] = {"▁a", " a", " ▁a"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct token_decoder decoder = {0};
        struct decoder_stream *stream = NULL;
        struct text_buffer output = {0};
        build(&decoder, steps[i]);
        cr_assert(decoder_stream_open(&stream, &decoder, DECODER_STREAM_TEXT, NULL));
        decoder_stream_continue(stream);
        cr_assert(decoder_stream_push(stream, text("▁a"), &output, NULL));
        cr_assert(decoder_stream_finish(stream, &output, NULL));
        cr_assert_str_eq(output.bytes, expected[i]);
        decoder_stream_close(stream);
        token_decoder_deinit(&decoder);
        text_buffer_deinit(&output);
    }
}

Test(token_decoder, characters_of_a_run_of_bytes_are_counted_while_it_waits) {
    const struct decoder_step_definition steps[STEPS_MAX] = {{.kind = DECODER_BYTE_FALLBACK}};
    static const char *const tokens[] = {"<0x41>", "<0xC3>", "<0xA9>", "x"};
    static const size_t waiting[] = {1, 1, 2, 0};
    struct token_decoder decoder = {0};
    struct decoder_stream *stream = NULL;
    struct text_buffer output = {0};
    build(&decoder, steps);
    cr_assert(decoder_stream_open(&stream, &decoder, DECODER_STREAM_TEXT, NULL));
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        cr_assert(decoder_stream_push(stream, text(tokens[i]), &output, NULL));
        cr_assert_eq(decoder_stream_waiting(stream), waiting[i], "behind token %zu", i);
    }
    cr_assert_str_eq(output.bytes, "Aéx");
    decoder_stream_close(stream);
    token_decoder_deinit(&decoder);
    text_buffer_deinit(&output);
}

Test(token_decoder, a_step_that_needs_whole_tokens_is_refused_behind_fused_ones) {
    struct token_decoder decoder = {0};
    struct error err = {0};
    cr_assert(token_decoder_add(
        &decoder, &(struct decoder_step_definition){.kind = DECODER_BYTE_LEVEL}, &err));
    cr_assert_not(token_decoder_add(
        &decoder, &(struct decoder_step_definition){.kind = DECODER_BYTE_FALLBACK}, &err));
    cr_assert_eq(err.code, ERROR_UNSUPPORTED);
    cr_assert(strstr(err.text, "ByteFallback") != NULL, "%s", err.text);
    token_decoder_deinit(&decoder);
}

/* Each makes ten letters of one: together, a hundred million. */
Test(token_decoder, a_token_does_not_grow_without_end) {
    const struct decoder_step_definition step = {.kind = DECODER_REPLACE,
                                                 .pattern = {PATTERN_STRING, text("a")},
                                                 .content = text("aaaaaaaaaa")};
    struct token_decoder decoder = {0};
    struct decoder_stream *stream = NULL;
    struct text_buffer output = {0};
    struct error err = {0};
    for (size_t i = 0; i < 8; i++) {
        cr_assert(token_decoder_add(&decoder, &step, &err), "%s", err.text);
    }
    cr_assert(decoder_stream_open(&stream, &decoder, DECODER_STREAM_TEXT, &err), "%s", err.text);
    cr_assert_not(decoder_stream_push(stream, text("a"), &output, &err));
    cr_assert(strstr(err.text, "more than 16777216 bytes of a token") != NULL, "%s", err.text);
    text_buffer_deinit(&output);
    decoder_stream_close(stream);
    token_decoder_deinit(&decoder);
}
