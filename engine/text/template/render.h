/* One run of a template: its state, its limits, and the making of values and text.
 *
 * Everything that can fail returns false (or NULL) once the run has failed; the first failure
 * stays. All values that a run makes lie in its arena and go with it. Text is made at the end of
 * one buffer and, where it is to be a value, taken from there:
 *
 *     output so far | a macro's text so far | a join's text so far
 *                   ^ begin                 ^ begin
 *
 * so that nothing has to be given back when something fails. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_RENDER_H
#define QUERN_ENGINE_TEXT_TEMPLATE_RENDER_H

#include "engine/arena.h"
#include "engine/error.h"
#include "engine/text/template/syntax.h"
#include "engine/text/template/template.h"
#include "engine/text/template/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct template_scope;

struct template_render {
    const struct template *template;
    const struct template_inputs *inputs;
    struct arena arena;
    struct text_buffer *text;
    struct template_scope *scope; /* innermost */
    struct template_value block;  /* what a filter block printed: EXPRESSION_BLOCK */
    uint64_t steps;
    size_t depth;
    bool failed;
    bool located; /* the message has its line */
    struct error *err;
};

/* ---- Failure and limits ---- */

/* All of these return false. */
bool template_fail(struct template_render *render, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool template_fail_memory(struct template_render *render);

/* Puts the line of what failed before the message, if it has none yet. */
bool template_fail_at(struct template_render *render, uint32_t line);

/* Counts work, and looks at the memory. A byte that is looked at costs a fraction of a step. */
bool template_spend(struct template_render *render, uint64_t steps);
bool template_spend_bytes(struct template_render *render, size_t bytes);

/* A level of expressions, statements or values within others; template_leave takes it back. */
bool template_enter(struct template_render *render);
void template_leave(struct template_render *render);

/* ---- Values ---- */

/* Zeroed; the limit is looked at first, whatever the size. */
void *template_allocate(struct template_render *render, size_t count, size_t size);

static inline struct template_value template_from(struct template_text text) {
    return template_from_text(text.bytes, text.length);
}

struct template_value template_undefined(enum template_origin origin, struct template_text text,
                                         enum template_type owner);
struct template_value template_undefined_because(const char *message); /* borrowed */

bool template_new_list(struct template_render *render, struct template_list **list);
bool template_push(struct template_render *render, struct template_list *list,
                   struct template_value value);
bool template_new_pair(struct template_render *render, struct template_value first,
                       struct template_value second, struct template_value *tuple);
bool template_new_dict(struct template_render *render, struct template_dict **dict);
bool template_set(struct template_render *render, struct template_dict *dict,
                  struct template_value key, struct template_value value);

/* ---- Text in the making ---- */

static inline size_t template_begin(const struct template_render *render) {
    return render->text->length;
}

bool template_append(struct template_render *render, struct template_text text);
bool template_append_string(struct template_render *render, const char *terminated);
bool template_append_code(struct template_render *render, uint32_t code);
bool template_append_repeated(struct template_render *render, struct template_text text,
                              uint64_t count);

/* Makes a value of the text since `begin` and takes it off the buffer. */
bool template_take(struct template_render *render, size_t begin, struct template_value *value);

#endif
