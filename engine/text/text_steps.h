/* Steps that make a text of a text: what a normalizer is made of, and some pre-tokenizers.
 *
 *     "Ｑｕｅｒｎ mill" ──NFKC──▶ "Quern mill" ──" " to "▁"──▶ "Quern▁mill" ──begin with "▁"──▶ "▁Quern▁mill"
 *
 * Built by one thread, constant afterwards. */
#ifndef QUERN_ENGINE_TEXT_TEXT_STEPS_H
#define QUERN_ENGINE_TEXT_TEXT_STEPS_H

#include "engine/error.h"
#include "engine/text/normal_form.h"
#include "engine/text/pattern.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>

enum text_step_kind {
    TEXT_REPLACE,       /* each match of `pattern` becomes `content` */
    TEXT_PREPEND,       /* `content` is put before a text that is not empty */
    TEXT_BEGIN_WITH,    /* `content` is put before a text that does not begin with it */
    TEXT_STRIP,         /* white space goes from the beginning (`left`), the end (`right`) */
    TEXT_LOWERCASE,     /* each character by itself */
    TEXT_NORMAL_FORM,   /* `form` */
    TEXT_BYTE_ALPHABET, /* each byte becomes a character (byte_alphabet.h) */
};

/* Borrows its texts. */
struct text_step_definition {
    enum text_step_kind kind;
    struct pattern_definition pattern;
    struct token_text content;
    bool left;
    bool right;
    enum normal_form form;
};

struct text_step {
    enum text_step_kind kind;
    struct pattern pattern;
    struct text_buffer content;
    bool left;
    bool right;
    enum normal_form form;
};

/* Copies what is borrowed. */
bool text_step_init(struct text_step *step, const struct text_step_definition *definition,
                    struct error *err);
void text_step_deinit(struct text_step *step);

/* One step on its way over any number of texts. */
struct text_step_run {
    const struct text_step *step;
    size_t made_max; /* bytes that it may make of one text */
    struct pattern_search search;
};

bool text_step_run_init(struct text_step_run *run, const struct text_step *step, struct error *err);
void text_step_run_deinit(struct text_step_run *run);

/* Appends what the step makes of a text, valid UTF-8. */
bool text_step_run_apply(struct text_step_run *run, struct token_text text,
                         struct text_buffer *output, struct error *err);

/* Any number of steps, one after the other. */
struct text_steps {
    struct text_step *steps;
    size_t count;
};

bool text_steps_add(struct text_steps *steps, const struct text_step_definition *definition,
                    struct error *err);
void text_steps_deinit(struct text_steps *steps);

/* Puts into `output` what the steps make of a text; it must be empty. */
bool text_steps_apply(const struct text_steps *steps, struct token_text text,
                      struct text_buffer *output, struct error *err);

#endif
