#include "engine/text/template/template.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Renders under small limits: 4 KB of text, 64 KB of values, 10000 steps, 100 levels. */
static bool render(const char *source, struct text_buffer *text, struct error *err) {
    static const struct template_limits limits = {
        .text_bytes = 4096, .memory_bytes = 65536, .steps = 10000, .depth = 100};
    const struct template_dict none = {0};
    const struct template_inputs inputs = {.variables = &none, .limits = &limits};
    struct template *template = NULL;
    cr_assert(template_parse(&template, source, strlen(source), err), "%s", err->text);
    bool fine = template_render(template, &inputs, text, err);
    template_close(template);
    return fine;
}

Test(limits, each_is_an_error_that_says_which) {
    static const struct {
        const char *source;
        const char *message;
    } cases[] = {
        {"{{ 'x' * 5000 }}", "writes more than 4096 bytes"},
        {"{% for i in range(1000) %}{{ 'xxxxxxxx' }}{% endfor %}", "writes more than 4096 bytes"},
        {"{{ '%65000d' % 1 }}", "writes more than 4096 bytes"},
        {"{{ [1] * 9000 }}", "makes values of more than 65536 bytes"},
        {"{{ (range(9000)|list)|length }}", "makes values of more than 65536 bytes"},
        {"{% set ns = namespace(t='x') %}"
         "{% for i in range(100) %}{% set ns.t = (ns.t ~ ns.t)[:2000] %}{% endfor %}",
         "makes values of more than 65536 bytes"},
        {"{% for i in range(99999) %}{% endfor %}", "takes more than 10000 steps"},
        {"{% set t = 'a' * 3000 %}"
         "{% for i in range(500) %}{% set x = t.count('b') %}{% endfor %}",
         "takes more than 10000 steps"},
        {"{% set t = 'a' * 4000 %}{{ t.rfind('b' ~ t[:2000]) }}", "takes more than 10000 steps"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nests deeper than 100 levels"},
        {"{% set ns = namespace(l=[]) %}{% for i in range(200) %}{% set ns.l = [ns.l] %}{% endfor "
         "%}"
         "{{ ns.l }}",
         "nests deeper than 100 levels"},
        {"{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "nests deeper than 100 levels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer text = {0};
        struct error err = {0};
        cr_expect_not(render(cases[i].source, &text, &err), "%s\n   was rendered", cases[i].source);
        cr_expect_eq(err.code, ERROR_TOO_LARGE, "%s\n   said %s", cases[i].source, err.text);
        cr_expect(strstr(err.text, cases[i].message) != NULL, "%s\n   said %s", cases[i].source,
                  err.text);
        text_buffer_deinit(&text);
    }
}

Test(limits, a_failed_render_leaves_the_buffer_as_it_was) {
    struct text_buffer text = {0};
    struct error err = {0};
    cr_assert(text_buffer_append(&text, "before", 6));
    cr_assert_not(render("{{ 'x' * 4000 }}{{ 'x' * 4000 }}", &text, &err));
    cr_assert_str_eq(text.bytes, "before");
    cr_assert(render("{{ 'after' }}", &text, &err));
    cr_assert_str_eq(text.bytes, "beforeafter");
    text_buffer_deinit(&text);
}

/* `begin`, `open` behind it 100000 times, and what ends the tag. */
static char *nested(const char *begin, const char *open) {
    static const char end[] = "1 }}";
    enum { LEVELS = 100000 };
    size_t length = strlen(open);
    char *source = malloc(strlen(begin) + LEVELS * length + sizeof end);
    cr_assert(source != NULL);
    char *at = stpcpy(source, begin);
    for (size_t i = 0; i < LEVELS; i++) {
        at = stpcpy(at, open);
    }
    strcpy(at, end);
    return source;
}

Test(limits, sources_that_nest_without_end_are_not_parsed) {
    static const struct {
        const char *begin;
        const char *open;
        const char *message;
    } cases[] = {
        {"", "{% if 1 %}", "nest deeper than 200 levels"},
        {"{{ ", "(", "nest deeper than 100 levels"},
        {"{{ ", "[", "nest deeper than 100 levels"},
        {"{{ ", "{1: ", "nest deeper than 100 levels"},
        {"{{ ", "f(", "nest deeper than 100 levels"},
        {"{% set ", "(", "nest deeper than 100 levels"},
        {"{{ ", "not ", "nest deeper than 200 levels"},
        {"{{ ", "- ", "nest deeper than 200 levels"},
        {"{{ ", "1 if 1 else ", "nest deeper than 200 levels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct template *template = NULL;
        struct error err = {0};
        char *source = nested(cases[i].begin, cases[i].open);
        cr_expect_not(template_parse(&template, source, strlen(source), &err), "%s was parsed",
                      cases[i].open);
        cr_expect(strstr(err.text, cases[i].message) != NULL, "%s said %s", cases[i].open,
                  err.text);
        free(source);
    }
}

Test(limits, what_parses_can_be_run_without_overflowing_the_stack) {
    static const char *const sources[] = {
        "{% macro m(n) %}{% if n %}{% for i in [n] %}{{ [m(i)]|map('string')|join }}"
        "{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}{{ ns.l == ns.l }}{{ ns.l|tojson }}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
    };
    const struct template_dict none = {0};
    const struct template_inputs inputs = {.variables = &none, .limits = &template_default_limits};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct template *template = NULL;
        struct text_buffer text = {0};
        struct error err = {0};
        cr_assert(template_parse(&template, sources[i], strlen(sources[i]), &err), "%s", err.text);
        cr_expect_not(template_render(template, &inputs, &text, &err), "%s", sources[i]);
        cr_expect(strstr(err.text, "nests deeper than") != NULL, "%s", err.text);
        template_close(template);
        text_buffer_deinit(&text);
    }
}
