/* Operators that work element by element, with numpy broadcasting. */
#include "importer/interpret_ops.h"

#include <math.h>
#include <string.h>

/* ---- Broadcasting ---- */

bool interpret_broadcast(struct interpret_call *call, size_t count, size_t *rank, int64_t *dims) {
    *rank = 0;
    for (size_t i = 0; i < count; i++) {
        *rank = call->inputs[i]->rank > *rank ? call->inputs[i]->rank : *rank;
    }
    for (size_t d = 0; d < *rank; d++) {
        dims[d] = 1;
        for (size_t i = 0; i < count; i++) {
            const struct tensor *input = call->inputs[i];
            if (d + input->rank < *rank) {
                continue;
            }
            int64_t dim = (int64_t)input->dims[d + input->rank - *rank];
            if (dims[d] != 1 && dim != 1 && dim != dims[d]) {
                return error_set(call->err, ERROR_BAD_FILE,
                                 "dimensions %lld and %lld cannot be broadcast", (long long)dims[d],
                                 (long long)dim);
            }
            dims[d] = dim == 1 ? dims[d] : dim;
        }
    }
    return true;
}

/* Which element of `input` lies under element `index` of `output`. */
static size_t under(const struct tensor *input, const struct tensor *output, size_t index) {
    size_t offset = 0;
    size_t stride = 1;
    for (size_t back = 1; back <= input->rank; back++) {
        size_t position = index % output->dims[output->rank - back];
        index /= output->dims[output->rank - back];
        size_t dim = input->dims[input->rank - back];
        offset += (dim == 1 ? 0 : position) * stride;
        stride *= dim;
    }
    return offset;
}

/* ---- One operand ---- */

static double negate(double x) {
    return -x;
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double reciprocal(double x) {
    return 1 / x;
}
static double rectify(double x) {
    return x > 0 ? x : 0;
}

static const struct {
    const char *op;
    double (*apply)(double x);
} unaries[] = {
    {"Abs", fabs},        {"Ceil", ceil},    {"Cos", cos},
    {"Erf", erf},         {"Exp", exp},      {"Floor", floor},
    {"Log", log},         {"Neg", negate},   {"Reciprocal", reciprocal},
    {"Sigmoid", sigmoid}, {"Sin", sin},      {"Sqrt", sqrt},
    {"Tanh", tanh},       {"Relu", rectify},
};

static bool run_unary(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    size_t which = 0;
    while (strcmp(unaries[which].op, call->node->op) != 0) {
        which++;
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 1, &rank, dims) ||
        !interpret_output(call, input->type, rank, dims)) {
        return false;
    }
    bool is_float = tensor_type_is_float(input->type);
    for (size_t i = 0; i < call->elements; i++) {
        double result = unaries[which].apply(tensor_number(input, i));
        if (is_float) {
            interpret_store_number(call, i, result);
        } else {
            interpret_store_integer(call, i, tensor_truncate(result));
        }
    }
    return true;
}

static bool run_is_nan(struct interpret_call *call) {
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 1, &rank, dims) ||
        !interpret_output(call, TENSOR_BOOL, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        interpret_store_integer(call, i, isnan(tensor_number(call->inputs[0], i)));
    }
    return true;
}

/* The least and the greatest that an element may be, each a scalar that may be absent. */
static bool run_clip(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    const struct tensor *least = interpret_input(call, 1);
    const struct tensor *greatest = interpret_input(call, 2);
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!tensor_type_is_float(input->type) || (least != NULL && least->count != 1) ||
        (greatest != NULL && greatest->count != 1)) {
        return error_set(call->err, ERROR_UNSUPPORTED, "only floats are clipped, to scalars");
    }
    if (!interpret_broadcast(call, 1, &rank, dims) ||
        !interpret_output(call, input->type, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        double number = tensor_number(input, i);
        number = least != NULL ? fmax(number, tensor_number(least, 0)) : number;
        number = greatest != NULL ? fmin(number, tensor_number(greatest, 0)) : number;
        interpret_store_number(call, i, number);
    }
    return true;
}

static bool run_not(struct interpret_call *call) {
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 1, &rank, dims) ||
        !interpret_output(call, TENSOR_BOOL, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        interpret_store_integer(call, i, tensor_integer(call->inputs[0], i) == 0);
    }
    return true;
}

/* ---- Two operands ---- */

/* Integers wrap as two's complement; a division by zero gives 0 instead of a trap. */
static int64_t add_integers(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t subtract_integers(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t multiply_integers(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t divide_integers(int64_t a, int64_t b) {
    return b == 0 ? 0 : b == -1 ? subtract_integers(0, a) : a / b;
}
static int64_t modulo_integers(int64_t a, int64_t b) {
    if (b == 0 || b == -1) {
        return 0;
    }
    int64_t rest = a % b; /* ONNX Mod has the sign of the divisor */
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
static int64_t power_integers(int64_t a, int64_t b) {
    return tensor_truncate(pow((double)a, (double)b));
}
static int64_t least_integer(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t greatest_integer(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static double add(double a, double b) {
    return a + b;
}
static double subtract(double a, double b) {
    return a - b;
}
static double multiply(double a, double b) {
    return a * b;
}
static double divide(double a, double b) {
    return a / b;
}

static const struct {
    const char *op;
    double (*numbers)(double a, double b);
    int64_t (*integers)(int64_t a, int64_t b);
} arithmetic[] = {
    {"Add", add, add_integers},           {"Sub", subtract, subtract_integers},
    {"Mul", multiply, multiply_integers}, {"Div", divide, divide_integers},
    {"Pow", pow, power_integers},         {"Min", fmin, least_integer},
    {"Max", fmax, greatest_integer},      {"Mod", fmod, modulo_integers},
};

static bool run_arithmetic(struct interpret_call *call) {
    const struct tensor *a = call->inputs[0];
    const struct tensor *b = call->inputs[1];
    size_t which = 0;
    while (strcmp(arithmetic[which].op, call->node->op) != 0) {
        which++;
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 2, &rank, dims) ||
        !interpret_output(call, a->type, rank, dims)) {
        return false;
    }
    bool is_float = tensor_type_is_float(a->type);
    for (size_t i = 0; i < call->elements; i++) {
        size_t at_a = under(a, call->output, i);
        size_t at_b = under(b, call->output, i);
        if (is_float) {
            interpret_store_number(
                call, i, arithmetic[which].numbers(tensor_number(a, at_a), tensor_number(b, at_b)));
        } else {
            interpret_store_integer(
                call, i,
                arithmetic[which].integers(tensor_integer(a, at_a), tensor_integer(b, at_b)));
        }
    }
    return true;
}

/* Each comparison as the set of orders of (a, b) for which it holds. */
enum { LESS = 1, EQUAL = 2, GREATER = 4 };

static const struct {
    const char *op;
    unsigned holds;
} comparisons[] = {
    {"Equal", EQUAL},
    {"Less", LESS},
    {"LessOrEqual", LESS | EQUAL},
    {"Greater", GREATER},
    {"GreaterOrEqual", GREATER | EQUAL},
};

static unsigned order_of(const struct tensor *a, size_t at_a, const struct tensor *b, size_t at_b) {
    if (tensor_type_is_float(a->type)) {
        double x = tensor_number(a, at_a);
        double y = tensor_number(b, at_b);
        return x < y ? LESS : x > y ? GREATER : x == y ? EQUAL : 0; /* NaN has no order */
    }
    int64_t x = tensor_integer(a, at_a);
    int64_t y = tensor_integer(b, at_b);
    return x < y ? LESS : x > y ? GREATER : EQUAL;
}

static bool run_comparison(struct interpret_call *call) {
    const struct tensor *a = call->inputs[0];
    const struct tensor *b = call->inputs[1];
    size_t which = 0;
    while (strcmp(comparisons[which].op, call->node->op) != 0) {
        which++;
    }
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 2, &rank, dims) ||
        !interpret_output(call, TENSOR_BOOL, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        unsigned order = order_of(a, under(a, call->output, i), b, under(b, call->output, i));
        interpret_store_integer(call, i, (order & comparisons[which].holds) != 0);
    }
    return true;
}

static bool run_logic(struct interpret_call *call) {
    const struct tensor *a = call->inputs[0];
    const struct tensor *b = call->inputs[1];
    bool both = strcmp(call->node->op, "And") == 0;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 2, &rank, dims) ||
        !interpret_output(call, TENSOR_BOOL, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        bool x = tensor_integer(a, under(a, call->output, i)) != 0;
        bool y = tensor_integer(b, under(b, call->output, i)) != 0;
        interpret_store_integer(call, i, both ? x && y : x || y);
    }
    return true;
}

/* ---- Choice and conversion ---- */

static void copy_element(struct interpret_call *call, size_t i, const struct tensor *from,
                         size_t j) {
    if (tensor_type_is_float(call->output->type)) {
        interpret_store_number(call, i, tensor_number(from, j));
    } else {
        interpret_store_integer(call, i, tensor_integer(from, j));
    }
}

static bool run_where(struct interpret_call *call) {
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 3, &rank, dims) ||
        !interpret_output(call, call->inputs[1]->type, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        const struct tensor *condition = call->inputs[0];
        bool first = tensor_integer(condition, under(condition, call->output, i)) != 0;
        const struct tensor *chosen = call->inputs[first ? 1 : 2];
        copy_element(call, i, chosen, under(chosen, call->output, i));
    }
    return true;
}

static bool run_cast(struct interpret_call *call) {
    const struct tensor *input = call->inputs[0];
    int64_t number = graph_attribute_int(call->node, "to", TENSOR_NONE);
    enum tensor_type type = number > 0 && number < 64 ? tensor_type_of((int)number) : TENSOR_NONE;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(call, 1, &rank, dims) || !interpret_output(call, type, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        if (type == TENSOR_BOOL) {
            interpret_store_integer(call, i, tensor_number(input, i) != 0);
        } else {
            copy_element(call, i, input, i);
        }
    }
    return true;
}

/* Expand broadcasts its input with a shape: 1 in the shape keeps the input's dimension. */
static bool run_expand(struct interpret_call *call) {
    const struct tensor *shape = call->inputs[1];
    int64_t ones[TENSOR_RANK_MAX];
    if (shape->count > TENSOR_RANK_MAX) {
        return error_set(call->err, ERROR_BAD_FILE, "a shape of %zu dimensions", shape->count);
    }
    for (size_t i = 0; i < shape->count; i++) {
        ones[i] = tensor_integer(shape, i);
    }
    struct tensor target;
    if (!tensor_set_shape(&target, call->inputs[0]->type, shape->count, ones, call->err)) {
        return false;
    }
    const struct tensor *both[] = {call->inputs[0], &target};
    struct interpret_call stretched = *call;
    stretched.inputs = both;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    if (!interpret_broadcast(&stretched, 2, &rank, dims) ||
        !interpret_output(call, target.type, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < call->elements; i++) {
        copy_element(call, i, both[0], under(both[0], call->output, i));
    }
    return true;
}

const struct interpret_entry interpret_elementwise[] = {
    {"", "Abs", 1, run_unary, 0},
    {"", "Add", 2, run_arithmetic, 0},
    {"", "And", 2, run_logic, 0},
    {"", "Cast", 1, run_cast, 0},
    {"", "Ceil", 1, run_unary, 0},
    {"", "Clip", 1, run_clip, 0},
    {"", "Cos", 1, run_unary, 0},
    {"", "Div", 2, run_arithmetic, 0},
    {"", "Equal", 2, run_comparison, 0},
    {"", "Erf", 1, run_unary, 0},
    {"", "Exp", 1, run_unary, 0},
    {"", "Expand", 2, run_expand, SHAPED_BY_1},
    {"", "Floor", 1, run_unary, 0},
    {"", "Greater", 2, run_comparison, 0},
    {"", "GreaterOrEqual", 2, run_comparison, 0},
    {"", "IsNaN", 1, run_is_nan, 0},
    {"", "Less", 2, run_comparison, 0},
    {"", "LessOrEqual", 2, run_comparison, 0},
    {"", "Log", 1, run_unary, 0},
    {"", "Max", 2, run_arithmetic, 0},
    {"", "Min", 2, run_arithmetic, 0},
    {"", "Mod", 2, run_arithmetic, 0},
    {"", "Mul", 2, run_arithmetic, 0},
    {"", "Neg", 1, run_unary, 0},
    {"", "Not", 1, run_not, 0},
    {"", "Or", 2, run_logic, 0},
    {"", "Pow", 2, run_arithmetic, 0},
    {"", "Reciprocal", 1, run_unary, 0},
    {"", "Relu", 1, run_unary, 0},
    {"", "Sigmoid", 1, run_unary, 0},
    {"", "Sin", 1, run_unary, 0},
    {"", "Sqrt", 1, run_unary, 0},
    {"", "Sub", 2, run_arithmetic, 0},
    {"", "Tanh", 1, run_unary, 0},
    {"", "Where", 3, run_where, 0},
    {.op = NULL},
};
