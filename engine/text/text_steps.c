#include "engine/text/text_steps.h"

#include "engine/checked.h"
#include "engine/text/byte_alphabet.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* What replacing may make of a text, all steps together: so many bytes of each, and of some besides. Eight
 * steps that make ten letters of each would make a hundred million. */
enum { GROWTH_MAX = 64, GROWTH_FREE = 1024 };

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a text");
}

/* ---- One step ---- */

bool text_step_init(struct text_step *step, const struct text_step_definition *definition,
                    struct error *err) {
    *step = (struct text_step){.kind = definition->kind,
                               .left = definition->left,
                               .right = definition->right,
                               .form = definition->form};
    bool ok =
        text_buffer_append(&step->content, definition->content.bytes, definition->content.length) ||
        no_memory(err);
    ok = ok &&
         (step->kind != TEXT_REPLACE || pattern_init(&step->pattern, &definition->pattern, err));
    if (!ok) {
        text_step_deinit(step);
    }
    return ok;
}

void text_step_deinit(struct text_step *step) {
    pattern_deinit(&step->pattern);
    text_buffer_deinit(&step->content);
}

bool text_step_run_init(struct text_step_run *run, const struct text_step *step,
                        struct error *err) {
    *run = (struct text_step_run){.step = step, .made_max = SIZE_MAX};
    return step->kind != TEXT_REPLACE || pattern_search_init(&run->search, &step->pattern, err);
}

void text_step_run_deinit(struct text_step_run *run) {
    pattern_search_deinit(&run->search);
}

/* ---- What each kind does ---- */

static bool append(struct text_buffer *output, const char *bytes, size_t length,
                   struct error *err) {
    return text_buffer_append(output, bytes, length) || no_memory(err);
}

static bool append_content(struct text_step_run *run, struct text_buffer *output,
                           struct error *err) {
    return append(output, run->step->content.bytes, run->step->content.length, err);
}

static bool replace(struct text_step_run *run, struct token_text text, struct text_buffer *output,
                    struct error *err) {
    bool found;
    size_t begin;
    size_t end;
    size_t copied = 0;
    pattern_search_begin(&run->search, text);
    for (;;) {
        if (!pattern_search_next(&run->search, &found, &begin, &end, err)) {
            return false;
        }
        if (!found) {
            return append(output, text.bytes + copied, text.length - copied, err);
        }
        if (!append(output, text.bytes + copied, begin - copied, err) ||
            !append_content(run, output, err)) {
            return false;
        }
        if (output->length > run->made_max) {
            return error_set(err, ERROR_UNSUPPORTED,
                             "the tokenizer's normalizer makes more than %zu bytes of the text",
                             run->made_max);
        }
        copied = end;
    }
}

static bool prepend(struct text_step_run *run, struct token_text text, struct text_buffer *output,
                    struct error *err) {
    return (text.length == 0 || append_content(run, output, err)) &&
           append(output, text.bytes, text.length, err);
}

static bool begin_with(struct text_step_run *run, struct token_text text,
                       struct text_buffer *output, struct error *err) {
    const struct text_buffer *content = &run->step->content;
    bool begins =
        text.length >= content->length && memcmp(text.bytes, content->bytes, content->length) == 0;
    return (begins || append_content(run, output, err)) &&
           append(output, text.bytes, text.length, err);
}

static bool strip(struct text_step_run *run, struct token_text text, struct text_buffer *output,
                  struct error *err) {
    size_t begin = 0;
    size_t end = 0;
    bool inside = !run->step->left;
    for (size_t at = 0; at < text.length;) {
        size_t bytes = utf8_character(text.bytes + at, text.length - at);
        bool space = unicode_is_space(utf8_decode(text.bytes + at, bytes));
        if (!inside && !space) {
            begin = at;
            inside = true;
        }
        at += bytes;
        if (inside && (!space || !run->step->right)) {
            end = at;
        }
    }
    return append(output, text.bytes + begin, end - begin, err);
}

static bool lowercase(struct text_step_run *run, struct token_text text, struct text_buffer *output,
                      struct error *err) {
    (void)run;
    for (size_t at = 0; at < text.length;) {
        uint32_t lower[2];
        size_t bytes = utf8_character(text.bytes + at, text.length - at);
        size_t count = unicode_lowercase(utf8_decode(text.bytes + at, bytes), lower);
        for (size_t i = 0; i < count; i++) {
            char character[4];
            if (!append(output, character, utf8_encode(lower[i], character), err)) {
                return false;
            }
        }
        at += bytes;
    }
    return true;
}

static bool normal_form(struct text_step_run *run, struct token_text text,
                        struct text_buffer *output, struct error *err) {
    return normal_form_append(run->step->form, text.bytes, text.length, output) || no_memory(err);
}

static bool byte_alphabet(struct text_step_run *run, struct token_text text,
                          struct text_buffer *output, struct error *err) {
    (void)run;
    /* A character of the alphabet has one byte or two. */
    size_t bytes;
    if (!checked_multiply(text.length, 2, &bytes) || !text_buffer_reserve(output, bytes)) {
        return no_memory(err);
    }
    char *to = output->bytes + output->length;
    for (size_t i = 0; i < text.length; i++) {
        to += utf8_encode(byte_alphabet_character((uint8_t)text.bytes[i]), to);
    }
    *to = '\0';
    output->length = (size_t)(to - output->bytes);
    return true;
}

typedef bool apply_step(struct text_step_run *run, struct token_text text,
                        struct text_buffer *output, struct error *err);

static apply_step *const kinds[] = {
    [TEXT_REPLACE] = replace,
    [TEXT_PREPEND] = prepend,
    [TEXT_BEGIN_WITH] = begin_with,
    [TEXT_STRIP] = strip,
    [TEXT_LOWERCASE] = lowercase,
    [TEXT_NORMAL_FORM] = normal_form,
    [TEXT_BYTE_ALPHABET] = byte_alphabet,
};

bool text_step_run_apply(struct text_step_run *run, struct token_text text,
                         struct text_buffer *output, struct error *err) {
    return kinds[run->step->kind](run, text, output, err);
}

/* ---- Several ---- */

bool text_steps_add(struct text_steps *steps, const struct text_step_definition *definition,
                    struct error *err) {
    struct text_step *grown = realloc(steps->steps, (steps->count + 1) * sizeof *grown);
    if (grown == NULL) {
        return no_memory(err);
    }
    steps->steps = grown;
    if (!text_step_init(&grown[steps->count], definition, err)) {
        return false;
    }
    steps->count++;
    return true;
}

void text_steps_deinit(struct text_steps *steps) {
    for (size_t i = 0; i < steps->count; i++) {
        text_step_deinit(&steps->steps[i]);
    }
    free(steps->steps);
    *steps = (struct text_steps){0};
}

bool text_steps_apply(const struct text_steps *steps, struct token_text text,
                      struct text_buffer *output, struct error *err) {
    struct text_buffer made = {0};
    const size_t made_max = (text.length + GROWTH_FREE) * GROWTH_MAX;
    if (steps->count == 0) {
        return append(output, text.bytes, text.length, err);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < steps->count; i++) {
        struct text_step_run run;
        struct text_buffer before = *output; /* what `text` lies in, but for the first step */
        *output = made;
        output->length = 0;
        made = before;
        ok = text_step_run_init(&run, &steps->steps[i], err);
        run.made_max = made_max;
        ok = ok && append(output, "", 0, err) && text_step_run_apply(&run, text, output, err);
        text_step_run_deinit(&run);
        text = (struct token_text){output->bytes, output->length};
    }
    text_buffer_deinit(&made);
    return ok;
}
