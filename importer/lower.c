#include "importer/lower.h"

#include "importer/interpret.h"
#include "importer/lowering.h"
#include "importer/passes/passes.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- The operators that can be lowered ---- */

enum { EVERY_VERSION = 0 };

/* What this file lowers, and what of it: `support.since` and `until` bound the version of the domain's
 * operator set, where the meaning of an operator depends on it. */
static const struct {
    struct operator_support support;
    lower_operator *lower;
} operators[] = {
    {{"", "Add", 7, INT64_MAX, "two rows of one width, or a row and a constant vector"}, lower_add},
    {{"", "Div", 7, INT64_MAX, "a row by a constant number"}, lower_factor},
    {{"", "Gather", EVERY_VERSION, INT64_MAX,
      "the last position of activations: `axis` 1, index -1 (`prune_lm_head`)"},
     lower_gather},
    {{"", "LayerNormalization", EVERY_VERSION, INT64_MAX,
      "`axis` -1, `epsilon`; constant scale and bias"},
     lower_norm},
    {{"", "Mul", 7, INT64_MAX, "a row by a constant number, or by another row of its width"},
     lower_factor},
    {{"", "RMSNormalization", 23, INT64_MAX, "`axis` -1, `epsilon`; a constant scale"}, lower_norm},
    {{"", "Reshape", 5, INT64_MAX, "rows into heads and back, by a constant shape"}, lower_reshape},
    {{"", "SimplifiedLayerNormalization", EVERY_VERSION, INT64_MAX,
      "`axis` -1, `epsilon`; a constant scale; over whole rows or each head"},
     lower_norm},
    {{"", "Slice", 10, INT64_MAX, "neighbouring columns of rows; all positions, or the last one"},
     lower_slice},
    {{"", "Split", 13, INT64_MAX,
      "columns of rows: packed query, key and value, packed gate and up"},
     lower_split},
    {{"", "Unsqueeze", 13, INT64_MAX, "behind a Gather of the last position"}, lower_unsqueeze},
    {{MICROSOFT_DOMAIN, "GroupQueryAttention", 1, 1,
      "packed or separate query, key and value; `num_heads`, `kv_num_heads`, `scale`, "
      "`softcap`, `local_window_size`, `do_rotary`, `rotary_interleaved`, "
      "`smooth_softmax`, `qk_norm_epsilon`, `q_norm_epsilon`, `k_norm_epsilon`; "
      "caches of f32, f16, bf16, and with `k_quant_type`, `v_quant_type` (PER_TENSOR, "
      "PER_CHANNEL) and `kv_cache_bit_width` of int8 or int4; cos_cache and "
      "sin_cache, constant or chosen by the length in an `If`; position_ids that "
      "count; head_sink, q_norm_weight, k_norm_weight; an attention_bias that is a "
      "causal mask with or without a window. `sliding_window_cache` changes no "
      "result. Not: `qk_output`, `causal` 0, query_seqlens, other biases"},
     lower_attention},
    {{MICROSOFT_DOMAIN, "MatMulBnb4", 1, 1,
      "`quant_type` 0 (FP4) or 1 (NF4), `block_size` any power of two from 16, absmax of f32, "
      "f16 or bf16; fast mode keeps activations in full precision. Not: `transB` 0"},
     lower_matmul_bnb4},
    {{MICROSOFT_DOMAIN, "MatMulNBits", 1, 1,
      "`bits` 2, 4 or 8; `block_size` any power of two from 16; scales of f32, f16 or "
      "bf16; zero points packed, of the scales' type, or none; g_idx; bias; "
      "`accuracy_level`: fast mode keeps activations in full precision for 1, "
      "quantizes them to int8 for 4, and more finely for others. Not: "
      "`weight_prepacked`"},
     lower_matmul_nbits},
    {{MICROSOFT_DOMAIN, "MoE", 1, 1,
      "`k`, `activation_type` (gelu, geglu, identity, relu, silu, swiglu), "
      "`swiglu_fusion`, `activation_alpha`, `activation_beta`, `swiglu_limit`, "
      "`normalize_routing_weights`; fc1, fc2, fc3 of f32, f16 or bf16 with or without "
      "biases. Not: `use_sparse_mixer`"},
     lower_experts},
    {{MICROSOFT_DOMAIN, "QMoE", 1, 1,
      "as MoE, with weights of `expert_weight_bits` (or that of each fc) 2, 4 or 8, "
      "`block_size` 0 or a power of two from 16, zero points; `quant_type` int. Not: "
      "weights packed for another runtime, router_weights"},
     lower_experts},
    {{MICROSOFT_DOMAIN, "SkipLayerNormalization", 1, 1,
      "`epsilon`; constant gamma, beta and bias; the sum as fourth output"},
     lower_norm},
    {{MICROSOFT_DOMAIN, "SkipSimplifiedLayerNormalization", 1, 1,
      "`epsilon`; constant gamma and bias; the sum as fourth output"},
     lower_norm},
    {{QUERN_DOMAIN, "Attention", EVERY_VERSION, INT64_MAX, ""}, lower_attention},
    {{QUERN_DOMAIN, "Embed", EVERY_VERSION, INT64_MAX, ""}, lower_embed},
    {{QUERN_DOMAIN, "Gate", EVERY_VERSION, INT64_MAX, ""}, lower_gate},
    {{QUERN_DOMAIN, "Linear", EVERY_VERSION, INT64_MAX, ""}, lower_linear},
    {{QUERN_DOMAIN, "LowRank", EVERY_VERSION, INT64_MAX, ""}, lower_low_rank},
    {{QUERN_DOMAIN, "Scale", EVERY_VERSION, INT64_MAX, ""}, lower_scale},
};

enum { OPERATOR_COUNT = sizeof operators / sizeof operators[0] };

const struct operator_support *lower_support(size_t i) {
    return i < OPERATOR_COUNT ? &operators[i].support : NULL;
}

/* Operators of exports that people try, and what stands in the way. */
static const struct {
    const char *domain;
    const char *op;
    const char *why;
} refusals[] = {
    {MICROSOFT_DOMAIN, "GatedDeltaNet", "layers with a recurrent state have no instruction"},
    {MICROSOFT_DOMAIN, "LinearAttention", "layers with a recurrent state have no instruction"},
    {MICROSOFT_DOMAIN, "PagedAttention",
     "a paged cache outside has no instruction; export without use_paged_attention"},
};

/* Why an operator that is not in the table has no instruction. */
static const char *refusal_of(const struct graph_node *node) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (graph_node_is(node, refusals[i].domain, refusals[i].op)) {
            return refusals[i].why;
        }
    }
    return node->note != NULL ? node->note : "this operator has no instruction";
}

/* The imported version of a domain; EVERY_VERSION if the file does not say. */
static int64_t opset_version(const struct graph *graph, const char *domain) {
    for (size_t i = 0; i < graph->opset_count; i++) {
        if (strcmp(graph->opsets[i].domain, domain) == 0) {
            return graph->opsets[i].version;
        }
    }
    return EVERY_VERSION;
}

static size_t find_operator(const struct graph_node *node) {
    size_t i = 0;
    while (i < OPERATOR_COUNT &&
           !graph_node_is(node, operators[i].support.domain, operators[i].support.op)) {
        i++;
    }
    return i;
}

/* ---- Reasons ---- */

/* Nodes of one operator that are refused for the same reason share an entry, so that a model of 100
 * layers does not give 100 lines. */
struct reason {
    char node[GRAPH_DESCRIPTION_BYTES]; /* the first one */
    char text[256];
    const char *domain;
    const char *op;
    size_t count;
    bool follows; /* plain arithmetic that would be gone if what it belongs to were recognized */
};

enum { REASONS_MAX = 64 };

struct reasons {
    struct reason list[REASONS_MAX];
    size_t count;
    size_t dropped; /* beyond REASONS_MAX */
};

static void note_reason(struct reasons *reasons, const struct graph_node *node, const char *text,
                        bool follows) {
    for (size_t i = 0; i < reasons->count; i++) {
        struct reason *reason = &reasons->list[i];
        if (strcmp(reason->text, text) == 0 && graph_node_is(node, reason->domain, reason->op)) {
            reason->count++;
            return;
        }
    }
    if (reasons->count == REASONS_MAX) {
        reasons->dropped++;
        return;
    }
    struct reason *reason = &reasons->list[reasons->count++];
    *reason =
        (struct reason){.domain = node->domain, .op = node->op, .count = 1, .follows = follows};
    graph_node_describe(node, reason->node);
    snprintf(reason->text, sizeof reason->text, "%s", text);
}

static void print_reason(const struct reason *reason, FILE *out) {
    fprintf(out, "%s: %s", reason->node, reason->text);
    if (reason->count > 1) {
        fprintf(out, " (and %zu more node%s like it)", reason->count - 1,
                reason->count == 2 ? "" : "s");
    }
}

/* One line for all arithmetic around what was not recognized: its operators and how many of each. */
static void print_followers(const struct reasons *reasons, FILE *out) {
    const char *separator = "plain operators on activations that belong to the above: ";
    for (size_t i = 0; i < reasons->count; i++) {
        if (reasons->list[i].follows) {
            fprintf(out, "%s%s (%zu)", separator, reasons->list[i].op, reasons->list[i].count);
            separator = ", ";
        }
    }
    if (strcmp(separator, ", ") == 0) {
        fputc('\n', out);
    }
}

/* All reasons, a line each. Arithmetic is summed up unless it is all there is. */
static void print_reasons(const struct reasons *reasons, bool sum_up, FILE *out) {
    for (size_t i = 0; i < reasons->count; i++) {
        if (!sum_up || !reasons->list[i].follows) {
            print_reason(&reasons->list[i], out);
            fputc('\n', out);
        }
    }
    if (sum_up) {
        print_followers(reasons, out);
    }
    if (reasons->dropped > 0) {
        fprintf(out, "(%zu more)\n", reasons->dropped);
    }
}

/* ERROR_UNSUPPORTED with the first reason and the number of others; all of them in *text if wanted. */
static bool report(const struct reasons *reasons, char **text, struct error *err) {
    size_t first = 0;
    size_t causes = 0;
    for (size_t i = reasons->count; i-- > 0;) {
        first = reasons->list[i].follows ? first : i;
        causes += !reasons->list[i].follows;
    }
    bool sum_up = causes > 0;
    size_t others = (sum_up ? causes : reasons->count) - 1 + reasons->dropped;
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (out == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a list of reasons");
    }
    print_reason(&reasons->list[first], out);
    fclose(out);
    if (others > 0) {
        error_set(err, ERROR_UNSUPPORTED, "%s; and %zu more reason%s", line, others,
                  others == 1 ? "" : "s");
    } else {
        error_set(err, ERROR_UNSUPPORTED, "%s", line);
    }
    free(line);
    out = text != NULL ? open_memstream(text, &size) : NULL;
    if (out != NULL) {
        print_reasons(reasons, sum_up, out);
        fclose(out);
    }
    return false;
}

/* ---- Shared by the operators ---- */

static void break_outputs(struct lowering *lowering, const struct graph_node *node) {
    for (size_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != GRAPH_NONE) {
            lowering->rows[node->outputs[i]].state = ROW_BROKEN;
        }
    }
}

__attribute__((format(printf, 3, 0))) static enum lower_result
note_and_break(struct lowering *lowering, const struct graph_node *node, const char *format,
               va_list arguments) {
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    note_reason(lowering->reasons, node, text, false);
    break_outputs(lowering, node);
    return LOWER_REFUSED;
}

enum lower_result refuse(struct lowering *lowering, const struct graph_node *node,
                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    enum lower_result result = note_and_break(lowering, node, format, arguments);
    va_end(arguments);
    return result;
}

/* The most that is known of any input: something broken, rows, or neither. */
static enum row_state state_of_inputs(const struct lowering *lowering,
                                      const struct graph_node *node) {
    enum row_state state = ROW_NONE;
    for (size_t i = 0; i < node->input_count; i++) {
        int input = graph_input(lowering->graph, node, i);
        enum row_state found = input != GRAPH_NONE ? lowering->rows[input].state : ROW_NONE;
        state = found > state ? found : state;
    }
    return state;
}

enum lower_result refuse_rows(struct lowering *lowering, const struct graph_node *node,
                              const char *format, ...) {
    if (state_of_inputs(lowering, node) == ROW_BROKEN) {
        break_outputs(lowering, node);
        return LOWER_REFUSED;
    }
    va_list arguments;
    va_start(arguments, format);
    enum lower_result result = note_and_break(lowering, node, format, arguments);
    va_end(arguments);
    return result;
}

enum lower_result out_of_memory(struct lowering *lowering) {
    error_set(lowering->err, ERROR_OUT_OF_MEMORY, "no memory for a plan");
    return LOWER_FAILED;
}

const struct row_value *row_input(const struct lowering *lowering, const struct graph_node *node,
                                  size_t slot) {
    int input = graph_input(lowering->graph, node, slot);
    bool is_row = input != GRAPH_NONE && lowering->rows[input].state == ROW_COLUMNS;
    return is_row ? &lowering->rows[input] : NULL;
}

bool is_whole(const struct lowering *lowering, const struct row_value *row) {
    return row->first == 0 && row->width == lowering->plan->registers[row->reg].width &&
           row->view == row->width;
}

/* lowering->linears grows with the registers. */
static bool note_register(struct lowering *lowering) {
    size_t count = lowering->plan->register_count;
    if (count > lowering->linear_capacity) {
        size_t capacity = count * 2;
        struct register_linears *larger = realloc(lowering->linears, capacity * sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        for (size_t i = lowering->linear_capacity; i < capacity; i++) {
            larger[i] = (struct register_linears){PLAN_NONE, PLAN_NONE};
        }
        lowering->linears = larger;
        lowering->linear_capacity = capacity;
    }
    return true;
}

enum lower_result new_row(struct lowering *lowering, const struct graph_node *node, size_t slot,
                          size_t width, size_t view, int *reg) {
    *reg = plan_add_register(lowering->plan, width);
    if (*reg == PLAN_NONE || !note_register(lowering)) {
        return out_of_memory(lowering);
    }
    if (slot < node->output_count && node->outputs[slot] != GRAPH_NONE) {
        lowering->rows[node->outputs[slot]] =
            (struct row_value){.state = ROW_COLUMNS, .reg = *reg, .width = width, .view = view};
    }
    return LOWER_DONE;
}

enum lower_result append(struct lowering *lowering, const struct plan_instruction *instruction) {
    return plan_append(lowering->plan, instruction) ? LOWER_DONE : out_of_memory(lowering);
}

/* ---- Nodes ---- */

/* What makes one of the node's inputs of constants, and contradicts itself; else the node. */
static const struct graph_node *find_cause(const struct lowering *lowering,
                                           const struct graph_node *node) {
    for (size_t i = 0; i < node->input_count; i++) {
        const struct graph_node *before =
            graph_producer(lowering->graph, graph_input(lowering->graph, node, i));
        if (before != NULL && before->note != NULL &&
            state_of_inputs(lowering, before) == ROW_NONE) {
            return before;
        }
    }
    return node;
}

static enum lower_result lower_node(struct lowering *lowering, const struct graph_node *node) {
    enum row_state state = state_of_inputs(lowering, node);
    bool begins_rows = graph_node_is(node, QUERN_DOMAIN, "Embed");
    if (state == ROW_NONE && !begins_rows && interpret_knows(node)) {
        return LOWER_DONE; /* mask or shape arithmetic: evaluated where something depends on it */
    }
    size_t index = find_operator(node);
    if (index == OPERATOR_COUNT) {
        const struct graph_node *cause = find_cause(lowering, node);
        bool follows = cause->note == NULL && interpret_knows(cause);
        note_reason(lowering->reasons, cause, refusal_of(cause), follows);
        break_outputs(lowering, node);
        return LOWER_REFUSED;
    }
    int64_t version = opset_version(lowering->graph, node->domain);
    if (version != EVERY_VERSION &&
        (version < operators[index].support.since || version > operators[index].support.until)) {
        return refuse(lowering, node, "version %lld of its operator set is not supported",
                      (long long)version);
    }
    return operators[index].lower(lowering, node);
}

/* ---- The whole ---- */

/* A pass may have replaced the value that is declared an output. */
static int find_output(const struct graph *graph, const char *name) {
    int value = graph_find(graph, name);
    while (value != GRAPH_NONE && graph->values[value].replaced_by != GRAPH_NONE) {
        value = graph->values[value].replaced_by;
    }
    return value != GRAPH_NONE && graph->values[value].is_output ? value : GRAPH_NONE;
}

static bool check_ids(struct lowering *lowering) {
    const char *name = lowering->config->input_ids;
    int ids = graph_find(lowering->graph, name);
    return (ids != GRAPH_NONE && lowering->graph->values[ids].is_input) ||
           error_set(
               lowering->err, ERROR_UNSUPPORTED,
               "the graph has no input \"%s\"; if it takes embeddings, it is only a part of a "
               "model",
               name);
}

struct search {
    int reg;
    bool written;
};

static void note_written(void *context, int reg, bool written) {
    struct search *search = context;
    search->written |= written && reg == search->reg;
}

/* Nothing that computes may follow the logits. (The model builder knows an lm_head by its width, and
 * has taken an inner layer of that width for it.) */
static bool check_logits_end(struct lowering *lowering, int logits) {
    const struct plan *plan = lowering->plan;
    struct search search = {.reg = logits};
    const struct plan_instruction *end = plan->instructions + plan->instruction_count;
    const struct plan_instruction *instruction = plan->instructions;
    for (; instruction < end && !search.written; instruction++) {
        plan_instruction_registers(instruction, note_written, &search);
    }
    while (instruction < end && instruction->kind != PLAN_ATTENTION) {
        instruction++;
    }
    return instruction == end ||
           error_set(lowering->err, ERROR_UNSUPPORTED,
                     "graph output \"%s\" is computed before attention %.120s, so that it and all "
                     "that follows it are for nothing; the exporter took an inner layer of %zu "
                     "outputs, as many as the vocabulary has, for the last one: export with a "
                     "vocabulary padded to another size",
                     lowering->config->logits, instruction->name, plan->registers[logits].width);
}

/* The register of the logits, which must be the graph's row output of the configured name. */
static bool find_logits(struct lowering *lowering) {
    const char *name = lowering->config->logits;
    int output = find_output(lowering->graph, name);
    if (output == GRAPH_NONE) {
        return error_set(lowering->err, ERROR_UNSUPPORTED,
                         "the graph has no output \"%s\"; if it gives hidden states, it is only a "
                         "part of a model",
                         name);
    }
    const struct row_value *row = &lowering->rows[output];
    if (row->state != ROW_COLUMNS || !is_whole(lowering, row)) {
        return error_set(lowering->err, ERROR_UNSUPPORTED,
                         "graph output \"%s\" is not computed from the rows of \"%s\"", name,
                         lowering->config->input_ids);
    }
    lowering->plan->logits = row->reg;
    lowering->plan->vocabulary_size = row->width;
    return check_logits_end(lowering, row->reg);
}

static bool contradiction(struct lowering *lowering, const char *what, size_t configured,
                          size_t found) {
    return configured == 0 || configured == found ||
           error_set(lowering->err, ERROR_BAD_FILE, "%s says %s is %zu, but the graph has %zu",
                     lowering->config->source, what, configured, found);
}

static bool check_configuration(struct lowering *lowering) {
    const struct plan *plan = lowering->plan;
    const struct model_config *config = lowering->config;
    if (!contradiction(lowering, "the vocabulary size", config->vocabulary_size,
                       plan->vocabulary_size) ||
        !contradiction(lowering, "the number of layers", config->layers, plan->kv_layer_count)) {
        return false;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        if (instruction->kind == PLAN_EMBED && !instruction->embed.by_position &&
            !contradiction(lowering, "the embedding's width", config->embedding_width,
                           plan->registers[instruction->embed.output].width)) {
            return false;
        }
        if (instruction->kind != PLAN_ATTENTION) {
            continue;
        }
        const struct plan_kv_layer *layer = &plan->kv_layers[instruction->attention.layer];
        if (!contradiction(lowering, "the number of attention heads", config->heads,
                           instruction->attention.heads) ||
            !contradiction(lowering, "the number of KV heads", config->kv_heads, layer->kv_heads) ||
            !contradiction(lowering, "the head size", config->head_dim, layer->head_dim)) {
            return false;
        }
    }
    return true;
}

/* 0: not known yet. */
static void bound_length(size_t *length, size_t positions) {
    *length = *length == 0 || positions < *length ? positions : *length;
}

/* The least of what configuration and tables allow. */
static bool set_context_length(struct lowering *lowering) {
    size_t length = lowering->config->context_length;
    for (size_t i = 0; i < lowering->plan->rope_count; i++) {
        const struct plan_rope *rope = &lowering->plan->ropes[i];
        bool is_long = lowering->plan->short_rope_length > 0;
        const struct plan_angles *angles = is_long ? &rope->long_angles : &rope->angles;
        if (angles->frequencies == PLAN_NONE) {
            bound_length(&length, angles->positions);
        }
    }
    for (size_t i = 0; i < lowering->plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &lowering->plan->instructions[i];
        if (instruction->kind == PLAN_EMBED && instruction->embed.by_position) {
            bound_length(&length, lowering->plan->weights[instruction->embed.table].rows -
                                      instruction->embed.first_position);
        }
    }
    if (length == 0) {
        return error_set(lowering->err, ERROR_BAD_FILE,
                         "neither the configuration (%s) nor a table of RoPE or of positions says "
                         "how long a context may be",
                         lowering->config->source);
    }
    lowering->plan->context_length = length;
    return true;
}

static bool lower_all(struct lowering *lowering, char **reasons) {
    const struct graph *graph = lowering->graph;
    if (!check_ids(lowering)) {
        return false;
    }
    for (size_t n = 0; n < graph->node_count; n++) {
        if (!graph->nodes[n].removed && lower_node(lowering, &graph->nodes[n]) == LOWER_FAILED) {
            return false;
        }
    }
    if (lowering->reasons->count > 0) {
        return report(lowering->reasons, reasons, lowering->err);
    }
    return find_logits(lowering) && set_context_length(lowering) && check_configuration(lowering);
}

bool lower(struct plan *plan, const struct graph *graph, const struct model_config *config,
           char **reasons, struct error *err) {
    struct lowering lowering = {
        .plan = plan,
        .graph = graph,
        .config = config,
        .rows = calloc(graph->value_count + 1, sizeof *lowering.rows),
        .proven = {GRAPH_NONE, GRAPH_NONE},
        .reasons = calloc(1, sizeof *lowering.reasons),
        .err = err,
    };
    bool lowered = lowering.rows != NULL && lowering.reasons != NULL;
    lowered = lowered ? lower_all(&lowering, reasons) : out_of_memory(&lowering) == LOWER_DONE;
    free(lowering.rows);
    free(lowering.linears);
    free(lowering.reasons);
    return lowered;
}
