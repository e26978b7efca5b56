#include "engine/text/template/evaluate.h"
#include "engine/text/template/operations.h"

/* ---- Items, as far as the loop's filter lets them through ---- */

struct filtered {
    struct template_iterator iterator; /* first, so that a pointer to it is one to this */
    const struct template_loop_syntax *syntax;
    struct template_scope *scope; /* of the filter's condition */
};

static bool passes(struct template_render *render, struct filtered *filtered,
                   struct template_value item, bool *passed) {
    struct template_scope *outer = render->scope;
    struct template_value condition;
    render->scope = filtered->scope;
    bool fine = template_assign(render, &filtered->syntax->target, item) &&
                template_evaluate(render, filtered->syntax->filter, &condition);
    render->scope = outer;
    *passed = fine && template_is_true(condition);
    return fine;
}

/* The condition is asked when an item is wanted, so that it sees what the body did before. */
static bool next_filtered(struct template_render *render, struct template_iterator *iterator,
                          struct template_value *item) {
    struct filtered *filtered = (struct filtered *)(void *)iterator;
    bool passed = false;
    while (!passed && template_next(render, iterator->inner, item)) {
        if (!passes(render, filtered, *item, &passed)) {
            return false;
        }
    }
    return passed;
}

static struct template_iterator *filter_items(struct template_render *render,
                                              const struct template_loop_syntax *syntax,
                                              struct template_iterator *inner) {
    struct filtered *filtered = template_allocate(render, 1, sizeof *filtered);
    if (filtered == NULL) {
        return NULL;
    }
    filtered->iterator.next = next_filtered;
    filtered->iterator.inner = inner;
    filtered->syntax = syntax;
    filtered->scope = template_new_scope(render, render->scope);
    return filtered->scope != NULL ? &filtered->iterator : NULL;
}

/* ---- The state of a loop ---- */

static bool look_ahead(struct template_render *render, struct template_loop *loop) {
    if (!loop->has_following) {
        loop->has_following = template_next(render, loop->iterator, &loop->following);
    }
    return loop->has_following;
}

/* The next item is the current one; false where there is none, or the render failed. */
static bool advance(struct template_render *render, struct template_loop *loop) {
    if (!look_ahead(render, loop)) {
        return false;
    }
    loop->index += loop->current.type != TEMPLATE_ABSENT;
    loop->previous = loop->current;
    loop->current = loop->following;
    loop->has_following = false;
    return true;
}

/* Items of unknown number are all read to be counted, and then come from a list. */
static bool count_items(struct template_render *render, struct template_loop *loop) {
    if (loop->counted) {
        return true;
    }
    if (loop->syntax->filter != NULL || !template_length(loop->source, &loop->length)) {
        struct template_list *rest;
        if (!template_collect(render, template_from_iterator(loop->iterator), &rest)) {
            return false;
        }
        loop->iterator = template_iterate(render, template_from_list(rest));
        loop->length = loop->index + 1 + loop->has_following + rest->count;
    }
    loop->counted = true;
    return loop->iterator != NULL;
}

/* ---- Members of the variable `loop` ---- */

typedef bool loop_attribute(struct template_render *render, struct template_loop *loop,
                            struct template_value *result);

static bool loop_index(struct template_render *render, struct template_loop *loop,
                       struct template_value *result) {
    (void)render;
    *result = template_from_integer((int64_t)loop->index + 1);
    return true;
}

static bool loop_index0(struct template_render *render, struct template_loop *loop,
                        struct template_value *result) {
    (void)render;
    *result = template_from_integer((int64_t)loop->index);
    return true;
}

static bool loop_length(struct template_render *render, struct template_loop *loop,
                        struct template_value *result) {
    bool fine = count_items(render, loop);
    *result = template_from_integer((int64_t)loop->length);
    return fine;
}

static bool loop_revindex(struct template_render *render, struct template_loop *loop,
                          struct template_value *result) {
    bool fine = count_items(render, loop);
    *result = template_from_integer((int64_t)loop->length - (int64_t)loop->index);
    return fine;
}

static bool loop_revindex0(struct template_render *render, struct template_loop *loop,
                           struct template_value *result) {
    bool fine = count_items(render, loop);
    *result = template_from_integer((int64_t)loop->length - (int64_t)loop->index - 1);
    return fine;
}

static bool loop_first(struct template_render *render, struct template_loop *loop,
                       struct template_value *result) {
    (void)render;
    *result = template_from_boolean(loop->index == 0);
    return true;
}

static bool loop_last(struct template_render *render, struct template_loop *loop,
                      struct template_value *result) {
    *result = template_from_boolean(!look_ahead(render, loop));
    return !render->failed;
}

static bool loop_depth(struct template_render *render, struct template_loop *loop,
                       struct template_value *result) {
    (void)render;
    *result = template_from_integer((int64_t)loop->depth + 1);
    return true;
}

static bool loop_depth0(struct template_render *render, struct template_loop *loop,
                        struct template_value *result) {
    (void)render;
    *result = template_from_integer((int64_t)loop->depth);
    return true;
}

static bool loop_previtem(struct template_render *render, struct template_loop *loop,
                          struct template_value *result) {
    (void)render;
    *result = loop->previous.type != TEMPLATE_ABSENT
                  ? loop->previous
                  : template_undefined_because("there is no previous item");
    return true;
}

static bool loop_nextitem(struct template_render *render, struct template_loop *loop,
                          struct template_value *result) {
    *result = look_ahead(render, loop) ? loop->following
                                       : template_undefined_because("there is no next item");
    return !render->failed;
}

/* loop.cycle(a, b, ...): one after the other. */
static bool cycle(struct template_call *call) {
    const struct template_arguments *given = call->given;
    if (given->count == 0) {
        return template_fail(call->render, ERROR_INVALID, "loop.cycle needs values");
    }
    call->result = given->positional[call->self.loop->index % given->count];
    return true;
}

static bool loop_cycle(struct template_render *render, struct template_loop *loop,
                       struct template_value *result) {
    static const struct template_builtin builtin = {"cycle", NULL, cycle};
    struct template_function *function = template_allocate(render, 1, sizeof *function);
    if (function == NULL) {
        return false;
    }
    *function = (struct template_function){&builtin, {.type = TEMPLATE_LOOP, .loop = loop}};
    *result = (struct template_value){.type = TEMPLATE_FUNCTION, .function = function};
    return true;
}

static const struct {
    const char *name;
    loop_attribute *get;
} attributes[] = {
    {"index", loop_index},         {"index0", loop_index0},     {"revindex", loop_revindex},
    {"revindex0", loop_revindex0}, {"first", loop_first},       {"last", loop_last},
    {"length", loop_length},       {"previtem", loop_previtem}, {"nextitem", loop_nextitem},
    {"depth", loop_depth},         {"depth0", loop_depth0},     {"cycle", loop_cycle},
};

bool template_get_loop_attribute(struct template_render *render, struct template_loop *loop,
                                 struct template_text name, struct template_value *result) {
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (template_text_is(name, attributes[i].name)) {
            return attributes[i].get(render, loop, result);
        }
    }
    *result = template_undefined(ORIGIN_MEMBER, name, TEMPLATE_LOOP);
    return true;
}

/* ---- Running ---- */

static bool run_body(struct template_render *render, struct template_loop *loop) {
    struct template_scope *scope = NULL;
    enum template_flow flow = FLOW_ON;
    while (flow != FLOW_BREAK && flow != FLOW_FAILED && advance(render, loop)) {
        /* Each item has its variables; their memory serves the next, if nobody keeps it. */
        if (scope == NULL || scope->kept) {
            scope = template_new_scope(render, loop->scope);
            if (scope == NULL) {
                return false;
            }
        }
        scope->count = 0;
        render->scope = scope;
        bool bound = template_bind(render, SYMBOL_LOOP,
                                   (struct template_value){.type = TEMPLATE_LOOP, .loop = loop}) &&
                     template_assign(render, &loop->syntax->target, loop->current);
        flow = bound ? template_execute(render, loop->syntax->body) : FLOW_FAILED;
        render->scope = loop->scope;
    }
    return !render->failed;
}

static enum template_flow run_otherwise(struct template_render *render,
                                        struct template_loop *loop) {
    render->scope = template_new_scope(render, loop->scope);
    enum template_flow flow =
        render->scope != NULL ? template_execute(render, loop->syntax->otherwise) : FLOW_FAILED;
    render->scope = loop->scope;
    return flow;
}

enum template_flow template_run_loop(struct template_render *render,
                                     const struct template_loop_syntax *syntax,
                                     struct template_value source, size_t depth) {
    struct template_loop *loop = template_allocate(render, 1, sizeof *loop);
    if (loop == NULL) {
        return FLOW_FAILED;
    }
    loop->syntax = syntax;
    loop->scope = render->scope;
    loop->source = source;
    loop->depth = depth;
    loop->iterator = template_iterate(render, source);
    if (loop->iterator != NULL && syntax->filter != NULL) {
        loop->iterator = filter_items(render, syntax, loop->iterator);
    }
    if (loop->iterator == NULL || !run_body(render, loop)) {
        return FLOW_FAILED;
    }
    return loop->current.type == TEMPLATE_ABSENT ? run_otherwise(render, loop) : FLOW_ON;
}

bool template_call_loop(struct template_render *render, struct template_loop *loop,
                        const struct template_arguments *arguments, struct template_value *result) {
    struct template_scope *caller = render->scope;
    size_t begin = template_begin(render);
    if (!loop->syntax->recursive || arguments->count != 1) {
        return template_fail(render, ERROR_INVALID,
                             "loop() needs a loop that is marked recursive, and one argument");
    }
    render->scope = loop->scope;
    enum template_flow flow =
        template_run_loop(render, loop->syntax, arguments->positional[0], loop->depth + 1);
    bool fine = flow != FLOW_FAILED && template_take(render, begin, result);
    render->scope = caller;
    return fine;
}
