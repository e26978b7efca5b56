#include "importer/tensor.h"

#include "engine/checked.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct type_facts {
    const char *name;
    unsigned bits;
    bool is_float;
};

static const struct type_facts types[] = {
    [TENSOR_NONE] = {"unknown", 0, false}, [TENSOR_F32] = {"f32", 32, true},
    [TENSOR_U8] = {"u8", 8, false},        [TENSOR_I8] = {"i8", 8, false},
    [TENSOR_U16] = {"u16", 16, false},     [TENSOR_I16] = {"i16", 16, false},
    [TENSOR_I32] = {"i32", 32, false},     [TENSOR_I64] = {"i64", 64, false},
    [TENSOR_BOOL] = {"bool", 8, false},    [TENSOR_F16] = {"f16", 16, true},
    [TENSOR_F64] = {"f64", 64, true},      [TENSOR_U32] = {"u32", 32, false},
    [TENSOR_U64] = {"u64", 64, false},     [TENSOR_BF16] = {"bf16", 16, true},
    [TENSOR_U4] = {"u4", 4, false},        [TENSOR_I4] = {"i4", 4, false},
    [TENSOR_U2] = {"u2", 2, false},        [TENSOR_I2] = {"i2", 2, false},
};

enum tensor_type tensor_type_of(int number) {
    bool known =
        number > 0 && number < (int)(sizeof types / sizeof types[0]) && types[number].bits > 0;
    return known ? (enum tensor_type)number : TENSOR_NONE;
}

const char *tensor_type_name(enum tensor_type type) {
    return types[type].name;
}

bool tensor_type_is_float(enum tensor_type type) {
    return types[type].is_float;
}

bool tensor_set_shape(struct tensor *tensor, enum tensor_type type, size_t rank,
                      const int64_t *dims, struct error *err) {
    if (rank > TENSOR_RANK_MAX) {
        return error_set(err, ERROR_BAD_FILE,
                         "a shape has %zu dimensions; at most %d are supported", rank,
                         TENSOR_RANK_MAX);
    }
    tensor->type = type;
    tensor->rank = rank;
    tensor->count = 1;
    size_t extent = types[type].bits; /* in bits; as if no dimension were 0 */
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0) {
            return error_set(err, ERROR_BAD_FILE, "dimension %zu is %lld", i, (long long)dims[i]);
        }
        size_t dim = (size_t)dims[i];
        if (!checked_multiply(extent, dim == 0 ? 1 : dim, &extent) || extent > SIZE_MAX / 16) {
            return error_set(err, ERROR_BAD_FILE, "the product of the dimensions overflows");
        }
        tensor->dims[i] = dim;
        tensor->count *= dim;
    }
    tensor->size = (tensor->count * types[type].bits + 7) / 8;
    return true;
}

uint8_t *tensor_allocate(struct tensor *tensor, struct arena *arena, enum tensor_type type,
                         size_t rank, const int64_t *dims, struct error *err) {
    if (!tensor_set_shape(tensor, type, rank, dims, err)) {
        return NULL;
    }
    uint8_t *bytes = arena_allocate(arena, tensor->size, 1);
    if (bytes == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", tensor->size);
    }
    tensor->bytes = bytes;
    tensor->shape_only = false;
    return bytes;
}

static double half_to_number(uint16_t half) {
    int exponent = (half >> 10) & 31;
    int mantissa = half & 1023;
    double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
        return mantissa == 0 ? sign * (double)INFINITY : (double)NAN;
    }
    double magnitude = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    return sign * magnitude;
}

static double bfloat_to_number(uint16_t bfloat) {
    uint32_t bits = (uint32_t)bfloat << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return (double)number;
}

/* Copies element i out of the (unaligned) bytes. */
#define LOAD(type, tensor, i)                                                                      \
    __extension__({                                                                                \
        type element_;                                                                             \
        memcpy(&element_, (tensor)->bytes + (i) * sizeof element_, sizeof element_);               \
        element_;                                                                                  \
    })

static unsigned load_bits(const struct tensor *tensor, size_t i, unsigned bits) {
    size_t bit = i * bits;
    return ((unsigned)tensor->bytes[bit / 8] >> (bit % 8)) & ((1u << bits) - 1);
}

double tensor_number(const struct tensor *tensor, size_t i) {
    switch (tensor->type) {
    case TENSOR_F32:
        return (double)LOAD(float, tensor, i);
    case TENSOR_F64:
        return LOAD(double, tensor, i);
    case TENSOR_F16:
        return half_to_number(LOAD(uint16_t, tensor, i));
    case TENSOR_BF16:
        return bfloat_to_number(LOAD(uint16_t, tensor, i));
    case TENSOR_U64:
        return (double)LOAD(uint64_t, tensor, i);
    default:
        return (double)tensor_integer(tensor, i);
    }
}

int64_t tensor_truncate(double number) {
    if (isnan(number)) {
        return 0;
    }
    if (number >= 0x1p63) {
        return INT64_MAX;
    }
    return number <= -0x1p63 ? INT64_MIN : (int64_t)number;
}

int64_t tensor_integer(const struct tensor *tensor, size_t i) {
    switch (tensor->type) {
    case TENSOR_I64:
        return LOAD(int64_t, tensor, i);
    case TENSOR_I32:
        return LOAD(int32_t, tensor, i);
    case TENSOR_I16:
        return LOAD(int16_t, tensor, i);
    case TENSOR_I8:
        return LOAD(int8_t, tensor, i);
    case TENSOR_U8:
        return LOAD(uint8_t, tensor, i);
    case TENSOR_BOOL:
        return LOAD(uint8_t, tensor, i) != 0;
    case TENSOR_U16:
        return LOAD(uint16_t, tensor, i);
    case TENSOR_U32:
        return LOAD(uint32_t, tensor, i);
    case TENSOR_U64: {
        uint64_t number = LOAD(uint64_t, tensor, i);
        return number > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)number;
    }
    case TENSOR_U4:
        return load_bits(tensor, i, 4);
    case TENSOR_I4:
        return (int64_t)(load_bits(tensor, i, 4) ^ 8u) - 8;
    case TENSOR_U2:
        return load_bits(tensor, i, 2);
    case TENSOR_I2:
        return (int64_t)(load_bits(tensor, i, 2) ^ 2u) - 2;
    case TENSOR_F32:
    case TENSOR_F64:
    case TENSOR_F16:
    case TENSOR_BF16:
        return tensor_truncate(tensor_number(tensor, i));
    case TENSOR_NONE:
        break;
    }
    return 0;
}

void tensor_describe(const struct tensor *tensor, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s (", tensor_type_name(tensor->type));
    for (size_t i = 0; i < tensor->rank && used < size; i++) {
        used +=
            (size_t)snprintf(text + used, size - used, i == 0 ? "%zu" : ", %zu", tensor->dims[i]);
    }
    if (used < size) {
        snprintf(text + used, size - used, ")");
    }
}
