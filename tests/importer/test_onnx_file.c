#include "importer/onnx_file.h"

#include "importer/lower.h"
#include "importer/onnx_wire.h"
#include "importer/passes/passes.h"

#include <criterion/criterion.h>
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

static struct model_dir *open_dir(const char *path) {
    struct model_dir *dir;
    struct error err = {0};
    cr_assert(model_dir_open(&dir, path, &err), "%s", err.text);
    return dir;
}

/* Parses, rewrites and lowers, as model_open does; what goes wrong must be an error, never a crash.
 */
static bool import(struct model_dir *dir, const uint8_t *bytes, size_t size, struct error *err) {
    struct graph *graph;
    struct model_config config;
    struct plan plan;
    if (!onnx_file_parse(&graph, dir, bytes, size, err)) {
        return false;
    }
    cr_assert(model_config_read(&config, dir, err), "%s", err->text);
    plan_init(&plan);
    bool sound = passes_run(graph, &config, err) && lower(&plan, graph, &config, NULL, err) &&
                 plan_verify(&plan, err);
    plan_deinit(&plan);
    model_config_deinit(&config);
    graph_close(graph);
    return sound;
}

Test(onnx_file, reads_nodes_initializers_and_external_data) {
    struct model_dir *dir = open_dir("models/gemma3-int4");
    struct graph *graph;
    struct error err = {0};
    cr_assert(onnx_file_read(&graph, dir, "model.onnx", &err), "%s", err.text);
    cr_assert_eq(graph->node_count, 137);
    cr_assert_eq(graph->input_count, 14);
    const struct tensor *head =
        graph_constant(graph, graph_find(graph, "lm_head.MatMul.weight_Q4G32"));
    cr_assert(head != NULL);
    cr_assert_eq(head->type, TENSOR_U8);
    cr_assert_eq(head->size, 512u * 3 * 16);
    const struct model_file *data = model_dir_map(dir, "model.onnx.data", &err);
    cr_assert(head->bytes >= data->bytes && head->bytes < data->bytes + data->size,
              "a weight stays in the mapped file");
    graph_close(graph);
    model_dir_close(dir);
}

Test(onnx_file, every_truncation_is_an_error) {
    struct model_dir *dir = open_dir("models/gemma3-int4");
    struct error err = {0};
    const struct model_file *file = model_dir_map(dir, "model.onnx", &err);
    for (size_t size = 0; size < file->size; size += size < 512 ? 1 : 263) {
        /* A copy of exactly that size, so that a sanitizer sees every read beyond it. */
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, file->bytes, size);
        struct error truncated = {0};
        cr_assert_not(import(dir, copy, size, &truncated), "%zu bytes were enough", size);
        cr_assert(truncated.text[0] != '\0', "no message for %zu bytes", size);
        free(copy);
    }
    model_dir_close(dir);
}

Test(onnx_file, flipped_bytes_give_an_error_or_a_sound_plan) {
    enum { ROUNDS = 600 };
    struct model_dir *dir = open_dir("models/gemma3-int4");
    struct error err = {0};
    const struct model_file *file = model_dir_map(dir, "model.onnx", &err);
    uint8_t *copy = malloc(file->size);
    uint64_t state = 88172645463325252u; /* xorshift: the same flips in every run */
    size_t errors = 0;
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(copy, file->bytes, file->size);
        for (int flip = 0; flip <= round % 8; flip++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            copy[state % file->size] ^= (uint8_t)(1 + (state >> 40) % 255);
        }
        struct error flipped = {0};
        bool sound = import(dir, copy, file->size, &flipped);
        cr_assert(sound || flipped.text[0] != '\0', "round %d failed without a message", round);
        errors += sound ? 0 : 1;
    }
    cr_assert_gt(errors, ROUNDS / 4, "only %zu of %d flips were noticed", errors, ROUNDS);
    free(copy);
    model_dir_close(dir);
}

/* ---- Files made by hand ---- */

/* Packs the model and imports it; the error must say `expected`. */
static void expect_refused(const Onnx__ModelProto *model, const char *expected) {
    struct model_dir *dir = open_dir("models/gemma3-int4");
    size_t size = onnx__model_proto__get_packed_size(model);
    uint8_t *bytes = malloc(size);
    onnx__model_proto__pack(model, bytes);
    struct graph *graph;
    struct error err = {0};
    bool read = onnx_file_parse(&graph, dir, bytes, size, &err);
    cr_expect_not(read, "a file was read that should be refused: %s", expected);
    cr_expect(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    if (read) {
        graph_close(graph);
    }
    free(bytes);
    model_dir_close(dir);
}

/* A model of one initializer. */
static void expect_tensor_refused(Onnx__TensorProto *tensor, const char *expected) {
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    char name[] = "weight";
    tensor->name = name;
    tensor->has_data_type = 1;
    model.graph = &graph;
    graph.n_initializer = 1;
    graph.initializer = &tensor;
    expect_refused(&model, expected);
}

Test(onnx_file, tensors_are_checked_against_their_data) {
    int64_t overflowing[] = {INT64_MAX, 4};
    int64_t negative[] = {-1};
    int64_t many[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    int64_t three[] = {3};
    uint8_t bytes[4] = {0};
    float floats[2] = {1, 2};
    Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
    tensor.data_type = TENSOR_F32;

    tensor.n_dims = 2;
    tensor.dims = overflowing;
    expect_tensor_refused(&tensor,
                          "initializer \"weight\": the product of the dimensions overflows");
    tensor.n_dims = 1;
    tensor.dims = negative;
    expect_tensor_refused(&tensor, "dimension 0 is -1");
    tensor.n_dims = 9;
    tensor.dims = many;
    expect_tensor_refused(&tensor, "9 dimensions; at most 8");
    tensor.n_dims = 1;
    tensor.dims = three;
    expect_tensor_refused(&tensor, "has 0 entries, but type and shape need 3");
    tensor.n_float_data = 2;
    tensor.float_data = floats;
    expect_tensor_refused(&tensor, "has 2 entries, but type and shape need 3");
    tensor.has_raw_data = 1;
    tensor.raw_data = (ProtobufCBinaryData){.len = 4, .data = bytes};
    expect_tensor_refused(&tensor, "has 4 bytes, but type and shape need 12");
    tensor.data_type = 8;
    expect_tensor_refused(&tensor, "element type 8 is not supported");
}

static void expect_external_refused(char *location, char *offset, const char *expected) {
    char location_key[] = "location";
    char offset_key[] = "offset";
    int64_t dims[] = {16};
    Onnx__StringStringEntryProto entries[2] = {ONNX__STRING_STRING_ENTRY_PROTO__INIT,
                                               ONNX__STRING_STRING_ENTRY_PROTO__INIT};
    Onnx__StringStringEntryProto *list[2] = {&entries[0], &entries[1]};
    Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
    tensor.data_type = TENSOR_F32;
    tensor.n_dims = 1;
    tensor.dims = dims;
    tensor.has_data_location = 1;
    tensor.data_location = 1;
    tensor.n_external_data = 2;
    tensor.external_data = list;
    entries[0].key = location_key;
    entries[0].value = location;
    entries[1].key = offset_key;
    entries[1].value = offset;
    expect_tensor_refused(&tensor, expected);
}

Test(onnx_file, external_data_must_lie_within_a_file_of_the_folder) {
    char data[] = "model.onnx.data";
    char absolute[] = "/etc/passwd";
    char outside[] = "../gemma3-fp32/model.onnx.data";
    char missing[] = "weights.bin";
    char zero[] = "0";
    char beyond[] = "99999999";
    char overflowing[] = "99999999999999999999999999";
    char word[] = "12x";
    expect_external_refused(data, beyond, "needs 64 bytes at offset 99999999 of model.onnx.data");
    expect_external_refused(data, overflowing, "is not a number");
    expect_external_refused(data, word, "external data offset \"12x\" is not a number");
    expect_external_refused(absolute, zero, "is not a relative name");
    expect_external_refused(outside, zero, "leads out of the model folder");
    expect_external_refused(missing, zero, "weights.bin: No such file");
}

Test(onnx_file, an_attribute_of_the_wrong_kind_is_named) {
    char name[] = "K";
    char op[] = "MatMulNBits";
    char node_name[] = "/q_proj";
    Onnx__AttributeProto attribute = ONNX__ATTRIBUTE_PROTO__INIT;
    Onnx__AttributeProto *attributes[] = {&attribute};
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
    Onnx__NodeProto *nodes[] = {&node};
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    attribute.name = name;
    attribute.has_type = 1;
    attribute.type = ATTRIBUTE_FLOAT;
    node.name = node_name;
    node.op_type = op;
    node.n_attribute = 1;
    node.attribute = attributes;
    graph.n_node = 1;
    graph.node = nodes;
    model.graph = &graph;
    expect_refused(&model,
                   "node /q_proj (MatMulNBits): attribute \"K\" is a float, expected an int");
}

Test(onnx_file, the_numbers_of_a_constant_are_its_value) {
    char name[] = "value_ints";
    char op[] = "Constant";
    char output[] = "shape";
    char *outputs[] = {output};
    int64_t numbers[] = {3, -4};
    Onnx__AttributeProto attribute = ONNX__ATTRIBUTE_PROTO__INIT;
    Onnx__AttributeProto *attributes[] = {&attribute};
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
    Onnx__NodeProto *nodes[] = {&node};
    Onnx__GraphProto proto = ONNX__GRAPH_PROTO__INIT;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    attribute.name = name;
    attribute.has_type = 1;
    attribute.type = ATTRIBUTE_INTS;
    attribute.n_ints = 2;
    attribute.ints = numbers;
    node.op_type = op;
    node.n_output = 1;
    node.output = outputs;
    node.n_attribute = 1;
    node.attribute = attributes;
    proto.n_node = 1;
    proto.node = nodes;
    model.graph = &proto;
    size_t size = onnx__model_proto__get_packed_size(&model);
    uint8_t *bytes = malloc(size);
    onnx__model_proto__pack(&model, bytes);
    struct model_dir *dir = open_dir("models/gemma3-int4");
    struct graph *graph;
    struct error err = {0};
    cr_assert(onnx_file_parse(&graph, dir, bytes, size, &err), "%s", err.text);
    const struct graph_attribute *value = graph_attribute(&graph->nodes[0], "value");
    cr_assert(value != NULL && value->tensor != NULL);
    cr_assert_eq(value->tensor->type, TENSOR_I64);
    cr_assert_eq(value->tensor->count, 2);
    cr_assert_eq(tensor_integer(value->tensor, 1), -4);
    graph_close(graph);
    model_dir_close(dir);
    free(bytes);
}

Test(onnx_file, a_model_without_a_graph_is_refused) {
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    expect_refused(&model, "holds no graph");
}

/* ---- Nesting ---- */

/* Writes, from the back of `buffer`, a ModelProto with `depth` graphs within each other, each in an
 * attribute of a node of the one around it. Where it begins. */
static uint8_t *nest(uint8_t *end, int depth, size_t *size) {
    static const uint8_t tags[] = {6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2}; /* g, attribute, node */
    uint8_t *at = end;
    for (int level = 0; level < depth; level++) {
        for (size_t t = 0; t < (level + 1 < depth ? 3u : 0u); t++) {
            size_t length = (size_t)(end - at);
            *--at = (uint8_t)(length >> 14 & 0x7f);
            *--at = (uint8_t)((length >> 7 & 0x7f) | 0x80);
            *--at = (uint8_t)((length & 0x7f) | 0x80);
            *--at = tags[t];
        }
    }
    size_t length = (size_t)(end - at);
    *--at = (uint8_t)(length >> 14 & 0x7f);
    *--at = (uint8_t)((length >> 7 & 0x7f) | 0x80);
    *--at = (uint8_t)((length & 0x7f) | 0x80);
    *--at = 7 << 3 | 2;
    *size = (size_t)(end - at);
    return at;
}

Test(onnx_file, nesting_is_bounded_before_anything_recurses) {
    static uint8_t buffer[1 << 17];
    struct error err = {0};
    size_t size;
    const uint8_t *bytes = nest(buffer + sizeof buffer, 3, &size);
    cr_assert(onnx_wire_check(bytes, size, 3, &err), "%s", err.text);
    cr_assert_not(onnx_wire_check(bytes, size, 2, &err));
    bytes = nest(buffer + sizeof buffer, 10000, &size);
    cr_assert_not(onnx_wire_check(bytes, size, GRAPH_NESTING_MAX, &err));
    cr_assert(strstr(err.text, "nested too deeply") != NULL, "%s", err.text);
}

Test(onnx_file, a_file_of_empty_messages_does_not_eat_the_memory) {
    enum { BYTES = 1 << 20 };
    uint8_t *bytes = malloc(BYTES);
    struct model_dir *dir = open_dir("models/gemma3-int4");
    struct graph *graph;
    struct error err = {0};
    /* graph { node {} node {} ... }: two bytes each, which unpack to more than a hundred. */
    size_t length = BYTES - 4;
    bytes[0] = 7 << 3 | 2;
    bytes[1] = (uint8_t)((length & 0x7f) | 0x80);
    bytes[2] = (uint8_t)((length >> 7 & 0x7f) | 0x80);
    bytes[3] = (uint8_t)(length >> 14);
    for (size_t i = 4; i < BYTES; i += 2) {
        bytes[i] = 1 << 3 | 2;
        bytes[i + 1] = 0;
    }
    cr_assert_not(onnx_file_parse(&graph, dir, bytes, BYTES, &err));
    cr_assert(strstr(err.text, "far more than its own size") != NULL, "%s", err.text);
    free(bytes);
    model_dir_close(dir);
}
