/* Chat templates: what makes the prompt of a conversation, in the language that model folders
 * bring them in, Jinja.
 *
 *     source ──lexer──▶ tokens ──parser──▶ syntax          template_parse, once a model
 *
 *     variables (messages, tools, …) ──▶ renderer ──▶ text  template_render, once a request
 *
 * This is the part of Jinja 3.1 that chat templates use, set up as Hugging Face transformers does:
 * trim_blocks and lstrip_blocks, break and continue, {% generation %}, raise_exception,
 * strftime_now, a tojson that escapes no HTML, and values that templates cannot change. Templates
 * neither include nor inherit others. What is not known is an error that names it.
 *
 * A template comes with a model and its variables from a stranger, so rendering is bounded in what
 * it writes, in memory, in work and in depth. The engine knows no JSON: callers build the variables
 * (value.h). A parsed template is constant: any number of threads may render it. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_TEMPLATE_H
#define QUERN_ENGINE_TEXT_TEMPLATE_TEMPLATE_H

#include "engine/error.h"
#include "engine/text/template/value.h"
#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct template;

/* ERROR_BAD_FILE says in which line what was expected and what was found. */
bool template_parse(struct template **out, const char *source, size_t length, struct error *err);
void template_close(struct template *template);

struct template_limits {
    size_t text_bytes;   /* written, or on the way to be */
    size_t memory_bytes; /* for values that the template makes */
    uint64_t steps;      /* expressions and statements, and what costs as much time */
    size_t depth;        /* of expressions, statements and values within each other */
};

/* Limits far beyond any real conversation's needs: they stop a template within about a second. */
extern const struct template_limits template_default_limits;

struct template_inputs {
    const struct template_dict *variables; /* text keys; hide functions of the same name */
    int64_t now;                           /* seconds since 1970, for strftime_now */
    const struct template_limits *limits;
};

/* Appends the prompt to `text`, which is as it was if that fails: ERROR_INVALID where the template
 * refuses the conversation (raise_exception) or has no sense for it (a missing member, a wrong
 * type), ERROR_TOO_LARGE where a limit is hit. The message has the template's line. */
bool template_render(const struct template *template, const struct template_inputs *inputs,
                     struct text_buffer *text, struct error *err);

#endif
