/* Outputs that no step reads: hidden states, of the last layer or of some, attention weights.
 *
 *     layers ─▶ logits                     layers ─▶ logits
 *        └────▶ hidden_states   becomes
 *
 * What is computed for them alone goes with them. Read are the logits, and the KV caches, which have four
 * dimensions. */
#include "importer/passes/passes.h"

#include <string.h>

bool pass_unread_outputs(struct graph *graph, const struct model_config *config, size_t *changes,
                         struct error *err) {
    enum { CACHE_RANK = 4 };
    (void)err;
    for (size_t i = 0; i < graph->output_count; i++) {
        struct graph_value *output = &graph->values[graph->outputs[i]];
        bool is_read = strcmp(output->name, config->logits) == 0 || output->rank == CACHE_RANK ||
                       output->dims == NULL;
        *changes += !is_read;
        output->unread = !is_read;
    }
    return true;
}
