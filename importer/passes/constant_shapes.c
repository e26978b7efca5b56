/* Shapes and bounds that are computed at run time, but come out the same in every run.
 *
 *     x ─▶ Shape ─▶ .. ─▶ Concat ─▶ Reshape        becomes        x ─▶ Reshape
 *     └──────────────────────────────┘                            (0, 0, -1) ┘
 *
 * What an argument is in a few runs of different lengths (probe_runs.h) tells what to write: a number
 * that never changes; 0 in a Reshape where the dimension is always that of x, unless it is the last one
 * and never changes, -1 where one alone changes in another way; for the end of a Slice that is always
 * the end of x, the greatest number. */
#include "importer/passes/passes.h"

#include "importer/probe_runs.h"

#include <string.h>

/* One element of an argument in every run, and the dimension of x that it could be. */
struct observed {
    int64_t values[PROBE_RUNS];
    int64_t dims[PROBE_RUNS];
    bool is_last; /* of the argument's elements */
};

typedef bool write_element(const struct observed *observed, int64_t *element);

static bool is_constant(const struct observed *observed) {
    for (size_t i = 1; i < PROBE_RUNS; i++) {
        if (observed->values[i] != observed->values[0]) {
            return false;
        }
    }
    return true;
}

static bool is_dimension(const struct observed *observed) {
    return memcmp(observed->values, observed->dims, sizeof observed->values) == 0;
}

/* A batch is always 1 in the runs, so that a dimension of x comes before a number that is the same, but
 * for the last one: in how wide runs elements are seen is to be a number. */
static bool write_dimension(const struct observed *observed, int64_t *element) {
    bool constant = is_constant(observed);
    bool copied = is_dimension(observed) && !(constant && observed->is_last);
    *element = copied ? 0 : constant ? observed->values[0] : -1;
    return true;
}

static bool write_end(const struct observed *observed, int64_t *element) {
    bool constant = is_constant(observed);
    *element = constant ? observed->values[0] : INT64_MAX;
    return constant || is_dimension(observed);
}

static bool write_number(const struct observed *observed, int64_t *element) {
    *element = observed->values[0];
    return is_constant(observed);
}

static const struct {
    const char *op;
    size_t slot;
    write_element *write;
} arguments[] = {
    {"Reshape", 1, write_dimension}, {"Slice", 1, write_number}, {"Slice", 2, write_end},
    {"Slice", 3, write_number},      {"Slice", 4, write_number}, {"Split", 1, write_number},
};

enum { ELEMENTS_MAX = TENSOR_RANK_MAX };

/* The axis of x that element `i` of an argument is about: that of a Slice may be named. */
static size_t axis_of(const struct graph *graph, const struct graph_node *node, size_t i,
                      size_t rank) {
    const struct tensor *axes = graph_node_is(node, "", "Slice")
                                    ? graph_constant(graph, graph_input(graph, node, 3))
                                    : NULL;
    int64_t axis = axes != NULL && i < axes->count ? tensor_integer(axes, i) : (int64_t)i;
    return (size_t)(axis < 0 ? axis + (int64_t)rank : axis);
}

/* False if the argument is not known in some run, or changes its length. */
static bool observe(struct probe_runs *probes, const struct graph_node *node, size_t slot,
                    struct observed *observed, size_t *count) {
    int argument = graph_input(probes->graph, node, slot);
    int x = graph_input(probes->graph, node, 0);
    for (size_t r = 0; r < PROBE_RUNS; r++) {
        const struct tensor *tensor = probes->runs[r].values[argument];
        const struct tensor *shape = x != GRAPH_NONE ? probes->runs[r].values[x] : NULL;
        if (tensor == NULL || tensor->shape_only || shape == NULL || tensor->rank != 1 ||
            tensor->count > ELEMENTS_MAX || (r > 0 && tensor->count != *count)) {
            return false;
        }
        *count = tensor->count;
        for (size_t i = 0; i < tensor->count; i++) {
            size_t axis = axis_of(probes->graph, node, i, shape->rank);
            observed[i].is_last = i + 1 == tensor->count;
            observed[i].values[r] = tensor_integer(tensor, i);
            observed[i].dims[r] = axis < shape->rank ? (int64_t)shape->dims[axis] : -1;
        }
    }
    return true;
}

/* The argument as a constant, or GRAPH_NONE: *failed then says whether memory is out. */
static int settle(struct graph *graph, struct probe_runs *probes, const struct graph_node *node,
                  size_t index, bool *failed) {
    struct observed observed[ELEMENTS_MAX];
    int64_t elements[ELEMENTS_MAX];
    size_t count = 0;
    size_t open = 0;
    *failed = false;
    if (!observe(probes, node, arguments[index].slot, observed, &count)) {
        return GRAPH_NONE;
    }
    for (size_t i = 0; i < count; i++) {
        if (!arguments[index].write(&observed[i], &elements[i])) {
            return GRAPH_NONE;
        }
        open += arguments[index].write == write_dimension && elements[i] == -1;
    }
    const int64_t size = (int64_t)count;
    struct tensor *tensor = arena_allocate(graph->arena, 1, sizeof *tensor);
    uint8_t *bytes = tensor != NULL && open <= 1
                         ? tensor_allocate(tensor, graph->arena, TENSOR_I64, 1, &size, NULL)
                         : NULL;
    if (bytes == NULL) {
        *failed = open <= 1;
        return GRAPH_NONE;
    }
    memcpy(bytes, elements, count * sizeof elements[0]);
    int constant = graph_add_constant(graph, "shape", tensor);
    *failed = constant == GRAPH_NONE;
    return constant;
}

static bool is_open(const struct graph *graph, const struct graph_node *node, size_t index) {
    int argument = graph_input(graph, node, arguments[index].slot);
    return !node->removed && graph_node_is(node, "", arguments[index].op) &&
           argument != GRAPH_NONE && graph_constant(graph, argument) == NULL;
}

static bool settle_all(struct graph *graph, struct probe_runs *probes, size_t *changes) {
    for (size_t n = 0; n < graph->node_count; n++) {
        for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
            bool failed;
            if (!is_open(graph, &graph->nodes[n], i)) {
                continue;
            }
            int constant = settle(graph, probes, &graph->nodes[n], i, &failed);
            if (failed) {
                return false;
            }
            if (constant != GRAPH_NONE) {
                graph->nodes[n].inputs[arguments[i].slot] = constant;
                ++*changes;
            }
        }
    }
    return true;
}

static bool has_open(const struct graph *graph) {
    for (size_t n = 0; n < graph->node_count; n++) {
        for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
            if (is_open(graph, &graph->nodes[n], i)) {
                return true;
            }
        }
    }
    return false;
}

bool pass_constant_shapes(struct graph *graph, const struct model_config *config, size_t *changes,
                          struct error *err) {
    struct probe_runs probes;
    if (!has_open(graph)) {
        return true;
    }
    if (!probe_runs_open(&probes, graph, config, err)) {
        return false;
    }
    bool sound = settle_all(graph, &probes, changes);
    probe_runs_close(&probes);
    return sound || error_set(err, ERROR_OUT_OF_MEMORY, "no memory for constant shapes");
}
