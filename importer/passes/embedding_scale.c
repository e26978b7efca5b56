/* Gemma and Granite multiply the embedding by a constant.
 *
 *     Embed(scale s) ─▶ Mul ─▶ y        becomes        Embed(scale s * c) ─▶ y
 *     constant c ────────┘
 *
 * only if nothing else reads the unscaled rows. */
#include "importer/passes/passes.h"

bool pass_embedding_scale(struct graph *graph, size_t *changes, struct error *err) {
    (void)err;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *mul = &graph->nodes[n];
        for (size_t slot = 0; !mul->removed && slot < 2 && graph_node_is(mul, "", "Mul"); slot++) {
            int rows = graph_input(graph, mul, slot);
            struct graph_node *embed = graph_producer(graph, rows);
            double factor;
            if (embed == NULL || !graph_node_is(embed, QUERN_DOMAIN, "Embed") ||
                graph->values[rows].uses != 1 ||
                !graph_scalar(graph, graph_input(graph, mul, 1 - slot), &factor)) {
                continue;
            }
            float scale = graph_attribute_float(embed, "scale", 1);
            graph_set_float(embed, "scale", (float)((double)scale * factor));
            graph_replace(graph, mul->outputs[0], rows);
            ++*changes;
        }
    }
    return true;
}
