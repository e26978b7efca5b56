/* Methods of dicts, lists and tuples. */
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text_functions.h"

static bool view(struct template_value self, enum template_type type,
                 struct template_value *result) {
    *result = self;
    result->type = (uint8_t)type;
    return true;
}

static bool dict_keys(struct template_call *call) {
    return view(call->self, TEMPLATE_KEYS, &call->result);
}

static bool dict_values(struct template_call *call) {
    return view(call->self, TEMPLATE_VALUES, &call->result);
}

static bool dict_items(struct template_call *call) {
    return view(call->self, TEMPLATE_ITEMS, &call->result);
}

static bool dict_get(struct template_call *call) {
    const struct template_value *found = template_dict_find(call->self.dict, call->arguments[0]);
    struct template_value fallback = call->arguments[1];
    call->result = found != NULL                      ? *found
                   : fallback.type == TEMPLATE_ABSENT ? template_none()
                                                      : fallback;
    return true;
}

/* What cannot be changed need not be copied. */
static bool copy(struct template_call *call) {
    call->result = call->self;
    return true;
}

static bool list_count(struct template_call *call) {
    int64_t count = 0;
    for (size_t i = 0; i < call->self.list->count; i++) {
        bool equal;
        if (!template_equal(call->render, call->self.list->items[i], call->arguments[0], &equal)) {
            return false;
        }
        count += equal;
    }
    call->result = template_from_integer(count);
    return true;
}

static bool list_index(struct template_call *call) {
    for (size_t i = 0; i < call->self.list->count; i++) {
        bool equal;
        if (!template_equal(call->render, call->self.list->items[i], call->arguments[0], &equal)) {
            return false;
        }
        if (equal) {
            call->result = template_from_integer((int64_t)i);
            return true;
        }
    }
    return template_fail(call->render, ERROR_INVALID, "the value is not in the list");
}

const struct template_builtin template_dict_methods[] = {
    {"clear", NULL, NULL},       {"copy", "", copy},
    {"fromkeys", NULL, NULL},    {"get", "key default=", dict_get},
    {"items", "", dict_items},   {"keys", "", dict_keys},
    {"pop", NULL, NULL},         {"popitem", NULL, NULL},
    {"setdefault", NULL, NULL},  {"update", NULL, NULL},
    {"values", "", dict_values}, {NULL, NULL, NULL},
};

const struct template_builtin template_tuple_methods[] = {
    {"count", "value", list_count},
    {"index", "value", list_index},
    {NULL, NULL, NULL},
};

const struct template_builtin template_list_methods[] = {
    {"append", NULL, NULL},         {"clear", NULL, NULL},  {"copy", "", copy},
    {"count", "value", list_count}, {"extend", NULL, NULL}, {"index", "value", list_index},
    {"insert", NULL, NULL},         {"pop", NULL, NULL},    {"remove", NULL, NULL},
    {"reverse", NULL, NULL},        {"sort", NULL, NULL},   {NULL, NULL, NULL},
};
