/* Adapter files: those that onnxruntime wrote, those that somebody made up, and broken ones. */
#include "importer/adapter.h"
#include "importer/adapter_file.h"
#include "importer/graph.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char model_path[] = "models/llama-lora-int4";
static const char one_path[] = "models/llama-lora-int4/one.onnx_adapter";

#define Q_DOWN "model.layers.0.attn.q_proj.lora_A.MatMul.weight"
#define Q_UP   "model.layers.0.attn.q_proj.lora_B.MatMul.weight"

/* ---- Files that a test makes up ----
 *
 *     0   header   12  vtable and table of the adapter   ..  offsets of the parameters
 *     then for each parameter its vtable, its table, its name, dims and data */

enum { FILE_MAX = 1 << 16, PARAMETERS_MAX = 4 };

struct parameter {
    const char *name;
    int64_t dims[2];
    int32_t type;
    uint32_t bytes; /* of data, zeros */
};

struct made_file {
    uint8_t bytes[FILE_MAX];
    size_t size;
};

static void put(struct made_file *file, size_t at, const void *value, size_t size) {
    cr_assert_leq(at + size, FILE_MAX);
    memcpy(file->bytes + at, value, size);
    file->size = at + size > file->size ? at + size : file->size;
}

static void put_u16(struct made_file *file, size_t at, uint16_t value) {
    put(file, at, &value, sizeof value);
}

static void put_u32(struct made_file *file, size_t at, size_t value) {
    uint32_t number = (uint32_t)value;
    put(file, at, &number, sizeof number);
}

/* A table of fields of four bytes behind its vtable; returns where the table is. */
static size_t put_table(struct made_file *file, size_t fields) {
    size_t vtable = file->size;
    size_t table = vtable + 4 + 2 * fields;
    put_u16(file, vtable, (uint16_t)(4 + 2 * fields));
    put_u16(file, vtable + 2, (uint16_t)(4 + 4 * fields));
    for (size_t i = 0; i < fields; i++) {
        put_u16(file, vtable + 4 + 2 * i, (uint16_t)(4 + 4 * i));
        put_u32(file, table + 4 + 4 * i, 0);
    }
    put_u32(file, table, table - vtable);
    return table;
}

/* A vector at the end, to which the field leads. */
static void put_vector(struct made_file *file, size_t field, const void *elements, size_t count,
                       size_t element_bytes) {
    put_u32(file, field, file->size - field);
    put_u32(file, file->size, count);
    put(file, file->size, elements, count * element_bytes);
}

static void put_parameter(struct made_file *file, size_t offset,
                          const struct parameter *parameter) {
    static const uint8_t zeros[FILE_MAX];
    size_t table = put_table(file, 4);
    put_u32(file, offset, table - offset);
    put_vector(file, table + 4, parameter->name, strlen(parameter->name), 1);
    put_vector(file, table + 8, parameter->dims, 2, sizeof(int64_t));
    put_u32(file, table + 12, (size_t)parameter->type);
    put_vector(file, table + 16, zeros, parameter->bytes, 1);
}

static struct made_file make_file(size_t version, const struct parameter *parameters,
                                  size_t count) {
    struct made_file file = {.size = 0};
    put_u32(&file, 0, 0);
    put(&file, 4, "TORT", 4);
    size_t table = put_table(&file, 4);
    put_u32(&file, 0, table);
    put_u32(&file, table + 4, version);
    static const uint32_t offsets[PARAMETERS_MAX];
    put_vector(&file, table + 16, offsets, count, sizeof *offsets);
    size_t first = file.size - count * sizeof *offsets;
    for (size_t i = 0; i < count; i++) {
        put_parameter(&file, first + i * sizeof *offsets, &parameters[i]);
    }
    return file;
}

/* ---- Opening them ---- */

static struct model *open_model(const char *path) {
    struct model *model = NULL;
    struct error err = {0};
    cr_assert(model_open(&model, path, NULL, &err), "%s", err.text);
    return model;
}

/* NULL with the error, whose text begins with the path, cut off. */
static struct adapter *open_bytes(const struct model *model, const uint8_t *bytes, size_t size,
                                  struct error *err) {
    char path[] = "/tmp/quern-adapter-XXXXXX";
    int descriptor = mkstemp(path);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "wb") : NULL;
    cr_assert(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    struct adapter *adapter = NULL;
    *err = (struct error){0};
    if (!adapter_open(&adapter, model, path, err)) {
        adapter = NULL;
        size_t prefix = strlen("adapter ") + strlen(path) + strlen(": ");
        cr_assert(strncmp(err->text, "adapter ", 8) == 0 && strstr(err->text, path) != NULL,
                  "\"%s\" does not name the file", err->text);
        memmove(err->text, err->text + prefix, strlen(err->text) - prefix + 1);
    }
    unlink(path);
    return adapter;
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    cr_assert(bytes != NULL && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static size_t count_pairs(const struct model *model, const struct adapter *adapter) {
    size_t count = 0;
    for (size_t i = 0; i < model->plan.low_rank_count; i++) {
        count += adapter_pairs(adapter)[i].down.rows > 0;
    }
    return count;
}

Test(adapter, files_of_onnxruntime_fill_the_places_of_the_plan) {
    struct model *model = open_model(model_path);
    struct adapter *one = NULL;
    struct adapter *two = NULL;
    struct error err = {0};
    cr_assert_eq(model->plan.low_rank_count, 2 * 7);
    cr_assert(adapter_open(&one, model, one_path, &err), "%s", err.text);
    cr_assert(adapter_open(&two, model, "models/llama-lora-int4/two.onnx_adapter", &err), "%s",
              err.text);
    cr_expect_eq(count_pairs(model, one), 2 * 7);
    cr_expect_eq(count_pairs(model, two), 2 * 5, "o_proj and down_proj are as in the model");
    cr_expect_eq(adapter_pairs(one)[0].down.rows, 8);
    cr_expect_eq(adapter_pairs(two)[0].down.rows, 20);
    adapter_close(one);
    adapter_close(two);
    model_close(model);
}

Test(adapter, a_made_up_file_is_one_too) {
    struct model *model = open_model(model_path);
    const struct parameter q[] = {{Q_DOWN, {64, 3}, TENSOR_F16, 64 * 3 * 2},
                                  {Q_UP, {3, 64}, TENSOR_F32, 64 * 3 * 4}};
    const struct made_file file = make_file(1, q, 2);
    struct error err;
    struct adapter *adapter = open_bytes(model, file.bytes, file.size, &err);
    cr_assert(adapter != NULL, "%s", err.text);
    cr_expect_eq(count_pairs(model, adapter), 1);
    adapter_close(adapter);
    model_close(model);
}

static const struct wrong_file {
    size_t version;
    size_t count;
    struct parameter parameters[PARAMETERS_MAX];
    const char *says;
} wrong_files[] = {
    {2, 0, {{0}}, "an adapter file of format version 2, only version 1 is known"},
    {1,
     1,
     {{"lm_head.lora_A.weight", {64, 8}, TENSOR_F32, 64 * 8 * 4}},
     "parameter \"lm_head.lora_A.weight\" is no adapter input of the model"},
    {1,
     1,
     {{"input_ids", {1, 8}, TENSOR_I64, 64}},
     "parameter \"input_ids\" is no adapter input of the model"},
    {1,
     2,
     {{Q_DOWN, {64, 1}, TENSOR_F32, 256}, {Q_DOWN, {64, 1}, TENSOR_F32, 256}},
     "parameter \"" Q_DOWN "\" occurs twice"},
    {1, 1, {{Q_DOWN, {64, 1}, TENSOR_F32, 256}}, "there is a \"" Q_DOWN "\", but no \"" Q_UP "\""},
    {1,
     2,
     {{Q_DOWN, {32, 2}, TENSOR_F32, 256}, {Q_UP, {2, 64}, TENSOR_F32, 512}},
     "\"" Q_DOWN "\" has 32 inputs, expected 64"},
    {1,
     2,
     {{Q_DOWN, {64, 2}, TENSOR_F32, 512}, {Q_UP, {2, 32}, TENSOR_F32, 256}},
     "\"" Q_UP "\" has 32 outputs, expected 64"},
    {1,
     2,
     {{Q_DOWN, {64, 2}, TENSOR_F32, 512}, {Q_UP, {1, 64}, TENSOR_F32, 256}},
     "\"" Q_UP "\" has 1 inputs, expected 2"},
    {1,
     2,
     {{Q_DOWN, {64, 2}, TENSOR_I8, 128}, {Q_UP, {2, 64}, TENSOR_F32, 512}},
     "\"" Q_DOWN "\" is i8 (64, 2), expected a matrix of f32, f16 or bf16"},
    {1, 1, {{Q_DOWN, {64, 2}, 77, 512}}, "parameter \"" Q_DOWN "\" is of an unknown type, 77"},
    {1,
     1,
     {{Q_DOWN, {64, 2}, TENSOR_F32, 508}},
     "parameter \"" Q_DOWN "\" has 508 bytes, expected 512"},
    {1, 1, {{Q_DOWN, {64, -2}, TENSOR_F32, 0}}, "parameter \"" Q_DOWN "\": dimension 1 is -2"},
    {1,
     1,
     {{Q_DOWN, {INT64_MAX, INT64_MAX}, TENSOR_F32, 4}},
     "parameter \"" Q_DOWN "\": the product of the dimensions overflows"},
};

Test(adapter, what_does_not_fit_the_model_is_named) {
    struct model *model = open_model(model_path);
    for (size_t i = 0; i < sizeof wrong_files / sizeof wrong_files[0]; i++) {
        const struct wrong_file *wrong = &wrong_files[i];
        const struct made_file file = make_file(wrong->version, wrong->parameters, wrong->count);
        struct error err;
        cr_assert(open_bytes(model, file.bytes, file.size, &err) == NULL, "case %zu", i);
        cr_expect_str_eq(err.text, wrong->says);
    }
    model_close(model);
}

Test(adapter, a_rank_beyond_the_limit_is_refused) {
    static const uint8_t number[4];
    const struct plan_low_rank low_rank = {.name = "q", .rows = 8, .columns = 8};
    struct plan_low_rank_pair pair = {
        .down = {.rows = PLAN_RANK_MAX, .columns = 8, .data.bytes = number},
        .up = {.rows = 8, .columns = PLAN_RANK_MAX, .data.bytes = number}};
    struct error err = {0};
    cr_expect(plan_low_rank_fits(&low_rank, &pair, &err));
    pair.down.rows++;
    pair.up.columns++;
    cr_expect_not(plan_low_rank_fits(&low_rank, &pair, &err));
    cr_expect_eq(err.code, ERROR_BAD_FILE);
}

Test(adapter, what_is_no_file_or_of_no_use_to_the_model_is_said) {
    struct model *model = open_model(model_path);
    struct model *plain = open_model("models/gemma3-int4");
    struct adapter *adapter = NULL;
    struct error err = {0};
    cr_expect_not(adapter_open(&adapter, plain, one_path, &err));
    cr_expect_eq(err.code, ERROR_UNSUPPORTED);
    cr_expect(strstr(err.text, "the model gemma3-int4 has no inputs for adapters") != NULL, "%s",
              err.text);
    cr_expect_not(adapter_open(&adapter, model, "models", &err));
    cr_expect_str_eq(err.text, "adapter models: is no file");
    cr_expect_not(adapter_open(&adapter, model, "models/absent", &err));
    cr_expect_str_eq(err.text, "adapter models/absent: No such file or directory");
    cr_expect(open_bytes(model, (const uint8_t *)"", 0, &err) == NULL);
    cr_expect_str_eq(err.text, "is empty");
    cr_expect(open_bytes(model, (const uint8_t *)"safetensors", 11, &err) == NULL);
    cr_expect_str_eq(err.text, "not an adapter file as onnxruntime writes them");
    model_close(plain);
    model_close(model);
}

/* ---- Broken files ---- */

static bool touch(void *context, const struct adapter_parameter *parameter, struct error *err) {
    (void)err;
    unsigned *sum = context;
    for (size_t i = 0; i < parameter->tensor.size; i += 64) {
        *sum += parameter->tensor.bytes[i];
    }
    for (size_t i = 0; i < parameter->name_length; i++) {
        *sum += (unsigned char)parameter->name[i];
    }
    return true;
}

/* In memory of exactly that size, so that a sanitizer sees what is read beyond it. */
static bool read_exactly(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    cr_assert(copy != NULL);
    memcpy(copy, bytes, size);
    unsigned sum = 0;
    struct error err = {0};
    bool fine = adapter_file_read(copy, size, touch, &sum, &err);
    cr_assert(fine || err.code == ERROR_BAD_FILE || err.code == ERROR_UNSUPPORTED, "%s", err.text);
    free(copy);
    return fine;
}

Test(adapter, no_truncated_file_is_read) {
    const struct parameter q[] = {{Q_DOWN, {64, 1}, TENSOR_F32, 256},
                                  {Q_UP, {1, 64}, TENSOR_F32, 256}};
    const struct made_file file = make_file(1, q, 2);
    cr_assert(read_exactly(file.bytes, file.size));
    for (size_t size = 0; size < file.size; size++) {
        cr_assert_not(read_exactly(file.bytes, size), "the first %zu bytes", size);
    }
    size_t size;
    uint8_t *bytes = read_whole(one_path, &size);
    cr_assert(read_exactly(bytes, size));
    for (size_t part = 0; part < 16; part++) {
        cr_assert_not(read_exactly(bytes, size * part / 16));
    }
    free(bytes);
}

Test(adapter, no_changed_byte_does_harm) {
    static const uint8_t changes[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    const struct parameter q[] = {{Q_DOWN, {64, 1}, TENSOR_F32, 256},
                                  {Q_UP, {1, 64}, TENSOR_F32, 256}};
    struct made_file file = make_file(1, q, 2);
    for (size_t at = 0; at < file.size; at++) {
        const uint8_t was = file.bytes[at];
        for (size_t i = 0; i < sizeof changes; i++) {
            file.bytes[at] = changes[i];
            read_exactly(file.bytes, file.size);
        }
        file.bytes[at] = was;
    }
}
