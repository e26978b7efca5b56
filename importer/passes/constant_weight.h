/* Constant matrices as MatMul, Gemm and Gather meet them: perhaps quantized, perhaps transposed.
 *
 *     codes ─▶ DequantizeLinear ─▶ Transpose ─▶ (the reader)
 *     scales ────┘   zero points */
#ifndef QUERN_IMPORTER_PASSES_CONSTANT_WEIGHT_H
#define QUERN_IMPORTER_PASSES_CONSTANT_WEIGHT_H

#include "importer/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct constant_weight {
    int data;        /* the constant, of rank 2 */
    int scales;      /* GRAPH_NONE: data are numbers */
    int zero_points; /* or GRAPH_NONE */
    int64_t axis;    /* of the data, as DequantizeLinear has them */
    int64_t block_size;
    bool transposed; /* the reader sees the data's rows as columns */
};

/* Is the value such a matrix? */
bool constant_weight_find(const struct graph *graph, int value, struct constant_weight *weight);

/* Sets what Linear and Embed (passes.h) have of it: the inputs data, scales and zero_points in the slots
 * `data`, `scales` and `scales` + 1, and the attributes; transposed is whether outputs of the layer, or
 * rows of the table, are columns of the data. The node must have the slots, and room for three
 * attributes. */
void constant_weight_set(struct graph_node *node, const struct constant_weight *weight, int data,
                         int scales, bool transposed);

#endif
