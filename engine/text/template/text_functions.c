#include "engine/text/template/text_functions.h"

#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

/* A result is vouched for as HTML if what it was made of is. */
static struct template_value as_escaped(struct template_value text, struct template_value origin) {
    text.escaped = origin.type == TEMPLATE_TEXT && origin.escaped;
    return text;
}

bool template_read_integer(struct template_render *render, struct template_value value,
                           int64_t fallback, int64_t *integer) {
    *integer = fallback;
    if (value.type == TEMPLATE_ABSENT || value.type == TEMPLATE_NONE) {
        return true;
    }
    if (value.type == TEMPLATE_UNDEFINED) {
        return template_fail_undefined(render, value);
    }
    if (!template_is_integer(value)) {
        return template_fail(render, ERROR_INVALID, "expected an integer, found %s",
                             template_type_name(value.type));
    }
    *integer = template_to_integer(value);
    return true;
}

/* ---- Case ---- */

/* Each code point through what `map` says; `previous` is the one before, 0 at first. */
static bool map_characters(struct template_render *render, struct template_value self,
                           uint32_t (*map)(uint32_t code, uint32_t previous),
                           struct template_value *result) {
    struct template_text text;
    uint32_t previous = 0;
    if (!template_to_text(render, self, &text) || !template_spend(render, text.length / 8)) {
        return false;
    }
    size_t begin = template_begin(render);
    for (size_t offset = 0; offset < text.length;) {
        uint32_t code = template_text_next(text, &offset);
        if (!template_append_code(render, map(code, previous))) {
            return false;
        }
        previous = code;
    }
    bool fine = template_take(render, begin, result);
    *result = as_escaped(*result, self);
    return fine;
}

static uint32_t upper(uint32_t code, uint32_t previous) {
    (void)previous;
    return template_to_upper(code);
}

static uint32_t lower(uint32_t code, uint32_t previous) {
    (void)previous;
    return template_to_lower(code);
}

static uint32_t capital(uint32_t code, uint32_t previous) {
    return previous == 0 ? template_to_title(code) : template_to_lower(code);
}

static uint32_t title(uint32_t code, uint32_t previous) {
    return template_is_cased(previous) ? template_to_lower(code) : template_to_title(code);
}

static uint32_t title_word(uint32_t code, uint32_t previous) {
    bool begins = previous == 0 || template_is_space(previous) || previous == '-' ||
                  previous == '(' || previous == '{' || previous == '[' || previous == '<';
    return begins ? template_to_upper(code) : template_to_lower(code);
}

bool template_lower(struct template_render *render, struct template_value value,
                    struct template_value *result) {
    return map_characters(render, value, lower, result);
}

bool template_run_upper(struct template_call *call) {
    return map_characters(call->render, call->self, upper, &call->result);
}

bool template_run_lower(struct template_call *call) {
    return map_characters(call->render, call->self, lower, &call->result);
}

bool template_run_capitalize(struct template_call *call) {
    return map_characters(call->render, call->self, capital, &call->result);
}

bool template_run_title(struct template_call *call) {
    return map_characters(call->render, call->self, title, &call->result);
}

bool template_run_title_words(struct template_call *call) {
    return map_characters(call->render, call->self, title_word, &call->result);
}

/* ---- Parts ---- */

bool template_strip(struct template_call *call, enum template_ends ends) {
    struct template_text text;
    struct template_value characters = call->arguments[0];
    bool all_space = characters.type == TEMPLATE_ABSENT || characters.type == TEMPLATE_NONE;
    if (!template_to_text(call->render, call->self, &text)) {
        return false;
    }
    if (!all_space && characters.type != TEMPLATE_TEXT) {
        return template_fail(call->render, ERROR_INVALID,
                             "what is stripped has to be a text, found %s",
                             template_type_name(characters.type));
    }
    /* Each character may be compared with all of those. */
    uint64_t comparisons = all_space ? 1 : characters.text.length;
    if (!template_spend(call->render, text.length / 64 * comparisons)) {
        return false;
    }
    text = template_text_strip(text, ends, all_space ? NULL : &characters.text);
    call->result = as_escaped(template_from(text), call->self);
    return true;
}

bool template_run_strip(struct template_call *call) {
    return template_strip(call, STRIP_BOTH);
}

/* Where the next occurrence begins. An empty text is before every character, and at the end. */
static size_t next_occurrence(struct template_text text, struct template_text old, size_t at,
                              bool first) {
    if (old.length > 0) {
        return template_text_find(text, old, at);
    }
    if (!first && at < text.length) {
        template_text_next(text, &at);
        return at;
    }
    return first ? at : SIZE_MAX;
}

static bool replace(struct template_render *render, struct template_text text,
                    struct template_text old, struct template_text new, int64_t count,
                    struct template_value *result) {
    size_t begin = template_begin(render);
    size_t done = 0;  /* of the text, so far */
    size_t found = 0; /* the occurrence after it */
    if (!template_spend_bytes(render, text.length)) {
        return false;
    }
    for (int64_t i = 0; count < 0 || i < count; i++) {
        found = next_occurrence(text, old, done, i == 0);
        if (found == SIZE_MAX) {
            break;
        }
        if (!template_append(render, template_text_part(text, done, found)) ||
            !template_append(render, new) || !template_spend(render, 1)) {
            return false;
        }
        done = found + old.length;
    }
    return template_append(render, template_text_part(text, done, text.length)) &&
           template_take(render, begin, result);
}

bool template_run_replace(struct template_call *call) {
    struct template_text text;
    struct template_text old;
    struct template_text new;
    int64_t count;
    return template_to_text(call->render, call->self, &text) &&
           template_to_text(call->render, call->arguments[0], &old) &&
           template_to_text(call->render, call->arguments[1], &new) &&
           template_read_integer(call->render, call->arguments[2], -1, &count) &&
           replace(call->render, text, old, new, count, &call->result);
}
