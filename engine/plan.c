#include "engine/plan.h"

#include <string.h>

const char *plan_activation_name(enum plan_activation activation) {
    static const char *const names[PLAN_ACTIVATION_COUNT] = {
        [PLAN_ACTIVATION_GELU_TANH] = "gelu_tanh", [PLAN_ACTIVATION_GELU_ERF] = "gelu_erf",
        [PLAN_ACTIVATION_SILU] = "silu",           [PLAN_ACTIVATION_QUICK_GELU] = "quick_gelu",
        [PLAN_ACTIVATION_RELU] = "relu",           [PLAN_ACTIVATION_RELU_SQUARED] = "relu_squared",
        [PLAN_ACTIVATION_SIGMOID] = "sigmoid",     [PLAN_ACTIVATION_IDENTITY] = "identity",
    };
    return names[activation];
}

const char *plan_kind_name(enum plan_kind kind) {
    static const char *const names[PLAN_KIND_COUNT] = {
        [PLAN_EMBED] = "embed",
        [PLAN_NORM] = "norm",
        [PLAN_LINEAR] = "linear",
        [PLAN_ATTENTION] = "attention",
        [PLAN_GATE] = "gate",
        [PLAN_ADD] = "add",
        [PLAN_SCALE] = "scale",
        [PLAN_EXPERTS] = "experts",
        [PLAN_SELECT_ROWS] = "select_rows",
    };
    return names[kind];
}

/* ---- Weights ---- */

const char *plan_weight_code_name(const struct plan_weight *weight) {
    if (weight->code_book != NULL) {
        return weight->code_book->name;
    }
    return weight->bits == 8 ? "q8" : weight->bits == 4 ? "q4" : "q2";
}

size_t plan_weight_blocks(const struct plan_weight *weight) {
    return (weight->columns - 1) / weight->block_size + 1;
}

size_t plan_weight_block(const struct plan_weight *weight, size_t column) {
    if (weight->group_index == NULL) {
        return column / weight->block_size;
    }
    int32_t block;
    memcpy(&block, weight->group_index + column * sizeof block, sizeof block);
    return (size_t)block;
}

const struct plan_part *plan_weight_part(const struct plan_weight *weight,
                                         enum plan_weight_part which) {
    return which == PLAN_WEIGHT_DATA     ? &weight->data
           : which == PLAN_WEIGHT_SCALES ? &weight->scales
                                         : &weight->zero_points;
}

static size_t bits_of_part(const struct plan_weight *weight, enum plan_weight_part which) {
    if (which == PLAN_WEIGHT_DATA) {
        return weight->bits != 0 ? weight->bits : 8 * element_type_bytes(weight->type);
    }
    bool numbers = which == PLAN_WEIGHT_SCALES || weight->zero_points_are_numbers;
    return numbers ? 8 * element_type_bytes(weight->scale_type) : weight->bits;
}

static size_t columns_of_part(const struct plan_weight *weight, enum plan_weight_part which) {
    return which == PLAN_WEIGHT_DATA ? weight->columns : plan_weight_blocks(weight);
}

struct plan_bytes plan_weight_bytes(const struct plan_weight *weight, enum plan_weight_part which,
                                    size_t first, size_t end) {
    const struct plan_part *part = plan_weight_part(weight, which);
    if (part->bytes == NULL) {
        return (struct plan_bytes){NULL, 0};
    }
    const size_t bits = bits_of_part(weight, which);
    const size_t shared = part->shared > 0 ? part->shared : 1;
    const size_t last =
        ((end - 1) * part->row + (columns_of_part(weight, which) - 1) * part->step) / shared;
    const size_t begin = first * part->row / shared * bits / 8;
    return (struct plan_bytes){part->bytes + begin, ((last + 1) * bits + 7) / 8 - begin};
}

size_t plan_weight_size(const struct plan_weight *weight) {
    size_t bits = 0;
    for (int which = 0; which < PLAN_WEIGHT_PARTS; which++) {
        const struct plan_part *part = plan_weight_part(weight, (enum plan_weight_part)which);
        size_t rows = part->row > 0 ? weight->rows : 1;
        size_t shared = part->shared > 0 ? part->shared : 1;
        if (part->bytes != NULL) {
            bits += rows * columns_of_part(weight, (enum plan_weight_part)which) / shared *
                    bits_of_part(weight, (enum plan_weight_part)which);
        }
    }
    return (bits + 7) / 8;
}

/* ---- Building ---- */

void plan_init(struct plan *plan) {
    *plan = (struct plan){.logits = PLAN_NONE};
    arena_init(&plan->arena);
}

void plan_deinit(struct plan *plan) {
    arena_deinit(&plan->arena);
    plan_init(plan);
}

/* `items` with room for one more. A list's capacity is the least power of two that holds it, so it
 * need not be stored: it is full when its count is a power of two. NULL when memory is out. */
static void *with_room(struct plan *plan, void *items, size_t count, size_t size) {
    bool full = (count & (count - 1)) == 0;
    if (!full) {
        return items;
    }
    void *larger = arena_allocate(&plan->arena, count == 0 ? 1 : count * 2, size);
    if (larger != NULL && count > 0) {
        memcpy(larger, items, count * size);
    }
    return larger;
}

static const char *copy_name(struct plan *plan, const char *name) {
    return arena_copy_text(&plan->arena, name, strlen(name));
}

int plan_add_register(struct plan *plan, size_t width) {
    struct plan_register *registers =
        with_room(plan, plan->registers, plan->register_count, sizeof *registers);
    if (registers == NULL) {
        return PLAN_NONE;
    }
    plan->registers = registers;
    registers[plan->register_count].width = width;
    return (int)plan->register_count++;
}

int plan_add_weight(struct plan *plan, const struct plan_weight *weight) {
    struct plan_weight *weights =
        with_room(plan, plan->weights, plan->weight_count, sizeof *weights);
    const char *name = copy_name(plan, weight->name);
    if (weights == NULL || name == NULL) {
        return PLAN_NONE;
    }
    plan->weights = weights;
    weights[plan->weight_count] = *weight;
    weights[plan->weight_count].name = name;
    return (int)plan->weight_count++;
}

int plan_add_vector(struct plan *plan, const char *name, size_t length, float **values) {
    struct plan_vector *vectors =
        with_room(plan, plan->vectors, plan->vector_count, sizeof *vectors);
    const char *copy = copy_name(plan, name);
    *values = arena_allocate(&plan->arena, length, sizeof **values);
    if (vectors == NULL || copy == NULL || *values == NULL) {
        return PLAN_NONE;
    }
    plan->vectors = vectors;
    vectors[plan->vector_count] =
        (struct plan_vector){.name = copy, .length = length, .values = *values};
    return (int)plan->vector_count++;
}

int plan_add_rope(struct plan *plan, const struct plan_rope *rope) {
    struct plan_rope *ropes = with_room(plan, plan->ropes, plan->rope_count, sizeof *ropes);
    const char *name = copy_name(plan, rope->name);
    if (ropes == NULL || name == NULL) {
        return PLAN_NONE;
    }
    plan->ropes = ropes;
    ropes[plan->rope_count] = *rope;
    ropes[plan->rope_count].name = name;
    return (int)plan->rope_count++;
}

int plan_add_low_rank(struct plan *plan, const struct plan_low_rank *low_rank) {
    struct plan_low_rank *low_ranks =
        with_room(plan, plan->low_ranks, plan->low_rank_count, sizeof *low_ranks);
    const char *name = copy_name(plan, low_rank->name);
    if (low_ranks == NULL || name == NULL) {
        return PLAN_NONE;
    }
    plan->low_ranks = low_ranks;
    low_ranks[plan->low_rank_count] = *low_rank;
    low_ranks[plan->low_rank_count].name = name;
    return (int)plan->low_rank_count++;
}

int plan_add_kv_layer(struct plan *plan, const struct plan_kv_layer *layer) {
    struct plan_kv_layer *layers =
        with_room(plan, plan->kv_layers, plan->kv_layer_count, sizeof *layers);
    if (layers == NULL) {
        return PLAN_NONE;
    }
    plan->kv_layers = layers;
    layers[plan->kv_layer_count] = *layer;
    return (int)plan->kv_layer_count++;
}

bool plan_add_mapping(struct plan *plan, const struct plan_mapping *mapping) {
    struct plan_mapping *mappings =
        with_room(plan, plan->mappings, plan->mapping_count, sizeof *mappings);
    if (mappings == NULL) {
        return false;
    }
    plan->mappings = mappings;
    mappings[plan->mapping_count++] = *mapping;
    return true;
}

bool plan_append(struct plan *plan, const struct plan_instruction *instruction) {
    struct plan_instruction *instructions =
        with_room(plan, plan->instructions, plan->instruction_count, sizeof *instructions);
    const char *name = copy_name(plan, instruction->name);
    if (instructions == NULL || name == NULL) {
        return false;
    }
    plan->instructions = instructions;
    instructions[plan->instruction_count] = *instruction;
    instructions[plan->instruction_count++].name = name;
    return true;
}

bool plan_insert_select_rows(struct plan *plan) {
    size_t at = 0; /* just behind the last that needs every row */
    bool attends = false;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        enum plan_kind kind = plan->instructions[i].kind;
        at = kind == PLAN_ATTENTION || kind == PLAN_EMBED ? i + 1 : at;
        attends |= kind == PLAN_ATTENTION;
    }
    if (!attends) {
        return true;
    }
    struct plan_instruction select = {.kind = PLAN_SELECT_ROWS, .name = "select_rows"};
    if (!plan_append(plan, &select)) {
        return false;
    }
    size_t last = plan->instruction_count - 1;
    select = plan->instructions[last];
    memmove(&plan->instructions[at + 1], &plan->instructions[at],
            (last - at) * sizeof *plan->instructions);
    plan->instructions[at] = select;
    return true;
}

bool plan_uses_long_rope(const struct plan *plan, size_t length) {
    return plan->short_rope_length > 0 && length > plan->short_rope_length;
}

/* ---- Which registers an instruction touches ---- */

static void visit_present(plan_visit_register *visit, void *context, int reg, bool written) {
    if (reg != PLAN_NONE) {
        visit(context, reg, written);
    }
}

void plan_instruction_registers(const struct plan_instruction *instruction,
                                plan_visit_register *visit, void *context) {
    switch (instruction->kind) {
    case PLAN_EMBED:
        visit(context, instruction->embed.output, true);
        break;
    case PLAN_NORM:
        visit(context, instruction->norm.input, false);
        visit_present(visit, context, instruction->norm.residual, false);
        visit_present(visit, context, instruction->norm.sum, true);
        visit(context, instruction->norm.output, true);
        break;
    case PLAN_LINEAR:
        visit(context, instruction->linear.input, false);
        for (size_t i = 0; i < instruction->linear.count; i++) {
            visit(context, instruction->linear.outputs[i].output, true);
        }
        break;
    case PLAN_ATTENTION:
        visit(context, instruction->attention.query.reg, false);
        visit(context, instruction->attention.key.reg, false);
        visit(context, instruction->attention.value.reg, false);
        visit(context, instruction->attention.output, true);
        break;
    case PLAN_GATE:
        visit(context, instruction->gate.gate.reg, false);
        visit_present(visit, context, instruction->gate.up.reg, false);
        visit(context, instruction->gate.output, true);
        break;
    case PLAN_ADD:
        visit(context, instruction->add.first, false);
        visit_present(visit, context, instruction->add.second, false);
        visit(context, instruction->add.output, true);
        break;
    case PLAN_SCALE:
        visit(context, instruction->scale.input, false);
        visit(context, instruction->scale.output, true);
        break;
    case PLAN_EXPERTS:
        visit(context, instruction->experts.input, false);
        visit(context, instruction->experts.router, false);
        visit(context, instruction->experts.output, true);
        break;
    case PLAN_SELECT_ROWS:
    case PLAN_KIND_COUNT:
        break;
    }
}

/* ---- Which matrices an instruction multiplies with ---- */

static void visit_experts(const struct plan_expert_matrix *matrix, size_t experts,
                          plan_visit_weight *visit, void *context) {
    for (size_t e = 0; matrix->weights != PLAN_NONE && e < experts; e++) {
        visit(context, matrix->weights + (int)e);
    }
}

void plan_instruction_matrices(const struct plan_instruction *instruction, plan_visit_weight *visit,
                               void *context) {
    if (instruction->kind == PLAN_LINEAR) {
        for (size_t i = 0; i < instruction->linear.count; i++) {
            visit(context, instruction->linear.outputs[i].weight);
        }
    } else if (instruction->kind == PLAN_EXPERTS) {
        const struct plan_experts *experts = &instruction->experts;
        visit_experts(&experts->gate, experts->experts, visit, context);
        visit_experts(&experts->up, experts->experts, visit, context);
        visit_experts(&experts->down, experts->experts, visit, context);
    }
}
