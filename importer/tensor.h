/* Tensors of a model file: a type, a shape and borrowed bytes.
 *
 * A tensor never owns its bytes: they lie in the mapped model files, or in the arena of the graph
 * that uses it, and may have any alignment. Elements are row-major and little-endian; types smaller
 * than a byte are one flat stream, low bits first. Numbers are the ONNX TensorProto.DataType ones.
 */
#ifndef QUERN_IMPORTER_TENSOR_H
#define QUERN_IMPORTER_TENSOR_H

#include "engine/arena.h"
#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_RANK_MAX = 8 };

enum tensor_type {
    TENSOR_NONE = 0,
    TENSOR_F32 = 1,
    TENSOR_U8 = 2,
    TENSOR_I8 = 3,
    TENSOR_U16 = 4,
    TENSOR_I16 = 5,
    TENSOR_I32 = 6,
    TENSOR_I64 = 7,
    TENSOR_BOOL = 9,
    TENSOR_F16 = 10,
    TENSOR_F64 = 11,
    TENSOR_U32 = 12,
    TENSOR_U64 = 13,
    TENSOR_BF16 = 16,
    TENSOR_U4 = 21,
    TENSOR_I4 = 22,
    TENSOR_U2 = 25,
    TENSOR_I2 = 26,
};

struct tensor {
    enum tensor_type type;
    size_t rank;
    size_t dims[TENSOR_RANK_MAX];
    size_t count; /* elements: the product of dims */
    size_t size;  /* bytes */
    const uint8_t *bytes;
    bool shape_only; /* its elements are not known: there are no bytes */
};

/* The type of that ONNX number, or TENSOR_NONE if Quern does not know it. */
enum tensor_type tensor_type_of(int number);
const char *tensor_type_name(enum tensor_type type);
bool tensor_type_is_float(enum tensor_type type);

/* Sets type and shape and computes count and size. ERROR_BAD_FILE for a negative dim, a rank beyond
 * TENSOR_RANK_MAX or a size that overflows. bytes is left as it is. */
bool tensor_set_shape(struct tensor *tensor, enum tensor_type type, size_t rank,
                      const int64_t *dims, struct error *err);

/* The same with zeroed bytes from `arena`; the caller fills them. NULL with err if that fails. */
uint8_t *tensor_allocate(struct tensor *tensor, struct arena *arena, enum tensor_type type,
                         size_t rank, const int64_t *dims, struct error *err);

/* Element i of any type but TENSOR_NONE as a real number, and of any integer type or bool as an
 * integer (a float is truncated, see tensor_truncate). */
double tensor_number(const struct tensor *tensor, size_t i);
int64_t tensor_integer(const struct tensor *tensor, size_t i);

/* A real number as an integer: truncated towards zero, clamped, 0 for NaN. */
int64_t tensor_truncate(double number);

/* "f32 (512, 96)" into text[size]. */
void tensor_describe(const struct tensor *tensor, char *text, size_t size);

#endif
