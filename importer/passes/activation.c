/* Activations that are written out in plain arithmetic.
 *
 *     x ─▶ Mul ─▶ Mul ─▶ Mul ─▶ Add ─▶ Mul ─▶ Tanh ─▶ Add ─▶ Mul ─▶ Mul ─▶ y
 *
 *     becomes        x ─▶ FastGelu ─▶ y
 *
 * Exporters write the same function in many ways, so the nodes are not matched: whatever computes y
 * from x and scalar constants, element by element, is run on numbers from -8 to 8, and compared with
 * the functions that there is an operator for. */
#include "importer/interpret.h"
#include "importer/passes/passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 65,
    FORMULA_NODES_MAX = 16, /* gelu has nine */
    FUNCTION_NONE = -1,
};

static double sample_at(size_t i) {
    return -8.0 + 16.0 * (double)i / (SAMPLES - 1);
}

static int compare_indices(const void *a, const void *b) {
    const int *x = a;
    const int *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
static double gelu_erf(double x) {
    return 0.5 * x * (1 + erf(x / 1.4142135623730951));
}
static double silu(double x) {
    return x / (1 + exp(-x));
}
static double gelu_quick(double x) {
    return x / (1 + exp(-1.702 * x));
}

static const struct {
    const char *op;
    double (*apply)(double x);
    float alpha; /* attribute of QuickGelu; 0: none */
} functions[] = {
    {"FastGelu", gelu_tanh, 0},
    {"Gelu", gelu_erf, 0},
    {"QuickGelu", silu, 1},
    {"QuickGelu", gelu_quick, 1.702f},
};

static bool is_elementwise(const struct graph_node *node) {
    static const char *const ops[] = {"Add", "Div", "Erf",  "Exp",     "Mul",  "Neg",
                                      "Pow", "Sub", "Sqrt", "Sigmoid", "Tanh", "Reciprocal"};
    for (size_t i = 0; node->domain[0] == '\0' && i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(node->op, ops[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The one value that the node's output is a function of, element by element: its input, or what that is
 * a function of, as noted in `sources`. GRAPH_NONE if there are several, or constants but scalars. */
static int source_of(const struct graph *graph, const struct graph_node *node, const int *sources) {
    int source = GRAPH_NONE;
    if (node->removed || !is_elementwise(node) || node->output_count != 1) {
        return GRAPH_NONE;
    }
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(graph, node, i);
        const struct tensor *constant = graph_constant(graph, input);
        if (input == GRAPH_NONE || (constant != NULL && constant->count != 1)) {
            return GRAPH_NONE;
        }
        int from = constant != NULL               ? source
                   : sources[input] != GRAPH_NONE ? sources[input]
                                                  : input;
        if (source != GRAPH_NONE && source != from) {
            return GRAPH_NONE;
        }
        source = from;
    }
    return source;
}

/* The nodes between a source and one of its functions, in topological order. */
struct formula {
    int source;
    int nodes[FORMULA_NODES_MAX];
    struct tensor results[FORMULA_NODES_MAX];
    size_t count;
};

static bool has_node(const struct formula *formula, int node) {
    size_t i = 0;
    while (i < formula->count && formula->nodes[i] != node) {
        i++;
    }
    return i < formula->count;
}

/* From the last node backwards; false if there are more than FORMULA_NODES_MAX. */
static bool collect(const struct graph *graph, int last, struct formula *formula) {
    formula->nodes[0] = last;
    formula->count = 1;
    for (size_t done = 0; done < formula->count; done++) {
        const struct graph_node *node = &graph->nodes[formula->nodes[done]];
        for (size_t i = 0; i < node->input_count; i++) {
            int input = graph_input(graph, node, i);
            int producer = graph->values[input].producer;
            if (input == formula->source || graph_constant(graph, input) != NULL ||
                has_node(formula, producer)) {
                continue;
            }
            if (formula->count == FORMULA_NODES_MAX) {
                return false;
            }
            formula->nodes[formula->count++] = producer;
        }
    }
    qsort(formula->nodes, formula->count, sizeof formula->nodes[0], compare_indices);
    return true;
}

static const struct tensor *operand(const struct graph *graph, const struct formula *formula,
                                    int value, const struct tensor *samples) {
    if (value == formula->source) {
        return samples;
    }
    for (size_t i = 0; i < formula->count; i++) {
        if (graph->nodes[formula->nodes[i]].outputs[0] == value) {
            return &formula->results[i];
        }
    }
    return graph_constant(graph, value);
}

/* The formula's values at the samples. */
static bool evaluate(const struct graph *graph, struct formula *formula,
                     const struct tensor *samples, struct arena *arena, double *results) {
    for (size_t n = 0; n < formula->count; n++) {
        const struct graph_node *node = &graph->nodes[formula->nodes[n]];
        const struct tensor *inputs[2] = {NULL, NULL};
        for (size_t i = 0; i < node->input_count && i < 2; i++) {
            inputs[i] = operand(graph, formula, graph_input(graph, node, i), samples);
        }
        if (node->input_count > 2 ||
            !interpret_node(node, inputs, &formula->results[n], arena, NULL)) {
            return false;
        }
    }
    const struct tensor *last = &formula->results[formula->count - 1];
    for (size_t i = 0; last->count == SAMPLES && i < SAMPLES; i++) {
        results[i] = tensor_number(last, i);
    }
    return last->count == SAMPLES;
}

/* Samples the function that node `last` computes of `source`. */
static bool sample(const struct graph *graph, int source, int last, double *results) {
    struct formula formula = {.source = source};
    float numbers[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        numbers[i] = (float)sample_at(i);
    }
    const int64_t count = SAMPLES;
    struct tensor samples = {.bytes = (const uint8_t *)numbers};
    struct arena arena;
    arena_init(&arena);
    bool sampled = collect(graph, last, &formula) &&
                   tensor_set_shape(&samples, TENSOR_F32, 1, &count, NULL) &&
                   evaluate(graph, &formula, &samples, &arena, results);
    arena_deinit(&arena);
    return sampled;
}

/* The function whose values at the samples these are. With constants of f16 they are off by some 2e-5;
 * the two forms of GELU differ by 5e-4. */
static int recognize(const double *results) {
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        size_t i = 0;
        while (i < SAMPLES && fabs(results[i] - functions[f].apply(sample_at(i))) <= 1e-4) {
            i++;
        }
        if (i == SAMPLES) {
            return (int)f;
        }
    }
    return FUNCTION_NONE;
}

static bool rewrite(struct graph *graph, struct graph_node *node, int source, int function) {
    if (!graph_rewrite(graph, node, MICROSOFT_DOMAIN, functions[function].op, 1, 1)) {
        return false;
    }
    node->inputs[0] = source;
    node->input_count = 1;
    if (functions[function].alpha != 0) {
        graph_set_float(node, "alpha", functions[function].alpha);
    }
    return true;
}

bool pass_activation(struct graph *graph, size_t *changes, struct error *err) {
    int *sources = malloc((graph->value_count + 1) * sizeof *sources);
    bool sound = sources != NULL;
    for (size_t v = 0; sound && v < graph->value_count; v++) {
        sources[v] = GRAPH_NONE;
    }
    for (size_t n = 0; sound && n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        int source = source_of(graph, node, sources);
        double results[SAMPLES];
        if (source == GRAPH_NONE) {
            continue;
        }
        sources[node->outputs[0]] = source;
        /* Every activation ends with the product or quotient of x and something that depends on x. */
        bool may_end = graph_node_is(node, "", "Mul") || graph_node_is(node, "", "Div");
        int function =
            may_end && sample(graph, source, (int)n, results) ? recognize(results) : FUNCTION_NONE;
        if (function != FUNCTION_NONE) {
            sources[node->outputs[0]] = GRAPH_NONE;
            sound = rewrite(graph, node, source, function);
            ++*changes;
        }
    }
    free(sources);
    return sound || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
}
