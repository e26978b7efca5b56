#include "importer/low_rank.h"

#include "importer/lowering.h"
#include "importer/passes/passes.h"

enum { TEXT_BYTES = 80 };

static bool is_empty(const struct tensor *tensor) {
    return tensor == NULL || tensor->count == 0;
}

/* The matrix as MatMul multiplies with it, (inputs, outputs), or turned, (outputs, inputs). */
static bool read_matrix(struct plan_weight *weight, const char *name, const struct tensor *tensor,
                        bool turned, struct error *err) {
    enum element_type type;
    if (tensor->rank != 2 || !lower_float_element(tensor->type, &type)) {
        char text[TEXT_BYTES];
        tensor_describe(tensor, text, sizeof text);
        return error_set(err, ERROR_BAD_FILE,
                         "\"%.150s\" is %s, expected a matrix of f32, f16 or bf16", name, text);
    }
    *weight = (struct plan_weight){
        .name = name,
        .rows = tensor->dims[turned ? 0 : 1],
        .columns = tensor->dims[turned ? 1 : 0],
        .type = type,
        .data = {.bytes = tensor->bytes,
                 .row = turned ? tensor->dims[1] : 1,
                 .step = turned ? 1 : tensor->dims[1]},
    };
    return true;
}

static bool check_size(const struct plan_weight *weight, const char *what, size_t found,
                       size_t expected, struct error *err) {
    return found == expected ||
           error_set(err, ERROR_BAD_FILE, "\"%.150s\" has %zu %s, expected %zu", weight->name,
                     found, what, expected);
}

bool low_rank_read(struct plan_low_rank_pair *pair, const struct plan_low_rank *low_rank,
                   const struct graph *graph, const struct graph_node *node,
                   const struct tensor *down, const struct tensor *up, struct error *err) {
    const char *down_name = graph_value_name(graph, graph_input(graph, node, LOW_RANK_DOWN));
    const char *up_name = graph_value_name(graph, graph_input(graph, node, LOW_RANK_UP));
    bool down_turned = graph_attribute_int(node, "down_turned", 0) != 0;
    bool up_turned = graph_attribute_int(node, "up_turned", 0) != 0;
    *pair = (struct plan_low_rank_pair){0};
    if (is_empty(down) != is_empty(up)) {
        return error_set(err, ERROR_BAD_FILE, "there is a \"%.150s\", but no \"%.150s\"",
                         is_empty(up) ? down_name : up_name, is_empty(up) ? up_name : down_name);
    }
    if (is_empty(down)) {
        return true;
    }
    return read_matrix(&pair->down, down_name, down, down_turned, err) &&
           read_matrix(&pair->up, up_name, up, up_turned, err) &&
           check_size(&pair->down, "inputs", pair->down.columns, low_rank->columns, err) &&
           check_size(&pair->up, "outputs", pair->up.rows, low_rank->rows, err) &&
           check_size(&pair->up, "inputs", pair->up.columns, pair->down.rows, err) &&
           plan_low_rank_fits(low_rank, pair, err);
}
