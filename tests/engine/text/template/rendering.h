/* Tables of templates, and what they render to or are refused with. What they should render to is
 * what jinja2 3.1 makes of them, set up as Hugging Face transformers does. */
#ifndef QUERN_TESTS_ENGINE_TEXT_TEMPLATE_RENDERING_H
#define QUERN_TESTS_ENGINE_TEXT_TEMPLATE_RENDERING_H

#include <stddef.h>

struct rendering {
    const char *source;
    const char *text;
};

struct refusal {
    const char *source;
    const char *message; /* a part of it */
};

/* Without variables, at 2023-11-14 22:13:20 UTC. */
void check_renderings(const struct rendering *cases, size_t count);
void check_expressions(const struct rendering *cases, size_t count); /* within {{ }} */
void check_refusals(const struct refusal *cases, size_t count);

#endif
