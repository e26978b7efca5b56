/* The embedding, norms, and the operators that only change how a row is seen. */
#include "importer/lowering.h"
#include "importer/passes/passes.h"

#include <string.h>

static enum lower_result lower_table(struct lowering *lowering, const struct graph_node *node,
                                     int *weight) {
    static const struct quantized_slots slots = {
        .data = EMBED_TABLE, .scales = EMBED_SCALES, .zero_points = EMBED_ZERO_POINTS};
    const struct tensor *table =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, EMBED_TABLE));
    int64_t bits = graph_attribute_int(node, "bits", 0);
    if (bits != 0) {
        size_t codes = table->dims[1] * (bits == 2 ? 4 : bits == 4 ? 2 : 1);
        size_t columns = (size_t)graph_attribute_int(node, "columns", (int64_t)codes);
        return lower_quantized(lowering, node, &slots, table->dims[0], columns, codes, weight);
    }
    if (graph_input(lowering->graph, node, EMBED_SCALES) != GRAPH_NONE) {
        return lower_dequantized(lowering, node, &slots, weight);
    }
    bool transposed = graph_attribute_int(node, "transposed", 0) != 0;
    return lower_matrix(lowering, node, EMBED_TABLE, transposed, weight);
}

/* Ids in another shape are the same ids. */
static enum lower_result check_token_ids(struct lowering *lowering, const struct graph_node *node) {
    const struct graph *graph = lowering->graph;
    const struct graph_value *ids =
        &graph->values[graph_reshaped(graph, graph_input(graph, node, EMBED_IDS))];
    if (strcmp(ids->name, lowering->config->input_ids) != 0 || ids->rank != 2) {
        return refuse(lowering, node,
                      "looks up \"%.100s\" of rank %zu, expected \"%.100s\" (batch, sequence)",
                      ids->name, ids->rank, lowering->config->input_ids);
    }
    return LOWER_DONE;
}

/* What a table of learned positions is looked up by must count from one of its rows on. */
static enum lower_result find_first_position(struct lowering *lowering,
                                             const struct graph_node *node,
                                             struct plan_embed *embed) {
    size_t rows = lowering->plan->weights[embed->table].rows;
    struct length_switch found;
    struct error why = {0};
    if (!probe_positions(lowering->graph, lowering->config,
                         graph_input(lowering->graph, node, EMBED_IDS), rows, &found, &why)) {
        return refuse(lowering, node, "what it looks up is not understood as positions: %.180s",
                      why.text);
    }
    if (found.short_length > 0) {
        return refuse(lowering, node,
                      "sequences of more than %zu tokens begin at position %lld of its table, "
                      "others at %lld",
                      found.short_length, (long long)found.of_long, (long long)found.of_short);
    }
    if (found.of_short < 0 || (uint64_t)found.of_short >= rows) {
        return refuse(lowering, node, "positions begin at row %lld of a table that has %zu",
                      (long long)found.of_short, rows);
    }
    embed->first_position = (size_t)found.of_short;
    return LOWER_DONE;
}

enum lower_result lower_embed(struct lowering *lowering, const struct graph_node *node) {
    struct plan_embed embed = {
        .by_position = graph_attribute_int(node, "by_position", 0) != 0,
        .scale = graph_attribute_float(node, "scale", 1),
    };
    enum lower_result result = LOWER_DONE;
    if (!embed.by_position) {
        result = check_token_ids(lowering, node);
    }
    result = result != LOWER_DONE ? result : lower_table(lowering, node, &embed.table);
    if (result == LOWER_DONE && embed.by_position) {
        result = find_first_position(lowering, node, &embed);
    }
    if (result != LOWER_DONE) {
        return result;
    }
    size_t width = lowering->plan->weights[embed.table].columns;
    result = new_row(lowering, node, 0, width, width, &embed.output);
    struct plan_instruction instruction = {.kind = PLAN_EMBED, .name = node->name, .embed = embed};
    return result != LOWER_DONE ? result : append(lowering, &instruction);
}

/* ---- Norms ---- */

/* The operators differ in kind, in the default of epsilon and in where things are: slot 0 means
 * absent, for no operator has its input there. */
static const struct norm_form {
    const char *op;
    enum plan_norm_kind kind;
    float epsilon;
    size_t skip; /* input slots */
    size_t weight;
    size_t bias;      /* added after the norm */
    size_t skip_bias; /* added before it */
    size_t sum;       /* output slot */
} norm_forms[] = {
    {"LayerNormalization", PLAN_NORM_LAYER, 1e-5f, 0, 1, 2, 0, 0},
    {"RMSNormalization", PLAN_NORM_RMS, 1e-5f, 0, 1, 0, 0, 0},
    {"SimplifiedLayerNormalization", PLAN_NORM_RMS, 1e-5f, 0, 1, 0, 0, 0},
    {"SkipLayerNormalization", PLAN_NORM_LAYER, 1e-12f, 1, 2, 3, 4, 3},
    {"SkipSimplifiedLayerNormalization", PLAN_NORM_RMS, 1e-12f, 1, 2, 0, 3, 3},
};

static const struct norm_form *norm_form_of(const struct graph_node *node) {
    const struct norm_form *form = norm_forms;
    while (strcmp(form->op, node->op) != 0) {
        form++;
    }
    return form;
}

/* What no instruction does: outputs for training, other axes. */
static enum lower_result check_norm(struct lowering *lowering, const struct graph_node *node,
                                    const struct norm_form *form) {
    for (size_t i = 1; i < node->output_count; i++) {
        if ((form->sum == 0 || i != form->sum) &&
            graph_used_output(lowering->graph, node, i) != GRAPH_NONE) {
            return refuse(lowering, node, "output %zu (mean or deviation) has no instruction", i);
        }
    }
    if (graph_attribute_int(node, "axis", -1) != -1) {
        return refuse(lowering, node, "axis %lld: only the last dimension (-1) is supported",
                      (long long)graph_attribute_int(node, "axis", -1));
    }
    return LOWER_DONE;
}

/* The norm's register of its input and of what is added to it. */
static enum lower_result norm_inputs(struct lowering *lowering, const struct graph_node *node,
                                     const struct norm_form *form, struct plan_norm *norm) {
    const struct row_value *row = row_input(lowering, node, 0);
    if (row == NULL || row->first != 0 || row->width != lowering->plan->registers[row->reg].width) {
        return refuse_rows(lowering, node, "its input is not a whole row of activations");
    }
    norm->input = row->reg;
    norm->group = row->view;
    norm->residual = PLAN_NONE;
    if (form->skip == 0) {
        return LOWER_DONE;
    }
    const struct row_value *skip = row_input(lowering, node, form->skip);
    if (skip == NULL || !is_whole(lowering, skip) || !is_whole(lowering, row) ||
        skip->width != row->width) {
        return refuse_rows(lowering, node, "the two rows to add differ in width");
    }
    return add_vector(lowering, node, skip->reg, form->skip_bias, &norm->residual);
}

enum lower_result lower_norm(struct lowering *lowering, const struct graph_node *node) {
    const struct norm_form *form = norm_form_of(node);
    struct plan_norm norm = {
        .kind = form->kind,
        .sum = PLAN_NONE,
        .bias = PLAN_NONE,
        .epsilon = graph_attribute_float(node, "epsilon", form->epsilon),
    };
    enum lower_result result = check_norm(lowering, node, form);
    result = result != LOWER_DONE ? result : norm_inputs(lowering, node, form, &norm);
    if (result != LOWER_DONE) {
        return result;
    }
    result = lower_vector(lowering, node, form->weight, norm.group, &norm.weight);
    if (result == LOWER_DONE && norm.weight == PLAN_NONE) {
        return refuse(lowering, node, "has no weight");
    }
    if (result == LOWER_DONE && form->bias != 0) {
        result = lower_vector(lowering, node, form->bias, norm.group, &norm.bias);
    }
    size_t width = lowering->plan->registers[norm.input].width;
    if (result == LOWER_DONE && form->sum != 0 &&
        graph_used_output(lowering->graph, node, form->sum) != GRAPH_NONE) {
        result = new_row(lowering, node, form->sum, width, width, &norm.sum);
    }
    if (result == LOWER_DONE) {
        result = new_row(lowering, node, 0, width, norm.group, &norm.output);
    }
    struct plan_instruction instruction = {.kind = PLAN_NORM, .name = node->name, .norm = norm};
    return result != LOWER_DONE ? result : append(lowering, &instruction);
}

/* ---- Views: no instruction, the same elements seen otherwise ---- */

static struct row_value *set_view(struct lowering *lowering, const struct graph_node *node,
                                  size_t slot, const struct row_value *row) {
    struct row_value *output = &lowering->rows[node->outputs[slot]];
    *output = *row;
    return output;
}

/* Elements of a row lie one behind the other whatever the shape; the last dimension says in which
 * runs later nodes see them. */
enum lower_result lower_reshape(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = row_input(lowering, node, 0);
    const struct tensor *shape =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, 1));
    if (row == NULL || shape == NULL || shape->count == 0 || row->last_row) {
        return refuse_rows(lowering, node, "only a constant shape can be given to rows");
    }
    int64_t last = tensor_integer(shape, shape->count - 1);
    if (last < 1 || (uint64_t)last > row->width || row->width % (size_t)last != 0) {
        return refuse_rows(lowering, node, "rows of %zu elements cannot be seen in runs of %lld",
                           row->width, (long long)last);
    }
    set_view(lowering, node, 0, row)->view = (size_t)last;
    return LOWER_DONE;
}

/* Columns of a row: packed query, key and value. */
enum lower_result lower_split(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = row_input(lowering, node, 0);
    const struct tensor *sizes =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, 1));
    int64_t axis = graph_attribute_int(node, "axis", 0);
    if (row == NULL || row->view != row->width || (axis != -1 && axis != 2)) {
        return refuse_rows(lowering, node,
                           "only whole rows can be split, along their last dimension");
    }
    bool even = sizes == NULL;
    if (even ? row->width % node->output_count != 0 : sizes->count != node->output_count) {
        return refuse_rows(lowering, node, "a row of %zu columns does not split into %zu parts",
                           row->width, node->output_count);
    }
    size_t first = 0;
    for (size_t i = 0; i < node->output_count; i++) {
        int64_t size = even ? (int64_t)(row->width / node->output_count) : tensor_integer(sizes, i);
        if (size < 1 || (uint64_t)size > row->width - first) {
            return refuse_rows(lowering, node, "parts do not add up to a row of %zu columns",
                               row->width);
        }
        if (node->outputs[i] != GRAPH_NONE) {
            struct row_value *part = set_view(lowering, node, i, row);
            part->first = row->first + first;
            part->width = (size_t)size;
            part->view = (size_t)size;
        }
        first += (size_t)size;
    }
    return LOWER_DONE;
}

/* Argument `slot` of a Slice of one axis: a constant, or `absent` where it is not given. */
static bool slice_argument(const struct lowering *lowering, const struct graph_node *node,
                           size_t slot, int64_t absent, int64_t *value) {
    int input = graph_input(lowering->graph, node, slot);
    const struct tensor *tensor = graph_constant(lowering->graph, input);
    *value = tensor != NULL && tensor->count == 1 ? tensor_integer(tensor, 0) : absent;
    return input == GRAPH_NONE || (tensor != NULL && tensor->count == 1);
}

/* A bound within `width` columns, counted from the end if negative. */
static size_t bound_of(int64_t bound, size_t width) {
    int64_t wrapped = bound < 0 ? bound + (int64_t)width : bound;
    return wrapped < 0 ? 0 : (uint64_t)wrapped > width ? width : (size_t)wrapped;
}

/* Columns of a row, all positions, or the last position alone (see lower_gather). */
enum lower_result lower_slice(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = row_input(lowering, node, 0);
    int64_t start;
    int64_t end;
    int64_t axis;
    int64_t step;
    if (row == NULL || row->view != row->width || row->last_row ||
        !slice_argument(lowering, node, 1, 0, &start) ||
        !slice_argument(lowering, node, 2, INT64_MAX, &end) ||
        !slice_argument(lowering, node, 3, 0, &axis) ||
        !slice_argument(lowering, node, 4, 1, &step) || step != 1) {
        return refuse_rows(lowering, node, "of rows, only neighbouring columns can be taken");
    }
    bool to_end = end == INT64_MAX || end == INT32_MAX;
    if ((axis == 1 || axis == -2) && to_end && (start == 0 || start == -1)) {
        *set_view(lowering, node, 0, row) = *row;
        lowering->last_row_chosen |= start == -1;
        return LOWER_DONE;
    }
    size_t first = bound_of(start, row->width);
    size_t behind = bound_of(end, row->width);
    if ((axis != 2 && axis != -1) || behind <= first) {
        return refuse_rows(lowering, node,
                           "takes elements %lld to %lld of axis %lld of rows of %zu columns",
                           (long long)start, (long long)end, (long long)axis, row->width);
    }
    struct row_value *part = set_view(lowering, node, 0, row);
    part->first = row->first + first;
    part->width = behind - first;
    part->view = part->width;
    return LOWER_DONE;
}

/* Some exports compute the logits of the last position only: Gather (axis 1, index -1), then
 * Unsqueeze (axis 1). Behind the last attention all is row by row, and the engine chooses the wanted
 * rows itself (select_rows), so the pair changes nothing for the rows that remain. */
enum lower_result lower_gather(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = row_input(lowering, node, 0);
    const struct tensor *index =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, 1));
    if (row == NULL || index == NULL || index->rank != 0 || tensor_integer(index, 0) != -1 ||
        graph_attribute_int(node, "axis", 0) != 1 || row->view != row->width || row->last_row) {
        return refuse_rows(lowering, node,
                           "of activations, only the last position can be gathered");
    }
    set_view(lowering, node, 0, row)->last_row = true;
    lowering->last_row_chosen = true;
    return LOWER_DONE;
}

enum lower_result lower_unsqueeze(struct lowering *lowering, const struct graph_node *node) {
    const struct row_value *row = row_input(lowering, node, 0);
    const struct tensor *axes =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, 1));
    if (row == NULL || !row->last_row || axes == NULL || axes->count != 1 ||
        tensor_integer(axes, 0) != 1) {
        return refuse_rows(lowering, node, "adds a dimension to rows");
    }
    set_view(lowering, node, 0, row)->last_row = false;
    return LOWER_DONE;
}
