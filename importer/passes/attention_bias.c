/* What GroupQueryAttention adds to its scores may be nothing but a mask that it has anyway.
 *
 *     mask arithmetic ─▶ attention_bias ─▶ GroupQueryAttention
 *
 *     becomes        GroupQueryAttention(local_window_size)
 *
 * if the arithmetic, run on a few batches, hides nothing but later positions and those before a window.
 * Otherwise the operator keeps a note of what was found. */
#include "importer/passes/passes.h"

#include "importer/probe_attention.h"

#include <string.h>

enum { INPUT_BIAS = 10 };

static bool has_bias(const struct graph *graph, const struct graph_node *node) {
    return !node->removed && graph_node_is(node, MICROSOFT_DOMAIN, "GroupQueryAttention") &&
           graph_input(graph, node, INPUT_BIAS) != GRAPH_NONE;
}

/* False only when memory is out. */
static bool replace_bias(struct graph *graph, struct graph_node *node, struct probe_runs *probes,
                         size_t *changes, struct error *err) {
    struct error why = {0};
    size_t window;
    int64_t heads = graph_attribute_int(node, "num_heads", 1);
    int64_t own = graph_attribute_int(node, "local_window_size", -1);
    if (!probe_mask(probes, graph_input(graph, node, INPUT_BIAS), heads > 0 ? (size_t)heads : 1,
                    &window, &why)) {
        node->note = arena_copy_text(graph->arena, why.text, strlen(why.text));
        return (why.code != ERROR_OUT_OF_MEMORY && node->note != NULL) ||
               error_set(err, ERROR_OUT_OF_MEMORY, "no memory for an attention");
    }
    if (!graph_rewrite(graph, node, node->domain, node->op, 0, 1)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
    }
    node->inputs[INPUT_BIAS] = GRAPH_NONE;
    if (window > 0 && (own < 0 || window < (uint64_t)own)) {
        graph_set_int(node, "local_window_size", (int64_t)window);
    }
    ++*changes;
    return true;
}

bool pass_attention_bias(struct graph *graph, const struct model_config *config, size_t *changes,
                         struct error *err) {
    size_t first = 0;
    while (first < graph->node_count && !has_bias(graph, &graph->nodes[first])) {
        first++;
    }
    struct probe_runs probes;
    if (first == graph->node_count) {
        return true;
    }
    if (!probe_runs_open(&probes, graph, config, err)) {
        return false;
    }
    bool sound = true;
    for (size_t n = first; sound && n < graph->node_count; n++) {
        sound = !has_bias(graph, &graph->nodes[n]) ||
                replace_bias(graph, &graph->nodes[n], &probes, changes, err);
    }
    probe_runs_close(&probes);
    return sound;
}
