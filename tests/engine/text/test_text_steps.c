#include "engine/text/text_steps.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct token_text text(const char *bytes) {
    return (struct token_text){bytes, strlen(bytes)};
}

static void check_all(const struct text_step_definition *definitions, size_t count,
                      const char *input, const char *expected) {
    struct text_steps steps = {0};
    struct text_buffer output = {0};
    struct error err = {0};
    for (size_t i = 0; i < count; i++) {
        cr_assert(text_steps_add(&steps, &definitions[i], &err), "%s", err.text);
    }
    cr_assert(text_steps_apply(&steps, text(input), &output, &err), "%s", err.text);
    cr_assert_str_eq(output.bytes, expected, "\"%s\" became \"%s\", not \"%s\"", input,
                     output.bytes, expected);
    text_buffer_deinit(&output);
    text_steps_deinit(&steps);
}

static void check(struct text_step_definition step, const char *input, const char *expected) {
    check_all(&step, 1, input, expected);
}

Test(text_steps, each_kind_does_its_own) {
    const struct text_step_definition spaces = {
        .kind = TEXT_REPLACE,
        .pattern = {.kind = PATTERN_REGEX, .text = text(" {2,}")},
        .content = text("__")};
    const struct text_step_definition prepend = {.kind = TEXT_PREPEND, .content = text("_")};
    const struct text_step_definition begin = {.kind = TEXT_BEGIN_WITH, .content = text("▁")};
    check(spaces, "a   b  ", "a__b__");
    check(prepend, "_a", "__a");
    check(prepend, "", "");
    check(begin, "▁a", "▁a");
    check(begin, "a▁", "▁a▁");
    check((struct text_step_definition){.kind = TEXT_STRIP, .left = true}, "\xC2\xA0\n a ", "a ");
    check((struct text_step_definition){.kind = TEXT_STRIP, .right = true}, " a b\xE3\x80\x80",
          " a b");
    check((struct text_step_definition){.kind = TEXT_STRIP, .left = true, .right = true}, " \n",
          "");
    check((struct text_step_definition){.kind = TEXT_LOWERCASE}, "ÀİΣẞ", "ài\xCC\x87σß");
    check((struct text_step_definition){.kind = TEXT_BYTE_ALPHABET}, "\n é\x7F\xC2\xAD", "ĊĠÃ©ġÂŃ");
}

Test(text_steps, they_run_in_the_order_in_which_they_are_added) {
    const struct text_step_definition steps[] = {
        {.kind = TEXT_PREPEND, .content = text(" ")},
        {.kind = TEXT_REPLACE, .pattern = {PATTERN_STRING, text(" ")}, .content = text("▁")},
        {.kind = TEXT_REPLACE, .pattern = {PATTERN_STRING, text("▁▁")}, .content = text("=")},
    };
    check_all(steps, 3, "a  b", "▁a=b");
    check_all(steps, 0, "a  b", "a  b");
}

static void check_form(enum normal_form form, const char *input, const char *expected) {
    check((struct text_step_definition){.kind = TEXT_NORMAL_FORM, .form = form}, input, expected);
}

Test(text_steps, normal_forms_compose_decompose_and_order_marks) {
    check_form(NORMAL_FORM_C, "plain", "plain");
    check_form(NORMAL_FORM_C, "cafe\xCC\x81!", "café!");
    check_form(NORMAL_FORM_D, "café", "cafe\xCC\x81");
    check_form(NORMAL_FORM_C, "q\xCC\x87\xCC\xA3", "q\xCC\xA3\xCC\x87"); /* dot below comes first */
    check_form(NORMAL_FORM_C, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "각");
    check_form(NORMAL_FORM_D, "각", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
    check_form(NORMAL_FORM_C, "ﬁ\xE2\x84\xAB", "ﬁÅ");
    check_form(NORMAL_FORM_KC, "ﬁ①½\xC2\xA0Å", "fi11⁄2 Å");
    check_form(NORMAL_FORM_KD, "Ａé", "Ae\xCC\x81");
    check_form(NORMAL_FORM_C, "\xCC\x81\xCC\xA3", "\xCC\xA3\xCC\x81"); /* marks without a letter */
    check_form(NORMAL_FORM_C, "\xE0\xA5\x98",
               "\xE0\xA4\x95\xE0\xA4\xBC"); /* never composed again */
}

Test(text_steps, characters_younger_than_unicode_9_stand_alone) {
    check_form(NORMAL_FORM_KC, "\xE3\x8B\xBF", "\xE3\x8B\xBF"); /* U+32FF, of Unicode 12.1 */
    check_form(NORMAL_FORM_C, "e\xE0\xA3\x94\xCC\x81", "e\xE0\xA3\x94\xCC\x81"); /* U+08D4: of 9 */
    check_form(NORMAL_FORM_C, "e\xE0\xA3\x93\xCC\xA3\xCC\x81", "e\xE0\xA3\x93\xCC\xA3\xCC\x81");
}

Test(text_steps, a_megabyte_of_marks_is_put_in_order) {
    enum { MARKS = 500000 };
    const struct text_step_definition form = {.kind = TEXT_NORMAL_FORM, .form = NORMAL_FORM_C};
    struct text_steps steps = {0};
    struct text_buffer output = {0};
    char *input = malloc(2 * MARKS);
    for (size_t i = 0; i < MARKS; i++) { /* above and below by turns */
        memcpy(input + 2 * i, i % 2 == 0 ? "\xCC\x80" : "\xCC\xA3", 2);
    }
    cr_assert(text_steps_add(&steps, &form, NULL));
    cr_assert(text_steps_apply(&steps, (struct token_text){input, 2 * MARKS}, &output, NULL));
    cr_assert_eq(output.length, 2 * MARKS);
    for (size_t i = 0; i < MARKS; i++) {
        const char *expected = i < MARKS / 2 ? "\xCC\xA3" : "\xCC\x80";
        cr_assert(memcmp(output.bytes + 2 * i, expected, 2) == 0, "mark %zu is out of order", i);
    }
    text_buffer_deinit(&output);
    text_steps_deinit(&steps);
    free(input);
}

/* Each makes ten letters of one: together, a hundred million. */
Test(text_steps, a_text_does_not_grow_without_end) {
    const struct text_step_definition step = {.kind = TEXT_REPLACE,
                                              .pattern = {PATTERN_STRING, text("a")},
                                              .content = text("aaaaaaaaaa")};
    struct text_steps steps = {0};
    struct text_buffer output = {0};
    struct error err = {0};
    for (size_t i = 0; i < 8; i++) {
        cr_assert(text_steps_add(&steps, &step, &err), "%s", err.text);
    }
    cr_assert_not(text_steps_apply(&steps, text("a"), &output, &err));
    cr_assert_eq(err.code, ERROR_UNSUPPORTED);
    cr_assert(strstr(err.text, "makes more than 65600 bytes") != NULL, "%s", err.text);
    text_buffer_deinit(&output);
    text_steps_deinit(&steps);
}
