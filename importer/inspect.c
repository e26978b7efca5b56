/* What `quern inspect` prints of a model that could be imported. */
#include "importer/graph.h"
#include "importer/model.h"
#include "importer/model_dir.h"

#include <string.h>

static void print_files(const struct model *model, FILE *out) {
    const struct model_file *file;
    fprintf(out, "files\n");
    for (size_t i = 0; (file = model_dir_file(model->directory, i)) != NULL; i++) {
        fprintf(out, "  %-24s %12zu bytes\n", file->name, file->size);
    }
}

static void print_boundary(const struct graph *graph, const char *title, const int *ids,
                           size_t count, FILE *out) {
    fprintf(out, "%s\n", title);
    for (size_t i = 0; i < count; i++) {
        const struct graph_value *value = &graph->values[ids[i]];
        fprintf(out, "  %-32s %s (", value->name, tensor_type_name(value->type));
        for (size_t d = 0; d < value->rank; d++) {
            fprintf(out, d == 0 ? "" : ", ");
            if (value->dims[d] == GRAPH_DIM_SYMBOLIC) {
                fprintf(out, "?");
            } else {
                fprintf(out, "%lld", (long long)value->dims[d]);
            }
        }
        fprintf(out, ")\n");
    }
}

/* How often each operator is left after the passes, in order of first occurrence. */
static void print_operators(const struct graph *graph, FILE *out) {
    fprintf(out, "operators after the passes\n");
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        bool first = !node->removed;
        size_t count = 0;
        for (size_t m = 0; first && m < graph->node_count; m++) {
            const struct graph_node *other = &graph->nodes[m];
            if (!other->removed && graph_node_is(other, node->domain, node->op)) {
                first = count > 0 || m == n;
                count++;
            }
        }
        if (first) {
            fprintf(out, "  %6zu  %s%s%s\n", count, node->domain,
                    node->domain[0] != '\0' ? "::" : "", node->op);
        }
    }
}

static void print_graph(const struct graph *graph, FILE *out) {
    fprintf(out, "producer\n  %s\noperator sets\n", graph->producer);
    for (size_t i = 0; i < graph->opset_count; i++) {
        const char *domain = graph->opsets[i].domain;
        fprintf(out, "  %-16s %lld\n", domain[0] != '\0' ? domain : "ai.onnx",
                (long long)graph->opsets[i].version);
    }
    print_boundary(graph, "inputs", graph->inputs, graph->input_count, out);
    print_boundary(graph, "outputs", graph->outputs, graph->output_count, out);
    fprintf(out, "passes\n");
    for (size_t i = 0; i < graph->pass_count; i++) {
        fprintf(out, "  %6zu  %s\n", graph->passes[i].changes, graph->passes[i].name);
    }
    print_operators(graph, out);
}

/* ---- Memory ---- */

/* The bytes of a weight in the model file. */
static size_t weight_bytes(const struct plan_weight *weight) {
    if (weight->bits == 0) {
        return weight->rows * weight->columns * element_type_bytes(weight->type);
    }
    size_t blocks = (weight->columns + weight->block_size - 1) / weight->block_size;
    size_t codes = weight->rows * blocks * weight->block_size * weight->bits / 8;
    size_t scales = weight->rows * blocks * element_type_bytes(weight->scale_type);
    size_t zero_points = weight->rows * ((blocks * weight->bits + 7) / 8);
    return codes + scales + (weight->zero_points != NULL ? zero_points : 0);
}

static void print_weights(const struct plan *plan, FILE *out) {
    static const struct {
        const char *name;
        unsigned bits;
        enum element_type type; /* bits == 0 only */
    } kinds[] = {
        {"q4", 4, ELEMENT_F32},  {"q8", 8, ELEMENT_F32},    {"f32", 0, ELEMENT_F32},
        {"f16", 0, ELEMENT_F16}, {"bf16", 0, ELEMENT_BF16},
    };
    fprintf(out, "weights\n");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        size_t count = 0;
        size_t bytes = 0;
        for (size_t i = 0; i < plan->weight_count; i++) {
            const struct plan_weight *weight = &plan->weights[i];
            if (weight->bits == kinds[k].bits &&
                (weight->bits > 0 || weight->type == kinds[k].type)) {
                count++;
                bytes += weight_bytes(weight);
            }
        }
        if (count > 0) {
            fprintf(out, "  %-4s %6zu tensors %14zu bytes\n", kinds[k].name, count, bytes);
        }
    }
}

static void print_cache(const struct plan *plan, FILE *out) {
    size_t full = 0;     /* numbers that a position costs for good */
    size_t windowed = 0; /* and until it is behind the window */
    for (size_t i = 0; i < plan->kv_layer_count; i++) {
        const struct plan_kv_layer *layer = &plan->kv_layers[i];
        size_t numbers = 2 * layer->kv_heads * layer->head_dim;
        full += layer->window == 0 ? numbers : 0;
        windowed += layer->window == 0 ? 0 : numbers;
    }
    fprintf(out,
            "KV cache\n  %zu bytes per token in f16, and %zu more while it is within a window\n",
            full * 2, windowed * 2);
}

void model_inspect(const struct model *model, FILE *out) {
    const struct plan *plan = &model->plan;
    fprintf(out, "model\n  %s%s%s\n", model->id, model->type[0] != '\0' ? ", type " : "",
            model->type);
    print_files(model, out);
    print_graph(model->graph, out);
    fprintf(out, "plan\n");
    plan_print(plan, out);
    print_weights(plan, out);
    print_cache(plan, out);
    if (model->tokenizer != NULL) {
        fprintf(out, "tokenizer\n  %zu tokens\n", tokenizer_vocabulary_size(model->tokenizer));
    } else {
        fprintf(out, "tokenizer\n  none: %s\n", model->tokenizer_error.text);
    }
    fprintf(out, "limits\n  vocabulary %zu, context %zu, activations %s\n", plan->vocabulary_size,
            plan->context_length,
            plan->full_precision ? "in full precision (the file asks for it)" : "may be quantized");
}
