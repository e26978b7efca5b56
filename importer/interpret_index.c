/* Operators whose indices are tuples: one number for each of the first dimensions. Older exports write
 * their causal mask with them. */
#include "importer/interpret_ops.h"

#include "engine/checked.h"

#include <string.h>

/* How a tensor of tuples addresses slices of another: indices (.., depth), data (d1 .. d_depth, slice ..). */
struct addressing {
    const struct tensor *data;
    const struct tensor *tuples;
    size_t depth;
    size_t count;       /* of tuples */
    size_t slice;       /* elements of what a tuple addresses */
    size_t slice_bytes; /* 0 for types of less than a byte, which are not moved */
};

static bool address(struct interpret_call *call, struct addressing *found) {
    const struct tensor *data = call->inputs[0];
    const struct tensor *tuples = call->inputs[1];
    size_t depth = tuples->rank > 0 ? tuples->dims[tuples->rank - 1] : 0;
    if (depth == 0 || depth > data->rank || graph_attribute_int(call->node, "batch_dims", 0) != 0 ||
        strcmp(graph_attribute_text(call->node, "reduction", "none"), "none") != 0) {
        return error_set(call->err, ERROR_UNSUPPORTED, "its indices are not understood");
    }
    *found = (struct addressing){
        .data = data, .tuples = tuples, .depth = depth, .count = tuples->count / depth, .slice = 1};
    for (size_t d = depth; d < data->rank; d++) {
        found->slice *= data->dims[d];
    }
    found->slice_bytes = data->count > 0 ? data->size / data->count * found->slice : 0;
    return true;
}

/* Where in the data the slice of tuple `i` begins, in slices. */
static bool locate(struct interpret_call *call, const struct addressing *addressing, size_t i,
                   size_t *place) {
    *place = 0;
    for (size_t d = 0; d < addressing->depth; d++) {
        int64_t dim = (int64_t)addressing->data->dims[d];
        int64_t index = tensor_integer(addressing->tuples, i * addressing->depth + d);
        index += index < 0 ? dim : 0;
        if (index < 0 || index >= dim) {
            return error_set(call->err, ERROR_BAD_FILE, "an index lies outside its dimension");
        }
        *place = *place * (size_t)dim + (size_t)index;
    }
    return true;
}

/* The data, with slices replaced. */
static bool run_scatter_nd(struct interpret_call *call) {
    const struct tensor *data = call->inputs[0];
    const struct tensor *updates = call->inputs[2];
    struct addressing addressing;
    int64_t dims[TENSOR_RANK_MAX];
    size_t expected;
    if (!address(call, &addressing)) {
        return false;
    }
    if (!checked_multiply(addressing.count, addressing.slice, &expected) ||
        updates->count != expected || updates->type != data->type) {
        return error_set(call->err, ERROR_BAD_FILE, "the updates do not fit the indices");
    }
    for (size_t d = 0; d < data->rank; d++) {
        dims[d] = (int64_t)data->dims[d];
    }
    if (!interpret_output_like(call, data, data->rank, dims)) {
        return false;
    }
    if (call->elements > 0) {
        memcpy(call->bytes, data->bytes, data->size);
    }
    for (size_t i = 0; call->elements > 0 && i < addressing.count; i++) {
        size_t place;
        if (!locate(call, &addressing, i, &place)) {
            return false;
        }
        memcpy(call->bytes + place * addressing.slice_bytes,
               updates->bytes + i * addressing.slice_bytes, addressing.slice_bytes);
    }
    return true;
}

/* Slices of the data, one behind the other. */
static bool run_gather_nd(struct interpret_call *call) {
    const struct tensor *data = call->inputs[0];
    const struct tensor *tuples = call->inputs[1];
    struct addressing addressing;
    int64_t dims[TENSOR_RANK_MAX];
    if (!address(call, &addressing)) {
        return false;
    }
    size_t rank = tuples->rank - 1 + data->rank - addressing.depth;
    if (rank > TENSOR_RANK_MAX) {
        return error_set(call->err, ERROR_BAD_FILE, "too many dimensions");
    }
    for (size_t d = 0; d < rank; d++) {
        size_t behind = d - (tuples->rank - 1) + addressing.depth;
        dims[d] = (int64_t)(d < tuples->rank - 1 ? tuples->dims[d] : data->dims[behind]);
    }
    if (!interpret_output_like(call, data, rank, dims)) {
        return false;
    }
    for (size_t i = 0; call->elements > 0 && i < addressing.count; i++) {
        size_t place;
        if (!locate(call, &addressing, i, &place)) {
            return false;
        }
        memcpy(call->bytes + i * addressing.slice_bytes,
               data->bytes + place * addressing.slice_bytes, addressing.slice_bytes);
    }
    return true;
}

/* The places of what is not zero: (rank, places). */
static bool run_non_zero(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    if (input->rank == 0 || input->count > INTERPRET_ELEMENTS_MAX) {
        return error_set(call->err, ERROR_UNSUPPORTED, "a number, or too many of them");
    }
    size_t places = 0;
    for (size_t i = 0; i < input->count; i++) {
        places += tensor_number(input, i) != 0;
    }
    const int64_t dims[] = {(int64_t)input->rank, (int64_t)places};
    if (!interpret_output(call, TENSOR_I64, 2, dims)) {
        return false;
    }
    size_t place = 0;
    for (size_t i = 0; call->elements > 0 && i < input->count; i++) {
        size_t rest = i;
        for (size_t d = input->rank; d-- > 0 && tensor_number(input, i) != 0;) {
            interpret_store_integer(call, d * places + place, (int64_t)(rest % input->dims[d]));
            rest /= input->dims[d];
        }
        place += tensor_number(input, i) != 0;
    }
    return true;
}

const struct interpret_entry interpret_index[] = {
    {"", "GatherND", 2, run_gather_nd, 0},
    {"", "NonZero", 1, run_non_zero, SHAPED_BY_0},
    {"", "ScatterND", 3, run_scatter_nd, 0},
    {.op = NULL},
};
