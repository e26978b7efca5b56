#include "importer/adapter_file.h"

#include "engine/checked.h"

#include <string.h>

enum {
    FORMAT_VERSION = 1,
    IDENTIFIER_AT = 4, /* behind the offset of the root table */
    HEADER_BYTES = 8,
    VTABLE_HEAD_BYTES = 4,
    NAME_BYTES_MAX = 1024,
};

enum adapter_field { ADAPTER_FORMAT_VERSION = 0, ADAPTER_PARAMETERS = 3 };
enum parameter_field {
    PARAMETER_NAME = 0,
    PARAMETER_DIMS = 1,
    PARAMETER_TYPE = 2,
    PARAMETER_DATA = 3,
};

struct flatbuffer {
    const uint8_t *bytes;
    size_t size;
};

struct table {
    size_t at;
    size_t bytes;
    size_t vtable;
    size_t vtable_bytes;
};

struct vector {
    size_t at; /* of its first element */
    size_t count;
};

static bool corrupt(const char *what, size_t at, struct error *err) {
    return error_set(err, ERROR_BAD_FILE,
                     "not an adapter file, or a corrupt or truncated one (%s at byte %zu)", what,
                     at);
}

static bool read_u16(const struct flatbuffer *file, size_t at, size_t *value) {
    if (!checked_range(at, 2, file->size)) {
        return false;
    }
    *value = (size_t)file->bytes[at] | (size_t)file->bytes[at + 1] << 8;
    return true;
}

static bool read_u32(const struct flatbuffer *file, size_t at, uint32_t *value) {
    size_t low;
    size_t high;
    if (!read_u16(file, at, &low) || !read_u16(file, at + 2, &high)) {
        return false;
    }
    *value = (uint32_t)(low | high << 16);
    return true;
}

/* Where the offset at `at` leads to. */
static bool follow(const struct flatbuffer *file, size_t at, size_t *target) {
    uint32_t offset;
    return read_u32(file, at, &offset) && offset != 0 && checked_add(at, offset, target) &&
           *target < file->size;
}

static bool open_table(const struct flatbuffer *file, size_t at, struct table *table) {
    uint32_t back;
    if (!read_u32(file, at, &back)) {
        return false;
    }
    int64_t vtable = (int64_t)at - (int32_t)back;
    *table = (struct table){.at = at, .vtable = (size_t)vtable};
    return vtable >= 0 && read_u16(file, table->vtable, &table->vtable_bytes) &&
           read_u16(file, table->vtable + 2, &table->bytes) &&
           table->vtable_bytes >= VTABLE_HEAD_BYTES &&
           checked_range(table->vtable, table->vtable_bytes, file->size) &&
           checked_range(at, table->bytes, file->size);
}

/* Where a field of four bytes is; 0 where it is absent. */
static bool find_field(const struct flatbuffer *file, const struct table *table, int field,
                       size_t *at) {
    size_t entry = VTABLE_HEAD_BYTES + 2 * (size_t)field;
    size_t offset = 0;
    *at = 0;
    if (entry + 2 <= table->vtable_bytes && !read_u16(file, table->vtable + entry, &offset)) {
        return false;
    }
    *at = offset == 0 ? 0 : table->at + offset;
    return offset == 0 || checked_range(offset, sizeof(uint32_t), table->bytes);
}

static bool read_number(const struct flatbuffer *file, const struct table *table, int field,
                        uint32_t *number) {
    size_t at;
    *number = 0;
    return find_field(file, table, field, &at) && (at == 0 || read_u32(file, at, number));
}

/* A string or vector of elements of that size; empty where it is absent. */
static bool read_vector(const struct flatbuffer *file, const struct table *table, int field,
                        size_t element_bytes, struct vector *vector) {
    size_t at;
    size_t head;
    size_t bytes;
    uint32_t count;
    *vector = (struct vector){0};
    if (!find_field(file, table, field, &at)) {
        return false;
    }
    if (at == 0) {
        return true;
    }
    if (!follow(file, at, &head) || !read_u32(file, head, &count) ||
        !checked_multiply(count, element_bytes, &bytes)) {
        return false;
    }
    *vector = (struct vector){.at = head + sizeof(uint32_t), .count = count};
    return checked_range(vector->at, bytes, file->size);
}

static bool read_shape(const struct flatbuffer *file, const struct adapter_parameter *parameter,
                       const struct vector *dims, uint32_t type, struct tensor *tensor,
                       struct error *err) {
    int64_t shape[TENSOR_RANK_MAX];
    for (size_t i = 0; i < dims->count && i < TENSOR_RANK_MAX; i++) {
        memcpy(&shape[i], file->bytes + dims->at + i * sizeof *shape, sizeof *shape);
    }
    enum tensor_type known = type < 64 ? tensor_type_of((int)type) : TENSOR_NONE;
    if (known == TENSOR_NONE) {
        return error_set(err, ERROR_BAD_FILE, "parameter \"%.*s\" is of an unknown type, %u",
                         (int)parameter->name_length, parameter->name, type);
    }
    return tensor_set_shape(tensor, known, dims->count, shape, err) ||
           error_prefix(err, "parameter \"%.*s\"", (int)parameter->name_length, parameter->name);
}

static bool read_parameter(const struct flatbuffer *file, size_t at,
                           struct adapter_parameter *parameter, struct error *err) {
    struct table table;
    struct vector name;
    struct vector dims;
    struct vector data;
    uint32_t type;
    if (!open_table(file, at, &table) || !read_vector(file, &table, PARAMETER_NAME, 1, &name) ||
        !read_vector(file, &table, PARAMETER_DIMS, sizeof(int64_t), &dims) ||
        !read_number(file, &table, PARAMETER_TYPE, &type) ||
        !read_vector(file, &table, PARAMETER_DATA, 1, &data)) {
        return corrupt("a parameter", at, err);
    }
    if (name.count == 0 || name.count > NAME_BYTES_MAX) {
        return corrupt("the name of a parameter", at, err);
    }
    *parameter = (struct adapter_parameter){
        .name = (const char *)file->bytes + name.at,
        .name_length = name.count,
    };
    struct tensor *tensor = &parameter->tensor;
    if (!read_shape(file, parameter, &dims, type, tensor, err)) {
        return false;
    }
    tensor->bytes = file->bytes + data.at;
    return tensor->size == data.count ||
           error_set(err, ERROR_BAD_FILE, "parameter \"%.*s\" has %zu bytes, expected %zu",
                     (int)name.count, parameter->name, data.count, tensor->size);
}

static bool read_parameters(const struct flatbuffer *file, const struct vector *parameters,
                            adapter_visit *visit, void *context, struct error *err) {
    for (size_t i = 0; i < parameters->count; i++) {
        struct adapter_parameter parameter;
        size_t at = parameters->at + i * sizeof(uint32_t);
        size_t table;
        if (!follow(file, at, &table)) {
            return corrupt("the offset of a parameter", at, err);
        }
        if (!read_parameter(file, table, &parameter, err) || !visit(context, &parameter, err)) {
            return false;
        }
    }
    return true;
}

bool adapter_file_read(const uint8_t *bytes, size_t size, adapter_visit *visit, void *context,
                       struct error *err) {
    const struct flatbuffer file = {bytes, size};
    struct table root;
    struct vector parameters;
    uint32_t version;
    size_t at;
    if (size < HEADER_BYTES || memcmp(bytes + IDENTIFIER_AT, "TORT", 4) != 0) {
        return error_set(err, ERROR_BAD_FILE, "not an adapter file as onnxruntime writes them");
    }
    if (!follow(&file, 0, &at) || !open_table(&file, at, &root) ||
        !read_number(&file, &root, ADAPTER_FORMAT_VERSION, &version) ||
        !read_vector(&file, &root, ADAPTER_PARAMETERS, sizeof(uint32_t), &parameters)) {
        return corrupt("the root table", 0, err);
    }
    if (version != FORMAT_VERSION) {
        return error_set(err, ERROR_UNSUPPORTED,
                         "an adapter file of format version %u, only version %d is known", version,
                         FORMAT_VERSION);
    }
    return read_parameters(&file, &parameters, visit, context, err);
}
