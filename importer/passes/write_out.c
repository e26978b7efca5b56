/* Attention operators that compute what a softmax between two products computes, written out so.
 *
 *     q ─▶ Reshape ─▶ Transpose ───────────────────▶ MatMul ─▶ Mul(scale) ─▶ Add(mask) ─▶ Softmax ─▶ MatMul ─▶ .. ─▶ y
 *     k ─▶ Reshape ─▶ Transpose ─▶ Concat(past) ─▶ .. ──┘                                              │
 *     v ─▶ Reshape ─▶ Transpose ─▶ Concat(past) ─▶ .. ─────────────────────────────────────────────────┘
 *
 * for com.microsoft MultiHeadAttention and ai.onnx Attention. Exports surround them with as many
 * plain operators as those that use none (the past, the groups of heads, the mask), so that one way to
 * recognize attention, by trying, serves them all. An operator with something that cannot be written
 * so keeps a note of it for lower.h. */
#include "importer/passes/passes.h"

#include "importer/interpret.h"
#include "importer/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Writing nodes; once memory is out, all values are GRAPH_NONE and `failed` is set ---- */

struct writer {
    struct graph *graph;
    const char *name; /* of the operator, and of all nodes that take its place */
    size_t values;
    bool failed;
};

static int keep(struct writer *writer, int value) {
    writer->failed |= value == GRAPH_NONE;
    return value;
}

static int new_value(struct writer *writer) {
    char name[512];
    snprintf(name, sizeof name, "%.400s/written_out_%zu", writer->name, writer->values++);
    return keep(writer, graph_value_named(writer->graph, name));
}

/* A node of the standard; inputs that are GRAPH_NONE are absent. */
static struct graph_node *write_node(struct writer *writer, const char *op, const int *inputs,
                                     size_t count, int output) {
    struct graph_node *node = writer->failed ? NULL : graph_add_node(writer->graph, count, 1, 1);
    if (node == NULL) {
        writer->failed = true;
        return NULL;
    }
    node->name = writer->name;
    node->op = op;
    memcpy(node->inputs, inputs, count * sizeof *inputs);
    node->outputs[0] = output;
    writer->graph->values[output].producer = (int)writer->graph->node_count - 1;
    return node;
}

static int write(struct writer *writer, const char *op, int a, int b, int c) {
    const int inputs[] = {a, b, c};
    int output = new_value(writer);
    write_node(writer, op, inputs, c != GRAPH_NONE ? 3 : b != GRAPH_NONE ? 2 : 1, output);
    return output;
}

static int write_with_int(struct writer *writer, const char *op, int a, int b,
                          const char *attribute, int64_t value) {
    const int inputs[] = {a, b};
    int output = new_value(writer);
    struct graph_node *node = write_node(writer, op, inputs, b != GRAPH_NONE ? 2 : 1, output);
    if (node != NULL) {
        graph_set_int(node, attribute, value);
    }
    return output;
}

static int constant(struct writer *writer, enum tensor_type type, size_t rank, int64_t count,
                    const void *values) {
    struct tensor tensor;
    struct error err = {0};
    uint8_t *bytes = tensor_allocate(&tensor, writer->graph->arena, type, rank, &count, &err);
    if (bytes == NULL) {
        return keep(writer, GRAPH_NONE);
    }
    memcpy(bytes, values, tensor.size);
    return keep(writer, graph_add_constant(writer->graph, writer->name, &tensor));
}

static int integers(struct writer *writer, int64_t count, const int64_t *values) {
    return constant(writer, TENSOR_I64, 1, count, values);
}

static int integer(struct writer *writer, int64_t value) {
    return constant(writer, TENSOR_I64, 0, 1, &value);
}

static int number(struct writer *writer, float value) {
    return constant(writer, TENSOR_F32, 0, 1, &value);
}

static int transpose(struct writer *writer, int value, const int64_t *order) {
    int output = new_value(writer);
    struct graph_node *node = write_node(writer, "Transpose", &value, 1, output);
    if (node != NULL) {
        node->attributes[0] = (struct graph_attribute){
            .name = "perm", .kind = ATTRIBUTE_INTS, .integers = order, .count = 4};
    }
    return output;
}

static const int64_t swap_sequence_and_heads[] = {0, 2, 1, 3};
static const int64_t swap_last_two[] = {0, 1, 3, 2};

/* Dimension `axis` of a value, as a vector of one element. */
static int dimension(struct writer *writer, int value, int64_t axis) {
    int shape = write(writer, "Shape", value, GRAPH_NONE, GRAPH_NONE);
    return write(writer, "Gather", shape, integers(writer, 1, &axis), GRAPH_NONE);
}

static int scalar(struct writer *writer, int vector) {
    return write(writer, "Squeeze", vector, GRAPH_NONE, GRAPH_NONE);
}

static int concat(struct writer *writer, int a, int b, int64_t axis) {
    return write_with_int(writer, "Concat", a, b, "axis", axis);
}

/* ---- The parts of an attention ---- */

/* What the operators have, each at places of its own. */
struct operands {
    int query;
    int key;
    int value;
    int mask; /* added to the scores, or, as booleans, where they count; GRAPH_NONE: none */
    bool mask_is_boolean;
    int past_key;
    int past_value;
    int64_t heads; /* of queries and keys, where inputs have three dimensions; 0: they have four */
    int64_t kv_heads;
    bool causal;
    float scale; /* 0: 1 / sqrt(head_dim) */
    float softcap;
};

/* (batch, sequence, heads x head_dim) to (batch, heads, sequence, head_dim) */
static int split_heads(struct writer *writer, int value, int64_t heads) {
    if (heads == 0) {
        return value;
    }
    int shape = integers(writer, 4, (const int64_t[]){0, 0, heads, -1});
    return transpose(writer, write(writer, "Reshape", value, shape, GRAPH_NONE),
                     swap_sequence_and_heads);
}

/* past ++ new, which becomes output `slot` of the operator. */
static int append_past(struct writer *writer, int past, int value, int present) {
    if (past == GRAPH_NONE) {
        return value;
    }
    const int inputs[] = {past, value};
    int output = present != GRAPH_NONE ? present : new_value(writer);
    struct graph_node *node = write_node(writer, "Concat", inputs, 2, output);
    if (node != NULL) {
        graph_set_int(node, "axis", 2);
    }
    return output;
}

/* Each KV head for the query heads that share it. */
static int repeat_heads(struct writer *writer, int query, int cached) {
    int one_one = integers(writer, 2, (const int64_t[]){1, 1});
    int heads = dimension(writer, query, 1);
    int group = write(writer, "Div", heads, dimension(writer, cached, 1), GRAPH_NONE);
    int times = concat(writer, concat(writer, one_one, group, 0), one_one, 0);
    int axes = integers(writer, 1, (const int64_t[]){2});
    int stretched = write(writer, "Expand", write(writer, "Unsqueeze", cached, axes, GRAPH_NONE),
                          times, GRAPH_NONE);
    int zero = integers(writer, 1, (const int64_t[]){0});
    int rest = integers(writer, 1, (const int64_t[]){-1});
    int shape = concat(writer, concat(writer, zero, heads, 0),
                       concat(writer, rest, dimension(writer, cached, 3), 0), 0);
    return write(writer, "Reshape", stretched, shape, GRAPH_NONE);
}

/* 0 where the mask holds, minus infinity elsewhere. */
static int added_mask(struct writer *writer, int boolean) {
    return write(writer, "Where", boolean, number(writer, 0), number(writer, -INFINITY));
}

/* The last query sees all keys, those before it one less each. */
static int causal_mask(struct writer *writer, int query, int key) {
    int sequence = scalar(writer, dimension(writer, query, 2));
    int total = scalar(writer, dimension(writer, key, 2));
    int one = integer(writer, 1);
    int past = write(writer, "Sub", total, sequence, GRAPH_NONE);
    int axes = integers(writer, 1, (const int64_t[]){1});
    int rows =
        write(writer, "Unsqueeze", write(writer, "Range", past, total, one), axes, GRAPH_NONE);
    int columns = write(writer, "Range", integer(writer, 0), total, one);
    return added_mask(writer, write(writer, "LessOrEqual", columns, rows, GRAPH_NONE));
}

static int default_scale(struct writer *writer, int query) {
    int width = write_with_int(writer, "Cast", scalar(writer, dimension(writer, query, 3)),
                               GRAPH_NONE, "to", TENSOR_F32);
    return write(writer, "Reciprocal", write(writer, "Sqrt", width, GRAPH_NONE, GRAPH_NONE),
                 GRAPH_NONE, GRAPH_NONE);
}

static int write_scores(struct writer *writer, const struct operands *operands, int query,
                        int key) {
    int scores = write(writer, "MatMul", query, transpose(writer, key, swap_last_two), GRAPH_NONE);
    int scale =
        operands->scale != 0 ? number(writer, operands->scale) : default_scale(writer, query);
    scores = write(writer, "Mul", scores, scale, GRAPH_NONE);
    if (operands->softcap > 0) {
        int cap = number(writer, operands->softcap);
        scores = write(writer, "Div", scores, cap, GRAPH_NONE);
        scores = write(writer, "Tanh", scores, GRAPH_NONE, GRAPH_NONE);
        scores = write(writer, "Mul", scores, cap, GRAPH_NONE);
    }
    if (operands->mask != GRAPH_NONE) {
        int mask = operands->mask_is_boolean ? added_mask(writer, operands->mask) : operands->mask;
        scores = write(writer, "Add", scores, mask, GRAPH_NONE);
    }
    if (operands->causal) {
        scores = write(writer, "Add", scores, causal_mask(writer, query, key), GRAPH_NONE);
    }
    return scores;
}

/* Output `slot` of the operator, which is about to go, or GRAPH_NONE. */
static int output_of(const struct graph_node *node, size_t slot) {
    return slot < node->output_count ? node->outputs[slot] : GRAPH_NONE;
}

static void write_attention(struct writer *writer, const struct operands *operands,
                            const struct graph_node *node) {
    int query = split_heads(writer, operands->query, operands->heads);
    int key =
        append_past(writer, operands->past_key,
                    split_heads(writer, operands->key, operands->kv_heads), output_of(node, 1));
    int value =
        append_past(writer, operands->past_value,
                    split_heads(writer, operands->value, operands->kv_heads), output_of(node, 2));
    int scores = write_scores(writer, operands, query, repeat_heads(writer, query, key));
    int weights = write_with_int(writer, "Softmax", scores, GRAPH_NONE, "axis", -1);
    const int product[] = {weights, repeat_heads(writer, query, value)};
    int output = output_of(node, 0);
    int context = operands->heads == 0 ? output : new_value(writer);
    write_node(writer, "MatMul", product, 2, context);
    if (operands->heads > 0) {
        const int rows[] = {transpose(writer, context, swap_sequence_and_heads),
                            integers(writer, 3, (const int64_t[]){0, 0, -1})};
        write_node(writer, "Reshape", rows, 2, output);
    }
}

/* ---- The two operators ---- */

static bool is_boolean(const struct graph *graph, const struct interpretation *run, int value) {
    const struct tensor *constant = graph_constant(graph, value);
    const struct tensor *tensor = constant != NULL ? constant : run->values[value];
    return tensor != NULL && tensor->type == TENSOR_BOOL;
}

/* Why the node cannot be written out, or NULL. */
static const char *read_multi_head(const struct graph *graph, const struct graph_node *node,
                                   const struct interpretation *run, struct operands *operands) {
    enum { BIAS = 3, PADDING = 4, MASK = 5, PAST_KEY = 6, PAST_LENGTH = 8, INDIRECTION = 9 };
    static const struct {
        size_t slot;
        const char *why;
    } refused[] = {
        {BIAS, "a bias of query, key and value has no instruction"},
        {PADDING, "key_padding_mask has no instruction"},
        {PAST_LENGTH, "past_sequence_length has no instruction"},
        {INDIRECTION, "cache_indirection has no instruction"},
    };
    (void)run;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (graph_input(graph, node, refused[i].slot) != GRAPH_NONE) {
            return refused[i].why;
        }
    }
    *operands = (struct operands){
        .query = graph_input(graph, node, 0),
        .key = graph_input(graph, node, 1),
        .value = graph_input(graph, node, 2),
        .mask = graph_input(graph, node, MASK),
        .past_key = graph_input(graph, node, PAST_KEY),
        .past_value = graph_input(graph, node, PAST_KEY + 1),
        .heads = graph_attribute_int(node, "num_heads", 0),
        .kv_heads = graph_attribute_int(node, "num_heads", 0),
        .causal = graph_attribute_int(node, "unidirectional", 0) != 0,
        .scale = graph_attribute_float(node, "scale", 0),
    };
    if (operands->key == GRAPH_NONE || operands->value == GRAPH_NONE) {
        return "packed query, key and value have no instruction";
    }
    return operands->heads < 1 ? "it has no num_heads" : NULL;
}

static const char *read_standard(const struct graph *graph, const struct graph_node *node,
                                 const struct interpretation *run, struct operands *operands) {
    enum { MASK = 3, PAST_KEY = 4, VALID_LENGTHS = 6 };
    if (graph_input(graph, node, VALID_LENGTHS) != GRAPH_NONE) {
        return "nonpad_kv_seqlen has no instruction";
    }
    if (graph_attribute_int(node, "left_window_size", -1) != -1 ||
        graph_attribute_int(node, "right_window_size", -1) != -1) {
        return "windows of its own have no instruction";
    }
    int mask = graph_input(graph, node, MASK);
    *operands = (struct operands){
        .query = graph_input(graph, node, 0),
        .key = graph_input(graph, node, 1),
        .value = graph_input(graph, node, 2),
        .mask = mask,
        .mask_is_boolean = mask != GRAPH_NONE && is_boolean(graph, run, mask),
        .past_key = graph_input(graph, node, PAST_KEY),
        .past_value = graph_input(graph, node, PAST_KEY + 1),
        .heads = graph_attribute_int(node, "q_num_heads", 0),
        .kv_heads = graph_attribute_int(node, "kv_num_heads", 0),
        .causal = graph_attribute_int(node, "is_causal", 0) != 0,
        .scale = graph_attribute_float(node, "scale", 0),
        .softcap = graph_attribute_float(node, "softcap", 0),
    };
    bool whole = operands->key != GRAPH_NONE && operands->value != GRAPH_NONE;
    bool heads = operands->heads >= 0 && (operands->heads > 0) == (operands->kv_heads > 0);
    return whole && heads ? NULL : "its inputs or its numbers of heads are incomplete";
}

static const struct {
    const char *domain;
    const char *op;
    const char *(*read)(const struct graph *graph, const struct graph_node *node,
                        const struct interpretation *run, struct operands *operands);
} forms[] = {
    {MICROSOFT_DOMAIN, "MultiHeadAttention", read_multi_head},
    {"", "Attention", read_standard},
};

enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

static size_t form_of(const struct graph_node *node) {
    size_t form = 0;
    while (form < FORM_COUNT && !graph_node_is(node, forms[form].domain, forms[form].op)) {
        form++;
    }
    return node->removed ? FORM_COUNT : form;
}

/* False only when memory is out. */
static bool write_out(struct graph *graph, size_t n, const struct interpretation *run,
                      size_t *changes) {
    struct graph_node *node = &graph->nodes[n];
    struct operands operands;
    const char *why = forms[form_of(node)].read(graph, node, run, &operands);
    if (why == NULL && graph_used_output(graph, node, 3) != GRAPH_NONE) {
        why = "its scores are read (output 3)";
    }
    if (why != NULL) {
        node->note = why;
        return true;
    }
    struct writer writer = {.graph = graph, .name = node->name};
    const struct graph_node original = *node; /* nodes move when others are added */
    write_attention(&writer, &operands, &original);
    graph->nodes[n].removed = true;
    ++*changes;
    return !writer.failed;
}

static bool run_shapes(struct interpretation *run, struct graph *graph,
                       const struct model_config *config, struct error *err) {
    static const struct probe_batch batch = {.size = 1, .fresh = 5, .lengths = {5}};
    if (!interpretation_init(run, graph, err)) {
        return false;
    }
    if (!probe_feed(run, &batch, config, err)) {
        interpretation_deinit(run);
        return false;
    }
    interpretation_run(run);
    return true;
}

bool pass_write_out(struct graph *graph, const struct model_config *config, size_t *changes,
                    struct error *err) {
    size_t count = graph->node_count;
    size_t found = 0;
    for (size_t n = 0; n < count; n++) {
        found += form_of(&graph->nodes[n]) < FORM_COUNT;
    }
    struct interpretation run;
    if (found == 0) {
        return true;
    }
    if (!run_shapes(&run, graph, config, err)) {
        return false;
    }
    bool sound = true;
    for (size_t n = 0; sound && n < count; n++) {
        sound = form_of(&graph->nodes[n]) == FORM_COUNT || write_out(graph, n, &run, changes);
    }
    interpretation_deinit(&run);
    return sound ? graph_sort(graph, err)
                 : error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a graph");
}
