#include "importer/adapter.h"

#include "engine/mapped_files.h"
#include "importer/adapter_file.h"
#include "importer/graph.h"
#include "importer/low_rank.h"
#include "importer/passes/passes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct adapter {
    struct plan_low_rank_pair *pairs; /* by place of the plan */
    void *bytes;
    size_t size;
};

/* What a file says of the inputs of a graph. */
struct reading {
    const struct graph *graph;
    bool *is_matrix;        /* of each value: an adapter may bring it */
    struct tensor *tensors; /* of each value */
    bool *is_there;         /* the file has it */
};

/* ---- The file ---- */

static bool map_file(struct adapter *adapter, const char *path, struct error *err) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        error_set(err, ERROR_IO, "%s", strerror(errno));
    } else if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        error_set(err, ERROR_BAD_FILE, "%s", S_ISREG(status.st_mode) ? "is empty" : "is no file");
    } else {
        adapter->size = (size_t)status.st_size;
        void *bytes = mmap(NULL, adapter->size, PROT_READ, MAP_PRIVATE, file, 0);
        adapter->bytes = bytes != MAP_FAILED ? bytes : NULL;
        if (bytes == MAP_FAILED) {
            error_set(err, ERROR_IO, "%s", strerror(errno));
        } else {
            mapped_files_add(bytes, adapter->size, path);
        }
    }
    if (file >= 0) {
        close(file);
    }
    return adapter->bytes != NULL;
}

static int find_matrix(const struct reading *reading, const struct adapter_parameter *parameter) {
    char name[256];
    if (parameter->name_length >= sizeof name ||
        memchr(parameter->name, '\0', parameter->name_length) != NULL) {
        return GRAPH_NONE;
    }
    memcpy(name, parameter->name, parameter->name_length);
    name[parameter->name_length] = '\0';
    int value = graph_find(reading->graph, name);
    return value != GRAPH_NONE && reading->is_matrix[value] ? value : GRAPH_NONE;
}

static bool take_parameter(void *context, const struct adapter_parameter *parameter,
                           struct error *err) {
    struct reading *reading = context;
    int value = find_matrix(reading, parameter);
    if (value == GRAPH_NONE || reading->is_there[value]) {
        return error_set(err, ERROR_BAD_FILE, "parameter \"%.*s\" %s", (int)parameter->name_length,
                         parameter->name,
                         value == GRAPH_NONE ? "is no adapter input of the model" : "occurs twice");
    }
    reading->is_there[value] = true;
    reading->tensors[value] = parameter->tensor;
    return true;
}

/* ---- The places ---- */

/* The next node, from *n on, that became a place of the plan. */
static const struct graph_node *next_place(const struct graph *graph, size_t *n) {
    while (*n < graph->node_count) {
        const struct graph_node *node = &graph->nodes[(*n)++];
        if (!node->removed && graph_node_is(node, QUERN_DOMAIN, "LowRank")) {
            return node;
        }
    }
    return NULL;
}

static void mark_matrices(const struct reading *reading) {
    size_t n = 0;
    const struct graph_node *node;
    while ((node = next_place(reading->graph, &n)) != NULL) {
        reading->is_matrix[graph_input(reading->graph, node, LOW_RANK_DOWN)] = true;
        reading->is_matrix[graph_input(reading->graph, node, LOW_RANK_UP)] = true;
    }
}

/* The tensor of input `slot`: the file's, or the model's own. */
static const struct tensor *tensor_of(const struct reading *reading, const struct graph_node *node,
                                      size_t slot) {
    int value = graph_input(reading->graph, node, slot);
    return reading->is_there[value] ? &reading->tensors[value]
                                    : graph_constant(reading->graph, value);
}

static bool fill_pairs(struct adapter *adapter, const struct plan *plan,
                       const struct reading *reading, struct error *err) {
    size_t n = 0;
    for (size_t place = 0; place < plan->low_rank_count; place++) {
        const struct graph_node *node = next_place(reading->graph, &n);
        if (!low_rank_read(&adapter->pairs[place], &plan->low_ranks[place], reading->graph, node,
                           tensor_of(reading, node, LOW_RANK_DOWN),
                           tensor_of(reading, node, LOW_RANK_UP), err)) {
            return false;
        }
    }
    return true;
}

static bool read_adapter(struct adapter *adapter, const struct model *model, struct error *err) {
    const struct plan *plan = &model->plan;
    const struct graph *graph = model->graph;
    struct reading reading = {
        .graph = graph,
        .is_matrix = calloc(graph->value_count, sizeof *reading.is_matrix),
        .tensors = calloc(graph->value_count, sizeof *reading.tensors),
        .is_there = calloc(graph->value_count, sizeof *reading.is_there),
    };
    adapter->pairs = calloc(plan->low_rank_count, sizeof *adapter->pairs);
    bool sound = false;
    if (reading.is_matrix == NULL || reading.tensors == NULL || reading.is_there == NULL ||
        adapter->pairs == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an adapter");
    } else {
        mark_matrices(&reading);
        sound = adapter_file_read(adapter->bytes, adapter->size, take_parameter, &reading, err) &&
                fill_pairs(adapter, plan, &reading, err);
    }
    free(reading.is_matrix);
    free(reading.tensors);
    free(reading.is_there);
    return sound;
}

/* ---- Open, close ---- */

bool adapter_open(struct adapter **out, const struct model *model, const char *path,
                  struct error *err) {
    struct adapter *adapter = calloc(1, sizeof *adapter);
    bool opened = false;
    if (adapter == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an adapter");
    } else if (model->plan.low_rank_count == 0) {
        error_set(err, ERROR_UNSUPPORTED,
                  "the model %s has no inputs for adapters; it must be exported with them",
                  model->id);
    } else {
        opened = map_file(adapter, path, err) && read_adapter(adapter, model, err);
    }
    if (!opened) {
        adapter_close(adapter);
        return error_prefix(err, "adapter %.150s", path);
    }
    *out = adapter;
    return true;
}

void adapter_close(struct adapter *adapter) {
    if (adapter == NULL) {
        return;
    }
    if (adapter->bytes != NULL) {
        mapped_files_remove(adapter->bytes);
        munmap(adapter->bytes, adapter->size);
    }
    free(adapter->pairs);
    free(adapter);
}

const struct plan_low_rank_pair *adapter_pairs(const struct adapter *adapter) {
    return adapter->pairs;
}
