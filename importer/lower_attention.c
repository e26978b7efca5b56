/* com.microsoft GroupQueryAttention, and quern Attention, which a pass has made of plain operators: packed or separate query, key and value, RoPE inside, KV cache,
 * window, softcap, query and key norms. */
#include "importer/lowering.h"

#include "engine/kernels/kernels.h"
#include "importer/passes/passes.h"
#include "importer/probe.h"

#include <math.h>
#include <string.h>

enum attention_slot {
    SLOT_QUERY,
    SLOT_KEY,
    SLOT_VALUE,
    SLOT_PAST_KEY,
    SLOT_PAST_VALUE,
    SLOT_SEQLENS_K,
    SLOT_TOTAL,
    SLOT_COSINES,
    SLOT_SINES,
    SLOT_POSITIONS,
    SLOT_ATTENTION_BIAS,
    SLOT_HEAD_SINK,
    SLOT_K_SCALE,
    SLOT_V_SCALE,
    SLOT_Q_NORM,
    SLOT_K_NORM,
    SLOT_QUERY_SEQLENS,
};

enum { OUTPUT_QK = 3 };

/* What the steps below fill in, each from its part of the node. */
struct draft {
    struct plan_attention attention;
    struct plan_kv_layer layer;
};

typedef enum lower_result attention_step(struct lowering *lowering, const struct graph_node *node,
                                         struct draft *draft);

/* ---- What has no instruction ---- */

static const struct {
    enum attention_slot slot;
    const char *what;
} refused_inputs[] = {
    {SLOT_ATTENTION_BIAS, "attention_bias"},
    {SLOT_QUERY_SEQLENS, "query_seqlens"},
};

/* Attributes that must have one value. */
static const struct {
    const char *name;
    int64_t value; /* also what an absent one means */
} fixed_attributes[] = {
    {"qk_output", 0},
    {"causal", 1},
};

static enum lower_result check_extras(struct lowering *lowering, const struct graph_node *node,
                                      struct draft *draft) {
    (void)draft;
    for (size_t i = 0; i < sizeof refused_inputs / sizeof refused_inputs[0]; i++) {
        if (graph_input(lowering->graph, node, refused_inputs[i].slot) != GRAPH_NONE) {
            return refuse(lowering, node, "%s has no instruction%s%.180s", refused_inputs[i].what,
                          node->note != NULL ? ": " : "", node->note != NULL ? node->note : "");
        }
    }
    for (size_t i = 0; i < sizeof fixed_attributes / sizeof fixed_attributes[0]; i++) {
        int64_t value =
            graph_attribute_int(node, fixed_attributes[i].name, fixed_attributes[i].value);
        if (value != fixed_attributes[i].value) {
            return refuse(lowering, node, "%s = %lld has no instruction", fixed_attributes[i].name,
                          (long long)value);
        }
    }
    if (graph_used_output(lowering->graph, node, OUTPUT_QK) != GRAPH_NONE) {
        return refuse(lowering, node, "its scores are read (output_qk)");
    }
    if (lowering->last_row_chosen) {
        return refuse(lowering, node, "attends to a last position that was chosen before");
    }
    return LOWER_DONE;
}

/* ---- Shapes ---- */

static void set_operand(struct plan_operand *operand, const struct row_value *row, size_t skip) {
    operand->reg = row->reg;
    operand->first = row->first + skip;
}

/* Finds the columns of query, key and value and with them head_dim, which no attribute gives. */
static enum lower_result find_operands(struct lowering *lowering, const struct graph_node *node,
                                       struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    struct plan_kv_layer *layer = &draft->layer;
    const struct row_value *query = row_input(lowering, node, SLOT_QUERY);
    const struct row_value *key = row_input(lowering, node, SLOT_KEY);
    const struct row_value *value = row_input(lowering, node, SLOT_VALUE);
    bool packed = graph_input(lowering->graph, node, SLOT_KEY) == GRAPH_NONE &&
                  graph_input(lowering->graph, node, SLOT_VALUE) == GRAPH_NONE;
    if (query == NULL || (!packed && (key == NULL || value == NULL))) {
        return refuse_rows(lowering, node, "query, key and value must be rows of activations");
    }
    size_t parts = attention->heads + (packed ? 2 * layer->kv_heads : 0);
    if (parts == 0 || query->width % parts != 0 || query->view != query->width) {
        return refuse_rows(lowering, node, "a query of %zu columns does not split into %zu heads",
                           query->width, parts);
    }
    layer->head_dim = query->width / parts;
    if (layer->head_dim > HEAD_DIM_MAX) {
        return refuse(lowering, node, "head size %zu; at most %d has a kernel", layer->head_dim,
                      HEAD_DIM_MAX);
    }
    size_t kv_width = layer->kv_heads * layer->head_dim;
    if (!packed && (key->width != kv_width || value->width != kv_width || key->view != kv_width ||
                    value->view != kv_width)) {
        return refuse_rows(lowering, node, "key and value have %zu and %zu columns, expected %zu",
                           key->width, value->width, kv_width);
    }
    size_t query_width = attention->heads * layer->head_dim;
    set_operand(&attention->query, query, 0);
    set_operand(&attention->key, packed ? query : key, packed ? query_width : 0);
    set_operand(&attention->value, packed ? query : value, packed ? query_width + kv_width : 0);
    return LOWER_DONE;
}

/* A pass has found out which columns of which rows they are. */
static enum lower_result find_columns(struct lowering *lowering, const struct graph_node *node,
                                      struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    int64_t head_dim = graph_attribute_int(node, "head_dim", 0);
    if (head_dim < 1 || head_dim > HEAD_DIM_MAX) {
        return refuse(lowering, node, "head size %lld; at most %d has a kernel",
                      (long long)head_dim, HEAD_DIM_MAX);
    }
    draft->layer.head_dim = (size_t)head_dim;
    const struct {
        enum attention_slot slot;
        const char *first;
        const char *step;
        size_t heads;
        struct plan_operand *operand;
    } operands[] = {
        {SLOT_QUERY, "query_first", "query_step", attention->heads, &attention->query},
        {SLOT_KEY, "key_first", "key_step", draft->layer.kv_heads, &attention->key},
        {SLOT_VALUE, "value_first", "value_step", draft->layer.kv_heads, &attention->value},
    };
    for (size_t i = 0; i < sizeof operands / sizeof operands[0]; i++) {
        const struct row_value *row = row_input(lowering, node, operands[i].slot);
        size_t first = (size_t)graph_attribute_int(node, operands[i].first, 0);
        size_t step = (size_t)graph_attribute_int(node, operands[i].step, head_dim);
        size_t width = row != NULL ? row->width : 0;
        if (row == NULL || first > width || step > width || step < (size_t)head_dim ||
            (operands[i].heads - 1) * step + (size_t)head_dim > width - first) {
            return refuse_rows(lowering, node,
                               "query, key and value must be columns of rows of activations");
        }
        set_operand(operands[i].operand, row, first);
        operands[i].operand->step = step != (size_t)head_dim ? step : 0;
    }
    return LOWER_DONE;
}

static enum lower_result find_heads(struct lowering *lowering, const struct graph_node *node,
                                    struct draft *draft) {
    return graph_node_is(node, QUERN_DOMAIN, "Attention") ? find_columns(lowering, node, draft)
                                                          : find_operands(lowering, node, draft);
}

static enum lower_result read_heads(struct lowering *lowering, const struct graph_node *node,
                                    struct draft *draft) {
    int64_t heads = graph_attribute_int(node, "num_heads", 0);
    int64_t kv_heads = graph_attribute_int(node, "kv_num_heads", 0);
    int64_t window = graph_attribute_int(node, "local_window_size", -1);
    if (heads < 1 || kv_heads < 1 || heads > INT16_MAX || heads % kv_heads != 0) {
        return refuse(lowering, node, "num_heads %lld and kv_num_heads %lld do not fit",
                      (long long)heads, (long long)kv_heads);
    }
    if (heads / kv_heads > ATTENTION_GROUP_MAX) {
        return refuse(lowering, node, "%lld query heads per KV head; at most %d have a kernel",
                      (long long)(heads / kv_heads), ATTENTION_GROUP_MAX);
    }
    if (window == 0) {
        return refuse(lowering, node, "local_window_size 0 sees nothing");
    }
    draft->attention.heads = (size_t)heads;
    draft->layer.kv_heads = (size_t)kv_heads;
    draft->layer.window = window > 0 ? (size_t)window : 0;
    return LOWER_DONE;
}

/* ---- The cache ---- */

/* The scales of a quantized cache, one for all or one for each channel, as a vector of channels;
 * PLAN_NONE where the cache is not quantized. */
static enum lower_result read_scales(struct lowering *lowering, const struct graph_node *node,
                                     enum attention_slot slot, const char *type_name,
                                     const struct plan_kv_layer *layer, int *vector) {
    const struct graph_attribute *type = graph_attribute(node, type_name);
    const struct tensor *scales =
        graph_constant(lowering->graph, graph_input(lowering->graph, node, slot));
    bool none = type == NULL || strcmp(type->text, "NONE") == 0;
    bool one = type != NULL && strcmp(type->text, "PER_TENSOR") == 0;
    size_t channels = layer->kv_heads * layer->head_dim;
    *vector = PLAN_NONE;
    if (none && graph_input(lowering->graph, node, slot) == GRAPH_NONE) {
        return LOWER_DONE;
    }
    if (!one && (none || strcmp(type->text, "PER_CHANNEL") != 0)) {
        return refuse(lowering, node,
                      "%s is \"%.40s\"; a cache with scales is PER_TENSOR or PER_CHANNEL",
                      type_name, type != NULL ? type->text : "");
    }
    if (scales == NULL || !tensor_type_is_float(scales->type) ||
        scales->count != (one ? 1 : channels)) {
        return refuse(lowering, node, "input %d must be %zu constant scales", (int)slot,
                      one ? 1 : channels);
    }
    float *values;
    *vector = plan_add_vector(
        lowering->plan, graph_value_name(lowering->graph, graph_input(lowering->graph, node, slot)),
        channels, &values);
    for (size_t i = 0; *vector != PLAN_NONE && i < channels; i++) {
        values[i] = (float)tensor_number(scales, one ? 0 : i);
    }
    return *vector != PLAN_NONE ? LOWER_DONE : out_of_memory(lowering);
}

static enum lower_result read_quantization(struct lowering *lowering, const struct graph_node *node,
                                           struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    enum lower_result result = read_scales(lowering, node, SLOT_K_SCALE, "k_quant_type",
                                           &draft->layer, &attention->k_scales);
    result = result != LOWER_DONE ? result
                                  : read_scales(lowering, node, SLOT_V_SCALE, "v_quant_type",
                                                &draft->layer, &attention->v_scales);
    if (result != LOWER_DONE ||
        (attention->k_scales == PLAN_NONE && attention->v_scales == PLAN_NONE)) {
        return result;
    }
    int64_t bits = graph_attribute_int(node, "kv_cache_bit_width", 8);
    if (bits != 4 && bits != 8) {
        return refuse(lowering, node, "kv_cache_bit_width is %lld, expected 4 or 8",
                      (long long)bits);
    }
    attention->cache_bits = (unsigned)bits;
    return LOWER_DONE;
}

/* One of past key, past value (graph inputs), present key, present value (graph outputs). */
struct cache {
    int value;
    const char *pattern; /* of its name, in the configuration */
    bool is_past;
    int scales;
};

/* Codes of 4 bits lie two in a byte. */
static bool has_type_of_cache(const struct graph_value *value, const struct cache *cache,
                              unsigned bits) {
    if (cache->scales == PLAN_NONE) {
        return value->type == TENSOR_NONE || tensor_type_is_float(value->type);
    }
    return value->type == (bits == 4 ? TENSOR_U8 : TENSOR_I8);
}

/* The graph input or output that it is; NULL: none. Of outputs that are one value (a Cast between them
 * was dropped) it is the one of that name. */
static const struct graph_value *find_cache(const struct graph *graph, const struct cache *cache) {
    const struct graph_value *found = NULL;
    size_t layer;
    if (cache->value == GRAPH_NONE) {
        return NULL;
    }
    if (cache->is_past) {
        return graph->values[cache->value].is_input ? &graph->values[cache->value] : NULL;
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        const struct graph_value *declared = &graph->values[graph->outputs[i]];
        if (graph_output(graph, i) == cache->value) {
            found = found == NULL || model_config_layer(cache->pattern, declared->name, &layer)
                        ? declared
                        : found;
        }
    }
    return found;
}

/* Is it named as the configuration says, for layer *index, and of the attention's shape where that is
 * static? */
static enum lower_result check_cache(struct lowering *lowering, const struct graph_node *node,
                                     const struct cache *cache, const struct draft *draft,
                                     size_t *index) {
    const struct graph_value *value = find_cache(lowering->graph, cache);
    const struct plan_kv_layer *layer = &draft->layer;
    const char *kind = cache->is_past ? "graph input" : "graph output";
    if (value == NULL) {
        return refuse(lowering, node, "its KV cache \"%.80s\" is not a %s", cache->pattern, kind);
    }
    if (!model_config_layer(cache->pattern, value->name, index)) {
        return refuse(lowering, node,
                      "its KV cache is %s \"%.80s\", expected a name like \"%.80s\"", kind,
                      value->name, cache->pattern);
    }
    if (!has_type_of_cache(value, cache, draft->attention.cache_bits)) {
        return refuse(lowering, node, "%s \"%.80s\" is a cache of %s, which its scales do not fit",
                      kind, value->name, tensor_type_name(value->type));
    }
    bool two_in_a_byte = cache->scales != PLAN_NONE && draft->attention.cache_bits == 4;
    size_t width = two_in_a_byte ? (layer->head_dim + 1) / 2 : layer->head_dim;
    int64_t kv_heads = value->rank == 4 ? value->dims[1] : GRAPH_DIM_SYMBOLIC;
    int64_t last = value->rank == 4 ? value->dims[3] : GRAPH_DIM_SYMBOLIC;
    if ((kv_heads >= 0 && (size_t)kv_heads != layer->kv_heads) ||
        (last >= 0 && (size_t)last != width)) {
        return refuse(lowering, node,
                      "%s \"%.80s\" has %lld heads of %lld, but the attention %zu of %zu", kind,
                      value->name, (long long)kv_heads, (long long)last, layer->kv_heads, width);
    }
    return LOWER_DONE;
}

static enum lower_result check_caches(struct lowering *lowering, const struct graph_node *node,
                                      struct draft *draft) {
    enum { CACHES = 4 };
    const struct graph *graph = lowering->graph;
    const struct model_config *config = lowering->config;
    int k_scales = draft->attention.k_scales;
    int v_scales = draft->attention.v_scales;
    const struct cache caches[CACHES] = {
        {graph_input(graph, node, SLOT_PAST_KEY), config->past_key, true, k_scales},
        {graph_input(graph, node, SLOT_PAST_VALUE), config->past_value, true, v_scales},
        {graph_used_output(graph, node, 1), config->present_key, false, k_scales},
        {graph_used_output(graph, node, 2), config->present_value, false, v_scales},
    };
    size_t layers[CACHES] = {0};
    for (size_t i = 0; i < CACHES; i++) {
        enum lower_result result = check_cache(lowering, node, &caches[i], draft, &layers[i]);
        if (result != LOWER_DONE) {
            return result;
        }
        if (layers[i] != layers[0]) {
            return refuse(lowering, node, "its KV caches belong to layers %zu and %zu", layers[0],
                          layers[i]);
        }
    }
    return LOWER_DONE;
}

/* ---- Positions ---- */

static enum lower_result check_lengths(struct lowering *lowering, const struct graph_node *node,
                                       struct draft *draft) {
    (void)draft;
    struct proven_lengths lengths = {
        .seqlens_k = graph_input(lowering->graph, node, SLOT_SEQLENS_K),
        .total = graph_input(lowering->graph, node, SLOT_TOTAL),
    };
    if (graph_node_is(node, QUERN_DOMAIN, "Attention")) {
        return LOWER_DONE; /* the pass has seen to it */
    }
    if (lengths.seqlens_k == GRAPH_NONE || lengths.total == GRAPH_NONE) {
        return refuse(lowering, node, "has no seqlens_k or no total_sequence_length");
    }
    /* All layers of a model share them, so one proof is enough. */
    if (memcmp(&lengths, &lowering->proven, sizeof lengths) == 0) {
        return LOWER_DONE;
    }
    struct error why = {0};
    if (!probe_lengths(lowering->graph, lowering->config, lengths.seqlens_k, lengths.total, &why)) {
        return refuse(lowering, node, "its sequence lengths are not understood: %.200s", why.text);
    }
    lowering->proven = lengths;
    return LOWER_DONE;
}

static enum lower_result read_rope(struct lowering *lowering, const struct graph_node *node,
                                   struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    attention->rope = PLAN_NONE;
    attention->rope_interleaved = graph_attribute_int(node, "rotary_interleaved", 0) != 0;
    if (graph_attribute_int(node, "do_rotary", 0) == 0) {
        return graph_node_is(node, QUERN_DOMAIN, "Attention")
                   ? lower_frequencies(lowering, node, SLOT_COSINES,
                                       graph_attribute_float(node, "rotary_amplitude", 1),
                                       &attention->rope)
                   : LOWER_DONE;
    }
    static const struct rope_slots slots = {SLOT_COSINES, SLOT_SINES, SLOT_POSITIONS};
    enum lower_result result = lower_rope(lowering, node, &slots, &attention->rope);
    if (result != LOWER_DONE || graph_attribute_int(node, "rotary_whole_heads", 0) == 0) {
        return result;
    }
    size_t rotated = 2 * lowering->plan->ropes[attention->rope].half;
    return rotated == draft->layer.head_dim
               ? LOWER_DONE
               : refuse(lowering, node, "tables of %zu columns rotate heads of %zu, but it has %zu",
                        rotated / 2, rotated, draft->layer.head_dim);
}

/* ---- Sinks ---- */

/* smooth_softmax is a sink of 0 for every head. */
static enum lower_result read_sinks(struct lowering *lowering, const struct graph_node *node,
                                    struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    bool given = graph_input(lowering->graph, node, SLOT_HEAD_SINK) != GRAPH_NONE;
    if (given || graph_attribute_int(node, "smooth_softmax", 0) != 1) {
        return lower_vector(lowering, node, SLOT_HEAD_SINK, attention->heads, &attention->sinks);
    }
    float *zeros;
    attention->sinks = plan_add_vector(lowering->plan, "smooth_softmax", attention->heads, &zeros);
    if (attention->sinks == PLAN_NONE) {
        return out_of_memory(lowering);
    }
    memset(zeros, 0, attention->heads * sizeof *zeros);
    return LOWER_DONE;
}

/* ---- All together ---- */

static enum lower_result read_numbers(struct lowering *lowering, const struct graph_node *node,
                                      struct draft *draft) {
    struct plan_attention *attention = &draft->attention;
    size_t head_dim = draft->layer.head_dim;
    attention->scale = graph_attribute_float(node, "scale", 0);
    attention->softcap = graph_attribute_float(node, "softcap", 0);
    float epsilon = graph_attribute_float(node, "qk_norm_epsilon", 1e-6f);
    attention->q_norm_epsilon = graph_attribute_float(node, "q_norm_epsilon", epsilon);
    attention->k_norm_epsilon = graph_attribute_float(node, "k_norm_epsilon", epsilon);
    attention->rope_first = graph_attribute_int(node, "rotary_first", 0) != 0;
    if (!isfinite(attention->scale) || !isfinite(attention->softcap) || attention->softcap < 0) {
        return refuse(lowering, node,
                      "scale %g and softcap %g must be finite, softcap not negative",
                      (double)attention->scale, (double)attention->softcap);
    }
    if (attention->scale == 0) {
        attention->scale = 1 / sqrtf((float)head_dim);
    }
    enum lower_result result =
        lower_vector(lowering, node, SLOT_Q_NORM, head_dim, &attention->q_norm);
    return result != LOWER_DONE
               ? result
               : lower_vector(lowering, node, SLOT_K_NORM, head_dim, &attention->k_norm);
}

enum lower_result lower_attention(struct lowering *lowering, const struct graph_node *node) {
    static attention_step *const steps[] = {
        check_extras,  read_heads, find_heads, read_quantization, check_caches,
        check_lengths, read_rope,  read_sinks, read_numbers,
    };
    struct draft draft = {0};
    enum lower_result result = LOWER_DONE;
    for (size_t i = 0; result == LOWER_DONE && i < sizeof steps / sizeof steps[0]; i++) {
        result = steps[i](lowering, node, &draft);
    }
    if (result != LOWER_DONE) {
        return result;
    }
    int layer = plan_add_kv_layer(lowering->plan, &draft.layer);
    if (layer == PLAN_NONE) {
        return out_of_memory(lowering);
    }
    draft.attention.layer = (size_t)layer;
    size_t width = draft.attention.heads * draft.layer.head_dim;
    result = new_row(lowering, node, 0, width, width, &draft.attention.output);
    struct plan_instruction instruction = {
        .kind = PLAN_ATTENTION, .name = node->name, .attention = draft.attention};
    return result != LOWER_DONE ? result : append(lowering, &instruction);
}
