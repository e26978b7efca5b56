#include "rendering.h"

#include "engine/text/template/template.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool render(const char *source, struct text_buffer *text, struct error *err) {
    struct template *template = NULL;
    const struct template_dict none = {0};
    const struct template_inputs inputs = {
        .variables = &none, .now = 1700000000, .limits = &template_default_limits};
    setenv("TZ", "UTC", 1);
    bool fine = template_parse(&template, source, strlen(source), err) &&
                template_render(template, &inputs, text, err);
    template_close(template);
    return fine;
}

static void check_rendering(const char *source, const char *expected) {
    struct text_buffer text = {0};
    struct error err = {0};
    cr_expect(render(source, &text, &err), "%s\n   %s", source, err.text);
    if (err.code == ERROR_NONE) {
        cr_expect(text.length == strlen(expected) && memcmp(text.bytes, expected, text.length) == 0,
                  "%s\n   gave     %s\n   expected %s", source, text.bytes, expected);
    }
    text_buffer_deinit(&text);
}

void check_renderings(const struct rendering *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        check_rendering(cases[i].source, cases[i].text);
    }
}

void check_expressions(const struct rendering *cases, size_t count) {
    char source[1024];
    for (size_t i = 0; i < count; i++) {
        snprintf(source, sizeof source, "{{ %s }}", cases[i].source);
        check_rendering(source, cases[i].text);
    }
}

void check_refusals(const struct refusal *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct text_buffer text = {0};
        struct error err = {0};
        cr_expect_not(render(cases[i].source, &text, &err), "%s\n   was rendered", cases[i].source);
        cr_expect(strstr(err.text, cases[i].message) != NULL, "%s\n   said     %s\n   expected %s",
                  cases[i].source, err.text, cases[i].message);
        cr_expect_eq(text.length, 0);
        text_buffer_deinit(&text);
    }
}
