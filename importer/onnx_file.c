#include "importer/onnx_file.h"

#include "engine/checked.h"
#include "importer/onnx_tensor.h"
#include "importer/onnx_wire.h"

#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* What unpacking may take: so much for each byte of the file. Real files take about 4; a file of
     * nothing but empty messages would take a hundred. */
    UNPACKED_BYTES_PER_BYTE = 24,
    UNPACKED_BYTES_MIN = 1 << 20,
    FILE_BYTES_MAX = INT32_MAX, /* the limit of protobuf itself */
};

/* ---- Unpacking into an arena ---- */

struct bounded_arena {
    struct arena *arena;
    size_t limit;
    bool exceeded;
};

static void *bounded_allocate(void *context, size_t size) {
    struct bounded_arena *bounded = context;
    if (size > bounded->limit) {
        bounded->exceeded = true;
        return NULL;
    }
    bounded->limit -= size;
    return arena_allocate(bounded->arena, size, 1);
}

static void leave_to_arena(void *context, void *pointer) {
    (void)context;
    (void)pointer;
}

static Onnx__ModelProto *unpack(struct arena *arena, const uint8_t *bytes, size_t size,
                                struct error *err) {
    if (size > FILE_BYTES_MAX) {
        error_set(err, ERROR_BAD_FILE, "%zu bytes; an ONNX file has at most %d", size,
                  FILE_BYTES_MAX);
        return NULL;
    }
    if (!onnx_wire_check(bytes, size, GRAPH_NESTING_MAX, err)) {
        return NULL;
    }
    struct bounded_arena bounded = {
        .arena = arena,
        .limit = size * UNPACKED_BYTES_PER_BYTE + UNPACKED_BYTES_MIN,
    };
    ProtobufCAllocator allocator = {
        .alloc = bounded_allocate,
        .free = leave_to_arena,
        .allocator_data = &bounded,
    };
    Onnx__ModelProto *model = onnx__model_proto__unpack(&allocator, size, bytes);
    if (model == NULL) {
        error_set(err, ERROR_BAD_FILE, "not an ONNX file, or a corrupt or truncated one%s",
                  bounded.exceeded ? " (it would unpack to far more than its own size)" : "");
    }
    return model;
}

/* ---- Values ---- */

/* protobuf-c gives NULL for a string that is absent and without a default. */
static const char *text_or_empty(const char *text) {
    return text != NULL ? text : "";
}

static const char *plain_domain(const char *domain) {
    domain = text_or_empty(domain);
    return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static bool declare(struct graph *graph, const Onnx__ValueInfoProto *info, int *id,
                    struct error *err) {
    const char *name = text_or_empty(info->name);
    *id = graph_value_named(graph, name);
    if (*id == GRAPH_NONE) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for value \"%.100s\"", name);
    }
    struct graph_value *value = &graph->values[*id];
    if (info->type == NULL || info->type->tensor_type == NULL) {
        return true;
    }
    const Onnx__TypeProto__Tensor *type = info->type->tensor_type;
    value->type = tensor_type_of(type->elem_type);
    if (type->shape == NULL) {
        return true;
    }
    size_t rank = type->shape->n_dim;
    int64_t *dims = arena_allocate(graph->arena, rank, sizeof *dims);
    if (dims == NULL || rank > TENSOR_RANK_MAX) {
        return error_set(err, ERROR_BAD_FILE,
                         "value \"%.100s\" has %zu dimensions; at most %d are supported", name,
                         rank, TENSOR_RANK_MAX);
    }
    for (size_t i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        dims[i] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : GRAPH_DIM_SYMBOLIC;
    }
    value->rank = rank;
    value->dims = dims;
    return true;
}

static bool read_initializers(struct graph *graph, const Onnx__GraphProto *proto,
                              struct model_dir *dir, struct error *err) {
    for (size_t i = 0; i < proto->n_initializer; i++) {
        const Onnx__TensorProto *source = proto->initializer[i];
        const char *name = text_or_empty(source->name);
        struct tensor *tensor = arena_allocate(graph->arena, 1, sizeof *tensor);
        int id = graph_value_named(graph, name);
        if (tensor == NULL || id == GRAPH_NONE) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for initializers");
        }
        if (graph->values[id].constant != NULL) {
            return error_set(err, ERROR_BAD_FILE, "initializer \"%.150s\" occurs twice", name);
        }
        if (!onnx_tensor_read(tensor, source, dir, graph->arena, err)) {
            return error_prefix(err, "initializer \"%.150s\"", name);
        }
        graph->values[id].constant = tensor;
    }
    return true;
}

/* Inputs and outputs. An input that has an initializer, too, is a constant: in files of IR version
 * 3 all of them are, in later ones those that may be left out. Olive lists the latter twice. */
static bool read_boundary(struct graph *graph, const Onnx__GraphProto *proto, struct error *err) {
    graph->inputs = arena_allocate(graph->arena, proto->n_input + 1, sizeof(int));
    graph->outputs = arena_allocate(graph->arena, proto->n_output, sizeof(int));
    if (graph->inputs == NULL || graph->outputs == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a graph's inputs and outputs");
    }
    for (size_t i = 0; i < proto->n_input; i++) {
        int id;
        if (!declare(graph, proto->input[i], &id, err)) {
            return false;
        }
        if (graph->values[id].is_input) {
            return error_set(err, ERROR_BAD_FILE, "graph input \"%.150s\" occurs twice",
                             graph->values[id].name);
        }
        if (graph->values[id].constant != NULL) {
            graph->values[id].is_default = true;
            continue;
        }
        graph->values[id].is_input = true;
        graph->inputs[graph->input_count++] = id;
    }
    for (size_t i = 0; i < proto->n_output; i++) {
        if (!declare(graph, proto->output[i], &graph->outputs[i], err)) {
            return false;
        }
        graph->output_count++;
    }
    return true;
}

/* ---- Nodes ---- */

/* The kinds of the attributes that Quern reads, so that nobody after us meets a wrong one. */
static const struct {
    const char *name;
    enum graph_attribute_kind kind;
} attribute_kinds[] = {
    {"K", ATTRIBUTE_INT},
    {"N", ATTRIBUTE_INT},
    {"accuracy_level", ATTRIBUTE_INT},
    {"activation_alpha", ATTRIBUTE_FLOAT},
    {"activation_beta", ATTRIBUTE_FLOAT},
    {"activation_type", ATTRIBUTE_STRING},
    {"allowzero", ATTRIBUTE_INT},
    {"approximate", ATTRIBUTE_STRING},
    {"axis", ATTRIBUTE_INT},
    {"bits", ATTRIBUTE_INT},
    {"block_size", ATTRIBUTE_INT},
    {"causal", ATTRIBUTE_INT},
    {"do_rotary", ATTRIBUTE_INT},
    {"else_branch", ATTRIBUTE_GRAPH},
    {"epsilon", ATTRIBUTE_FLOAT},
    {"expert_weight_bits", ATTRIBUTE_INT},
    {"fc1_expert_weight_bits", ATTRIBUTE_INT},
    {"fc2_expert_weight_bits", ATTRIBUTE_INT},
    {"fc3_expert_weight_bits", ATTRIBUTE_INT},
    {"gather_axis", ATTRIBUTE_INT},
    {"k", ATTRIBUTE_INT},
    {"k_norm_epsilon", ATTRIBUTE_FLOAT},
    {"k_quant_type", ATTRIBUTE_STRING},
    {"keepdims", ATTRIBUTE_INT},
    {"kv_cache_bit_width", ATTRIBUTE_INT},
    {"kv_num_heads", ATTRIBUTE_INT},
    {"local_window_size", ATTRIBUTE_INT},
    {"normalize_routing_weights", ATTRIBUTE_INT},
    {"num_heads", ATTRIBUTE_INT},
    {"num_outputs", ATTRIBUTE_INT},
    {"perm", ATTRIBUTE_INTS},
    {"q_norm_epsilon", ATTRIBUTE_FLOAT},
    {"qk_norm_epsilon", ATTRIBUTE_FLOAT},
    {"qk_output", ATTRIBUTE_INT},
    {"quantize_axis", ATTRIBUTE_INT},
    {"rotary_interleaved", ATTRIBUTE_INT},
    {"scale", ATTRIBUTE_FLOAT},
    {"smooth_softmax", ATTRIBUTE_INT},
    {"softcap", ATTRIBUTE_FLOAT},
    {"swiglu_fusion", ATTRIBUTE_INT},
    {"swiglu_limit", ATTRIBUTE_FLOAT},
    {"then_branch", ATTRIBUTE_GRAPH},
    {"to", ATTRIBUTE_INT},
    {"use_sparse_mixer", ATTRIBUTE_INT},
    {"v_quant_type", ATTRIBUTE_STRING},
    {"value", ATTRIBUTE_TENSOR},
    {"value_float", ATTRIBUTE_FLOAT},
    {"value_floats", ATTRIBUTE_FLOATS},
    {"value_int", ATTRIBUTE_INT},
    {"value_ints", ATTRIBUTE_INTS},
    {"weight_prepacked", ATTRIBUTE_INT},
    {"weights_prepacked", ATTRIBUTE_INT},
};

static const char *kind_name(int kind) {
    static const char *const names[] = {"undefined", "a float", "an int", "a string",
                                        "a tensor",  "a graph", "floats", "ints"};
    bool known = kind >= 0 && kind < (int)(sizeof names / sizeof names[0]);
    return known ? names[kind] : "of a kind that Quern does not read";
}

static bool check_kind(const Onnx__AttributeProto *proto, struct error *err) {
    const char *name = text_or_empty(proto->name);
    for (size_t i = 0; i < sizeof attribute_kinds / sizeof attribute_kinds[0]; i++) {
        if (strcmp(attribute_kinds[i].name, name) == 0 &&
            (int)attribute_kinds[i].kind != proto->type) {
            return error_set(err, ERROR_BAD_FILE, "attribute \"%s\" is %s, expected %s", name,
                             kind_name(proto->type), kind_name((int)attribute_kinds[i].kind));
        }
    }
    return true;
}

static bool fill_graph(struct graph *graph, const Onnx__GraphProto *proto, struct model_dir *dir,
                       struct error *err);

static bool read_attribute(struct graph_attribute *attribute, const Onnx__AttributeProto *proto,
                           struct graph *graph, struct model_dir *dir, struct error *err) {
    if (!check_kind(proto, err)) {
        return false;
    }
    *attribute = (struct graph_attribute){
        .name = text_or_empty(proto->name),
        .kind = (enum graph_attribute_kind)proto->type,
        .number = proto->f,
        .integer = proto->i,
        .text = "",
    };
    if (proto->type == ATTRIBUTE_FLOATS) {
        attribute->numbers = proto->floats;
        attribute->count = proto->n_floats;
    } else if (proto->type == ATTRIBUTE_INTS) {
        attribute->integers = proto->ints;
        attribute->count = proto->n_ints;
    } else if (proto->type == ATTRIBUTE_STRING) {
        const char *bytes = (const char *)proto->s.data;
        attribute->text =
            arena_copy_text(graph->arena, proto->s.len > 0 ? bytes : "", proto->s.len);
        if (attribute->text == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an attribute");
        }
    } else if (proto->type == ATTRIBUTE_TENSOR && proto->t != NULL) {
        struct tensor *tensor = arena_allocate(graph->arena, 1, sizeof *tensor);
        if (tensor == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an attribute");
        }
        attribute->tensor = tensor;
        return onnx_tensor_read(tensor, proto->t, dir, graph->arena, err);
    } else if (proto->type == ATTRIBUTE_GRAPH && proto->g != NULL) {
        struct graph *subgraph = graph_open(graph, err);
        if (subgraph == NULL || !fill_graph(subgraph, proto->g, dir, err)) {
            return false;
        }
        attribute->subgraph = subgraph;
    } else if (proto->type == ATTRIBUTE_TENSOR || proto->type == ATTRIBUTE_GRAPH) {
        return error_set(err, ERROR_BAD_FILE, "attribute \"%s\" is empty", attribute->name);
    }
    return true;
}

/* "" is an absent optional input or output. */
static bool read_names(struct graph *graph, int *ids, char *const *names, size_t count,
                       struct error *err) {
    for (size_t i = 0; i < count; i++) {
        if (names[i][0] == '\0') {
            continue;
        }
        ids[i] = graph_value_named(graph, names[i]);
        if (ids[i] == GRAPH_NONE) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for value names");
        }
    }
    return true;
}

/* The number or numbers of a Constant that has no tensor become one. */
static bool make_value(struct graph_attribute *attribute, struct arena *arena, struct error *err) {
    const struct {
        const char *name;
        enum tensor_type type;
        size_t rank;
        const void *numbers;
    } forms[] = {
        {"value_float", TENSOR_F32, 0, &attribute->number},
        {"value_floats", TENSOR_F32, 1, attribute->numbers},
        {"value_int", TENSOR_I64, 0, &attribute->integer},
        {"value_ints", TENSOR_I64, 1, attribute->integers},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(attribute->name, forms[i].name) != 0) {
            continue;
        }
        int64_t count = (int64_t)attribute->count;
        struct tensor *tensor = arena_allocate(arena, 1, sizeof *tensor);
        uint8_t *bytes = tensor != NULL ? tensor_allocate(tensor, arena, forms[i].type,
                                                          forms[i].rank, &count, err)
                                        : NULL;
        if (bytes == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a constant");
        }
        if (forms[i].numbers != NULL) {
            memcpy(bytes, forms[i].numbers, tensor->size);
        }
        *attribute = (struct graph_attribute){
            .name = "value", .kind = ATTRIBUTE_TENSOR, .text = "", .tensor = tensor};
        return true;
    }
    return true;
}

static bool read_node(struct graph *graph, const Onnx__NodeProto *proto, struct model_dir *dir,
                      struct error *err) {
    struct graph_node *node =
        graph_add_node(graph, proto->n_input, proto->n_output, proto->n_attribute);
    if (node == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for nodes");
    }
    node->name = text_or_empty(proto->name);
    node->op = text_or_empty(proto->op_type);
    node->domain = plain_domain(proto->domain);
    bool sound = read_names(graph, node->inputs, proto->input, proto->n_input, err) &&
                 read_names(graph, node->outputs, proto->output, proto->n_output, err);
    for (size_t i = 0; sound && i < proto->n_attribute; i++) {
        struct graph_attribute *attribute = &node->attributes[i];
        sound = read_attribute(attribute, proto->attribute[i], graph, dir, err) &&
                (!graph_node_is(node, "", "Constant") || make_value(attribute, graph->arena, err));
    }
    if (!sound) {
        char text[GRAPH_DESCRIPTION_BYTES];
        graph_node_describe(node, text);
        return error_prefix(err, "%s", text);
    }
    return true;
}

static bool is_written(const struct graph *graph, int value) {
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        for (size_t i = 0; i < node->output_count; i++) {
            if (node->outputs[i] == value) {
                return true;
            }
        }
    }
    return false;
}

/* Some exports (SmolLM3 by the model builder 0.12) read position_ids without declaring them. There is
 * a place for one more input. */
static void add_forgotten_input(struct graph *graph) {
    enum { RANK = 2 };
    static const int64_t dims[RANK] = {GRAPH_DIM_SYMBOLIC, GRAPH_DIM_SYMBOLIC};
    int id = graph_find(graph, "position_ids");
    if (id == GRAPH_NONE || graph->values[id].is_input || graph->values[id].constant != NULL ||
        is_written(graph, id)) {
        return;
    }
    graph->values[id].is_input = true;
    graph->values[id].type = TENSOR_I64;
    graph->values[id].rank = RANK;
    graph->values[id].dims = dims;
    graph->inputs[graph->input_count++] = id;
}

static bool fill_graph(struct graph *graph, const Onnx__GraphProto *proto, struct model_dir *dir,
                       struct error *err) {
    if (proto->n_node > GRAPH_NODES_MAX) {
        return error_set(err, ERROR_BAD_FILE, "%zu nodes; at most %d are supported", proto->n_node,
                         GRAPH_NODES_MAX);
    }
    bool sound = read_initializers(graph, proto, dir, err) && read_boundary(graph, proto, err);
    for (size_t i = 0; sound && i < proto->n_node; i++) {
        sound = read_node(graph, proto->node[i], dir, err);
    }
    if (sound) {
        add_forgotten_input(graph);
    }
    return sound && graph_finish(graph, err);
}

static bool read_opsets(struct graph *graph, const Onnx__ModelProto *model, struct error *err) {
    graph->opsets = arena_allocate(graph->arena, model->n_opset_import, sizeof(struct graph_opset));
    if (graph->opsets == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for operator sets");
    }
    for (size_t i = 0; i < model->n_opset_import; i++) {
        graph->opsets[graph->opset_count++] = (struct graph_opset){
            .domain = plain_domain(model->opset_import[i]->domain),
            .version = model->opset_import[i]->version,
        };
    }
    graph->producer = text_or_empty(model->producer_name);
    return true;
}

bool onnx_file_parse(struct graph **out, struct model_dir *dir, const uint8_t *bytes, size_t size,
                     struct error *err) {
    struct graph *graph = graph_open(NULL, err);
    if (graph == NULL) {
        return false;
    }
    const Onnx__ModelProto *model = unpack(graph->arena, bytes, size, err);
    if (model != NULL && model->graph == NULL) {
        error_set(err, ERROR_BAD_FILE, "holds no graph");
    }
    bool sound = model != NULL && model->graph != NULL &&
                 fill_graph(graph, model->graph, dir, err) && read_opsets(graph, model, err);
    if (!sound) {
        graph_close(graph);
        return false;
    }
    *out = graph;
    return true;
}

bool onnx_file_read(struct graph **out, struct model_dir *dir, const char *name,
                    struct error *err) {
    const struct model_file *file = model_dir_map(dir, name, err);
    if (file == NULL) {
        return false; /* the message names the file */
    }
    if (!onnx_file_parse(out, dir, file->bytes, file->size, err)) {
        return error_prefix(err, "%s", name);
    }
    return true;
}
