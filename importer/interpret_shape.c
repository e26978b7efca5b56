/* Operators that read shapes, move elements or reduce them. */
#include "importer/interpret_ops.h"

#include <assert.h>
#include <string.h>

/* ---- Helpers ---- */

static bool wrong(struct interpret_call *call, const char *what) {
    return error_set(call->err, ERROR_BAD_FILE, "%s", what);
}

static size_t element_bytes(const struct tensor *tensor) {
    return tensor->count == 0 ? 0 : tensor->size / tensor->count;
}

static void get_dims(const struct tensor *tensor, int64_t *dims) {
    for (size_t i = 0; i < tensor->rank; i++) {
        dims[i] = (int64_t)tensor->dims[i];
    }
}

/* `axis` within [0, rank), counted from the end if negative. */
static bool wrap_axis(int64_t axis, size_t rank, size_t *wrapped) {
    int64_t size = (int64_t)rank;
    if (axis < -size || axis >= size) {
        return false;
    }
    *wrapped = (size_t)(axis < 0 ? axis + size : axis);
    return true;
}

/* Integers that newer operator sets give as input `slot`, older ones as an attribute. None at all
 * leaves *count at 0. */
static bool get_integers(struct interpret_call *call, size_t slot, const char *attribute,
                         int64_t *values, size_t *count) {
    const struct tensor *input = interpret_input(call, slot);
    const struct graph_attribute *given = graph_attribute(call->node, attribute);
    bool has_attribute = given != NULL && given->kind == ATTRIBUTE_INTS;
    *count = input != NULL ? input->count : has_attribute ? given->count : 0;
    if (*count > TENSOR_RANK_MAX) {
        return wrong(call, "too many axes");
    }
    for (size_t i = 0; i < *count; i++) {
        values[i] = input != NULL ? tensor_integer(input, i) : given->integers[i];
    }
    return true;
}

static bool get_axes(struct interpret_call *call, size_t slot, size_t rank, bool *chosen,
                     size_t *count) {
    int64_t axes[TENSOR_RANK_MAX] = {0};
    if (!get_integers(call, slot, "axes", axes, count)) {
        return false;
    }
    memset(chosen, 0, TENSOR_RANK_MAX * sizeof *chosen);
    for (size_t i = 0; i < *count; i++) {
        size_t axis;
        if (!wrap_axis(axes[i], rank, &axis) || chosen[axis]) {
            return wrong(call, "an axis is out of range or given twice");
        }
        chosen[axis] = true;
    }
    return true;
}

/* The same elements under another shape. */
static bool reshape(struct interpret_call *call, size_t rank, const int64_t *dims) {
    const struct tensor *input = call->inputs[0];
    *call->output = *input;
    if (!tensor_set_shape(call->output, input->type, rank, dims, call->err)) {
        return false;
    }
    return call->output->count == input->count ||
           error_set(call->err, ERROR_BAD_FILE, "%zu elements cannot be seen as %zu", input->count,
                     call->output->count);
}

/* ---- Shapes ---- */

static bool run_identity(struct interpret_call *call) {
    *call->output = *call->inputs[0];
    return true;
}

/* Optional start and end (opset 15) are clamped like a slice. */
static bool run_shape(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    int64_t rank = (int64_t)input->rank;
    int64_t start = graph_attribute_int(call->node, "start", 0);
    int64_t end = graph_attribute_int(call->node, "end", rank);
    start = start < -rank ? 0 : start < 0 ? start + rank : start > rank ? rank : start;
    end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
    int64_t count = end > start ? end - start : 0;
    if (!interpret_output(call, TENSOR_I64, 1, &count)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        interpret_store_integer(call, i, (int64_t)input->dims[(size_t)start + i]);
    }
    return true;
}

static bool run_reshape(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct tensor *shape = call->inputs[1];
    bool zero_is_zero = graph_attribute_int(call->node, "allowzero", 0) != 0;
    int64_t dims[TENSOR_RANK_MAX];
    size_t inferred = TENSOR_RANK_MAX;
    size_t product = 1;
    if (shape->count > TENSOR_RANK_MAX) {
        return wrong(call, "too many dimensions");
    }
    for (size_t i = 0; i < shape->count; i++) {
        dims[i] = tensor_integer(shape, i);
        if (dims[i] == 0 && !zero_is_zero && i < input->rank) {
            dims[i] = (int64_t)input->dims[i];
        }
        if (dims[i] == -1 && inferred == TENSOR_RANK_MAX) {
            inferred = i;
        } else if (dims[i] < 0 || __builtin_mul_overflow(product, (size_t)dims[i], &product)) {
            return wrong(call, "the shape has a negative or too large dimension");
        }
    }
    if (inferred != TENSOR_RANK_MAX) {
        if (product == 0 || input->count % product != 0) {
            return wrong(call, "the -1 in the shape cannot be inferred");
        }
        dims[inferred] = (int64_t)(input->count / product);
    }
    return reshape(call, shape->count, dims);
}

static bool run_unsqueeze(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    int64_t unused[TENSOR_RANK_MAX];
    size_t added;
    if (!get_integers(call, 1, "axes", unused, &added)) {
        return false;
    }
    size_t rank = input->rank + added;
    bool chosen[TENSOR_RANK_MAX];
    if (rank > TENSOR_RANK_MAX || !get_axes(call, 1, rank, chosen, &added)) {
        return wrong(call, "too many dimensions, or a wrong axis");
    }
    int64_t dims[TENSOR_RANK_MAX];
    for (size_t i = 0, from = 0; i < rank; i++) {
        dims[i] = chosen[i] ? 1 : (int64_t)input->dims[from++];
    }
    return reshape(call, rank, dims);
}

static bool run_squeeze(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    bool chosen[TENSOR_RANK_MAX];
    size_t count;
    if (!get_axes(call, 1, input->rank, chosen, &count)) {
        return false;
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank = 0;
    for (size_t i = 0; i < input->rank; i++) {
        bool drop = count > 0 ? chosen[i] : input->dims[i] == 1;
        if (!drop) {
            dims[rank++] = (int64_t)input->dims[i];
        }
    }
    return reshape(call, rank, dims); /* refuses to drop a dimension that is not 1 */
}

static bool run_flatten(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    int64_t axis = graph_attribute_int(call->node, "axis", 1);
    int64_t rank = (int64_t)input->rank;
    axis = axis < 0 ? axis + rank : axis;
    if (axis < 0 || axis > rank) {
        return wrong(call, "the axis is out of range");
    }
    int64_t dims[2] = {1, 1};
    for (int64_t i = 0; i < rank; i++) {
        dims[i >= axis] *= (int64_t)input->dims[i];
    }
    return reshape(call, 2, dims);
}

static bool run_constant_of_shape(struct interpret_call *call) {
    const struct tensor *shape = call->inputs[0];
    const struct graph_attribute *value = graph_attribute(call->node, "value");
    bool given = value != NULL && value->kind == ATTRIBUTE_TENSOR && value->tensor->count == 1;
    int64_t dims[TENSOR_RANK_MAX];
    if (shape->count > TENSOR_RANK_MAX) {
        return wrong(call, "too many dimensions");
    }
    for (size_t i = 0; i < shape->count; i++) {
        dims[i] = tensor_integer(shape, i);
    }
    if (!(given ? interpret_output_like(call, value->tensor, shape->count, dims)
                : interpret_output(call, TENSOR_F32, shape->count, dims))) {
        return false;
    }
    for (size_t i = 0; given && i < call->elements; i++) {
        memcpy(call->bytes + i * value->tensor->size, value->tensor->bytes, value->tensor->size);
    }
    return true;
}

static bool run_range(struct interpret_call *call) {
    const struct tensor *start = call->inputs[0];
    const struct tensor *limit = call->inputs[1];
    const struct tensor *delta = call->inputs[2];
    if (start->count != 1 || limit->count != 1 || delta->count != 1) {
        return wrong(call, "start, limit and delta must be scalars");
    }
    double first = tensor_number(start, 0);
    double step = tensor_number(delta, 0);
    double steps = (tensor_number(limit, 0) - first) / step;
    if (!(steps > -1e9 && steps <= INTERPRET_ELEMENTS_MAX)) {
        return wrong(call, "the range is too long or its step is 0");
    }
    int64_t count = 0;
    while ((double)count < steps) {
        count++;
    }
    if (!interpret_output(call, start->type, 1, &count)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        if (tensor_type_is_float(start->type)) {
            interpret_store_number(call, i, first + (double)i * step);
        } else {
            uint64_t moved = (uint64_t)i * (uint64_t)tensor_integer(delta, 0);
            interpret_store_integer(call, i, (int64_t)((uint64_t)tensor_integer(start, 0) + moved));
        }
    }
    return true;
}

/* ---- Moving elements ---- */

/* An output element is input element sum of position[d] * stride[d], plus base. */
static bool move_elements(struct interpret_call *call, size_t rank, const int64_t *dims,
                          int64_t base, const int64_t *strides) {
    const struct tensor *input = call->inputs[0];
    if (!interpret_output_like(call, input, rank, dims)) {
        return false;
    }
    size_t width = element_bytes(input);
    for (size_t i = 0; i < call->elements; i++) {
        int64_t from = base;
        size_t index = i;
        for (size_t d = rank; d-- > 0;) {
            assert(dims[d] > 0); /* or there would be no elements */
            from += (int64_t)(index % (size_t)dims[d]) * strides[d];
            index /= (size_t)dims[d];
        }
        memcpy(call->bytes + i * width, input->bytes + (size_t)from * width, width);
    }
    return true;
}

static void get_strides(const struct tensor *tensor, int64_t *strides) {
    int64_t stride = 1;
    for (size_t d = tensor->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= (int64_t)tensor->dims[d];
    }
}

static bool run_transpose(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct graph_attribute *perm = graph_attribute(call->node, "perm");
    bool given = perm != NULL && perm->kind == ATTRIBUTE_INTS;
    if (given && perm->count != input->rank) {
        return wrong(call, "perm does not fit the input");
    }
    int64_t from[TENSOR_RANK_MAX];
    int64_t dims[TENSOR_RANK_MAX];
    int64_t strides[TENSOR_RANK_MAX];
    bool seen[TENSOR_RANK_MAX] = {false};
    get_strides(input, from);
    for (size_t i = 0; i < input->rank; i++) {
        size_t axis = input->rank - 1 - i;
        if ((given && !wrap_axis(perm->integers[i], input->rank, &axis)) || seen[axis]) {
            return wrong(call, "perm is not a permutation");
        }
        seen[axis] = true;
        dims[i] = (int64_t)input->dims[axis];
        strides[i] = from[axis];
    }
    return move_elements(call, input->rank, dims, 0, strides);
}

/* One axis of a slice: clamps as numpy does. false if the step is 0. */
static bool clamp_slice(int64_t dim, int64_t *start, int64_t *end, int64_t step, int64_t *count) {
    if (step == 0 || step == INT64_MIN) {
        return false;
    }
    int64_t low = step > 0 ? 0 : -1;
    int64_t high = step > 0 ? dim : dim - 1;
    *start = *start < 0 ? *start + dim : *start;
    *end = *end < 0 && *end >= -dim ? *end + dim : *end;
    *start = *start < low ? low : *start > high ? high : *start;
    *end = *end < low ? low : *end > high ? high : *end;
    int64_t span = step > 0 ? *end - *start : *start - *end;
    int64_t stride = step > 0 ? step : -step;
    *count = span <= 0 ? 0 : (span - 1) / stride + 1;
    return true;
}

static bool run_slice(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    int64_t starts[TENSOR_RANK_MAX];
    int64_t ends[TENSOR_RANK_MAX];
    int64_t axes[TENSOR_RANK_MAX];
    int64_t steps[TENSOR_RANK_MAX];
    size_t start_count;
    size_t end_count;
    size_t axis_count;
    size_t step_count;
    if (!get_integers(call, 1, "starts", starts, &start_count) ||
        !get_integers(call, 2, "ends", ends, &end_count) ||
        !get_integers(call, 3, "axes", axes, &axis_count) ||
        !get_integers(call, 4, "steps", steps, &step_count)) {
        return false;
    }
    if (end_count != start_count || (axis_count != 0 && axis_count != start_count) ||
        (step_count != 0 && step_count != start_count)) {
        return wrong(call, "starts, ends, axes and steps differ in length");
    }
    int64_t dims[TENSOR_RANK_MAX];
    int64_t strides[TENSOR_RANK_MAX];
    int64_t base = 0;
    bool seen[TENSOR_RANK_MAX] = {false};
    get_dims(input, dims);
    get_strides(input, strides);
    for (size_t i = 0; i < start_count; i++) {
        size_t axis;
        int64_t step = step_count != 0 ? steps[i] : 1;
        if (!wrap_axis(axis_count != 0 ? axes[i] : (int64_t)i, input->rank, &axis) || seen[axis] ||
            !clamp_slice((int64_t)input->dims[axis], &starts[i], &ends[i], step, &dims[axis])) {
            return wrong(call, "an axis is out of range or given twice, or a step is 0");
        }
        seen[axis] = true;
        base += starts[i] * strides[axis];
        strides[axis] *= dims[axis] > 1 ? step : 0;
    }
    return move_elements(call, input->rank, dims, base, strides);
}

static bool run_gather(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct tensor *indices = call->inputs[1];
    size_t axis;
    size_t rank = input->rank + indices->rank - 1;
    if (!wrap_axis(graph_attribute_int(call->node, "axis", 0), input->rank, &axis) ||
        rank > TENSOR_RANK_MAX) {
        return wrong(call, "the axis is out of range");
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t outer = 1;
    size_t inner = element_bytes(input);
    for (size_t i = 0; i < rank; i++) {
        bool before = i < axis;
        bool within = !before && i < axis + indices->rank;
        size_t dim = before   ? input->dims[i]
                     : within ? indices->dims[i - axis]
                              : input->dims[i + 1 - indices->rank];
        dims[i] = (int64_t)dim;
        outer *= before ? dim : 1;
        inner *= before || within ? 1 : dim;
    }
    if (!interpret_output_like(call, input, rank, dims)) {
        return false;
    }
    uint8_t *bytes = call->bytes;
    outer = call->elements == 0 ? 0 : outer;
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < indices->count; i++) {
            size_t index;
            if (!wrap_axis(tensor_integer(indices, i), input->dims[axis], &index)) {
                return wrong(call, "an index is out of range");
            }
            memcpy(bytes, input->bytes + (o * input->dims[axis] + index) * inner, inner);
            bytes += inner;
        }
    }
    return true;
}

static bool run_concat(struct interpret_call *call) {
    const struct tensor *first = call->inputs[0];
    size_t axis;
    if (!wrap_axis(graph_attribute_int(call->node, "axis", 0), first->rank, &axis)) {
        return wrong(call, "the axis is out of range");
    }
    int64_t dims[TENSOR_RANK_MAX];
    get_dims(first, dims);
    dims[axis] = 0;
    size_t outer = 1;
    for (size_t i = 0; i < call->node->input_count; i++) {
        const struct tensor *part = call->inputs[i];
        if (part == NULL || part->rank != first->rank || part->type != first->type) {
            return wrong(call, "the inputs differ in type or rank");
        }
        for (size_t d = 0; d < part->rank; d++) {
            if (d != axis && part->dims[d] != first->dims[d]) {
                return wrong(call, "the inputs differ in shape");
            }
        }
        dims[axis] += (int64_t)part->dims[axis];
    }
    for (size_t d = 0; d < axis; d++) {
        outer *= first->dims[d];
    }
    if (!interpret_output_like(call, first, first->rank, dims)) {
        return false;
    }
    uint8_t *bytes = call->bytes;
    outer = call->elements == 0 ? 0 : outer;
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < call->node->input_count; i++) {
            size_t run = call->inputs[i]->size / outer;
            memcpy(bytes, call->inputs[i]->bytes + o * run, run);
            bytes += run;
        }
    }
    return true;
}

/* ---- Reductions ---- */

enum reduction { REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_MEAN };

/* What an output element has met so far. */
struct reduced {
    double total;
    size_t met;
};

static void reduce_number(struct reduced *so_far, enum reduction kind, double number) {
    bool additive = kind == REDUCE_SUM || kind == REDUCE_MEAN;
    bool better = so_far->met == 0 || (kind == REDUCE_MAX && number > so_far->total) ||
                  (kind == REDUCE_MIN && number < so_far->total);
    if (additive) {
        so_far->total += number;
    } else if (better) {
        so_far->total = number;
    }
    so_far->met++;
}

/* Which output element input element `index` goes into. */
static size_t reduced_index(const struct tensor *input, const bool *chosen, size_t index) {
    size_t target = 0;
    size_t stride = 1;
    for (size_t d = input->rank; d-- > 0;) {
        if (!chosen[d]) {
            target += index % input->dims[d] * stride;
            stride *= input->dims[d];
        }
        index /= input->dims[d];
    }
    return target;
}

static bool reduce_elements(struct interpret_call *call, enum reduction kind, const bool *chosen) {
    const struct tensor *input = call->inputs[0];
    struct reduced *reduced = arena_allocate(call->arena, call->elements, sizeof *reduced);
    if (reduced == NULL) {
        return error_set(call->err, ERROR_OUT_OF_MEMORY, "no memory to reduce");
    }
    for (size_t i = 0; i < input->count; i++) {
        reduce_number(&reduced[reduced_index(input, chosen, i)], kind, tensor_number(input, i));
    }
    for (size_t o = 0; o < call->elements; o++) {
        double total = reduced[o].total;
        total = kind == REDUCE_MEAN && reduced[o].met > 0 ? total / (double)reduced[o].met : total;
        if (tensor_type_is_float(call->output->type)) {
            interpret_store_number(call, o, total);
        } else {
            interpret_store_integer(call, o, tensor_truncate(total));
        }
    }
    return true;
}

static bool run_reduction(struct interpret_call *call) {
    static const char *const names[] = {"ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"};
    enum reduction kind = REDUCE_SUM;
    while (strcmp(names[kind], call->node->op) != 0) {
        kind++;
    }
    const struct tensor *input = call->inputs[0];
    bool keep = graph_attribute_int(call->node, "keepdims", 1) != 0;
    bool chosen[TENSOR_RANK_MAX];
    size_t axis_count;
    if (!get_axes(call, 1, input->rank, chosen, &axis_count)) {
        return wrong(call, "a wrong axis");
    }
    if (axis_count == 0 && graph_attribute_int(call->node, "noop_with_empty_axes", 0) != 0) {
        return run_identity(call);
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank = 0;
    for (size_t d = 0; d < input->rank; d++) {
        chosen[d] = chosen[d] || axis_count == 0;
        if (!chosen[d] || keep) {
            dims[rank++] = chosen[d] ? 1 : (int64_t)input->dims[d];
        }
    }
    if (!interpret_output(call, input->type, rank, dims)) {
        return false;
    }
    if (call->elements == 0) {
        return true;
    }
    return input->count <= INTERPRET_ELEMENTS_MAX ? reduce_elements(call, kind, chosen)
                                                  : wrong(call, "too large to reduce");
}

/* ---- More of the same kind ---- */

static bool run_tile(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct tensor *repeats = call->inputs[1];
    if (repeats->count != input->rank) {
        return wrong(call, "one number of repeats is needed for each dimension");
    }
    int64_t dims[TENSOR_RANK_MAX];
    for (size_t d = 0; d < input->rank; d++) {
        int64_t times = tensor_integer(repeats, d);
        if (times < 0 || __builtin_mul_overflow((int64_t)input->dims[d], times, &dims[d])) {
            return wrong(call, "a number of repeats is negative or too large");
        }
    }
    if (!interpret_output_like(call, input, input->rank, dims)) {
        return false;
    }
    size_t width = element_bytes(input);
    for (size_t i = 0; i < call->elements; i++) {
        size_t from = 0;
        size_t stride = 1;
        size_t index = i;
        for (size_t d = input->rank; d-- > 0;) {
            from += index % (size_t)dims[d] % input->dims[d] * stride;
            stride *= input->dims[d];
            index /= (size_t)dims[d];
        }
        memcpy(call->bytes + i * width, input->bytes + from * width, width);
    }
    return true;
}

/* Keeps one triangle of the last two dimensions. */
static bool run_trilu(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct tensor *diagonal = interpret_input(call, 1);
    bool upper = graph_attribute_int(call->node, "upper", 1) != 0;
    int64_t k = diagonal != NULL && diagonal->count == 1 ? tensor_integer(diagonal, 0) : 0;
    int64_t dims[TENSOR_RANK_MAX];
    get_dims(input, dims);
    if (input->rank < 2) {
        return wrong(call, "a triangle needs two dimensions");
    }
    if (!interpret_output_like(call, input, input->rank, dims)) {
        return false;
    }
    size_t width = element_bytes(input);
    size_t columns = input->dims[input->rank - 1];
    for (size_t i = 0; i < call->elements; i++) {
        int64_t column = (int64_t)(i % columns);
        int64_t row = (int64_t)(i / columns % input->dims[input->rank - 2]);
        if (upper ? column - row >= k : column - row <= k) {
            memcpy(call->bytes + i * width, input->bytes + i * width, width);
        }
    }
    return true;
}

static bool run_cumulative_sum(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    size_t axis;
    if (call->inputs[1]->count != 1 ||
        !wrap_axis(tensor_integer(call->inputs[1], 0), input->rank, &axis) ||
        graph_attribute_int(call->node, "exclusive", 0) != 0 ||
        graph_attribute_int(call->node, "reverse", 0) != 0) {
        return wrong(call, "only plain running sums along an axis are evaluated");
    }
    int64_t dims[TENSOR_RANK_MAX];
    get_dims(input, dims);
    if (!interpret_output(call, input->type, input->rank, dims)) {
        return false;
    }
    size_t stride = 1;
    for (size_t d = axis + 1; d < input->rank; d++) {
        stride *= input->dims[d];
    }
    for (size_t i = 0; i < call->elements; i++) {
        bool first = i / stride % input->dims[axis] == 0;
        if (tensor_type_is_float(call->output->type)) {
            double before = first ? 0 : tensor_number(call->output, i - stride);
            interpret_store_number(call, i, before + tensor_number(input, i));
        } else {
            int64_t before = first ? 0 : tensor_integer(call->output, i - stride);
            interpret_store_integer(
                call, i, (int64_t)((uint64_t)before + (uint64_t)tensor_integer(input, i)));
        }
    }
    return true;
}

/* Output `slot` of a split: sizes as input 1 or attribute, else even parts, the last one the rest. */
static bool run_split(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    size_t parts = call->node->output_count;
    int64_t sizes[TENSOR_RANK_MAX] = {0};
    size_t size_count;
    size_t axis;
    if (parts > TENSOR_RANK_MAX || !get_integers(call, 1, "split", sizes, &size_count) ||
        !wrap_axis(graph_attribute_int(call->node, "axis", 0), input->rank, &axis) ||
        (size_count != 0 && size_count != parts)) {
        return wrong(call, "too many parts, or a wrong axis or number of sizes");
    }
    int64_t dim = (int64_t)input->dims[axis];
    int64_t even = (dim + (int64_t)parts - 1) / (int64_t)parts;
    int64_t base = 0;
    for (size_t i = 0; i <= call->slot; i++) {
        base += i > 0 ? sizes[i - 1] : 0;
        int64_t rest = dim - base;
        sizes[i] = size_count != 0 ? sizes[i] : even < rest ? even : rest;
        if (sizes[i] < 0 || sizes[i] > rest) {
            return wrong(call, "the sizes of the parts do not add up");
        }
    }
    int64_t dims[TENSOR_RANK_MAX];
    int64_t strides[TENSOR_RANK_MAX];
    get_dims(input, dims);
    get_strides(input, strides);
    dims[axis] = sizes[call->slot];
    return move_elements(call, input->rank, dims, base * strides[axis], strides);
}

/* Of branches that compute nothing: constants to choose from. */
static bool run_if(struct interpret_call *call) {
    if (call->inputs[0]->count != 1) {
        return wrong(call, "the condition is not one boolean");
    }
    bool holds = tensor_integer(call->inputs[0], 0) != 0;
    const struct tensor *constant =
        graph_branch_output(call->node, holds ? "then_branch" : "else_branch", call->slot);
    if (constant == NULL) {
        return error_set(call->err, ERROR_UNSUPPORTED, "its branches compute something");
    }
    *call->output = *constant;
    return true;
}

const struct interpret_entry interpret_shape[] = {
    {"", "Concat", 1, run_concat, 0},
    {"", "ConstantOfShape", 1, run_constant_of_shape, SHAPED_BY_0},
    {"", "CumSum", 2, run_cumulative_sum, 0},
    {"", "Flatten", 1, run_flatten, 0},
    {"", "Gather", 2, run_gather, 0},
    {"", "Identity", 1, run_identity, 0},
    {"", "If", 1, run_if, SHAPED_BY_0 | MANY_OUTPUTS},
    {"", "Range", 3, run_range, SHAPED_BY_0 | SHAPED_BY_1 | SHAPED_BY_2},
    {"", "ReduceMax", 1, run_reduction, SHAPED_BY_1},
    {"", "ReduceMean", 1, run_reduction, SHAPED_BY_1},
    {"", "ReduceMin", 1, run_reduction, SHAPED_BY_1},
    {"", "ReduceSum", 1, run_reduction, SHAPED_BY_1},
    {"", "Reshape", 2, run_reshape, SHAPED_BY_1},
    {"", "Shape", 1, run_shape, READS_SHAPES},
    {"", "Slice", 1, run_slice, SHAPED_BY_1 | SHAPED_BY_2 | SHAPED_BY_3 | SHAPED_BY_4},
    {"", "Split", 1, run_split, SHAPED_BY_1 | MANY_OUTPUTS},
    {"", "Squeeze", 1, run_squeeze, SHAPED_BY_1},
    {"", "Tile", 2, run_tile, SHAPED_BY_1},
    {"", "Transpose", 1, run_transpose, 0},
    {"", "Trilu", 1, run_trilu, SHAPED_BY_1},
    {"", "Unsqueeze", 1, run_unsqueeze, SHAPED_BY_1},
    {.op = NULL},
};
