/* What adapters (LoRA) add to linear layers: a place at the linear layer's output, so that the
 * engine adds it while it has that output at hand. */
#include "importer/low_rank.h"
#include "importer/lowering.h"
#include "importer/passes/passes.h"

/* The place for an adapter at the output `output` of a linear instruction that reads `input`; NULL
 * where there is none, or it is another's. */
static int *find_place(struct lowering *lowering, int input, int output) {
    int writer =
        (size_t)output < lowering->linear_capacity ? lowering->linears[output].writes : PLAN_NONE;
    if (writer == PLAN_NONE) {
        return NULL;
    }
    struct plan_linear *linear = &lowering->plan->instructions[writer].linear;
    size_t i = 0;
    while (linear->outputs[i].output != output) {
        i++;
    }
    bool is_free = linear->input == input && linear->outputs[i].low_rank == PLAN_NONE;
    return is_free ? &linear->outputs[i].low_rank : NULL;
}

enum lower_result lower_low_rank(struct lowering *lowering, const struct graph_node *node) {
    const struct graph *graph = lowering->graph;
    const struct row_value *base = row_input(lowering, node, LOW_RANK_BASE);
    const struct row_value *x = row_input(lowering, node, LOW_RANK_X);
    if (graph_input(graph, node, LOW_RANK_DOWN) == GRAPH_NONE ||
        graph_input(graph, node, LOW_RANK_UP) == GRAPH_NONE) {
        return refuse(lowering, node, "it has no matrices");
    }
    if (base == NULL || x == NULL || !is_whole(lowering, base) || !is_whole(lowering, x) ||
        node->outputs[0] == GRAPH_NONE ||
        graph->values[graph_input(graph, node, LOW_RANK_BASE)].uses != 1) {
        return refuse_rows(lowering, node, "an adapter adds to what is no row of its own");
    }
    int *place = find_place(lowering, x->reg, base->reg);
    if (place == NULL) {
        return refuse(lowering, node, "an adapter adds to what is no linear layer of its input");
    }
    struct plan_low_rank low_rank = {
        .name = input_name(lowering, node, LOW_RANK_DOWN),
        .columns = x->width,
        .rows = base->width,
        .factor = graph_attribute_float(node, "factor", 1),
    };
    if (!low_rank_read(&low_rank.own, &low_rank, graph, node,
                       constant_input(lowering, node, LOW_RANK_DOWN),
                       constant_input(lowering, node, LOW_RANK_UP), lowering->err)) {
        return LOWER_FAILED;
    }
    *place = plan_add_low_rank(lowering->plan, &low_rank);
    if (*place == PLAN_NONE) {
        return out_of_memory(lowering);
    }
    lowering->rows[node->outputs[0]] = *base;
    return LOWER_DONE;
}
