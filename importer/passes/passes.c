#include "importer/passes/passes.h"

/* Adapters before all that takes inputs which may be left out for constants. Then constants and
 * casts, so that the patterns behind them need not know of either. What needs a value to have one
 * reader comes behind attention, with which all readers of mere shapes go. */
static const struct {
    const char *name;
    graph_pass *run;
    graph_probing_pass *probe;
} passes[] = {
    {"recognize what adapters add", pass_low_rank, NULL},
    {"settle optional inputs", pass_optional_inputs, NULL},
    {"recognize linears of quantized embeddings", pass_dynamic_int8, NULL},
    {"drop outputs that are not read", NULL, pass_unread_outputs},
    {"fold constants", pass_fold_constants, NULL},
    {"drop float casts", pass_drop_casts, NULL},
    {"recognize embeddings", NULL, pass_embedding},
    {"recognize linears", pass_linear, NULL},
    {"recognize linears of quantized activations", pass_dynamic_int8, NULL},
    {"recognize norms", pass_norm, NULL},
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
    {"fold rotary embeddings before such norms", pass_rotary, NULL},
    {"fold residual sums into norms", pass_skip_norm, NULL},
};

enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

/* What the passes recognize and rewrite, so that it never comes to be lowered. */
static const struct operator_support recognized[] = {
    {"", "Attention", 23, INT64_MAX,
     "written out in plain operators: `q_num_heads`, `kv_num_heads`, `is_causal`, "
     "`scale`, `softcap`; attn_mask, past and present. Not: nonpad_kv_seqlen, "
     "`left_window_size`, `right_window_size`, the fourth output"},
    {"", "Cast", 1, INT64_MAX, "between floating point types it is dropped: activations are f32"},
    {"", "Constant", 1, INT64_MAX,
     "`value`, `value_float`, `value_floats`, `value_int`, `value_ints`; a weight "
     "may be one"},
    {"", "DequantizeLinear", 10, INT64_MAX,
     "of a constant matrix of int8, uint8, int4, uint4, int2 or uint2 before MatMul, "
     "Gemm or Gather, or behind the Gather; `axis`, `block_size`, zero points"},
    {"", "DynamicQuantizeLinear", 11, INT64_MAX,
     "before MatMulInteger; each row is quantized by itself"},
    {"", "Gather", 1, INT64_MAX,
     "`axis` 0: the embedding of ids, and that of positions which count, of a table of f32, f16, "
     "bf16, transposed or not, or quantized"},
    {"", "Gelu", 20, INT64_MAX, "`approximate` none or tanh"},
    {"", "Gemm", 7, INT64_MAX,
     "a constant matrix, maybe behind Transpose or DequantizeLinear; `alpha`, "
     "`beta`, `transB`, a constant bias"},
    {"", "Identity", 1, INT64_MAX, "dropped"},
    {"", "MatMul", 1, INT64_MAX,
     "a constant matrix of f32, f16, bf16, maybe behind Transpose or "
     "DequantizeLinear; two activations in an attention of plain operators; two matrices that are "
     "inputs, one behind the other, added to a linear layer: those of adapters"},
    {"", "MatMulInteger", 10, INT64_MAX,
     "behind DynamicQuantizeLinear, or of rows of a quantized embedding; a constant matrix, scales "
     "and zero points one or one for each output"},
    {"", "Pow", 7, INT64_MAX, "with exponent 2 in a norm of plain operators or behind Relu"},
    {"", "Relu", 6, INT64_MAX, "also squared, by Pow with exponent 2"},
    {"", "RotaryEmbedding", 23, INT64_MAX,
     "`interleaved`, `rotary_embedding_dim`, `num_heads`; before an attention, with "
     "position_ids that count"},
    {"", "Sigmoid", 6, INT64_MAX, "as activation; times its input it is SiLU"},
    {"", "Softmax", 1, INT64_MAX,
     "in an attention of plain operators: heads, RoPE, groups, softcap, causal mask "
     "and window are found by running it"},
    {"", "Sqrt", 6, INT64_MAX, "in a norm of plain operators, also as Reciprocal, Div or Pow -0.5"},
    {"", "Tanh", 6, INT64_MAX, "between a division and a product: a softcap; within GELU"},
    {MICROSOFT_DOMAIN, "BiasGelu", 1, INT64_MAX, "a constant bias"},
    {MICROSOFT_DOMAIN, "DequantizeLinear", 1, INT64_MAX, "as that of the standard"},
    {MICROSOFT_DOMAIN, "DynamicQuantizeMatMul", 1, INT64_MAX,
     "a constant matrix; each row is quantized by itself"},
    {MICROSOFT_DOMAIN, "FastGelu", 1, INT64_MAX, "with or without a constant bias"},
    {MICROSOFT_DOMAIN, "GatherBlockQuantized", 1, INT64_MAX,
     "`gather_axis` 0, `quantize_axis` of the columns, `bits`, `block_size`, zero "
     "points; padded blocks cut off by a Slice"},
    {MICROSOFT_DOMAIN, "Gelu", 1, INT64_MAX, "exact"},
    {MICROSOFT_DOMAIN, "MatMulIntegerToFloat", 1, INT64_MAX, "behind DynamicQuantizeLinear"},
    {MICROSOFT_DOMAIN, "MultiHeadAttention", 1, INT64_MAX,
     "written out in plain operators: `num_heads`, `scale`, `unidirectional`; "
     "attention_bias, past and present. Not: packed inputs, bias, key_padding_mask, "
     "past_sequence_length, cache_indirection, the fourth output"},
    {MICROSOFT_DOMAIN, "QuickGelu", 1, INT64_MAX, "`alpha` 1 (SiLU) or 1.702"},
    {MICROSOFT_DOMAIN, "RotaryEmbedding", 1, INT64_MAX,
     "`interleaved`, `rotary_embedding_dim`, `num_heads`; before an attention, with "
     "position_ids that count. Not: `is_packed_batching`"},
};

const struct operator_support *passes_support(size_t i) {
    return i < sizeof recognized / sizeof recognized[0] ? &recognized[i] : NULL;
}

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
