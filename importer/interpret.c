#include "importer/interpret.h"

#include "importer/interpret_ops.h"

#include <stdlib.h>
#include <string.h>

static const struct interpret_entry *find_entry(const struct graph_node *node) {
    static const struct interpret_entry *const tables[] = {interpret_elementwise, interpret_shape};
    if (node->domain[0] != '\0') {
        return NULL;
    }
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct interpret_entry *entry = tables[t]; entry->op != NULL; entry++) {
            if (strcmp(entry->op, node->op) == 0) {
                return entry;
            }
        }
    }
    return NULL;
}

bool interpret_knows(const struct graph_node *node) {
    return find_entry(node) != NULL;
}

bool interpret_node(const struct graph_node *node, const struct tensor *const *inputs,
                    struct tensor *output, struct arena *arena, struct error *err) {
    char text[GRAPH_DESCRIPTION_BYTES];
    graph_node_describe(node, text);
    const struct interpret_entry *entry = find_entry(node);
    if (entry == NULL || node->output_count != 1) {
        return error_set(err, ERROR_UNSUPPORTED, "%s cannot be evaluated", text);
    }
    for (size_t i = 0; i < entry->inputs; i++) {
        if (i >= node->input_count || inputs[i] == NULL) {
            return error_set(err, ERROR_BAD_FILE, "%s has no input %zu", text, i);
        }
    }
    struct interpret_call call = {
        .node = node, .inputs = inputs, .output = output, .arena = arena, .err = err};
    return entry->run(&call) || error_prefix(err, "%s", text);
}

/* ---- Shared by the operators ---- */

const struct tensor *interpret_input(struct interpret_call *call, size_t slot) {
    return slot < call->node->input_count ? call->inputs[slot] : NULL;
}

uint8_t *interpret_output(struct interpret_call *call, enum tensor_type type, size_t rank,
                          const int64_t *dims) {
    struct tensor shape;
    if (!interpret_can_store(type)) {
        error_set(call->err, ERROR_UNSUPPORTED, "elements of type %s cannot be evaluated",
                  tensor_type_name(type));
        return NULL;
    }
    if (!tensor_set_shape(&shape, type, rank, dims, call->err)) {
        return NULL;
    }
    if (shape.count > INTERPRET_ELEMENTS_MAX) {
        error_set(call->err, ERROR_UNSUPPORTED, "a result of %zu elements is too large to evaluate",
                  shape.count);
        return NULL;
    }
    call->bytes = tensor_allocate(call->output, call->arena, type, rank, dims, call->err);
    return call->bytes;
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

bool interpret_can_store(enum tensor_type type) {
    switch (type) {
    case TENSOR_NONE:
    case TENSOR_F16:
    case TENSOR_BF16:
    case TENSOR_U4:
    case TENSOR_I4:
        return false;
    default:
        return true;
    }
}

/* ---- A run of a graph ---- */

bool interpretation_init(struct interpretation *run, const struct graph *graph, struct error *err) {
    *run = (struct interpretation){
        .graph = graph,
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

void interpretation_feed(struct interpretation *run, int value, const struct tensor *tensor) {
    run->values[value] = tensor;
}

static const struct tensor *known(const struct interpretation *run, int value) {
    const struct tensor *constant = graph_constant(run->graph, value);
    return constant != NULL ? constant : run->values[value];
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

static bool run_node(struct interpretation *run, const struct graph_node *node, struct error *err) {
    const struct tensor **inputs =
        arena_allocate(&run->arena, node->input_count, sizeof(const struct tensor *));
    struct tensor *output = arena_allocate(&run->arena, 1, sizeof *output);
    if (inputs == NULL || output == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a node");
    }
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(run->graph, node, i);
        inputs[i] = input == GRAPH_NONE ? NULL : known(run, input);
    }
    if (!interpret_node(node, inputs, output, &run->arena, err)) {
        return false;
    }
    run->values[node->outputs[0]] = output;
    return true;
}

const struct tensor *interpretation_value(struct interpretation *run, int value,
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
