#include "importer/onnx_tensor.h"

#include "engine/checked.h"

#include <string.h>

enum { LOCATION_EXTERNAL = 1 }; /* TensorProto.DataLocation */

static bool parse_size(const char *text, size_t *value) {
    *value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        size_t digit = (size_t)(*text - '0');
        if (!checked_multiply(*value, 10, value) || !checked_add(*value, digit, value)) {
            return false;
        }
    }
    return *text == '\0';
}

static bool read_external(struct tensor *tensor, const Onnx__TensorProto *proto,
                          struct model_dir *dir, struct error *err) {
    const char *location = NULL;
    size_t offset = 0;
    size_t length = tensor->size;
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = proto->external_data[i]->key;
        const char *value = proto->external_data[i]->value;
        if (key == NULL || value == NULL) {
            continue;
        }
        bool sound = true;
        if (strcmp(key, "location") == 0) {
            location = value;
        } else if (strcmp(key, "offset") == 0) {
            sound = parse_size(value, &offset);
        } else if (strcmp(key, "length") == 0) {
            sound = parse_size(value, &length);
        }
        if (!sound) {
            return error_set(err, ERROR_BAD_FILE, "external data %s \"%.40s\" is not a number", key,
                             value);
        }
    }
    if (location == NULL) {
        return error_set(err, ERROR_BAD_FILE, "external data without a location");
    }
    if (length != tensor->size) {
        return error_set(err, ERROR_BAD_FILE,
                         "external data has %zu bytes, but type and shape need %zu", length,
                         tensor->size);
    }
    const struct model_file *file = model_dir_map_beside(dir, location, err);
    if (file == NULL) {
        return false;
    }
    if (!checked_range(offset, length, file->size)) {
        return error_set(err, ERROR_BAD_FILE,
                         "needs %zu bytes at offset %zu of %.100s, which has only %zu bytes "
                         "(truncated download?)",
                         length, offset, location, file->size);
    }
    tensor->bytes = file->bytes + offset;
    return true;
}

/* Which typed field holds elements of which type, as TensorProto defines it. */
enum typed_field { FIELD_NONE, FIELD_FLOAT, FIELD_INT32, FIELD_INT64, FIELD_DOUBLE, FIELD_UINT64 };

static enum typed_field field_of(enum tensor_type type) {
    static const unsigned char fields[] = {
        [TENSOR_F32] = FIELD_FLOAT,  [TENSOR_I64] = FIELD_INT64,  [TENSOR_F64] = FIELD_DOUBLE,
        [TENSOR_U64] = FIELD_UINT64, [TENSOR_U32] = FIELD_UINT64, [TENSOR_I32] = FIELD_INT32,
        [TENSOR_I16] = FIELD_INT32,  [TENSOR_U16] = FIELD_INT32,  [TENSOR_I8] = FIELD_INT32,
        [TENSOR_U8] = FIELD_INT32,   [TENSOR_BOOL] = FIELD_INT32, [TENSOR_F16] = FIELD_INT32,
        [TENSOR_BF16] = FIELD_INT32, [TENSOR_U4] = FIELD_INT32,   [TENSOR_I4] = FIELD_INT32,
        [TENSOR_U2] = FIELD_INT32,   [TENSOR_I2] = FIELD_INT32,
    };
    return (enum typed_field)fields[type];
}

/* Takes the low bytes of each entry; types below a byte have one byte of elements an entry. */
static bool copy_typed(struct tensor *tensor, const void *entries, size_t count, size_t entry_bytes,
                       struct arena *arena, struct error *err) {
    bool packed = tensor->size < tensor->count;
    size_t expected = packed ? tensor->size : tensor->count;
    if (count != expected) {
        return error_set(err, ERROR_BAD_FILE, "has %zu entries, but type and shape need %zu", count,
                         expected);
    }
    size_t width = expected == 0 ? 0 : tensor->size / expected;
    uint8_t *bytes = arena_allocate(arena, tensor->size, 1);
    if (bytes == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu bytes", tensor->size);
    }
    for (size_t i = 0; i < expected; i++) {
        memcpy(bytes + i * width, (const uint8_t *)entries + i * entry_bytes, width);
    }
    tensor->bytes = bytes;
    return true;
}

static bool read_typed(struct tensor *tensor, const Onnx__TensorProto *proto, struct arena *arena,
                       struct error *err) {
    switch (field_of(tensor->type)) {
    case FIELD_FLOAT:
        return copy_typed(tensor, proto->float_data, proto->n_float_data, 4, arena, err);
    case FIELD_INT32:
        return copy_typed(tensor, proto->int32_data, proto->n_int32_data, 4, arena, err);
    case FIELD_INT64:
        return copy_typed(tensor, proto->int64_data, proto->n_int64_data, 8, arena, err);
    case FIELD_DOUBLE:
        return copy_typed(tensor, proto->double_data, proto->n_double_data, 8, arena, err);
    case FIELD_UINT64:
        return copy_typed(tensor, proto->uint64_data, proto->n_uint64_data, 8, arena, err);
    case FIELD_NONE:
        break;
    }
    return error_set(err, ERROR_BAD_FILE, "has no data");
}

bool onnx_tensor_read(struct tensor *tensor, const Onnx__TensorProto *proto, struct model_dir *dir,
                      struct arena *arena, struct error *err) {
    enum tensor_type type = tensor_type_of(proto->data_type);
    if (type == TENSOR_NONE) {
        return error_set(err, ERROR_UNSUPPORTED, "element type %d is not supported",
                         proto->data_type);
    }
    if (!tensor_set_shape(tensor, type, proto->n_dims, proto->dims, err)) {
        return false;
    }
    if (proto->data_location == LOCATION_EXTERNAL) {
        return read_external(tensor, proto, dir, err);
    }
    if (!proto->has_raw_data) {
        return read_typed(tensor, proto, arena, err);
    }
    if (proto->raw_data.len != tensor->size) {
        return error_set(err, ERROR_BAD_FILE, "has %zu bytes, but type and shape need %zu",
                         proto->raw_data.len, tensor->size);
    }
    /* An empty raw_data is a NULL pointer; a tensor's bytes never are. */
    tensor->bytes = tensor->size > 0 ? proto->raw_data.data : (const uint8_t *)"";
    return true;
}
