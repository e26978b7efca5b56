/* Splits what a model thinks off what it says, while the reply comes:
 *
 *     push "<think>\nHm, 6 x"        thought "Hm, 6 x"
 *     push " 7.\n</th"               thought " 7."
 *     push "ink>\n\nIt is 42."       text "It is 42."
 *
 * Thoughts stand at the beginning of a reply, between two marks, of which the prompt may have written
 * the first. White space around them is left out. What is held back is no more than the beginning of a
 * mark and white space before it.
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_REASONING_H
#define QUERN_SERVER_REASONING_H

#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

struct reasoning_marks {
    const char *begin;
    const char *end;
};

/* The marks that a chat template's source has, NULL if it has none. */
const struct reasoning_marks *reasoning_marks_of_template(const char *source, size_t length);

/* Does the prompt end within thoughts? */
bool reasoning_is_open(const struct reasoning_marks *marks, const char *prompt, size_t length);

enum reasoning_state {
    REASONING_BEFORE, /* the first mark may come */
    REASONING_WITHIN,
    REASONING_BEHIND, /* white space is left out */
    REASONING_OVER,   /* all is text */
};

struct reasoning {
    const struct reasoning_marks *marks;
    enum reasoning_state state;
    bool opened; /* the first mark has come, or what cannot be it */
    bool begun;  /* thoughts that are not white space have come */
    struct text_buffer held;
};

/* Without marks all is text. `open`: the prompt has written the first mark. */
void reasoning_init(struct reasoning *reasoning, const struct reasoning_marks *marks, bool open);
void reasoning_deinit(struct reasoning *reasoning);

/* Appends what the piece lets be said. False when memory is out. */
bool reasoning_push(struct reasoning *reasoning, const char *bytes, size_t length,
                    struct text_buffer *thought, struct text_buffer *text);

/* The reply has ended: what is held back comes out. */
bool reasoning_finish(struct reasoning *reasoning, struct text_buffer *thought,
                      struct text_buffer *text);

#endif
