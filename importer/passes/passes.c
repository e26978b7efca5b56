#include "importer/passes/passes.h"

/* Constants and casts first, so that the patterns behind them need not know of either. What needs a
 * value to have one reader comes behind attention, with which all readers of mere shapes go. */
static const struct {
    const char *name;
    graph_pass *run;
    graph_probing_pass *probe;
} passes[] = {
    {"fold constants", pass_fold_constants, NULL},
    {"drop float casts", pass_drop_casts, NULL},
    {"recognize the embedding", pass_embedding, NULL},
    {"recognize linears", pass_linear, NULL},
    {"recognize linears of quantized activations", pass_dynamic_int8, NULL},
    {"recognize RMS norms", pass_rms_norm, NULL},
    {"recognize activations", pass_activation, NULL},
    {"recognize gates", pass_gate, NULL},
    {"fold biases into linears", pass_bias, NULL},
    {"write out attention operators", NULL, pass_write_out},
    {"recognize attention", NULL, pass_attention},
    {"recognize masks added to attention", NULL, pass_attention_bias},
    {"settle shapes that never change", NULL, pass_constant_shapes},
    {"fold the embedding's scale", pass_embedding_scale, NULL},
    {"recognize soft caps", pass_softcap, NULL},
    {"fold rotary embeddings into attention", pass_rotary, NULL},
    {"fold query and key norms into attention", pass_qk_norm, NULL},
    {"fold residual sums into norms", pass_skip_norm, NULL},
};

enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

bool passes_run(struct graph *graph, const struct model_config *config, struct error *err) {
    graph->passes = arena_allocate(graph->arena, PASS_COUNT, sizeof *graph->passes);
    if (graph->passes == NULL || !graph_take_census(graph, &graph->census)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a graph");
    }
    for (size_t i = 0; i < PASS_COUNT; i++) {
        size_t changes = 0;
        bool ran = passes[i].run != NULL ? passes[i].run(graph, &changes, err)
                                         : passes[i].probe(graph, config, &changes, err);
        if (!ran) {
            return false;
        }
        graph_sweep(graph);
        graph->passes[graph->pass_count++] =
            (struct graph_pass_record){.name = passes[i].name, .changes = changes};
    }
    return true;
}
