#include "server/reasoning.h"

#include <string.h>

static const struct reasoning_marks families[] = {
    {"<think>", "</think>"},                    /* DeepSeek, Qwen, SmolLM and most others */
    {"[THINK]", "[/THINK]"},                    /* Mistral */
    {"<seed:think>", "</seed:think>"},          /* Seed */
    {"<|START_THINKING|>", "<|END_THINKING|>"}, /* Cohere */
};

const struct reasoning_marks *reasoning_marks_of_template(const char *source, size_t length) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (memmem(source, length, families[i].end, strlen(families[i].end)) != NULL) {
            return &families[i];
        }
    }
    return NULL;
}

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* How long the text is without the white space at its end. */
static size_t trimmed(const char *text, size_t length) {
    while (length > 0 && is_space(text[length - 1])) {
        length--;
    }
    return length;
}

static size_t leading_space(const char *text, size_t length) {
    size_t count = 0;
    while (count < length && is_space(text[count])) {
        count++;
    }
    return count;
}

bool reasoning_is_open(const struct reasoning_marks *marks, const char *prompt, size_t length) {
    size_t mark = marks != NULL ? strlen(marks->begin) : 0;
    size_t end = trimmed(prompt, length);
    return mark > 0 && end >= mark && memcmp(prompt + end - mark, marks->begin, mark) == 0;
}

void reasoning_init(struct reasoning *reasoning, const struct reasoning_marks *marks, bool open) {
    *reasoning = (struct reasoning){
        .marks = marks,
        .state = marks == NULL ? REASONING_OVER
                 : open        ? REASONING_WITHIN
                               : REASONING_BEFORE,
    };
}

void reasoning_deinit(struct reasoning *reasoning) {
    text_buffer_deinit(&reasoning->held);
}

/* ---- What is held ---- */

static void drop(struct text_buffer *held, size_t count) {
    held->length -= count;
    if (held->length > 0) {
        memmove(held->bytes, held->bytes + count, held->length);
    }
}

static bool move(struct text_buffer *held, size_t count, struct text_buffer *out) {
    bool fine = text_buffer_append(out, count > 0 ? held->bytes : "", count);
    drop(held, count);
    return fine;
}

enum match { MATCH_NO, MATCH_MAYBE, MATCH_YES };

/* Does the text begin with the mark, as far as it goes? */
static enum match match(const char *text, size_t length, const char *mark) {
    size_t whole = strlen(mark);
    size_t compared = length < whole ? length : whole;
    if (memcmp(text, mark, compared) != 0) {
        return MATCH_NO;
    }
    return length < whole ? MATCH_MAYBE : MATCH_YES;
}

/* How much of the text comes before the mark's first place, or the place where it may begin. */
static size_t before_mark(const struct text_buffer *held, const char *mark, enum match *found) {
    for (size_t at = 0; at < held->length; at++) {
        *found = match(held->bytes + at, held->length - at, mark);
        if (*found != MATCH_NO) {
            return at;
        }
    }
    *found = MATCH_NO;
    return held->length;
}

/* ---- States: each returns whether the next one may have something to do ---- */

/* White space and the first mark, which a model may write though its prompt has. */
static bool pass_first_mark(struct reasoning *reasoning) {
    struct text_buffer *held = &reasoning->held;
    size_t space = leading_space(held->bytes, held->length);
    enum match found = match(held->bytes + space, held->length - space, reasoning->marks->begin);
    if (found == MATCH_MAYBE) {
        return false;
    }
    reasoning->opened = true;
    if (found == MATCH_YES) {
        drop(held, space + strlen(reasoning->marks->begin));
        reasoning->state = REASONING_WITHIN;
    } else if (reasoning->state == REASONING_BEFORE) {
        reasoning->state = REASONING_OVER;
    }
    return true;
}

static bool think(struct reasoning *reasoning, struct text_buffer *thought, bool *fine) {
    struct text_buffer *held = &reasoning->held;
    enum match found = MATCH_NO;
    if (!reasoning->begun) {
        drop(held, leading_space(held->bytes, held->length));
    }
    size_t before = before_mark(held, reasoning->marks->end, &found);
    size_t said = trimmed(held->bytes, before);
    reasoning->begun = reasoning->begun || said > 0;
    *fine = move(held, said, thought);
    if (found != MATCH_YES) {
        return false;
    }
    drop(held, before - said + strlen(reasoning->marks->end));
    reasoning->state = REASONING_BEHIND;
    return true;
}

static bool advance(struct reasoning *reasoning, struct text_buffer *thought,
                    struct text_buffer *text, bool *fine) {
    struct text_buffer *held = &reasoning->held;
    if (held->length == 0) {
        return false;
    }
    switch (reasoning->state) {
    case REASONING_BEFORE:
        return pass_first_mark(reasoning);
    case REASONING_WITHIN:
        return (reasoning->opened || pass_first_mark(reasoning)) && think(reasoning, thought, fine);
    case REASONING_BEHIND:
        drop(held, leading_space(held->bytes, held->length));
        reasoning->state = held->length > 0 ? REASONING_OVER : REASONING_BEHIND;
        return held->length > 0;
    case REASONING_OVER:
        *fine = move(held, held->length, text);
        return false;
    }
    return false;
}

bool reasoning_push(struct reasoning *reasoning, const char *bytes, size_t length,
                    struct text_buffer *thought, struct text_buffer *text) {
    if (reasoning->state == REASONING_OVER && reasoning->held.length == 0) {
        return text_buffer_append(text, bytes, length);
    }
    bool fine = text_buffer_append(&reasoning->held, bytes, length);
    while (fine && advance(reasoning, thought, text, &fine)) {
    }
    return fine;
}

bool reasoning_finish(struct reasoning *reasoning, struct text_buffer *thought,
                      struct text_buffer *text) {
    struct text_buffer *held = &reasoning->held;
    if (held->length == 0) {
        return true;
    }
    bool thinks = reasoning->state == REASONING_WITHIN;
    size_t said = thinks ? trimmed(held->bytes, held->length) : held->length;
    return move(held, said, thinks ? thought : text);
}
