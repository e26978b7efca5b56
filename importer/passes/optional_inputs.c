/* Inputs that choose among ways to run get the value with which we run.
 *
 *     num_logits_to_keep ─▶ Neg ─▶ Slice(positions)        becomes        0 ─▶ Neg ─▶ Slice(positions)
 *
 * Which positions have logits is for the engine to say (select_rows), so the graph is to compute all of
 * them; and there is a KV cache always, be it empty. */
#include "importer/passes/passes.h"

#include <string.h>

static const struct {
    const char *name;
    uint8_t value; /* 0 keeps the logits of all positions */
} choices[] = {
    {"logits_to_keep", 0},
    {"num_logits_to_keep", 0},
    {"use_cache_branch", 1},
};

/* One number of the declared type; NULL for what is not declared as one, or when memory is out. */
static const struct tensor *make_constant(const struct graph *graph,
                                          const struct graph_value *value, uint8_t number,
                                          bool *sound) {
    static const int64_t one = 1;
    bool integer =
        value->type == TENSOR_I64 || value->type == TENSOR_I32 || value->type == TENSOR_BOOL;
    if (!integer || value->rank > 1) {
        return NULL;
    }
    struct tensor *tensor = arena_allocate(graph->arena, 1, sizeof *tensor);
    uint8_t *bytes =
        tensor != NULL ? tensor_allocate(tensor, graph->arena, value->type, value->rank, &one, NULL)
                       : NULL;
    if (bytes == NULL) {
        *sound = false;
        return NULL;
    }
    bytes[0] = number; /* little-endian */
    return tensor;
}

bool pass_optional_inputs(struct graph *graph, size_t *changes, struct error *err) {
    bool sound = true;
    for (size_t i = 0; i < graph->input_count; i++) {
        struct graph_value *value = &graph->values[graph->inputs[i]];
        for (size_t c = 0; c < sizeof choices / sizeof choices[0]; c++) {
            if (value->constant != NULL || strcmp(value->name, choices[c].name) != 0) {
                continue;
            }
            value->constant = make_constant(graph, value, choices[c].value, &sound);
            *changes += value->constant != NULL;
        }
    }
    return sound || error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a constant");
}
