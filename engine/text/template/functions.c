/* Functions that every template has, and where all builtins are found. */
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"
#include "engine/text/template/text_functions.h"

#include <string.h>
#include <time.h>

/* ---- Functions ---- */

enum { RANGE_MAX = 100000 }; /* as in Jinja's sandbox */

static bool function_range(struct template_call *call) {
    const struct template_arguments *given = call->given;
    int64_t bounds[3] = {0, 0, 1};
    if (given->count < 1 || given->count > 3 || given->keyword_count > 0) {
        return template_fail(call->render, ERROR_INVALID, "range takes one to three integers");
    }
    for (size_t i = 0; i < given->count; i++) {
        if (!template_is_integer(given->positional[i])) {
            return template_fail(call->render, ERROR_INVALID, "range takes integers, found %s",
                                 template_type_name(given->positional[i].type));
        }
        bounds[given->count == 1 ? 1 : i] = template_to_integer(given->positional[i]);
    }
    __extension__ __int128 distance = (__int128)bounds[1] - bounds[0];
    __extension__ __int128 step = bounds[2];
    if (step == 0) {
        return template_fail(call->render, ERROR_INVALID, "range's step cannot be zero");
    }
    bool empty = distance == 0 || (distance < 0) != (step < 0);
    __extension__ __int128 count = empty ? 0 : (distance - (step > 0 ? 1 : -1)) / step + 1;
    if (count > RANGE_MAX) {
        return template_fail(call->render, ERROR_TOO_LARGE, "a range of more than %d integers",
                             RANGE_MAX);
    }
    struct template_range *range = template_allocate(call->render, 1, sizeof *range);
    if (range == NULL) {
        return false;
    }
    *range = (struct template_range){bounds[0], bounds[1], bounds[2], (int64_t)count};
    call->result = (struct template_value){.type = TEMPLATE_RANGE, .range = range};
    return true;
}

/* An entry from a pair. */
static bool add_pair(struct template_render *render, struct template_dict *dict,
                     struct template_value pair) {
    struct template_list *parts = NULL;
    if (!template_collect(render, pair, &parts)) {
        return false;
    }
    return parts->count == 2
               ? template_set(render, dict, parts->items[0], parts->items[1])
               : template_fail(render, ERROR_INVALID, "a dict is made of pairs, found %zu values",
                               parts->count);
}

/* The entries of a dict, or of pairs. */
static bool add_entries(struct template_render *render, struct template_dict *dict,
                        struct template_value source) {
    struct template_value item;
    source.type = source.type == TEMPLATE_DICT ? TEMPLATE_ITEMS : source.type;
    struct template_iterator *iterator = template_iterate(render, source);
    while (iterator != NULL && template_next(render, iterator, &item)) {
        if (!add_pair(render, dict, item)) {
            return false;
        }
    }
    return !render->failed;
}

static bool function_dict(struct template_call *call) {
    const struct template_arguments *given = call->given;
    struct template_dict *dict = NULL;
    if (given->count > 1) {
        return template_fail(call->render, ERROR_INVALID, "expected one dict, found %zu values",
                             given->count);
    }
    if (!template_new_dict(call->render, &dict) ||
        (given->count == 1 && !add_entries(call->render, dict, given->positional[0]))) {
        return false;
    }
    for (size_t i = 0; i < given->keyword_count; i++) {
        if (!template_set(call->render, dict, given->keywords[i].key, given->keywords[i].value)) {
            return false;
        }
    }
    call->result = template_from_dict(dict);
    return true;
}

static bool function_namespace(struct template_call *call) {
    bool fine = function_dict(call);
    call->result.type = TEMPLATE_NAMESPACE;
    return fine;
}

/* The template's own refusal, which is all that the message says. */
static bool function_raise_exception(struct template_call *call) {
    struct template_text text;
    if (!template_to_text(call->render, call->arguments[0], &text)) {
        return false;
    }
    enum { SHOWN_BYTES = 400 }; /* leaves the rest of a struct error to what stands before */
    return template_fail(call->render, ERROR_INVALID, "%.*s",
                         template_shown_up_to(text, SHOWN_BYTES), text.bytes);
}

/* The format is the template's to choose: strftime reads nothing but the time, whatever it says. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t format_time(char *out, size_t size, const char *format, int64_t seconds) {
    time_t now = (time_t)seconds;
    struct tm local;
    return localtime_r(&now, &local) != NULL ? strftime(out, size, format, &local) : 0;
}
#pragma GCC diagnostic pop

static bool function_strftime_now(struct template_call *call) {
    char format[256];
    char out[1024];
    struct template_value wanted = call->arguments[0];
    if (wanted.type != TEMPLATE_TEXT || wanted.text.length + 2 > sizeof format ||
        memchr(wanted.text.bytes, '\0', wanted.text.length) != NULL) {
        return template_fail(call->render, ERROR_INVALID,
                             "strftime_now needs a format of up to %zu bytes", sizeof format - 2);
    }
    /* The byte behind it tells an empty result from one that does not fit. */
    memcpy(format, wanted.text.bytes, wanted.text.length);
    memcpy(format + wanted.text.length, ".", 2);
    size_t length = format_time(out, sizeof out, format, call->render->inputs->now);
    if (length == 0) {
        return template_fail(call->render, ERROR_INVALID, "strftime_now's text is too long");
    }
    size_t begin = template_begin(call->render);
    return template_append(call->render, (struct template_text){out, length - 1}) &&
           template_take(call->render, begin, &call->result);
}

static const struct template_builtin functions[] = {
    {"dict", NULL, function_dict},
    {"namespace", NULL, function_namespace},
    {"raise_exception", "message", function_raise_exception},
    {"range", NULL, function_range},
    {"strftime_now", "format", function_strftime_now},
    {NULL, NULL, NULL},
};

/* ---- Finding ---- */

const struct template_builtin *template_find_in_table(const struct template_builtin *table,
                                                      struct template_text name) {
    while (table->name != NULL && !template_text_is(name, table->name)) {
        table++;
    }
    return table->name != NULL ? table : NULL;
}

const struct template_builtin *template_find_function(struct template_text name) {
    return template_find_in_table(functions, name);
}

const struct template_builtin *template_find_filter(struct template_text name) {
    const struct template_builtin *found = template_find_in_table(template_value_filters, name);
    return found != NULL ? found : template_find_in_table(template_list_filters, name);
}

const struct template_builtin *template_find_method(enum template_type type,
                                                    struct template_text name) {
    switch (type) {
    case TEMPLATE_TEXT:
        return template_find_in_table(template_text_methods, name);
    case TEMPLATE_DICT:
        return template_find_in_table(template_dict_methods, name);
    case TEMPLATE_LIST:
        return template_find_in_table(template_list_methods, name);
    case TEMPLATE_TUPLE:
        return template_find_in_table(template_tuple_methods, name);
    default:
        return NULL;
    }
}
