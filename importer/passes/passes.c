#include "importer/passes/passes.h"

/* Constants and casts first, so that the patterns behind them need not know of either. */
static const struct {
    const char *name;
    graph_pass *run;
} passes[] = {
    {"fold constants", pass_fold_constants},
    {"drop float casts", pass_drop_casts},
    {"recognize the embedding", pass_embedding},
    {"fold the embedding's scale", pass_embedding_scale},
    {"recognize linears", pass_linear},
    {"fold biases into linears", pass_bias},
    {"recognize RMS norms", pass_rms_norm},
    {"recognize activations", pass_activation},
    {"fold query and key norms into attention", pass_qk_norm},
    {"recognize gated activations", pass_gate},
    {"fold residual sums into norms", pass_skip_norm},
};

enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

bool passes_run(struct graph *graph, struct error *err) {
    graph->passes = arena_allocate(graph->arena, PASS_COUNT, sizeof *graph->passes);
    if (graph->passes == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a graph");
    }
    for (size_t i = 0; i < PASS_COUNT; i++) {
        size_t changes = 0;
        if (!passes[i].run(graph, &changes, err)) {
            return false;
        }
        graph_sweep(graph);
        graph->passes[graph->pass_count++] =
            (struct graph_pass_record){.name = passes[i].name, .changes = changes};
    }
    return true;
}
