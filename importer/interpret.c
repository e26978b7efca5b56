#include "importer/interpret.h"

#include "importer/interpret_ops.h"

#include <stdlib.h>
#include <string.h>

static const struct interpret_entry *const tables[] = {interpret_elementwise, interpret_shape,
                                                       interpret_index, interpret_layers};

enum { TABLE_COUNT = sizeof tables / sizeof tables[0] };

static const struct interpret_entry *find_entry(const struct graph_node *node) {
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        for (const struct interpret_entry *entry = tables[t]; entry->op != NULL; entry++) {
            if (graph_node_is(node, entry->domain, entry->op)) {
                return entry;
            }
        }
    }
    return NULL;
}

static bool computes_elements(const struct interpret_entry *entry) {
    return (entry->traits & ONLY_SHAPES) == 0;
}

bool interpret_knows(const struct graph_node *node) {
    const struct interpret_entry *entry = find_entry(node);
    return entry != NULL && computes_elements(entry);
}

const char *interpret_operator_name(size_t i) {
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        for (const struct interpret_entry *entry = tables[t]; entry->op != NULL; entry++) {
            if (computes_elements(entry) && i-- == 0) {
                return entry->op;
            }
        }
    }
    return NULL;
}

/* Are all inputs there whose elements are needed? Notes whether those of the output will be known. */
static bool check_inputs(struct interpret_call *call, const struct interpret_entry *entry) {
    call->shape_only = (entry->traits & ONLY_SHAPES) != 0;
    for (size_t i = 0; i < call->node->input_count; i++) {
        const struct tensor *input = call->inputs[i];
        if (input == NULL || !input->shape_only || (entry->traits & READS_SHAPES) != 0) {
            continue;
        }
        if (i < 8 && (entry->traits & (1u << i)) != 0) {
            return error_set(call->err, ERROR_UNSUPPORTED,
                             "input %zu is a shape that depends on activations", i);
        }
        call->shape_only = true;
    }
    for (size_t i = 0; i < entry->inputs; i++) {
        if (i >= call->node->input_count || call->inputs[i] == NULL) {
            return error_set(call->err, ERROR_BAD_FILE, "has no input %zu", i);
        }
    }
    return !call->shape_only || call->shape_may_do ||
           error_set(call->err, ERROR_UNSUPPORTED, "cannot be evaluated");
}

/* Output `slot` of a node. */
static bool run_call(struct interpret_call *call) {
    char text[GRAPH_DESCRIPTION_BYTES];
    graph_node_describe(call->node, text);
    const struct interpret_entry *entry = find_entry(call->node);
    if (entry == NULL || (call->node->output_count != 1 && (entry->traits & MANY_OUTPUTS) == 0)) {
        return error_set(call->err, ERROR_UNSUPPORTED, "%s cannot be evaluated", text);
    }
    return (check_inputs(call, entry) && entry->run(call)) || error_prefix(call->err, "%s", text);
}

bool interpret_node(const struct graph_node *node, const struct tensor *const *inputs,
                    struct tensor *output, struct arena *arena, struct error *err) {
    struct interpret_call call = {
        .node = node, .inputs = inputs, .output = output, .arena = arena, .err = err};
    return run_call(&call);
}

/* ---- Shared by the operators ---- */

const struct tensor *interpret_input(struct interpret_call *call, size_t slot) {
    return slot < call->node->input_count ? call->inputs[slot] : NULL;
}

static bool can_store(enum tensor_type type) {
    return type != TENSOR_NONE && type != TENSOR_U4 && type != TENSOR_I4;
}

bool interpret_output_like(struct interpret_call *call, const struct tensor *input, size_t rank,
                           const int64_t *dims) {
    if (!can_store(input->type)) {
        return error_set(call->err, ERROR_UNSUPPORTED, "elements of type %s cannot be evaluated",
                         tensor_type_name(input->type));
    }
    struct tensor shape;
    if (!tensor_set_shape(&shape, input->type, rank, dims, call->err)) {
        return false;
    }
    bool too_large = shape.count > INTERPRET_ELEMENTS_MAX;
    if (too_large && !call->shape_may_do) {
        return error_set(call->err, ERROR_UNSUPPORTED,
                         "a result of %zu elements is too large to evaluate", shape.count);
    }
    if (call->shape_only || too_large) {
        shape.shape_only = true;
        shape.bytes = NULL;
        *call->output = shape;
        call->elements = 0;
        return true;
    }
    call->bytes = tensor_allocate(call->output, call->arena, input->type, rank, dims, call->err);
    call->elements = call->bytes != NULL ? shape.count : 0;
    return call->bytes != NULL;
}

bool interpret_output(struct interpret_call *call, enum tensor_type type, size_t rank,
                      const int64_t *dims) {
    bool is_half = type == TENSOR_F16 || type == TENSOR_BF16;
    struct tensor like = {.type = is_half ? TENSOR_F32 : type};
    return interpret_output_like(call, &like, rank, dims);
}

void interpret_store_number(struct interpret_call *call, size_t i, double number) {
    if (call->output->type == TENSOR_F32) {
        float single = (float)number;
        memcpy(call->bytes + i * sizeof single, &single, sizeof single);
    } else {
        memcpy(call->bytes + i * sizeof number, &number, sizeof number);
    }
}

void interpret_store_integer(struct interpret_call *call, size_t i, int64_t integer) {
    const struct tensor *output = call->output;
    if (tensor_type_is_float(output->type)) {
        interpret_store_number(call, i, (double)integer);
        return;
    }
    if (output->type == TENSOR_BOOL) {
        integer = integer != 0;
    }
    size_t width = output->size / output->count; /* little-endian: the low bytes come first */
    memcpy(call->bytes + i * width, &integer, width);
}

/* ---- A run of a graph ---- */

bool interpretation_init(struct interpretation *run, const struct graph *graph, struct error *err) {
    *run = (struct interpretation){
        .graph = graph,
        .value_count = graph->value_count,
        .end = graph->node_count,
        .values = calloc(graph->value_count + 1, sizeof(const struct tensor *)),
        .needed = calloc(graph->node_count + 1, sizeof *run->needed),
    };
    arena_init(&run->arena);
    if (run->values == NULL || run->needed == NULL) {
        interpretation_deinit(run);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a graph");
    }
    return true;
}

void interpretation_deinit(struct interpretation *run) {
    arena_deinit(&run->arena);
    free(run->values);
    free(run->needed);
    run->values = NULL;
    run->needed = NULL;
}

bool interpretation_init_from(struct interpretation *run, const struct interpretation *base,
                              size_t end, struct error *err) {
    if (!interpretation_init(run, base->graph, err)) {
        return false;
    }
    run->end = end;
    /* Constants may have been added to the graph since the base was opened; they need no place. */
    memcpy(run->values, base->values, base->value_count * sizeof *run->values);
    return true;
}

void interpretation_feed(struct interpretation *run, int value, const struct tensor *tensor) {
    run->values[value] = tensor;
}

/* Does the node read a value that is marked? */
static bool reads_marked(const struct graph *graph, const struct graph_node *node,
                         const bool *marked) {
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(graph, node, i);
        if (input != GRAPH_NONE && marked[input]) {
            return true;
        }
    }
    return false;
}

bool interpretation_replace(struct interpretation *run, int value, const struct tensor *tensor,
                            struct error *err) {
    const struct graph *graph = run->graph;
    bool *stale = calloc(graph->value_count + 1, sizeof *stale);
    if (stale == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a graph");
    }
    stale[value] = true;
    int producer = graph->values[value].producer;
    for (size_t n = producer == GRAPH_NONE ? 0 : (size_t)producer + 1; n < run->end; n++) {
        const struct graph_node *node = &graph->nodes[n];
        if (node->removed || !reads_marked(graph, node, stale)) {
            continue;
        }
        for (size_t i = 0; i < node->output_count; i++) {
            if (node->outputs[i] != GRAPH_NONE) {
                stale[node->outputs[i]] = true;
                run->values[node->outputs[i]] = NULL;
            }
        }
    }
    free(stale);
    run->values[value] = tensor;
    return true;
}

static const struct tensor *known(const struct interpretation *run, int value) {
    const struct tensor *constant = graph_constant(run->graph, value);
    const bool behind = run->graph->values[value].producer >= (int)run->end;
    return constant != NULL ? constant : behind ? NULL : run->values[value];
}

/* Marks the nodes that `value` needs, from its producer backwards: nodes are in topological order.
 */
static bool mark_needed(struct interpretation *run, int last, struct error *err) {
    const struct graph *graph = run->graph;
    memset(run->needed, 0, graph->node_count * sizeof *run->needed);
    run->needed[last] = true;
    for (int n = last; n >= 0; n--) {
        if (!run->needed[n]) {
            continue;
        }
        const struct graph_node *node = &graph->nodes[n];
        for (size_t i = 0; i < node->input_count; i++) {
            int input = graph_input(graph, node, i);
            if (input == GRAPH_NONE || known(run, input) != NULL) {
                continue;
            }
            int producer = graph->values[input].producer;
            if (producer == GRAPH_NONE) {
                return error_set(err, ERROR_UNSUPPORTED, "depends on graph input \"%.150s\"",
                                 graph_value_name(graph, input));
            }
            run->needed[producer] = true;
        }
    }
    return true;
}

/* What a hostile file can make us compute is bounded. */
static bool spend(struct interpretation *run, const struct graph_node *node,
                  const struct tensor *const *inputs, struct error *err) {
    for (size_t i = 0; i < node->input_count; i++) {
        bool read = inputs[i] != NULL && !inputs[i]->shape_only;
        run->spent += read && inputs[i]->count <= INTERPRET_ELEMENTS_MAX ? inputs[i]->count : 0;
    }
    return (run->spent <= INTERPRET_WORK_MAX && run->arena.total <= INTERPRET_BYTES_MAX) ||
           error_set(err, ERROR_UNSUPPORTED, "there is too much to evaluate");
}

/* Computes output `slot` of a node whose inputs are known. */
static bool run_output(struct interpretation *run, const struct graph_node *node, size_t slot,
                       const struct tensor *const *inputs, struct error *err) {
    struct tensor *output = arena_allocate(&run->arena, 1, sizeof *output);
    if (output == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a node");
    }
    if (!spend(run, node, inputs, err)) {
        return false;
    }
    struct interpret_call call = {.node = node,
                                  .inputs = inputs,
                                  .slot = slot,
                                  .output = output,
                                  .shape_may_do = true,
                                  .arena = &run->arena,
                                  .err = err};
    if (!run_call(&call)) {
        return false;
    }
    run->values[node->outputs[slot]] = output;
    return true;
}

static bool run_node(struct interpretation *run, const struct graph_node *node, struct error *err) {
    const struct tensor **inputs =
        arena_allocate(&run->arena, node->input_count, sizeof(const struct tensor *));
    if (inputs == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a node");
    }
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(run->graph, node, i);
        inputs[i] = input == GRAPH_NONE ? NULL : known(run, input);
    }
    for (size_t slot = 0; slot < node->output_count; slot++) {
        int output = node->outputs[slot];
        bool wanted =
            output != GRAPH_NONE && run->values[output] == NULL &&
            (node->output_count == 1 || graph_used_output(run->graph, node, slot) != GRAPH_NONE);
        if (wanted && !run_output(run, node, slot, inputs, err)) {
            return false;
        }
    }
    return true;
}

const struct tensor *interpretation_shape(struct interpretation *run, int value,
                                          struct error *err) {
    const struct tensor *tensor = known(run, value);
    if (tensor != NULL) {
        return tensor;
    }
    int last = run->graph->values[value].producer;
    if (last == GRAPH_NONE) {
        error_set(err, ERROR_UNSUPPORTED, "depends on graph input \"%.150s\"",
                  graph_value_name(run->graph, value));
        return NULL;
    }
    if ((size_t)last >= run->end) {
        error_set(err, ERROR_UNSUPPORTED, "depends on what comes behind it");
        return NULL;
    }
    if (!mark_needed(run, last, err)) {
        return NULL;
    }
    for (int n = 0; n <= last; n++) {
        if (run->needed[n] && !run_node(run, &run->graph->nodes[n], err)) {
            return NULL;
        }
    }
    return run->values[value];
}

const struct tensor *interpretation_value(struct interpretation *run, int value,
                                          struct error *err) {
    const struct tensor *tensor = interpretation_shape(run, value, err);
    if (tensor != NULL && tensor->shape_only) {
        error_set(err, ERROR_UNSUPPORTED, "depends on activations, which cannot be evaluated");
        return NULL;
    }
    return tensor;
}

void interpretation_run(struct interpretation *run) {
    for (size_t n = 0; n < run->end; n++) {
        const struct graph_node *node = &run->graph->nodes[n];
        bool ready = !node->removed;
        for (size_t i = 0; ready && i < node->input_count; i++) {
            int input = graph_input(run->graph, node, i);
            ready = input == GRAPH_NONE || known(run, input) != NULL;
        }
        if (ready) {
            run_node(run, node, NULL); /* one that cannot be computed leaves its outputs unknown */
        }
    }
}
