#include "engine/text/pre_tokenizer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

/* The pieces of a text, a bar between them. */
static void check(const struct pre_tokenizer_step_definition *steps, size_t count, bool first,
                  const char *input, const char *expected) {
    struct pre_tokenizer pre_tokenizer = {0};
    struct pieces pieces = {0};
    struct error err = {0};
    char shown[300] = "";
    for (size_t i = 0; i < count; i++) {
        cr_assert(pre_tokenizer_add(&pre_tokenizer, &steps[i], &err), "%s", err.text);
    }
    cr_assert(pre_tokenizer_apply(&pre_tokenizer, text(input), first, &pieces, &err), "%s",
              err.text);
    for (size_t i = 0; i < pieces.list.count; i++) {
        struct piece piece = pieces.list.pieces[i];
        size_t length = strlen(shown);
        snprintf(shown + length, sizeof shown - length, "%s%.*s", i == 0 ? "" : "|",
                 (int)(piece.end - piece.begin), pieces.text + piece.begin);
    }
    cr_assert_str_eq(shown, expected, "\"%s\": %s, expected %s", input, shown, expected);
    pieces_deinit(&pieces);
    pre_tokenizer_deinit(&pre_tokenizer);
}

static struct pre_tokenizer_step_definition split_at(const char *pattern, bool regex,
                                                     enum split_behavior behavior, bool invert) {
    return (struct pre_tokenizer_step_definition){
        .kind = PRE_TOKENIZER_SPLIT,
        .pattern = {.kind = regex ? PATTERN_REGEX : PATTERN_STRING, .text = text(pattern)},
        .behavior = behavior,
        .invert = invert};
}

Test(pre_tokenizer, a_split_does_with_its_matches_what_its_behavior_says) {
    static const struct {
        const char *pattern;
        enum split_behavior behavior;
        bool invert;
        const char *expected;
    } cases[] = {
        {"-", SPLIT_ISOLATED, false, "-|a|-|-|b|-"},
        {"-", SPLIT_REMOVED, false, "a|b"},
        {"-", SPLIT_MERGED_WITH_PREVIOUS, false, "-|a-|-|b-"},
        {"-", SPLIT_MERGED_WITH_NEXT, false, "-a|-|-b|-"},
        {"-", SPLIT_CONTIGUOUS, false, "-|a|--|b|-"},
        {"[ab]", SPLIT_ISOLATED, true, "-|a|--|b|-"},
        {"[ab]", SPLIT_REMOVED, true, "a|b"},
        {"[ab]", SPLIT_MERGED_WITH_PREVIOUS, true, "-|a--|b-"},
        {"[ab]", SPLIT_MERGED_WITH_NEXT, true, "-a|--b|-"},
        {"-", SPLIT_MERGED_WITH_NEXT, true, "-|a-|-|b-"},
        {"x", SPLIT_REMOVED, true, ""},
        {"(?=b)", SPLIT_ISOLATED, false, "-a--|b-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pre_tokenizer_step_definition step =
            split_at(cases[i].pattern, true, cases[i].behavior, cases[i].invert);
        check(&step, 1, true, "-a--b-", cases[i].expected);
    }
}

Test(pre_tokenizer, characters_of_a_kind_are_matches_of_their_own) {
    static const struct {
        enum pattern_kind kind;
        enum split_behavior behavior;
        const char *expected;
    } cases[] = {
        {PATTERN_NUMBER, SPLIT_ISOLATED,
         "a|1|2|½|x, |٣|"
         "\xF0\x90\xB5\x80"
         "| b"}, /* a digit of Unicode 16 */
        {PATTERN_NUMBER, SPLIT_CONTIGUOUS, "a|12½|x, |٣\xF0\x90\xB5\x80| b"},
        {PATTERN_PUNCTUATION, SPLIT_ISOLATED, "a12½x|,| ٣\xF0\x90\xB5\x80 b"},
        {PATTERN_SPACE, SPLIT_REMOVED, "a12½x,|٣\xF0\x90\xB5\x80|b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pre_tokenizer_step_definition step = {.kind = PRE_TOKENIZER_SPLIT,
                                                           .pattern.kind = cases[i].kind,
                                                           .behavior = cases[i].behavior};
        check(&step, 1, true, "a12½x, ٣\xF0\x90\xB5\x80 b", cases[i].expected);
    }
}

Test(pre_tokenizer, steps_run_one_after_the_other_on_each_piece) {
    const struct pre_tokenizer_step_definition steps[] = {
        split_at("\\d+", true, SPLIT_ISOLATED, false),
        split_at(" ", false, SPLIT_MERGED_WITH_NEXT, false),
        {.kind = PRE_TOKENIZER_TEXT, .text = {.kind = TEXT_BEGIN_WITH, .content = text(" ")}},
        {.kind = PRE_TOKENIZER_TEXT, .text = {.kind = TEXT_BYTE_ALPHABET}},
    };
    check(steps, 4, true, "é 1 b", "ĠÃ©|Ġ|Ġ1|Ġb");
    check(steps, 4, true, "", "");
}

Test(pre_tokenizer, a_step_for_the_first_text_knows_where_the_input_begins) {
    const struct pre_tokenizer_step_definition steps[] = {
        split_at(" ", false, SPLIT_REMOVED, false),
        {.kind = PRE_TOKENIZER_FIRST_TEXT, .text = {.kind = TEXT_BEGIN_WITH, .content = text("_")}},
    };
    check(steps, 2, true, "a b", "_a|b");
    check(steps, 2, true, "_a b", "_a|b");
    check(steps, 2, false, "a b", "a|b");
    check(steps, 2, true, " a b", "a|b");
}
