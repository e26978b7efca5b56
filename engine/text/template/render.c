#include "engine/text/template/render.h"

#include "engine/checked.h"
#include "engine/text/template/evaluate.h"
#include "engine/text/template/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct template_limits template_default_limits = {
    .text_bytes = (size_t)64 << 20,
    .memory_bytes = (size_t)256 << 20,
    .steps = 20000000,
    .depth = 2000,
};

/* ---- Failure and limits ---- */

bool template_fail(struct template_render *render, enum error_code code, const char *format, ...) {
    if (render->failed) {
        return false;
    }
    render->failed = true;
    render->err->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(render->err->text, sizeof render->err->text, format, arguments);
    va_end(arguments);
    return false;
}

bool template_fail_memory(struct template_render *render) {
    return template_fail(render, ERROR_OUT_OF_MEMORY, "no memory for the chat template's values");
}

bool template_fail_at(struct template_render *render, uint32_t line) {
    if (!render->located) {
        render->located = true;
        error_prefix(render->err, "line %u", line);
    }
    return false;
}

bool template_spend(struct template_render *render, uint64_t steps) {
    const struct template_limits *limits = render->inputs->limits;
    render->steps += steps;
    if (render->steps > limits->steps || render->steps < steps) {
        return template_fail(render, ERROR_TOO_LARGE, "the template takes more than %llu steps",
                             (unsigned long long)limits->steps);
    }
    if (render->arena.total > limits->memory_bytes) {
        return template_fail(render, ERROR_TOO_LARGE,
                             "the template makes values of more than %zu bytes",
                             limits->memory_bytes);
    }
    return !render->failed;
}

bool template_spend_bytes(struct template_render *render, size_t bytes) {
    enum { BYTES_OF_A_STEP = 64 }; /* an expression takes some 30 ns, a byte less than one */
    return template_spend(render, bytes / BYTES_OF_A_STEP);
}

bool template_enter(struct template_render *render) {
    if (++render->depth > render->inputs->limits->depth) {
        return template_fail(render, ERROR_TOO_LARGE, "the template nests deeper than %zu levels",
                             render->inputs->limits->depth);
    }
    return template_spend(render, 1);
}

void template_leave(struct template_render *render) {
    render->depth--;
}

/* ---- Values ---- */

void *template_allocate(struct template_render *render, size_t count, size_t size) {
    size_t bytes;
    size_t total;
    if (!checked_multiply(count, size, &bytes) ||
        !checked_add(bytes, render->arena.total, &total) ||
        total > render->inputs->limits->memory_bytes) {
        template_fail(render, ERROR_TOO_LARGE, "the template makes values of more than %zu bytes",
                      render->inputs->limits->memory_bytes);
        return NULL;
    }
    void *memory = arena_allocate(&render->arena, count, size);
    if (memory == NULL) {
        template_fail_memory(render);
    }
    return memory;
}

struct template_value template_undefined(enum template_origin origin, struct template_text text,
                                         enum template_type owner) {
    return (struct template_value){.type = TEMPLATE_UNDEFINED,
                                   .origin = (uint8_t)origin,
                                   .owner = (uint8_t)owner,
                                   .text = text};
}

struct template_value template_undefined_because(const char *message) {
    return template_undefined(ORIGIN_EXPLANATION, template_literal(message), TEMPLATE_ABSENT);
}

bool template_new_list(struct template_render *render, struct template_list **list) {
    *list = template_list_new(&render->arena);
    return *list != NULL || template_fail_memory(render);
}

bool template_push(struct template_render *render, struct template_list *list,
                   struct template_value value) {
    return template_spend(render, 1) &&
           (template_list_push(&render->arena, list, value) || template_fail_memory(render));
}

bool template_new_pair(struct template_render *render, struct template_value first,
                       struct template_value second, struct template_value *tuple) {
    struct template_list *list;
    if (!template_new_list(render, &list) || !template_push(render, list, first) ||
        !template_push(render, list, second)) {
        return false;
    }
    *tuple = (struct template_value){.type = TEMPLATE_TUPLE, .list = list};
    return true;
}

bool template_new_dict(struct template_render *render, struct template_dict **dict) {
    *dict = template_dict_new(&render->arena);
    return *dict != NULL || template_fail_memory(render);
}

bool template_set(struct template_render *render, struct template_dict *dict,
                  struct template_value key, struct template_value value) {
    if (!template_is_key(key)) {
        return template_fail(render, ERROR_INVALID,
                             "a key has to be a text, a number, a boolean or none");
    }
    return template_spend(render, 1) &&
           (template_dict_set(&render->arena, dict, key, value) || template_fail_memory(render));
}

/* ---- Text in the making ---- */

static bool may_append(struct template_render *render, uint64_t bytes) {
    size_t limit = render->inputs->limits->text_bytes;
    return bytes <= limit && render->text->length <= limit - bytes
               ? !render->failed
               : template_fail(render, ERROR_TOO_LARGE, "the template writes more than %zu bytes",
                               limit);
}

bool template_append(struct template_render *render, struct template_text text) {
    return may_append(render, text.length) && template_spend_bytes(render, text.length) &&
           (text_buffer_append(render->text, text.bytes, text.length) ||
            template_fail_memory(render));
}

bool template_append_string(struct template_render *render, const char *terminated) {
    return template_append(render, template_literal(terminated));
}

bool template_append_code(struct template_render *render, uint32_t code) {
    char utf8[4];
    size_t length = template_encode(code, utf8);
    return template_append(render, (struct template_text){utf8, length});
}

bool template_append_repeated(struct template_render *render, struct template_text text,
                              uint64_t count) {
    uint64_t bytes;
    if (__builtin_mul_overflow(count, (uint64_t)text.length, &bytes)) {
        bytes = UINT64_MAX;
    }
    if (text.length == 0 || !may_append(render, bytes)) {
        return !render->failed;
    }
    while (count-- > 0) {
        if (!template_append(render, text)) {
            return false;
        }
    }
    return true;
}

bool template_take(struct template_render *render, size_t begin, struct template_value *value) {
    size_t length = render->text->length - begin;
    if (length == 0) {
        *value = template_from_text("", 0);
        return !render->failed;
    }
    char *bytes = template_allocate(render, length, 1);
    if (bytes == NULL) {
        return false;
    }
    memcpy(bytes, render->text->bytes + begin, length);
    render->text->length = begin;
    *value = template_from_text(bytes, length);
    return true;
}

/* ---- Public ---- */

bool template_render(const struct template *template, const struct template_inputs *inputs,
                     struct text_buffer *text, struct error *err) {
    /* What the caller had in the buffer does not count, and is not touched by what fails. */
    struct text_buffer own = {0};
    struct template_render render = {
        .template = template, .inputs = inputs, .text = &own, .err = err};
    arena_init(&render.arena);
    render.scope = template_new_scope(&render, NULL);
    bool fine = render.scope != NULL && template_execute(&render, template->body) == FLOW_ON;
    if (fine && !text_buffer_append(text, own.length > 0 ? own.bytes : "", own.length)) {
        fine = template_fail_memory(&render);
    }
    arena_deinit(&render.arena);
    text_buffer_deinit(&own);
    return fine;
}
