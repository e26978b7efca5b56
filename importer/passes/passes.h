/* Passes: rewrites that bring a graph closer to the plan, one a file.
 *
 * Each looks for a meaning, not for names: operators, attributes, constants. What it does not
 * recognize it leaves alone, and lower.h then says what is in the way. Besides the operators of ONNX
 * and com.microsoft they leave these, of domain "quern":
 *
 *   Embed (table, ids, [scales], [zero_points])   rows of a table, times a constant
 *       by_position  1: instead of ids, what is to be the positions of the tokens plus a number
 *       bits, block_size  as GatherBlockQuantized has packed bytes; bits 0: as Linear has its weight
 *       columns  fewer than there are, where the last block is padded
 *       transposed  1: the table is (hidden, vocabulary)
 *       scale  float
 *   Linear (x, weight, [bias], [scales], [zero_points])
 *                                                 factor * (x times a constant matrix + a vector)
 *       transposed  1: the matrix is (inputs, outputs)
 *       axis, block_size  of the scales, as DequantizeLinear has them; without scales, the matrix
 *                         holds numbers
 *       factor, bias_factor  floats, 1 unless given; the latter multiplies the vector before
 *   Gate (gate, [up], [bias])                     activation(gate + bias) * up
 *       activation  an enum plan_activation
 *   Scale (x)                                     softcap * tanh(factor * x / softcap)
 *       factor, softcap  floats
 *
 *   LowRank (base, x, down, up)                   base + factor * (x times two matrices), which an
 *                                                 adapter brings: both are inputs of the graph
 *       down_turned, up_turned  1: the matrix is (outputs, inputs)
 *       factor  float
 *
 *   Attention (query, key, value, past_key, past_value, -, -, [frequencies])
 *       as com.microsoft GroupQueryAttention, with its inputs where that has them, but
 *       head_dim, query_first, key_first, value_first  columns of the three inputs
 *       rotary_amplitude  what the cosines and sines of position x frequency are multiplied with;
 *                         with do_rotary there are tables instead
 *
 * Both it and GroupQueryAttention may have q_norm_weight and k_norm_weight (inputs 14 and 15), and
 *       rotary_whole_heads  1: the tables must be as wide as to rotate all of a head
 *       rotary_first        1: heads are rotated before they are normalized, not after */
#ifndef QUERN_IMPORTER_PASSES_PASSES_H
#define QUERN_IMPORTER_PASSES_PASSES_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/model_config.h"
#include "importer/operators.h"

#include <stdbool.h>
#include <stddef.h>

#define QUERN_DOMAIN     "quern"
#define MICROSOFT_DOMAIN "com.microsoft"

/* Input slots. */
enum { EMBED_TABLE = 0, EMBED_IDS = 1, EMBED_SCALES = 2, EMBED_ZERO_POINTS = 3, EMBED_INPUTS = 4 };
enum {
    LINEAR_X = 0,
    LINEAR_WEIGHT = 1,
    LINEAR_BIAS = 2,
    LINEAR_SCALES = 3,
    LINEAR_ZERO_POINTS = 4,
    LINEAR_INPUTS = 5,
};
enum {
    LOW_RANK_BASE = 0,
    LOW_RANK_X = 1,
    LOW_RANK_DOWN = 2,
    LOW_RANK_UP = 3,
    LOW_RANK_INPUTS = 4,
};
enum { GATE_GATE = 0, GATE_UP = 1, GATE_BIAS = 2, GATE_INPUTS = 3 };

/* One pass over the graph; adds to *changes what it rewrote. False only when memory is out. */
typedef bool graph_pass(struct graph *graph, size_t *changes, struct error *err);

/* The same for what is recognized by running parts of the graph on inputs of the configured names. */
typedef bool graph_probing_pass(struct graph *graph, const struct model_config *config,
                                size_t *changes, struct error *err);

graph_pass pass_low_rank;
graph_pass pass_optional_inputs;
graph_pass pass_fold_constants;
graph_pass pass_drop_casts;
graph_pass pass_embedding_scale;
graph_pass pass_linear;
graph_pass pass_dynamic_int8;
graph_pass pass_norm;
graph_pass pass_activation;
graph_pass pass_gate;
graph_pass pass_bias;
graph_pass pass_softcap;
graph_pass pass_rotary;
graph_pass pass_qk_norm;
graph_pass pass_skip_norm;

graph_probing_pass pass_unread_outputs;
graph_probing_pass pass_embedding;
graph_probing_pass pass_write_out;
graph_probing_pass pass_attention;
graph_probing_pass pass_attention_bias;
graph_probing_pass pass_constant_shapes;

/* Runs all of them in their order, sweeps after each, and records in the graph what each changed. */
bool passes_run(struct graph *graph, const struct model_config *config, struct error *err);

/* The i-th operator that some pass recognizes; NULL past the last. */
const struct operator_support *passes_support(size_t i);

#endif
