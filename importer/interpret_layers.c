/* The layers of a model: MatMul, which masks and rotary tables use as well, and operators of which only
 * the shape of the result is ever wanted. */
#include "importer/interpret_ops.h"
#include "importer/passes/passes.h"

#include <string.h>

static bool wrong(struct interpret_call *call, const char *what) {
    return error_set(call->err, ERROR_BAD_FILE, "%s", what);
}

/* The dimensions of input 0 with another last one. */
static bool like_first(struct interpret_call *call, enum tensor_type type, int64_t last) {
    const struct tensor *input = call->inputs[0];
    int64_t dims[TENSOR_RANK_MAX];
    if (input->rank == 0) {
        return wrong(call, "the input is a scalar");
    }
    for (size_t d = 0; d + 1 < input->rank; d++) {
        dims[d] = (int64_t)input->dims[d];
    }
    dims[input->rank - 1] = last;
    return interpret_output(call, type, input->rank, dims);
}

static int64_t last_dim(const struct tensor *tensor) {
    return tensor->rank > 0 ? (int64_t)tensor->dims[tensor->rank - 1] : 1;
}

/* ---- MatMul ---- */

/* Matrices (rows, inner) x (inner, columns), stacked in broadcast outer dimensions. */
struct product {
    size_t rows;
    size_t inner;
    size_t columns;
};

/* Where the matrix of `input` lies that goes into matrix `index` of the output. */
static size_t matrix_offset(const struct tensor *input, const struct tensor *output, size_t index) {
    size_t matrix = input->dims[input->rank - 2] * input->dims[input->rank - 1];
    size_t offset = 0;
    for (size_t back = 3; back <= output->rank; back++) {
        size_t position = index % output->dims[output->rank - back];
        index /= output->dims[output->rank - back];
        if (back <= input->rank) {
            size_t dim = input->dims[input->rank - back];
            offset += (dim == 1 ? 0 : position) * matrix;
            matrix *= dim;
        }
    }
    return offset;
}

static double dot(const struct tensor *a, size_t at_a, const struct tensor *b, size_t at_b,
                  const struct product *shape) {
    double sum = 0;
    for (size_t k = 0; k < shape->inner; k++) {
        sum += tensor_number(a, at_a + k) * tensor_number(b, at_b + k * shape->columns);
    }
    return sum;
}

static void multiply_matrices(struct interpret_call *call, const struct product *shape) {
    const struct tensor *a = call->inputs[0];
    const struct tensor *b = call->inputs[1];
    size_t matrix = shape->rows * shape->columns;
    for (size_t i = 0; i < call->elements; i++) {
        size_t row = i % matrix / shape->columns;
        size_t column = i % shape->columns;
        size_t at_a = matrix_offset(a, call->output, i / matrix) + row * shape->inner;
        size_t at_b = matrix_offset(b, call->output, i / matrix) + column;
        interpret_store_number(call, i, dot(a, at_a, b, at_b, shape));
    }
}

static bool run_matmul(struct interpret_call *call) {
    const struct tensor *a = call->inputs[0];
    const struct tensor *b = call->inputs[1];
    if (a->rank < 2 || b->rank < 2 || a->dims[a->rank - 1] != b->dims[b->rank - 2]) {
        return wrong(call, "the matrices do not fit each other");
    }
    struct product shape = {a->dims[a->rank - 2], a->dims[a->rank - 1], b->dims[b->rank - 1]};
    /* The outer dimensions broadcast as if each matrix were one element. */
    struct tensor outer[2] = {*a, *b};
    for (size_t i = 0; i < 2; i++) {
        outer[i].dims[outer[i].rank - 1] = 1;
        outer[i].dims[outer[i].rank - 2] = 1;
    }
    const struct tensor *both[2] = {&outer[0], &outer[1]};
    struct interpret_call stretched = *call;
    stretched.inputs = both;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(&stretched, 2, &rank, dims)) {
        return false;
    }
    dims[rank - 2] = (int64_t)shape.rows;
    dims[rank - 1] = (int64_t)shape.columns;
    bool is_integer = strcmp(call->node->op, "MatMulInteger") == 0;
    if (!interpret_output(call, is_integer ? TENSOR_I32 : a->type, rank, dims)) {
        return false;
    }
    if (call->elements > 0 && shape.inner > INTERPRET_ELEMENTS_MAX / call->elements) {
        return wrong(call, "the matrices are too large to evaluate");
    }
    multiply_matrices(call, &shape);
    return true;
}

/* ---- Shapes of results ---- */

static bool shape_as_first(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    bool is_other = call->slot != 0 && call->slot != 3; /* mean, variance: nobody reads them */
    return is_other ? wrong(call, "output is not evaluated")
                    : like_first(call, input->type, last_dim(input));
}

static bool shape_of_linear(struct interpret_call *call) {
    const struct tensor *weight = call->inputs[1];
    size_t outputs = graph_attribute_int(call->node, "transposed", 0) != 0 ? 1 : 0;
    return weight->rank == 2
               ? like_first(call, call->inputs[0]->type, (int64_t)weight->dims[outputs])
               : wrong(call, "the weight is not a matrix");
}

static bool shape_of_nbits(struct interpret_call *call) {
    return like_first(call, call->inputs[0]->type, graph_attribute_int(call->node, "N", 0));
}

/* Quantized values, their scale, their zero point. */
static bool shape_of_quantized(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    return call->slot == 0 ? like_first(call, TENSOR_U8, last_dim(input))
                           : interpret_output(call, call->slot == 1 ? TENSOR_F32 : TENSOR_U8, 0,
                                              (const int64_t[]){0});
}

static bool shape_of_dequantized(struct interpret_call *call) {
    return like_first(call, call->inputs[1]->type, last_dim(call->inputs[0]));
}

/* Rows of a table: the dimensions of the ids, and the width of the table behind them. */
static bool shape_of_rows(struct interpret_call *call) {
    const struct tensor *table = call->inputs[0];
    const struct tensor *ids = call->inputs[1];
    int64_t bits = graph_attribute_int(call->node, "bits", 0);
    bool transposed = graph_attribute_int(call->node, "transposed", 0) != 0;
    bool packed = table->type == TENSOR_U8 && bits > 0 && bits < 8;
    int64_t dims[TENSOR_RANK_MAX];
    if (table->rank != 2 || ids->rank + 1 > TENSOR_RANK_MAX) {
        return wrong(call, "the table is not a matrix");
    }
    for (size_t d = 0; d < ids->rank; d++) {
        dims[d] = (int64_t)ids->dims[d];
    }
    dims[ids->rank] = graph_attribute_int(
        call->node, "columns", (int64_t)table->dims[transposed ? 0 : 1] * (packed ? 8 / bits : 1));
    return interpret_output(call, TENSOR_F32, ids->rank + 1, dims);
}

static bool shape_of_attention(struct interpret_call *call) {
    const struct tensor *query = call->inputs[0];
    int64_t heads = graph_attribute_int(call->node, "num_heads", 0);
    int64_t kv_heads = graph_attribute_int(call->node, "kv_num_heads", 0);
    int64_t head_dim = graph_attribute_int(call->node, "head_dim", 0); /* quern Attention has it */
    bool packed = interpret_input(call, 1) == NULL;
    if (call->slot != 0 || heads < 1 || kv_heads < 0 || heads > INT16_MAX || kv_heads > INT16_MAX) {
        return wrong(call, "output is not evaluated");
    }
    if (head_dim > 0 && head_dim <= INT16_MAX) {
        return like_first(call, query->type, heads * head_dim);
    }
    int64_t parts = packed ? heads + 2 * kv_heads : heads;
    return like_first(call, query->type, last_dim(query) / parts * heads);
}

/* A cache behind an attention: as many positions longer as there are rows. */
static bool shape_of_present(struct interpret_call *call) {
    const struct tensor *query = call->inputs[0];
    const struct tensor *past = interpret_input(call, call->slot == 1 ? 3 : 4);
    size_t row = query->rank > 0 ? query->dims[query->rank - 1] : 0;
    if (past == NULL || past->rank != 4 || past->dims[0] == 0 || row == 0) {
        return wrong(call, "the past cache is not (batch, heads, positions, head_dim)");
    }
    int64_t dims[4];
    for (size_t d = 0; d < 4; d++) {
        dims[d] = (int64_t)past->dims[d];
    }
    dims[2] += (int64_t)(query->count / row / past->dims[0]);
    return interpret_output(call, past->type, 4, dims);
}

/* Of quern Attention, whose attributes say all. Where an export asks for the shape of something within
 * an attention, its parts are still there, behind the caches. */
static bool shape_of_heads(struct interpret_call *call) {
    int64_t heads = graph_attribute_int(call->node, "num_heads", 0);
    int64_t head_dim = graph_attribute_int(call->node, "head_dim", 0);
    int64_t width;
    if (call->slot == 1 || call->slot == 2) {
        return shape_of_present(call);
    }
    if (call->slot != 0 || __builtin_mul_overflow(heads, head_dim, &width)) {
        return wrong(call, "output is not evaluated");
    }
    return like_first(call, call->inputs[0]->type, width);
}

const struct interpret_entry interpret_layers[] = {
    {QUERN_DOMAIN, "Attention", 1, shape_of_heads, ONLY_SHAPES | MANY_OUTPUTS},
    {MICROSOFT_DOMAIN, "BiasGelu", 2, shape_as_first, ONLY_SHAPES},
    {"", "DequantizeLinear", 2, shape_of_dequantized, ONLY_SHAPES},
    {"", "DynamicQuantizeLinear", 1, shape_of_quantized, ONLY_SHAPES | MANY_OUTPUTS},
    {QUERN_DOMAIN, "Embed", 2, shape_of_rows, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "FastGelu", 1, shape_as_first, ONLY_SHAPES},
    {QUERN_DOMAIN, "Gate", 1, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "GatherBlockQuantized", 3, shape_of_rows, ONLY_SHAPES},
    {"", "Gelu", 1, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "Gelu", 1, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "GroupQueryAttention", 1, shape_of_attention, ONLY_SHAPES | MANY_OUTPUTS},
    {"", "LayerNormalization", 2, shape_as_first, ONLY_SHAPES | MANY_OUTPUTS},
    {QUERN_DOMAIN, "Linear", 2, shape_of_linear, ONLY_SHAPES},
    {QUERN_DOMAIN, "LowRank", 1, shape_as_first, ONLY_SHAPES},
    {"", "MatMul", 2, run_matmul, 0},
    {"", "MatMulInteger", 2, run_matmul, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "MatMulBnb4", 3, shape_of_nbits, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "MatMulNBits", 3, shape_of_nbits, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "MoE", 2, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "QMoE", 2, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "QuickGelu", 1, shape_as_first, ONLY_SHAPES},
    {"", "RMSNormalization", 2, shape_as_first, ONLY_SHAPES | MANY_OUTPUTS},
    {"", "RotaryEmbedding", 3, shape_as_first, ONLY_SHAPES},
    {MICROSOFT_DOMAIN, "RotaryEmbedding", 4, shape_as_first, ONLY_SHAPES},
    {QUERN_DOMAIN, "Scale", 1, shape_as_first, ONLY_SHAPES},
    {"", "SimplifiedLayerNormalization", 2, shape_as_first, ONLY_SHAPES | MANY_OUTPUTS},
    {MICROSOFT_DOMAIN, "SkipLayerNormalization", 3, shape_as_first, ONLY_SHAPES | MANY_OUTPUTS},
    {MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", 3, shape_as_first,
     ONLY_SHAPES | MANY_OUTPUTS},
    {"", "Softmax", 1, shape_as_first, ONLY_SHAPES},
    {.op = NULL},
};
