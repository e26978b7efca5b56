/* Mixtures of experts: com.microsoft MoE, whose weights are numbers, and QMoE, whose weights are
 * codes.
 *
 *     fc1   (experts, hidden or 2 hidden, inputs)    gate, or gate and up
 *     fc2   (experts, outputs, hidden)               down
 *     fc3   (experts, hidden, inputs)                up, where fc1 is the gate alone
 *
 * With swiglu_fusion 1 the rows of fc1 are in turn those of gate and of up, with 2 the gate's come
 * first. The part of each expert in each of them becomes a weight of the plan, where it is. */
#include "importer/lowering.h"

#include "engine/checked.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- Inputs ---- */

/* Input slots of one of fc1, fc2 and fc3; 0 means that the operator has none. */
struct fc_slots {
    const char *bits; /* attribute that differs from expert_weight_bits */
    size_t weight;
    size_t scales;
    size_t bias;
    size_t zero_points;
};

static const struct experts_form {
    const char *op;
    struct fc_slots fc1;
    struct fc_slots fc2;
    struct fc_slots fc3;
    size_t first_unknown; /* inputs from here on have no instruction */
} forms[] = {
    {"MoE",
     {.weight = 2, .bias = 3},
     {.weight = 4, .bias = 5},
     {.weight = 6, .bias = 7},
     .first_unknown = 8},
    {"QMoE",
     {"fc1_expert_weight_bits", .weight = 2, .scales = 3, .bias = 4, .zero_points = 11},
     {"fc2_expert_weight_bits", .weight = 5, .scales = 6, .bias = 7, .zero_points = 12},
     {"fc3_expert_weight_bits", .weight = 8, .scales = 9, .bias = 10, .zero_points = 13},
     .first_unknown = 14},
};

static const struct experts_form *form_of(const struct graph_node *node) {
    const struct experts_form *form = forms;
    while (strcmp(form->op, node->op) != 0) {
        form++;
    }
    return form;
}

/* A tensor of all experts. */
struct fc {
    const char *name;
    size_t experts;
    struct plan_weight weight; /* of expert 0; those of the others follow */
    const struct tensor *bias; /* (experts, rows), or NULL */
    const char *bias_name;
};

/* Its shape must be (experts, rows, last). */
static enum lower_result read_shape(struct lowering *lowering, const struct graph_node *node,
                                    size_t slot, size_t last, struct fc *fc) {
    const struct tensor *tensor = constant_input(lowering, node, slot);
    if (tensor == NULL || tensor->rank != 3 || tensor->count == 0 || tensor->dims[2] != last) {
        char text[128] = "no constant";
        if (tensor != NULL) {
            tensor_describe(tensor, text, sizeof text);
        }
        return refuse(lowering, node,
                      "input %zu is %s, expected (experts, outputs, %zu); weights that are packed "
                      "or transposed for another runtime cannot be read",
                      slot, text, last);
    }
    fc->name = input_name(lowering, node, slot);
    fc->experts = tensor->dims[0];
    fc->weight.rows = tensor->dims[1];
    fc->weight.data =
        (struct plan_part){.bytes = tensor->bytes, .row = fc->weight.columns, .step = 1};
    return LOWER_DONE;
}

static enum lower_result read_numbers(struct lowering *lowering, const struct graph_node *node,
                                      const struct fc_slots *slots, size_t columns, struct fc *fc) {
    const struct tensor *tensor = constant_input(lowering, node, slots->weight);
    if (tensor != NULL && !lower_float_element(tensor->type, &fc->weight.type)) {
        return refuse(lowering, node, "input %zu must be floats", slots->weight);
    }
    fc->weight.columns = columns;
    return read_shape(lowering, node, slots->weight, columns, fc);
}

/* Without blocks each row has one scale. */
static enum lower_result read_block_size(struct lowering *lowering, const struct graph_node *node,
                                         struct plan_weight *weight) {
    int64_t block_size = graph_attribute_int(node, "block_size", 0);
    if (block_size == 0) {
        weight->block_size = weight->columns;
        return LOWER_DONE;
    }
    if (block_size < 16 || block_size > 1 << 20 || (block_size & (block_size - 1)) != 0) {
        return refuse(lowering, node, "block_size %lld is neither 0 nor a power of two from 16",
                      (long long)block_size);
    }
    weight->block_size = (size_t)block_size;
    return LOWER_DONE;
}

/* Zero points of rows without blocks are packed over the rows of an expert. In the plan each has a
 * byte of its own. */
static enum lower_result unpack_zero_points(struct lowering *lowering, const struct tensor *packed,
                                            struct fc *fc) {
    const size_t rows = fc->weight.rows;
    const size_t expert_bytes = packed->size / fc->experts;
    uint8_t *bytes = arena_allocate(&lowering->plan->arena, fc->experts * rows, 1);
    if (bytes == NULL) {
        return out_of_memory(lowering);
    }
    const unsigned bits = fc->weight.bits;
    for (size_t e = 0; e < fc->experts; e++) {
        for (size_t n = 0; n < rows; n++) {
            unsigned several = packed->bytes[e * expert_bytes + n * bits / 8];
            bytes[e * rows + n] = (uint8_t)((several >> (n * bits % 8)) & ((1u << bits) - 1));
        }
    }
    fc->weight.zero_points.bytes = bytes;
    return LOWER_DONE;
}

static enum lower_result read_zero_points(struct lowering *lowering, const struct graph_node *node,
                                          size_t slot, size_t blocks, struct fc *fc) {
    if (graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    const struct tensor *tensor = constant_input(lowering, node, slot);
    const size_t rows = fc->weight.rows;
    const unsigned bits = fc->weight.bits;
    const bool whole_rows = graph_attribute_int(node, "block_size", 0) == 0;
    size_t expected =
        fc->experts * (whole_rows ? (rows * bits + 7) / 8 : rows * ((blocks * bits + 7) / 8));
    if (tensor == NULL || tensor->type != TENSOR_U8 || tensor->size != expected) {
        return refuse(lowering, node, "input %zu must be %zu bytes of constant zero points", slot,
                      expected);
    }
    fc->weight.zero_points = (struct plan_part){
        .bytes = tensor->bytes, .row = (blocks * bits + 7) / 8 * (8 / bits), .step = 1};
    return whole_rows && bits < 8 ? unpack_zero_points(lowering, tensor, fc) : LOWER_DONE;
}

static enum lower_result read_codes(struct lowering *lowering, const struct graph_node *node,
                                    const struct fc_slots *slots, size_t columns, struct fc *fc) {
    const struct tensor *codes = constant_input(lowering, node, slots->weight);
    const struct tensor *scales = constant_input(lowering, node, slots->scales);
    int64_t bits =
        graph_attribute_int(node, slots->bits, graph_attribute_int(node, "expert_weight_bits", 4));
    if (bits != 2 && bits != 4 && bits != 8) {
        return refuse(lowering, node, "weights of %lld bits (only 2, 4 and 8 have kernels)",
                      (long long)bits);
    }
    if (columns % (size_t)(8 / bits) != 0) {
        return refuse(lowering, node, "%zu codes of %lld bits end within a byte", columns,
                      (long long)bits);
    }
    fc->weight.bits = (unsigned)bits;
    fc->weight.columns = columns;
    fc->weight.zero_point = 1 << (bits - 1);
    enum lower_result result = read_block_size(lowering, node, &fc->weight);
    if (result == LOWER_DONE) {
        result = read_shape(lowering, node, slots->weight, columns * (size_t)bits / 8, fc);
    }
    if (result != LOWER_DONE) {
        return result;
    }
    assert(columns > 0 && fc->weight.block_size > 0);
    size_t blocks = (columns - 1) / fc->weight.block_size + 1;
    size_t expected;
    if (codes->type != TENSOR_U8 || scales == NULL ||
        !lower_float_element(scales->type, &fc->weight.scale_type) ||
        !checked_multiply(fc->experts * fc->weight.rows, blocks, &expected) ||
        scales->count != expected) {
        return refuse(lowering, node,
                      "input %zu must be u8 codes, and input %zu %zu x %zu x %zu constant scales",
                      slots->weight, slots->scales, fc->experts, fc->weight.rows, blocks);
    }
    fc->weight.scales = (struct plan_part){.bytes = scales->bytes, .row = blocks, .step = 1};
    lower_accuracy(lowering, node, &fc->weight);
    return read_zero_points(lowering, node, slots->zero_points, blocks, fc);
}

static enum lower_result read_bias(struct lowering *lowering, const struct graph_node *node,
                                   size_t slot, struct fc *fc) {
    if (graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    enum element_type unused;
    fc->bias = constant_input(lowering, node, slot);
    fc->bias_name = input_name(lowering, node, slot);
    if (fc->bias == NULL || !lower_float_element(fc->bias->type, &unused) ||
        fc->bias->count != fc->experts * fc->weight.rows) {
        return refuse(lowering, node, "input %zu must be %zu x %zu constant floats", slot,
                      fc->experts, fc->weight.rows);
    }
    return LOWER_DONE;
}

static enum lower_result read_fc(struct lowering *lowering, const struct graph_node *node,
                                 const struct fc_slots *slots, size_t columns, struct fc *fc) {
    *fc = (struct fc){0};
    enum lower_result result = slots->scales == 0 ? read_numbers(lowering, node, slots, columns, fc)
                                                  : read_codes(lowering, node, slots, columns, fc);
    return result != LOWER_DONE ? result : read_bias(lowering, node, slots->bias, fc);
}

/* ---- Projections ---- */

/* Rows first, first + step, ... of every expert: `count` of them. */
struct fc_part {
    size_t first;
    size_t step;
    size_t count;
};

static enum lower_result add_bias(struct lowering *lowering, const struct fc *fc,
                                  struct fc_part part, int *vector) {
    *vector = PLAN_NONE;
    if (fc->bias == NULL) {
        return LOWER_DONE;
    }
    float *values;
    *vector = plan_add_vector(lowering->plan, fc->bias_name, fc->experts * part.count, &values);
    if (*vector == PLAN_NONE) {
        return out_of_memory(lowering);
    }
    for (size_t e = 0; e < fc->experts; e++) {
        for (size_t n = 0; n < part.count; n++) {
            size_t row = e * fc->weight.rows + part.first + n * part.step;
            *values++ = (float)tensor_number(fc->bias, row);
        }
    }
    return LOWER_DONE;
}

static enum lower_result add_projection(struct lowering *lowering, const struct fc *fc,
                                        struct fc_part part,
                                        struct plan_expert_matrix *projection) {
    struct plan_weight weight = fc->weight;
    char name[256];
    weight.name = name;
    weight.rows = part.count;
    weight.data.row *= part.step;
    weight.scales.row *= part.step;
    weight.zero_points.row *= part.step;
    for (size_t e = 0; e < fc->experts; e++) {
        size_t row = e * fc->weight.rows + part.first;
        weight.data.bytes = plan_weight_bytes(&fc->weight, PLAN_WEIGHT_DATA, row, row + 1).bytes;
        weight.scales.bytes =
            plan_weight_bytes(&fc->weight, PLAN_WEIGHT_SCALES, row, row + 1).bytes;
        weight.zero_points.bytes =
            plan_weight_bytes(&fc->weight, PLAN_WEIGHT_ZERO_POINTS, row, row + 1).bytes;
        snprintf(name, sizeof name, "%.220s[%zu]", fc->name, e);
        int index = plan_add_weight(lowering->plan, &weight);
        if (index == PLAN_NONE) {
            return out_of_memory(lowering);
        }
        projection->weights = e == 0 ? index : projection->weights;
    }
    return add_bias(lowering, fc, part, &projection->bias);
}

static struct fc_part all_rows(const struct fc *fc) {
    return (struct fc_part){0, 1, fc->weight.rows};
}

static bool has_fc3(const struct lowering *lowering, const struct graph_node *node,
                    const struct experts_form *form) {
    return graph_input(lowering->graph, node, form->fc3.weight) != GRAPH_NONE;
}

/* Gate and up from fc1, or from fc1 and fc3. */
static enum lower_result add_gate_and_up(struct lowering *lowering, const struct graph_node *node,
                                         const struct experts_form *form, int64_t fusion,
                                         const struct fc *fc1, struct plan_experts *experts) {
    const size_t half = fc1->weight.rows / 2;
    enum lower_result result;
    if (fusion != 0) {
        struct fc_part gate =
            fusion == 1 ? (struct fc_part){0, 2, half} : (struct fc_part){0, 1, half};
        struct fc_part up =
            fusion == 1 ? (struct fc_part){1, 2, half} : (struct fc_part){half, 1, half};
        result = add_projection(lowering, fc1, gate, &experts->gate);
        return result != LOWER_DONE ? result : add_projection(lowering, fc1, up, &experts->up);
    }
    result = add_projection(lowering, fc1, all_rows(fc1), &experts->gate);
    if (result != LOWER_DONE || !has_fc3(lowering, node, form)) {
        return result;
    }
    struct fc fc3;
    result = read_fc(lowering, node, &form->fc3, fc1->weight.columns, &fc3);
    if (result != LOWER_DONE) {
        return result;
    }
    if (fc3.experts != fc1->experts || fc3.weight.rows != fc1->weight.rows) {
        return refuse(lowering, node, "fc3 has %zu x %zu rows, fc1 %zu x %zu", fc3.experts,
                      fc3.weight.rows, fc1->experts, fc1->weight.rows);
    }
    return add_projection(lowering, &fc3, all_rows(&fc3), &experts->up);
}

/* ---- Attributes ---- */

static const struct experts_activation {
    const char *name;
    bool needs_up;
    bool swiglu;
    enum plan_activation activation;
} activations[] = {
    {"gelu", false, false, PLAN_ACTIVATION_GELU_TANH}, /* as onnxruntime computes it here */
    {"geglu", true, false, PLAN_ACTIVATION_GELU_TANH},
    {"identity", false, false, PLAN_ACTIVATION_IDENTITY},
    {"relu", false, false, PLAN_ACTIVATION_RELU},
    {"silu", false, false, PLAN_ACTIVATION_SILU},
    {"swiglu", true, true, PLAN_ACTIVATION_SILU},
};

static const struct experts_activation *find_activation(const char *name) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
        if (strcmp(activations[i].name, name) == 0) {
            return &activations[i];
        }
    }
    return NULL;
}

static enum lower_result read_activation(struct lowering *lowering, const struct graph_node *node,
                                         const struct experts_form *form,
                                         struct plan_experts *experts) {
    const int64_t fusion = graph_attribute_int(node, "swiglu_fusion", 0);
    const char *name = graph_attribute_text(node, "activation_type", "relu");
    const struct experts_activation *activation = find_activation(name);
    if (activation == NULL) {
        return refuse(lowering, node, "activation_type \"%.32s\" has no instruction", name);
    }
    const bool in_fc1 = fusion == 1 || fusion == 2;
    const bool in_fc3 = has_fc3(lowering, node, form);
    if ((fusion != 0 && !in_fc1) || (in_fc1 && (in_fc3 || !activation->needs_up)) ||
        (activation->needs_up && !in_fc1 && !in_fc3)) {
        return refuse(lowering, node, "swiglu_fusion %lld with activation_type %s and %s fc3",
                      (long long)fusion, name, in_fc3 ? "an" : "no");
    }
    experts->swiglu = activation->swiglu;
    experts->activation = activation->activation;
    experts->alpha = graph_attribute_float(node, "activation_alpha", 1);
    experts->beta = graph_attribute_float(node, "activation_beta", 0);
    experts->limit = graph_attribute_float(node, "swiglu_limit", INFINITY);
    if (experts->swiglu &&
        (!isfinite(experts->alpha) || !isfinite(experts->beta) || !(experts->limit >= 0))) {
        return refuse(lowering, node, "swiglu with alpha %g, beta %g and limit %g",
                      (double)experts->alpha, (double)experts->beta, (double)experts->limit);
    }
    return LOWER_DONE;
}

/* What no instruction does. */
static enum lower_result check_attributes(struct lowering *lowering, const struct graph_node *node,
                                          const struct experts_form *form) {
    const char *type = graph_attribute_text(node, "quant_type", "int");
    for (size_t i = form->first_unknown; i < node->input_count; i++) {
        if (graph_input(lowering->graph, node, i) != GRAPH_NONE) {
            return refuse(lowering, node, "input %zu (%s) has no instruction", i,
                          i == 14 ? "router_weights" : "scales of other number formats");
        }
    }
    if (strcmp(type, "int") != 0) {
        return refuse(lowering, node, "quant_type \"%.32s\" has no kernel", type);
    }
    if (graph_attribute_int(node, "weights_prepacked", 0) > 0) {
        return refuse(lowering, node, "weights that are packed for another runtime");
    }
    if (graph_attribute_int(node, "use_sparse_mixer", 0) != 0) {
        return refuse(lowering, node,
                      "use_sparse_mixer (another choice of experts) has no "
                      "instruction");
    }
    return LOWER_DONE;
}

static enum lower_result check_counts(struct lowering *lowering, const struct graph_node *node,
                                      size_t experts) {
    int64_t chosen = graph_attribute_int(node, "k", 1);
    if (experts > PLAN_EXPERTS_MAX) {
        return refuse(lowering, node, "%zu experts, more than %d", experts, PLAN_EXPERTS_MAX);
    }
    if (chosen < 1 || chosen > PLAN_CHOSEN_MAX || (uint64_t)chosen > experts) {
        return refuse(lowering, node, "k %lld of %zu experts, expected 1 to %d", (long long)chosen,
                      experts, experts < PLAN_CHOSEN_MAX ? (int)experts : PLAN_CHOSEN_MAX);
    }
    return LOWER_DONE;
}

/* ---- The operator ---- */

/* All weights, for inputs of `columns`; sets how many experts there are. */
static enum lower_result add_weights(struct lowering *lowering, const struct graph_node *node,
                                     const struct experts_form *form, size_t columns,
                                     struct plan_experts *experts) {
    const int64_t fusion = graph_attribute_int(node, "swiglu_fusion", 0);
    struct fc fc1;
    struct fc fc2;
    enum lower_result result = read_fc(lowering, node, &form->fc1, columns, &fc1);
    if (result == LOWER_DONE) {
        result = check_counts(lowering, node, fc1.experts);
    }
    if (result == LOWER_DONE && fusion != 0 && fc1.weight.rows % 2 != 0) {
        result = refuse(lowering, node, "fc1 has %zu rows, an odd number", fc1.weight.rows);
    }
    if (result == LOWER_DONE) {
        size_t hidden = fusion != 0 ? fc1.weight.rows / 2 : fc1.weight.rows;
        result = read_fc(lowering, node, &form->fc2, hidden, &fc2);
    }
    if (result == LOWER_DONE && fc2.experts != fc1.experts) {
        result = refuse(lowering, node, "fc2 has %zu experts, fc1 %zu", fc2.experts, fc1.experts);
    }
    if (result == LOWER_DONE) {
        experts->experts = fc1.experts;
        result = add_gate_and_up(lowering, node, form, fusion, &fc1, experts);
    }
    return result != LOWER_DONE ? result
                                : add_projection(lowering, &fc2, all_rows(&fc2), &experts->down);
}

/* What is rounded off a router's input may choose another expert, and the row goes another way. */
static void keep_router_exact(struct plan *plan, int router) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_linear *linear = &plan->instructions[i].linear;
        for (size_t j = 0; plan->instructions[i].kind == PLAN_LINEAR && j < linear->count; j++) {
            if (linear->outputs[j].output == router) {
                plan->weights[linear->outputs[j].weight].full_precision = true;
            }
        }
    }
}

enum lower_result lower_experts(struct lowering *lowering, const struct graph_node *node) {
    const struct experts_form *form = form_of(node);
    const bool is_quantized = form->fc1.scales != 0;
    struct plan_experts experts = {.up = {PLAN_NONE, PLAN_NONE}};
    enum lower_result result = check_attributes(lowering, node, form);
    if (result == LOWER_DONE) {
        result = read_activation(lowering, node, form, &experts);
    }
    if (result != LOWER_DONE) {
        return result;
    }
    const struct row_value *row = row_input(lowering, node, 0);
    const struct row_value *router = row_input(lowering, node, 1);
    if (row == NULL || router == NULL || !is_whole(lowering, row) || !is_whole(lowering, router)) {
        return refuse_rows(lowering, node, "input and router logits must be rows of activations");
    }
    experts.input = row->reg;
    experts.router = router->reg;
    keep_router_exact(lowering->plan, router->reg);
    experts.chosen = (size_t)graph_attribute_int(node, "k", 1);
    /* onnxruntime's QMoE takes the softmax over the chosen in any case. */
    experts.softmax_over_all =
        !is_quantized && graph_attribute_int(node, "normalize_routing_weights", 0) == 0;
    result = add_weights(lowering, node, form, row->width, &experts);
    if (result != LOWER_DONE) {
        return result;
    }
    if (router->width != experts.experts) {
        return refuse(lowering, node, "%zu router logits for %zu experts", router->width,
                      experts.experts);
    }
    size_t width = lowering->plan->weights[experts.down.weights].rows;
    result = new_row(lowering, node, 0, width, width, &experts.output);
    struct plan_instruction instruction = {
        .kind = PLAN_EXPERTS, .name = node->name, .experts = experts};
    return result != LOWER_DONE ? result : append(lowering, &instruction);
}
