/* Cosines and sines that an attention takes from tables, at the positions of its tokens.
 *
 *     cos_cache (positions, half) ─▶ attention          constants, or what an If chooses:
 *     sin_cache (positions, half) ─▶
 *
 *     total > limit ─▶ If ─┬─ then: Constant cos, Constant sin   of long sequences
 *                          └─ else: Constant cos, Constant sin   of short ones
 *
 * or one table behind the other, and the positions of long sequences begin at the second:
 *
 *     [ short: limit rows | long ............ ]          position_ids + (total > limit ? limit : 0)
 *
 * What conditions and positions mean is not read from their nodes but found by running them
 * (probe_switch.h). */
#include "importer/lowering.h"

#include "importer/probe_switch.h"

#include <string.h>

/* One input of the attention: its table for short sequences and for long ones, which are the same
 * where no If chooses, and the length at which it changes its mind (0: never). */
struct choice {
    const struct tensor *of_short;
    const struct tensor *of_long;
    size_t short_length;
};

/* ---- What is proven of a value holds for all layers that read it ---- */

typedef bool probe_switch(const struct graph *graph, const struct model_config *config, int value,
                          size_t longest, struct length_switch *found, struct error *err);

static bool prove_switch(struct lowering *lowering, probe_switch *probe, int value, size_t longest,
                         struct length_switch *found, struct error *err) {
    for (size_t i = 0; i < LOWERING_SWITCHES; i++) {
        const struct proven_switch *proven = &lowering->switches[i];
        if (proven->longest == longest && proven->value == value) {
            *found = proven->found;
            return true;
        }
    }
    if (!probe(lowering->graph, lowering->config, value, longest, found, err)) {
        return false;
    }
    lowering->switches[lowering->switch_count++ % LOWERING_SWITCHES] =
        (struct proven_switch){.value = value, .longest = longest, .found = *found};
    return true;
}

/* ---- Tables ---- */

static size_t output_slot(const struct graph_node *node, int value) {
    size_t slot = 0;
    while (slot < node->output_count && node->outputs[slot] != value) {
        slot++;
    }
    return slot;
}

/* No sequence is longer than the longest table has rows. */
static size_t longest_sequence(const struct tensor *a, const struct tensor *b) {
    size_t rows[] = {a->rank == 2 ? a->dims[0] : 1, b->rank == 2 ? b->dims[0] : 1};
    return rows[0] > rows[1] ? rows[0] : rows[1];
}

static enum lower_result choose_by_length(struct lowering *lowering, const struct graph_node *node,
                                          int value, struct choice *choice) {
    const struct graph_node *branching = graph_producer(lowering->graph, value);
    if (branching == NULL || !graph_node_is(branching, "", "If")) {
        return refuse(lowering, node,
                      "cos_cache and sin_cache must be constants, or chosen among constants by an "
                      "If; other tables that change at run time have no instruction");
    }
    size_t slot = output_slot(branching, value);
    const struct tensor *of_true = graph_branch_output(branching, "then_branch", slot);
    const struct tensor *of_false = graph_branch_output(branching, "else_branch", slot);
    int condition = graph_input(lowering->graph, branching, 0);
    if (of_true == NULL || of_false == NULL || condition == GRAPH_NONE) {
        return refuse(lowering, node, "the branches of an If before it compute something");
    }
    struct error why = {0};
    struct length_switch found;
    if (!prove_switch(lowering, probe_condition, condition, longest_sequence(of_true, of_false),
                      &found, &why)) {
        return refuse(lowering, node, "the condition of its RoPE tables is not understood: %.180s",
                      why.text);
    }
    choice->of_short = found.of_short == 1 ? of_true : of_false;
    choice->of_long = found.of_long == 1 ? of_true : of_false;
    choice->short_length = found.short_length;
    return LOWER_DONE;
}

static enum lower_result find_tables(struct lowering *lowering, const struct graph_node *node,
                                     size_t slot, struct choice *choice) {
    int value = graph_input(lowering->graph, node, slot);
    const struct tensor *constant = graph_constant(lowering->graph, value);
    if (constant != NULL || value == GRAPH_NONE) {
        *choice = (struct choice){.of_short = constant, .of_long = constant};
        return LOWER_DONE;
    }
    return choose_by_length(lowering, node, value, choice);
}

/* ---- Positions ---- */

static enum lower_result find_positions(struct lowering *lowering, const struct graph_node *node,
                                        size_t slot, size_t longest, struct length_switch *found) {
    int positions = graph_input(lowering->graph, node, slot);
    struct error why = {0};
    *found = (struct length_switch){0};
    if (positions != GRAPH_NONE &&
        !prove_switch(lowering, probe_positions, positions, longest, found, &why)) {
        return refuse(lowering, node, "its position_ids are not understood: %.200s", why.text);
    }
    return LOWER_DONE;
}

/* ---- Angles ---- */

/* The rows of two tables from row `offset` on. */
static enum lower_result read_angles(struct lowering *lowering, const struct graph_node *node,
                                     const struct tensor *cosine, const struct tensor *sine,
                                     int64_t offset, struct plan_angles *angles, size_t *half) {
    *angles = (struct plan_angles){.frequencies = PLAN_NONE};
    if (cosine == NULL || sine == NULL || !lower_float_element(cosine->type, &angles->type)) {
        return refuse(lowering, node, "cos_cache and sin_cache must be tables of floats");
    }
    if (cosine->rank != 2 || sine->rank != 2 || sine->type != cosine->type ||
        cosine->dims[0] != sine->dims[0] || cosine->dims[1] != sine->dims[1] ||
        cosine->count == 0) {
        return refuse(lowering, node, "cos_cache and sin_cache differ in type or shape");
    }
    if (offset < 0 || (uint64_t)offset >= cosine->dims[0]) {
        return refuse(lowering, node, "positions begin at row %lld of cos_cache, which has %zu",
                      (long long)offset, cosine->dims[0]);
    }
    *half = cosine->dims[1];
    size_t skipped = (size_t)offset * *half * element_type_bytes(angles->type);
    angles->positions = cosine->dims[0] - (size_t)offset;
    angles->cosines = cosine->bytes + skipped;
    angles->sines = sine->bytes + skipped;
    return LOWER_DONE;
}

static bool same_angles(const struct plan_angles *a, const struct plan_angles *b) {
    return a->cosines == b->cosines && a->sines == b->sines && a->positions == b->positions &&
           a->type == b->type && a->frequencies == b->frequencies && a->amplitude == b->amplitude;
}

static enum lower_result share_or_add(struct lowering *lowering, const struct plan_rope *rope,
                                      int *index) {
    for (size_t i = 0; i < lowering->plan->rope_count; i++) {
        const struct plan_rope *other = &lowering->plan->ropes[i];
        if (other->half == rope->half && same_angles(&other->angles, &rope->angles) &&
            same_angles(&other->long_angles, &rope->long_angles)) {
            *index = (int)i;
            return LOWER_DONE;
        }
    }
    *index = plan_add_rope(lowering->plan, rope);
    return *index != PLAN_NONE ? LOWER_DONE : out_of_memory(lowering);
}

/* All that changes with the length must do so at the same. */
static bool agree(size_t *length, size_t other) {
    *length = *length == 0 ? other : *length;
    return other == 0 || *length == other;
}

enum lower_result lower_rope(struct lowering *lowering, const struct graph_node *node,
                             const struct rope_slots *slots, int *rope) {
    struct choice cosine = {0};
    struct choice sine = {0};
    struct length_switch positions;
    enum lower_result result = find_tables(lowering, node, slots->cosines, &cosine);
    result = result != LOWER_DONE ? result : find_tables(lowering, node, slots->sines, &sine);
    if (result != LOWER_DONE) {
        return result;
    }
    size_t longest =
        cosine.of_long != NULL && cosine.of_long->rank == 2 ? cosine.of_long->dims[0] : 1;
    result = find_positions(lowering, node, slots->positions, longest, &positions);
    if (result != LOWER_DONE) {
        return result;
    }
    size_t length = lowering->plan->short_rope_length;
    if (!agree(&length, cosine.short_length) || !agree(&length, sine.short_length) ||
        !agree(&length, positions.short_length)) {
        return refuse(lowering, node,
                      "tables and positions change at different lengths: %zu, %zu, %zu and %zu",
                      cosine.short_length, sine.short_length, positions.short_length, length);
    }
    struct plan_rope tables = {
        .name =
            graph_value_name(lowering->graph, graph_input(lowering->graph, node, slots->cosines))};
    size_t long_half = 0;
    result = read_angles(lowering, node, cosine.of_short, sine.of_short, positions.of_short,
                         &tables.angles, &tables.half);
    result = result != LOWER_DONE ? result
                                  : read_angles(lowering, node, cosine.of_long, sine.of_long,
                                                positions.of_long, &tables.long_angles, &long_half);
    if (result != LOWER_DONE) {
        return result;
    }
    if (tables.half != long_half) {
        return refuse(lowering, node,
                      "RoPE tables of short sequences have %zu columns, of long %zu", tables.half,
                      long_half);
    }
    lowering->plan->short_rope_length = length;
    return share_or_add(lowering, &tables, rope);
}

static bool same_vector(const struct plan_vector *vector, const struct tensor *tensor) {
    bool same = vector->length == tensor->count;
    for (size_t i = 0; same && i < vector->length; i++) {
        same = vector->values[i] == (float)tensor_number(tensor, i);
    }
    return same;
}

/* Every attention has found its frequencies for itself; those that are equal are one vector. */
enum lower_result lower_frequencies(struct lowering *lowering, const struct graph_node *node,
                                    size_t slot, float amplitude, int *rope) {
    int value = graph_input(lowering->graph, node, slot);
    const struct tensor *frequencies = graph_constant(lowering->graph, value);
    *rope = PLAN_NONE;
    if (frequencies == NULL) {
        return LOWER_DONE;
    }
    struct plan_rope computed = {.name = graph_value_name(lowering->graph, value),
                                 .half = frequencies->count};
    int *vector = &computed.angles.frequencies;
    *vector = PLAN_NONE;
    for (size_t i = 0; i < lowering->plan->rope_count && *vector == PLAN_NONE; i++) {
        int other = lowering->plan->ropes[i].angles.frequencies;
        if (other != PLAN_NONE && same_vector(&lowering->plan->vectors[other], frequencies)) {
            *vector = other;
        }
    }
    enum lower_result result = *vector != PLAN_NONE
                                   ? LOWER_DONE
                                   : lower_vector(lowering, node, slot, frequencies->count, vector);
    computed.angles.amplitude = amplitude;
    computed.long_angles = computed.angles;
    return result != LOWER_DONE ? result : share_or_add(lowering, &computed, rope);
}
