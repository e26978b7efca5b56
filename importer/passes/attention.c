/* Attention in plain operators, around a softmax.
 *
 *     q rows ─▶ .. ────────────────────▶ MatMul ─▶ .. ─▶ Softmax ─▶ .. ─▶ MatMul ─▶ .. ─▶ y
 *     k rows ─▶ .. ─▶ Concat(past) ─▶ .. ──┘              v operand ────────┘
 *     v rows ─▶ .. ─▶ Concat(past) ─▶ .. ─────────────────────┘
 *
 *     becomes        q rows ─▶ Attention ─▶ y
 *                    k rows ────┤
 *                    v rows ────┘
 *
 * Here the parts are found, by following what depends on activations; probe_attention.h says what they
 * mean. Where that is not what a decoder has, the softmax keeps a note of it for lower.h. */
#include "importer/passes/passes.h"

#include "importer/probe_attention.h"

#include <stdlib.h>
#include <string.h>

enum {
    SEARCH_MAX = 64,   /* nodes between two parts of an attention */
    FAILURES_MAX = 16, /* after which a graph is given up */
    NOTE_BYTES = 256,
    OUTPUT_PRESENT_VALUE = 2,
};

struct search {
    struct graph *graph;
    const struct model_config *config;
    struct probe_runs *probes;
    struct error *err;
};

static bool not_found(const struct search *search, const char *what) {
    return error_set(search->err, ERROR_UNSUPPORTED, "%s", what);
}

/* ---- Backwards: where activations come from ---- */

/* Does the value depend on activations, as far as the first run knows? */
static bool is_activation(const struct search *search, int value) {
    if (value == GRAPH_NONE || graph_constant(search->graph, value) != NULL) {
        return false;
    }
    const struct tensor *tensor = search->probes->runs[PROBE_PROMPT].values[value];
    return tensor == NULL || tensor->shape_only;
}

/* Is it a MatMul of two activations? */
static bool is_product(const struct search *search, const struct graph_node *node) {
    return node != NULL && graph_node_is(node, "", "MatMul") &&
           is_activation(search, graph_input(search->graph, node, 0)) &&
           is_activation(search, graph_input(search->graph, node, 1));
}

/* The only input of the node that depends on activations, or GRAPH_NONE. */
static int only_activation(const struct search *search, const struct graph_node *node) {
    int found = GRAPH_NONE;
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(search->graph, node, i);
        if (is_activation(search, input) && input != found) {
            if (found != GRAPH_NONE) {
                return GRAPH_NONE;
            }
            found = input;
        }
    }
    return found;
}

/* From the softmax back to the product that its scores are. */
static struct graph_node *find_scores(const struct search *search, int value) {
    for (size_t steps = 0; steps < SEARCH_MAX && value != GRAPH_NONE; steps++) {
        struct graph_node *node = graph_producer(search->graph, value);
        if (node == NULL || is_product(search, node)) {
            return node;
        }
        value = only_activation(search, node);
    }
    return NULL;
}

/* Is it past ++ new, of keys or values? */
static bool is_cache(const struct search *search, const struct graph_node *node) {
    int past = graph_node_is(node, "", "Concat") ? graph_input(search->graph, node, 0) : GRAPH_NONE;
    return past != GRAPH_NONE && node->input_count == 2 && search->graph->values[past].is_input &&
           search->graph->values[past].rank == 4;
}

/* Where the ways back from a value end: at layers, whose elements nobody computes, or at a cache. */
struct sources {
    int values[SEARCH_MAX]; /* visited; those before `done` are searched through */
    size_t count;
    int layer; /* the only output of a layer, or GRAPH_NONE */
    const struct graph_node *cache;
    bool several;
};

static void visit(const struct search *search, struct sources *sources, int value) {
    size_t i = 0;
    while (i < sources->count && sources->values[i] != value) {
        i++;
    }
    if (!is_activation(search, value) || i < sources->count) {
        return;
    }
    const struct graph_node *node = graph_producer(search->graph, value);
    if (node != NULL && is_cache(search, node)) {
        sources->several |= sources->cache != NULL && sources->cache != node;
        sources->cache = node;
    } else if (node == NULL || !interpret_knows(node)) {
        sources->several |= sources->layer != GRAPH_NONE && sources->layer != value;
        sources->layer = value;
    } else if (sources->count < SEARCH_MAX) {
        sources->values[sources->count++] = value;
    } else {
        sources->several = true;
    }
}

static struct sources find_sources(const struct search *search, int value) {
    struct sources sources = {.layer = GRAPH_NONE};
    visit(search, &sources, value);
    for (size_t done = 0; done < sources.count; done++) {
        const struct graph_node *node = graph_producer(search->graph, sources.values[done]);
        for (size_t i = 0; i < node->input_count; i++) {
            visit(search, &sources, graph_input(search->graph, node, i));
        }
    }
    return sources;
}

static bool is_norm(const struct graph_node *node) {
    return graph_node_is(node, "", "SimplifiedLayerNormalization") ||
           graph_node_is(node, "", "RMSNormalization");
}

/* Is a norm's last dimension that of heads? */
static bool has_width_of(const struct search *search, int norm, int heads) {
    const struct tensor *const *values = search->probes->runs[PROBE_PROMPT].values;
    const struct tensor *a = values[norm];
    const struct tensor *b = values[heads];
    return a != NULL && b != NULL && a->rank > 0 && b->rank > 0 &&
           a->dims[a->rank - 1] == b->dims[b->rank - 1];
}

/* From heads back to the rows that they are columns of, perhaps through a norm of each head. */
static bool find_projection(const struct search *search, int value, struct projection *projection) {
    struct sources sources = find_sources(search, value);
    *projection = (struct projection){
        .rows = sources.layer, .norm_input = GRAPH_NONE, .norm_output = GRAPH_NONE, .value = value};
    if (sources.layer == GRAPH_NONE || sources.several || sources.cache != NULL) {
        return not_found(search, "queries, keys or values are not made of one layer's rows");
    }
    const struct graph_node *norm = graph_producer(search->graph, sources.layer);
    if (norm == NULL || !is_norm(norm) || !has_width_of(search, sources.layer, value)) {
        return true;
    }
    projection->norm_output = sources.layer;
    projection->norm_input = graph_input(search->graph, norm, 0);
    sources = find_sources(search, projection->norm_input);
    projection->rows = sources.layer;
    return (sources.layer != GRAPH_NONE && !sources.several && sources.cache == NULL) ||
           not_found(search, "the norm of its heads does not come from one layer's rows");
}

/* From an operand back to the cache, and from what is new there to its rows. */
static bool find_cached(const struct search *search, int operand, int *present,
                        struct projection *projection) {
    struct sources sources = find_sources(search, operand);
    if (sources.cache == NULL || sources.layer != GRAPH_NONE || sources.several) {
        return not_found(search, "keys or values do not come from past ++ new");
    }
    *present = sources.cache->outputs[0];
    return find_projection(search, graph_input(search->graph, sources.cache, 1), projection);
}

/* ---- Forwards: to the second product and the rows behind it ---- */

static bool reads(const struct graph *graph, const struct graph_node *node, int value) {
    for (size_t i = 0; i < node->input_count; i++) {
        if (graph_input(graph, node, i) == value) {
            return true;
        }
    }
    return false;
}

/* The product whose first operand is what the softmax becomes. */
static struct graph_node *find_context(const struct search *search, int softmax) {
    int reached[SEARCH_MAX] = {softmax};
    size_t count = 1;
    size_t first = (size_t)search->graph->values[softmax].producer + 1;
    for (size_t n = first; n < search->graph->node_count; n++) {
        struct graph_node *node = &search->graph->nodes[n];
        for (size_t i = 0; i < count && !node->removed; i++) {
            if (!reads(search->graph, node, reached[i])) {
                continue;
            }
            if (is_product(search, node) && graph_input(search->graph, node, 0) == reached[i]) {
                return node;
            }
            if (count < SEARCH_MAX && node->output_count == 1) {
                reached[count++] = node->outputs[0];
            }
            break;
        }
    }
    return NULL;
}

static bool moves_elements(const struct graph_node *node) {
    static const char *const ops[] = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (graph_node_is(node, "", ops[i])) {
            return true;
        }
    }
    return false;
}

/* The last of the nodes behind the context that only move its elements, or NULL. */
static struct graph_node *find_output(const struct search *search, int context) {
    struct graph_node *last = NULL;
    int value = context;
    size_t first = (size_t)search->graph->values[context].producer + 1;
    for (size_t n = first; n < search->graph->node_count; n++) {
        struct graph_node *node = &search->graph->nodes[n];
        if (node->removed || !reads(search->graph, node, value) ||
            graph_node_is(node, "", "Shape")) {
            continue;
        }
        if (!moves_elements(node) || graph_input(search->graph, node, 0) != value) {
            return last;
        }
        last = node;
        value = node->outputs[0];
    }
    return last;
}

static bool find_parts(const struct search *search, const struct graph_node *softmax,
                       struct attention_parts *parts, struct graph_node **output) {
    const struct graph *graph = search->graph;
    int64_t axis = graph_attribute_int(softmax, "axis", -1);
    parts->softmax_input = graph_input(graph, softmax, 0);
    const struct tensor *shape = search->probes->runs[PROBE_PROMPT].values[parts->softmax_input];
    if (axis != -1 && (shape == NULL || axis != (int64_t)shape->rank - 1)) {
        return not_found(search, "it is not over the last dimension");
    }
    parts->softmax_output = softmax->outputs[0];
    const struct graph_node *scores = find_scores(search, parts->softmax_input);
    const struct graph_node *context = find_context(search, parts->softmax_output);
    *output = context != NULL ? find_output(search, context->outputs[0]) : NULL;
    if (scores == NULL || *output == NULL) {
        return not_found(
            search, "it does not stand between two products of activations, as attention does");
    }
    parts->scores = scores->outputs[0];
    parts->key_operand = graph_input(graph, scores, 1);
    parts->weights = graph_input(graph, context, 0);
    parts->value_operand = graph_input(graph, context, 1);
    parts->context = context->outputs[0];
    parts->output = (*output)->outputs[0];
    return find_projection(search, graph_input(graph, scores, 0), &parts->query) &&
           find_cached(search, parts->key_operand, &parts->present_key, &parts->key) &&
           find_cached(search, parts->value_operand, &parts->present_value, &parts->value);
}

/* ---- The rewrite ---- */

static void set_norm(const struct graph *graph, struct graph_node *node, size_t slot,
                     const char *epsilon, const struct projection *projection) {
    const struct graph_node *norm = graph_producer(graph, projection->norm_output);
    if (norm != NULL) {
        node->inputs[slot] = graph_input(graph, norm, 1);
        graph_set_float(node, epsilon, graph_attribute_float(norm, "epsilon", 1e-5f));
    }
}

static int add_frequencies(const struct search *search, const struct attention_meaning *meaning) {
    if (meaning->rope_half == 0) {
        return GRAPH_NONE;
    }
    struct tensor tensor = {.bytes = (const uint8_t *)meaning->frequencies};
    const int64_t count = (int64_t)meaning->rope_half;
    tensor_set_shape(&tensor, TENSOR_F32, 1, &count, NULL);
    return graph_add_constant(search->graph, "frequencies", &tensor);
}

/* The concatenations that made the present caches are no more: the attention makes them. */
static bool make_presents(const struct search *search, struct graph_node *node,
                          const struct attention_parts *parts) {
    struct graph *graph = search->graph;
    const int presents[] = {parts->present_key, parts->present_value};
    int *outputs = arena_allocate(graph->arena, OUTPUT_PRESENT_VALUE + 1, sizeof *outputs);
    if (outputs == NULL) {
        return error_set(search->err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
    }
    outputs[0] = node->outputs[0];
    for (size_t i = 0; i < 2; i++) {
        struct graph_value *value = &graph->values[presents[i]];
        graph->nodes[value->producer].removed = true;
        value->producer = (int)(node - graph->nodes);
        outputs[1 + i] = presents[i];
    }
    node->outputs = outputs;
    node->output_count = OUTPUT_PRESENT_VALUE + 1;
    return true;
}

static bool rewrite(const struct search *search, struct graph_node *node,
                    const struct attention_parts *parts, const struct attention_meaning *meaning) {
    struct graph *graph = search->graph;
    const struct graph_node *keys = graph_producer(graph, parts->present_key);
    const struct graph_node *values = graph_producer(graph, parts->present_value);
    int past_key = graph_input(graph, keys, 0);
    int past_value = graph_input(graph, values, 0);
    int frequencies = add_frequencies(search, meaning);
    if ((meaning->rope_half > 0 && frequencies == GRAPH_NONE) ||
        !graph_rewrite(graph, node, QUERN_DOMAIN, "Attention", 16, 16)) {
        return error_set(search->err, ERROR_OUT_OF_MEMORY, "no memory to rewrite a node");
    }
    for (size_t i = 0; i < node->input_count; i++) {
        node->inputs[i] = GRAPH_NONE;
    }
    node->inputs[0] = parts->query.rows;
    node->inputs[1] = parts->key.rows;
    node->inputs[2] = parts->value.rows;
    node->inputs[3] = past_key;
    node->inputs[4] = past_value;
    node->inputs[7] = frequencies;
    set_norm(graph, node, 14, "q_norm_epsilon", &parts->query);
    set_norm(graph, node, 15, "k_norm_epsilon", &parts->key);
    graph_set_int(node, "num_heads", (int64_t)meaning->heads);
    graph_set_int(node, "kv_num_heads", (int64_t)meaning->kv_heads);
    graph_set_int(node, "head_dim", (int64_t)meaning->head_dim);
    graph_set_int(node, "query_first", (int64_t)meaning->query.first);
    graph_set_int(node, "query_step", (int64_t)meaning->query.step);
    graph_set_int(node, "key_first", (int64_t)meaning->key.first);
    graph_set_int(node, "key_step", (int64_t)meaning->key.step);
    graph_set_int(node, "value_first", (int64_t)meaning->value.first);
    graph_set_int(node, "value_step", (int64_t)meaning->value.step);
    graph_set_int(node, "local_window_size", meaning->window > 0 ? (int64_t)meaning->window : -1);
    graph_set_int(node, "rotary_interleaved", meaning->rope_interleaved);
    graph_set_float(node, "rotary_amplitude", meaning->rope_amplitude);
    graph_set_float(node, "scale", meaning->scale);
    graph_set_float(node, "softcap", meaning->softcap);
    return make_presents(search, node, parts);
}

/* ---- All of a graph ---- */

/* One softmax. False only when memory is out; what else stands in the way is noted. */
static bool try_softmax(const struct search *search, struct graph_node *softmax, bool *recognized) {
    struct attention_parts parts = {.causal = false};
    struct attention_meaning meaning;
    struct graph_node *output = NULL;
    *recognized = find_parts(search, softmax, &parts, &output) &&
                  probe_attention(search->probes, &parts, &meaning, search->err) &&
                  rewrite(search, output, &parts, &meaning);
    if (*recognized) {
        return true;
    }
    char *note = arena_allocate(search->graph->arena, NOTE_BYTES, 1);
    if (search->err->code == ERROR_OUT_OF_MEMORY || note == NULL) {
        return error_set(search->err, ERROR_OUT_OF_MEMORY, "no memory for an attention");
    }
    memcpy(note, search->err->text,
           strlen(search->err->text) < NOTE_BYTES ? strlen(search->err->text) : NOTE_BYTES - 1);
    softmax->note = note;
    *search->err = (struct error){0};
    return true;
}

static bool has_softmax(const struct graph *graph) {
    for (size_t n = 0; n < graph->node_count; n++) {
        if (!graph->nodes[n].removed && graph_node_is(&graph->nodes[n], "", "Softmax")) {
            return true;
        }
    }
    return false;
}

bool pass_attention(struct graph *graph, const struct model_config *config, size_t *changes,
                    struct error *err) {
    struct probe_runs probes;
    if (!has_softmax(graph)) {
        return true;
    }
    if (!probe_runs_open(&probes, graph, config, err)) {
        return false;
    }
    struct error why = {0};
    struct search search = {graph, config, &probes, &why};
    size_t failures = 0;
    bool sound = true;
    for (size_t n = 0; sound && n < graph->node_count && failures < FAILURES_MAX; n++) {
        struct graph_node *node = &graph->nodes[n];
        bool recognized;
        if (node->removed || !graph_node_is(node, "", "Softmax")) {
            continue;
        }
        sound = try_softmax(&search, node, &recognized);
        *changes += sound && recognized;
        failures += sound && !recognized;
    }
    probe_runs_close(&probes);
    if (!sound) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "%s", why.text);
    }
    /* Parts whose shapes somebody asks for read caches that are made further behind by now. */
    return *changes == 0 || graph_sort(graph, err);
}
