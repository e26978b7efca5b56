#include "server/terminal.h"

#include <criterion/criterion.h>

/* A text may hold zero bytes, but for these cases. */
static const struct {
    const char *said;
    const char *shown;
} cases[] = {
    {"plain\n\ttext", "plain\n\ttext"},
    {"naïve 日本 🙂", "naïve 日本 🙂"},
    {"\033]0;title\007", "\uFFFD]0;title\uFFFD"},
    {"a\rb\177", "a\uFFFDb\uFFFD"},
    {"\302\233"
     "31m\302\240",
     "\uFFFD31m\302\240"}, /* CSI in one character; a no-break space */
};

Test(terminal, control_characters_are_replaced) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_buffer out = {0};
        cr_assert(terminal_append_harmless(&out, cases[i].said, strlen(cases[i].said)));
        cr_expect_str_eq(out.bytes, cases[i].shown, "case %zu gives \"%s\"", i, out.bytes);
        text_buffer_deinit(&out);
    }
}
