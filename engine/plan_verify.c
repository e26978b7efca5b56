/* Is a plan sound? Every index, width and order is checked here once, so that the executor and the
 * kernels need not:
 *
 *   1. A register is written by one instruction, and read only by later ones.
 *   2. Widths agree between instructions, weights, vectors, tables and KV layers.
 *   3. At most one select_rows, and no attention behind it, as every row must reach the KV cache, nor
 *      an embedding, which knows rows by their place in the step.
 *   4. The last instruction writes the logits, vocabulary_size wide, and an embedding has a row for
 *      every id of the vocabulary, a table of positions one for every position of the context. */
#include "engine/plan.h"

#include "engine/checked.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

struct check {
    const struct plan *plan;
    struct error *err;
    bool *written; /* of each register */
    size_t index;  /* of the instruction at hand */
};

static bool reject(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool reject(const struct check *check, const char *format, ...) {
    char sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return error_set(check->err, ERROR_BAD_FILE, "plan instruction %zu (%.150s): %s", check->index,
                     check->plan->instructions[check->index].name, sentence);
}

/* ---- Parts ---- */

static bool check_index(const struct check *check, const char *what, int index, size_t count) {
    return (index >= 0 && (size_t)index < count) ||
           reject(check, "%s %d does not exist (there are %zu)", what, index, count);
}

static bool check_read(const struct check *check, int reg, size_t width) {
    if (!check_index(check, "register", reg, check->plan->register_count)) {
        return false;
    }
    if (!check->written[reg]) {
        return reject(check, "reads register %d before anything writes it", reg);
    }
    size_t found = check->plan->registers[reg].width;
    return found == width ||
           reject(check, "reads register %d of width %zu, expected %zu", reg, found, width);
}

static bool check_write(struct check *check, int reg, size_t width) {
    if (!check_index(check, "register", reg, check->plan->register_count)) {
        return false;
    }
    if (check->written[reg]) {
        return reject(check, "writes register %d a second time", reg);
    }
    check->written[reg] = true;
    size_t found = check->plan->registers[reg].width;
    return found == width ||
           reject(check, "writes register %d of width %zu, expected %zu", reg, found, width);
}

/* The width of a register that is read; 0 if it does not exist, which check_read then reports. */
static size_t width_of(const struct check *check, int reg) {
    bool exists = reg >= 0 && (size_t)reg < check->plan->register_count;
    return exists ? check->plan->registers[reg].width : 0;
}

static bool check_vector(const struct check *check, int vector, size_t length) {
    if (!check_index(check, "vector", vector, check->plan->vector_count)) {
        return false;
    }
    size_t found = check->plan->vectors[vector].length;
    return found == length || reject(check, "vector %s has %zu elements, expected %zu",
                                     check->plan->vectors[vector].name, found, length);
}

static bool check_optional_vector(const struct check *check, int vector, size_t length) {
    return vector == PLAN_NONE || check_vector(check, vector, length);
}

static bool check_weight(const struct check *check, int index) {
    if (!check_index(check, "weight", index, check->plan->weight_count)) {
        return false;
    }
    const struct plan_weight *weight = &check->plan->weights[index];
    if (weight->rows == 0 || weight->columns == 0 || weight->data.bytes == NULL) {
        return reject(check, "weight %s (%zu, %zu) is empty", weight->name, weight->rows,
                      weight->columns);
    }
    bool quantized = (weight->bits == 2 || weight->bits == 4 || weight->bits == 8) &&
                     weight->block_size > 0 && weight->block_size <= INT32_MAX &&
                     weight->scales.bytes != NULL && weight->scale_type != ELEMENT_U8 &&
                     (weight->code_book == NULL || weight->bits == 4);
    bool plain = weight->bits == 0 && weight->type != ELEMENT_U8;
    return quantized || plain ||
           reject(check, "weight %s of %u bits in blocks of %zu is none that the engine knows",
                  weight->name, weight->bits, weight->block_size);
}

static bool check_operand(const struct check *check, const char *what, struct plan_operand operand,
                          size_t columns) {
    size_t width = width_of(check, operand.reg);
    if (!check_read(check, operand.reg, width)) {
        return false;
    }
    return checked_range(operand.first, columns, width) ||
           reject(check, "%s is columns %zu to %zu of register %d, which has %zu", what,
                  operand.first, operand.first + columns, operand.reg, width);
}

/* ---- Instructions ---- */

/* The heads of an attention's operand. */
static bool check_heads(const struct check *check, const char *what, struct plan_operand operand,
                        size_t heads, size_t head_dim) {
    size_t span;
    return (operand.step == 0 || operand.step >= head_dim) &&
                   checked_multiply(heads - 1, operand.step > 0 ? operand.step : head_dim, &span) &&
                   checked_add(span, head_dim, &span)
               ? check_operand(check, what, operand, span)
               : reject(check, "heads of the %s of %zu columns lie %zu apart", what, head_dim,
                        operand.step);
}

/* A table of learned positions has a row for each that a sequence may have. */
static bool check_position_table(const struct check *check, const struct plan_embed *embed,
                                 const struct plan_weight *table) {
    return checked_range(embed->first_position, check->plan->context_length, table->rows) ||
           reject(check, "a table of %zu positions, from %zu on, for a context of %zu", table->rows,
                  embed->first_position, check->plan->context_length);
}

static bool check_embed(struct check *check, const struct plan_embed *embed) {
    if (!check_weight(check, embed->table)) {
        return false;
    }
    const struct plan_weight *table = &check->plan->weights[embed->table];
    if (embed->by_position && !check_position_table(check, embed, table)) {
        return false;
    }
    if (!embed->by_position && table->rows < check->plan->vocabulary_size) {
        return reject(check, "the embedding has %zu rows for a vocabulary of %zu", table->rows,
                      check->plan->vocabulary_size);
    }
    if (!isfinite(embed->scale)) {
        return reject(check, "the embedding's scale is not finite");
    }
    return check_write(check, embed->output, table->columns);
}

static bool check_norm(struct check *check, const struct plan_norm *norm) {
    size_t width = width_of(check, norm->input);
    if (!check_read(check, norm->input, width) ||
        (norm->residual != PLAN_NONE && !check_read(check, norm->residual, width))) {
        return false;
    }
    if (norm->group == 0 || width % norm->group != 0) {
        return reject(check, "rows of %zu columns cannot be normalized in groups of %zu", width,
                      norm->group);
    }
    if (!(norm->epsilon >= 0) || !isfinite(norm->epsilon)) {
        return reject(check, "epsilon is %g", (double)norm->epsilon);
    }
    return check_vector(check, norm->weight, norm->group) &&
           check_optional_vector(check, norm->bias, norm->group) &&
           (norm->sum == PLAN_NONE || check_write(check, norm->sum, width)) &&
           check_write(check, norm->output, width);
}

static bool is_plain(const struct plan_weight *weight, size_t rows, size_t columns) {
    return weight->bits == 0 && weight->type != ELEMENT_U8 && weight->data.bytes != NULL &&
           weight->rows == rows && weight->columns == columns;
}

bool plan_low_rank_fits(const struct plan_low_rank *low_rank, const struct plan_low_rank_pair *pair,
                        struct error *err) {
    const size_t rank = pair->down.rows;
    return rank == 0 ||
           (rank <= PLAN_RANK_MAX && is_plain(&pair->down, rank, low_rank->columns) &&
            is_plain(&pair->up, low_rank->rows, rank)) ||
           error_set(err, ERROR_BAD_FILE,
                     "%.150s: matrices (%zu, %zu) and (%zu, %zu) do not add to (%zu, %zu) with a "
                     "rank of at most %d",
                     low_rank->name, pair->down.columns, pair->down.rows, pair->up.columns,
                     pair->up.rows, low_rank->columns, low_rank->rows, PLAN_RANK_MAX);
}

/* The place where adapters add to an output of that weight, if it has one. */
static bool check_low_rank(const struct check *check, int index, const struct plan_weight *weight) {
    if (index == PLAN_NONE) {
        return true;
    }
    if (!check_index(check, "low rank", index, check->plan->low_rank_count)) {
        return false;
    }
    const struct plan_low_rank *low_rank = &check->plan->low_ranks[index];
    if (low_rank->columns != weight->columns || low_rank->rows != weight->rows) {
        return reject(check, "%s adds (%zu, %zu) to (%zu, %zu)", low_rank->name, low_rank->rows,
                      low_rank->columns, weight->rows, weight->columns);
    }
    if (!isfinite(low_rank->factor)) {
        return reject(check, "%s has a factor of %g", low_rank->name, (double)low_rank->factor);
    }
    return plan_low_rank_fits(low_rank, &low_rank->own, check->err);
}

static bool check_linear(struct check *check, const struct plan_linear *linear) {
    if (linear->count == 0 || linear->count > PLAN_LINEAR_OUTPUTS_MAX) {
        return reject(check, "%zu outputs, expected 1 to %d", linear->count,
                      PLAN_LINEAR_OUTPUTS_MAX);
    }
    for (size_t i = 0; i < linear->count; i++) {
        if (!check_weight(check, linear->outputs[i].weight)) {
            return false;
        }
        const struct plan_weight *weight = &check->plan->weights[linear->outputs[i].weight];
        /* All inputs first: an instruction must not read what it writes. */
        if (i == 0 && !check_read(check, linear->input, weight->columns)) {
            return false;
        }
        if (weight->columns != width_of(check, linear->input)) {
            return reject(check, "weight %s has %zu columns for an input of %zu", weight->name,
                          weight->columns, width_of(check, linear->input));
        }
        if (!check_optional_vector(check, linear->outputs[i].bias, weight->rows) ||
            !check_low_rank(check, linear->outputs[i].low_rank, weight) ||
            !check_write(check, linear->outputs[i].output, weight->rows)) {
            return false;
        }
    }
    return true;
}

/* Angles for positions [0, positions). */
static bool check_angles(const struct check *check, const struct plan_rope *rope,
                         const struct plan_angles *angles, size_t positions) {
    if (angles->frequencies != PLAN_NONE) {
        return check_optional_vector(check, angles->frequencies, rope->half) &&
               (isfinite(angles->amplitude) || reject(check, "rope %s has an amplitude of %g",
                                                      rope->name, (double)angles->amplitude));
    }
    return angles->positions >= positions ||
           reject(check, "rope table %s has %zu positions for %zu", rope->name, angles->positions,
                  positions);
}

static bool check_rope(const struct check *check, int index, size_t head_dim) {
    if (index == PLAN_NONE) {
        return true;
    }
    if (!check_index(check, "rope table", index, check->plan->rope_count)) {
        return false;
    }
    const struct plan_rope *rope = &check->plan->ropes[index];
    if (rope->half == 0 || rope->half > head_dim / 2) {
        return reject(check, "rope table %s rotates %zu of %zu dimensions", rope->name,
                      rope->half * 2, head_dim);
    }
    size_t context = check->plan->context_length;
    bool is_long = plan_uses_long_rope(check->plan, context);
    size_t short_positions = is_long ? check->plan->short_rope_length : context;
    return check_angles(check, rope, &rope->angles, short_positions) &&
           (!is_long || check_angles(check, rope, &rope->long_angles, context));
}

static bool check_attention(struct check *check, const struct plan_attention *attention) {
    if (attention->layer >= check->plan->kv_layer_count) {
        return reject(check, "KV layer %zu does not exist (there are %zu)", attention->layer,
                      check->plan->kv_layer_count);
    }
    const struct plan_kv_layer *layer = &check->plan->kv_layers[attention->layer];
    if (layer->kv_heads == 0 || layer->head_dim == 0 || attention->heads == 0 ||
        attention->heads % layer->kv_heads != 0) {
        return reject(check, "%zu heads over %zu KV heads of %zu dimensions", attention->heads,
                      layer->kv_heads, layer->head_dim);
    }
    size_t query_width;
    size_t kv_width;
    if (!checked_multiply(attention->heads, layer->head_dim, &query_width) ||
        !checked_multiply(layer->kv_heads, layer->head_dim, &kv_width)) {
        return reject(check, "%zu heads of %zu dimensions are too many", attention->heads,
                      layer->head_dim);
    }
    if (!isfinite(attention->scale) || !(attention->softcap >= 0) ||
        !isfinite(attention->softcap)) {
        return reject(check, "scale %g and softcap %g must be finite", (double)attention->scale,
                      (double)attention->softcap);
    }
    bool scaled = attention->k_scales != PLAN_NONE || attention->v_scales != PLAN_NONE;
    if (scaled && (attention->cache_bits < 2 || attention->cache_bits > 8)) {
        return reject(check, "a cache of %u bits, expected 2 to 8", attention->cache_bits);
    }
    return check_heads(check, "query", attention->query, attention->heads, layer->head_dim) &&
           check_heads(check, "key", attention->key, layer->kv_heads, layer->head_dim) &&
           check_heads(check, "value", attention->value, layer->kv_heads, layer->head_dim) &&
           check_rope(check, attention->rope, layer->head_dim) &&
           check_optional_vector(check, attention->q_norm, layer->head_dim) &&
           check_optional_vector(check, attention->k_norm, layer->head_dim) &&
           check_optional_vector(check, attention->sinks, attention->heads) &&
           check_optional_vector(check, attention->k_scales, kv_width) &&
           check_optional_vector(check, attention->v_scales, kv_width) &&
           check_write(check, attention->output, query_width);
}

static bool check_gate(struct check *check, const struct plan_gate *gate) {
    size_t width = width_of(check, gate->output);
    if ((unsigned)gate->activation >= PLAN_ACTIVATION_COUNT) {
        return reject(check, "activation %d does not exist", (int)gate->activation);
    }
    return check_operand(check, "gate", gate->gate, width) &&
           (gate->up.reg == PLAN_NONE || check_operand(check, "up", gate->up, width)) &&
           check_write(check, gate->output, width);
}

static bool check_add(struct check *check, const struct plan_add *add) {
    size_t width = width_of(check, add->first);
    if ((add->second == PLAN_NONE) == (add->vector == PLAN_NONE)) {
        return reject(check, "adds neither or both of a register and a vector");
    }
    return check_read(check, add->first, width) &&
           (add->second == PLAN_NONE || check_read(check, add->second, width)) &&
           check_optional_vector(check, add->vector, width) &&
           check_write(check, add->output, width);
}

static bool check_scale(struct check *check, const struct plan_scale *scale) {
    size_t width = width_of(check, scale->input);
    if (!isfinite(scale->factor) || !(scale->softcap >= 0) || !isfinite(scale->softcap)) {
        return reject(check, "factor %g and softcap %g must be finite, the latter not negative",
                      (double)scale->factor, (double)scale->softcap);
    }
    return check_read(check, scale->input, width) && check_write(check, scale->output, width);
}

static bool same_numbers(const struct plan_weight *a, const struct plan_weight *b) {
    return a->bits == b->bits && a->code_book == b->code_book &&
           (a->bits != 0 || a->type == b->type);
}

/* One projection: every expert's weight is of the form of the first one's. */
static bool check_expert_matrix(const struct check *check, const char *what, size_t experts,
                                const struct plan_expert_matrix *matrix, size_t columns,
                                size_t rows) {
    for (size_t e = 0; e < experts; e++) {
        int index = matrix->weights > INT_MAX - (int)e ? PLAN_NONE : matrix->weights + (int)e;
        if (!check_weight(check, index)) {
            return false;
        }
        const struct plan_weight *first = &check->plan->weights[matrix->weights];
        const struct plan_weight *weight = &check->plan->weights[index];
        if (weight->rows != rows || weight->columns != columns) {
            return reject(check, "%s of expert %zu is (%zu, %zu), expected (%zu, %zu)", what, e,
                          weight->rows, weight->columns, rows, columns);
        }
        if (!same_numbers(weight, first)) {
            return reject(check, "%s of expert %zu has another type than that of expert 0", what,
                          e);
        }
    }
    size_t length;
    return checked_multiply(experts, rows, &length) &&
           check_optional_vector(check, matrix->bias, length);
}

static size_t rows_of_weight(const struct check *check, int index) {
    bool exists = index >= 0 && (size_t)index < check->plan->weight_count;
    return exists ? check->plan->weights[index].rows : 0;
}

static bool check_experts(struct check *check, const struct plan_experts *experts) {
    if (experts->experts == 0 || experts->experts > PLAN_EXPERTS_MAX || experts->chosen == 0 ||
        experts->chosen > PLAN_CHOSEN_MAX || experts->chosen > experts->experts) {
        return reject(check, "%zu of %zu experts chosen, expected at most %d of at most %d",
                      experts->chosen, experts->experts, PLAN_CHOSEN_MAX, PLAN_EXPERTS_MAX);
    }
    if (experts->swiglu && (!isfinite(experts->alpha) || !isfinite(experts->beta) ||
                            !(experts->limit >= 0) || experts->up.weights == PLAN_NONE)) {
        return reject(check, "swiglu with alpha %g, beta %g, limit %g and up weights %d",
                      (double)experts->alpha, (double)experts->beta, (double)experts->limit,
                      experts->up.weights);
    }
    const size_t count = experts->experts;
    const size_t width = width_of(check, experts->input);
    const size_t hidden = rows_of_weight(check, experts->gate.weights);
    const size_t outputs = rows_of_weight(check, experts->down.weights);
    if (!check_expert_matrix(check, "gate", count, &experts->gate, width, hidden) ||
        (experts->up.weights != PLAN_NONE &&
         !check_expert_matrix(check, "up", count, &experts->up, width, hidden)) ||
        !check_expert_matrix(check, "down", count, &experts->down, hidden, outputs)) {
        return false;
    }
    const struct plan_weight *weights = check->plan->weights;
    if (experts->up.weights != PLAN_NONE &&
        !same_numbers(&weights[experts->up.weights], &weights[experts->gate.weights])) {
        return reject(check, "up has another type than gate");
    }
    return check_read(check, experts->input, width) && check_read(check, experts->router, count) &&
           check_write(check, experts->output, outputs);
}

static bool check_instruction(struct check *check) {
    const struct plan_instruction *instruction = &check->plan->instructions[check->index];
    switch (instruction->kind) {
    case PLAN_EMBED:
        return check_embed(check, &instruction->embed);
    case PLAN_NORM:
        return check_norm(check, &instruction->norm);
    case PLAN_LINEAR:
        return check_linear(check, &instruction->linear);
    case PLAN_ATTENTION:
        return check_attention(check, &instruction->attention);
    case PLAN_GATE:
        return check_gate(check, &instruction->gate);
    case PLAN_ADD:
        return check_add(check, &instruction->add);
    case PLAN_SCALE:
        return check_scale(check, &instruction->scale);
    case PLAN_EXPERTS:
        return check_experts(check, &instruction->experts);
    case PLAN_SELECT_ROWS:
        return true;
    case PLAN_KIND_COUNT:
        break;
    }
    return reject(check, "instruction kind %d does not exist", (int)instruction->kind);
}

/* ---- The whole ---- */

struct written_by {
    int reg;
    bool found;
};

static void note_write(void *context, int reg, bool written) {
    struct written_by *note = context;
    note->found = note->found || (written && reg == note->reg);
}

static bool check_logits(const struct check *check) {
    const struct plan *plan = check->plan;
    if (plan->instruction_count == 0 || plan->vocabulary_size == 0 || plan->context_length == 0) {
        return error_set(check->err, ERROR_BAD_FILE,
                         "plan: %zu instructions, a vocabulary of %zu and a context of %zu; none "
                         "of them may be 0",
                         plan->instruction_count, plan->vocabulary_size, plan->context_length);
    }
    struct written_by note = {.reg = plan->logits};
    plan_instruction_registers(&plan->instructions[plan->instruction_count - 1], note_write, &note);
    if (!note.found || plan->registers[plan->logits].width != plan->vocabulary_size) {
        return error_set(check->err, ERROR_BAD_FILE,
                         "plan: the last instruction does not write logits of width %zu into "
                         "register %d",
                         plan->vocabulary_size, plan->logits);
    }
    return true;
}

/* Each KV layer belongs to exactly one attention, so that no layer is written twice at a position.
 */
static bool check_order(struct check *check, bool *layer_used, bool *selected) {
    const struct plan_instruction *instruction = &check->plan->instructions[check->index];
    if (instruction->kind == PLAN_SELECT_ROWS) {
        if (*selected) {
            return reject(check, "a second select_rows");
        }
        *selected = true;
    }
    if (instruction->kind != PLAN_ATTENTION && instruction->kind != PLAN_EMBED) {
        return true;
    }
    if (*selected) {
        return reject(check, "attention or an embedding behind select_rows would miss rows");
    }
    if (instruction->kind == PLAN_EMBED) {
        return true;
    }
    bool *used = &layer_used[instruction->attention.layer];
    if (*used) {
        return reject(check, "KV layer %zu belongs to another attention",
                      instruction->attention.layer);
    }
    *used = true;
    return true;
}

bool plan_verify(const struct plan *plan, struct error *err) {
    struct check check = {.plan = plan, .err = err};
    check.written = calloc(plan->register_count + 1, sizeof *check.written);
    bool *layer_used = calloc(plan->kv_layer_count + 1, sizeof *layer_used);
    bool selected = false;
    bool sound = check.written != NULL && layer_used != NULL;
    if (!sound) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory to verify a plan");
    }
    for (check.index = 0; sound && check.index < plan->instruction_count; check.index++) {
        sound = check_instruction(&check) && check_order(&check, layer_used, &selected);
    }
    sound = sound && check_logits(&check);
    free(check.written);
    free(layer_used);
    return sound;
}
