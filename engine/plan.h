/* The plan: the one contract between importer and engine.
 *
 * A decoder is a straight list of instructions over virtual registers of shape (rows, width), f32.
 * A row is one token of one sequence at one position; a step runs the list once on any mix of rows
 * (prompts and decodes of many sequences). Every instruction works row by row, except attention,
 * which also reads its sequence's KV pages; so batching and chunked prefill need no special case.
 *
 *     embed        ids                         -> r0            (rows, hidden)
 *     norm         r0                          -> r1
 *     linear       r1  x {Wq, Wk, Wv}          -> r2 r3 r4      one input, several weights
 *     attention    r2 r3 r4 + KV pages         -> r5
 *     ...
 *     select_rows                                               only rows whose logits are wanted
 *     ...
 *     linear       rN  x {lm_head}             -> logits        (wanted rows, vocabulary)
 *
 * A register is written by exactly one instruction and read only by later ones (plan_verify proves
 * it); which registers share memory is the executor's business.
 *
 * Ownership: the plan owns its lists and names (one arena). The bytes of weights and RoPE tables
 * are borrowed from whoever built the plan (the mapped model files) and must outlive it. A plan is
 * built by one thread; once verified it is constant, and any thread may read it. */
#ifndef QUERN_ENGINE_PLAN_H
#define QUERN_ENGINE_PLAN_H

#include "engine/arena.h"
#include "engine/code_book.h"
#include "engine/element_type.h"
#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    PLAN_NONE = -1,              /* an optional register, weight, vector or table that is absent */
    PLAN_LINEAR_OUTPUTS_MAX = 4, /* q, k, v and one to spare */
    PLAN_EXPERTS_MAX = 4096,     /* of one instruction; a few hundred are in use */
    PLAN_CHOSEN_MAX = 64,        /* by one row; about ten are in use */
    PLAN_RANK_MAX = 1024,        /* of an adapter; 8 to 256 are in use */
};

/* ---- What the model file holds, described but not copied ---- */

/* A part of a weight: element (i, j) is element i * row + j * step of one run of elements, which begins
 * at `bytes` and may have any alignment. Elements of less than a byte lie one behind the other, low
 * bits first. Where so many neighbours share one, it is element (i * row + j * step) / shared. */
struct plan_part {
    const uint8_t *bytes;
    size_t row;
    size_t step;
    size_t shared; /* 0, 1: each has its own */
};

/* A matrix of `rows` outputs by `columns` inputs, y[n] = sum_k x[k] * W[n][k], as the model file
 * stores it.
 *
 *   bits == 0: W[n][k] = data(n, k), numbers of `type`.
 *
 *   bits == 2, 4 or 8: data are codes of so many bits, and columns share a scale in blocks,
 *   b = k / block_size or, where there is one, b = group_index[k]:
 *
 *       W[n][k] = (data(n, k) - zero_points(n, b)) * scales(n, b)
 *
 *       data         unsigned, or two's complement if `is_signed`; with a `code_book` (4 bits, without
 *                    zero points) what that has for the code, which then lie high bits first
 *       scales       of `scale_type`; may be negative
 *       zero_points  codes like the data or, if `zero_points_are_numbers`, of `scale_type`; where
 *                    there are none, `zero_point` everywhere
 *
 * Rows and steps say how the parts lie: com.microsoft MatMulNBits pads the codes of each row to whole
 * blocks, and its zero points to whole bytes; DequantizeLinear before a MatMul has everything the
 * other way round, outputs side by side; one scale for all is row 0, step 0; an expert's gate and up
 * projection are the even and the odd rows of one tensor; MatMulBnb4 lays rows one behind the other
 * and cuts that into blocks, so that a block may begin within a row and end in the next. */
struct plan_weight {
    const char *name;
    size_t rows;
    size_t columns;
    unsigned bits;
    enum element_type type; /* bits == 0 only; all that follows but data: bits > 0 only */
    struct plan_part data;
    bool is_signed;
    const struct code_book *code_book; /* or NULL */
    size_t block_size;
    const uint8_t *group_index; /* i32 of each column, or NULL */
    struct plan_part scales;
    enum element_type scale_type;
    struct plan_part zero_points;
    bool zero_points_are_numbers;
    int zero_point;
    bool full_precision; /* fast mode must not quantize what it is multiplied with */
    bool fine_inputs;    /* if fast mode does, then finely: nothing in the file asks for it */
};

/* "q4", "nf4": what the codes of a quantized weight are called. */
const char *plan_weight_code_name(const struct plan_weight *weight);

/* How many blocks a row has, and the block of a column. */
size_t plan_weight_blocks(const struct plan_weight *weight);
size_t plan_weight_block(const struct plan_weight *weight, size_t column);

/* The bytes from the first element of rows [first, end) of a part to their last. Where rows do not
 * follow each other (part->row < part->step), other rows lie between them. */
enum plan_weight_part {
    PLAN_WEIGHT_DATA,
    PLAN_WEIGHT_SCALES,
    PLAN_WEIGHT_ZERO_POINTS,
    PLAN_WEIGHT_PARTS,
};
struct plan_bytes {
    const uint8_t *bytes; /* NULL: the weight has no such part */
    size_t size;
};
const struct plan_part *plan_weight_part(const struct plan_weight *weight,
                                         enum plan_weight_part which);
struct plan_bytes plan_weight_bytes(const struct plan_weight *weight, enum plan_weight_part which,
                                    size_t first, size_t end);

/* The bytes of the whole weight in the file, padding left out. */
size_t plan_weight_size(const struct plan_weight *weight);

/* A small vector (norm weights, biases), converted to f32 and copied into the plan. */
struct plan_vector {
    const char *name;
    size_t length;
    const float *values;
};

/* Cos and sin of position x frequency. Exports with fused attention have a table of them,
 * (positions, half) of `type`, any alignment; others compute amplitude * cos(position * frequency)
 * in f32, and so do we. */
struct plan_angles {
    size_t positions; /* of the table */
    enum element_type type;
    const uint8_t *cosines;
    const uint8_t *sines;
    int frequencies; /* vector of `half`, or PLAN_NONE: there is a table */
    float amplitude;
};

/* By which angles RoPE rotates `half` pairs of dimensions. */
struct plan_rope {
    const char *name;
    size_t half;
    struct plan_angles angles;
    struct plan_angles long_angles; /* of sequences longer than plan.short_rope_length */
};

/* What an adapter (LoRA) brings for one output of a linear instruction: two matrices of `rank`
 * numbers in the middle. */
struct plan_low_rank_pair {
    struct plan_weight down; /* (rank, columns); no rows: it adds nothing */
    struct plan_weight up;   /* (rows, rank) */
};

/* A place where adapters add something to an output: factor * up(down(x)), for each row that of its
 * own adapter. Rows without an adapter get what the model itself has, as a rule nothing. */
struct plan_low_rank {
    const char *name;
    size_t columns; /* inputs and outputs of the linear layer */
    size_t rows;
    float factor;
    struct plan_low_rank_pair own;
};

/* What one attention instruction keeps per position, and for how long. */
struct plan_kv_layer {
    size_t kv_heads;
    size_t head_dim;
    size_t window; /* a row sees the last `window` positions, itself included; 0: all of them */
};

/* ---- Instructions ---- */

/* Columns [first, first + n) of a register; n follows from the instruction. Packed QKV is one
 * register read at three places. Where the heads of an attention do not lie side by side (GPT-NeoX has
 * query, key and value of a head together), head h begins at first + h * step. */
struct plan_operand {
    int reg;
    size_t first;
    size_t step; /* 0: head_dim */
};

/* output[r] = scale * table[id of row r] or, where positions are learned and there is a table of them,
 * scale * table[first_position + position of row r]. A table that a linear instruction uses too (tied
 * embedding) is one weight. */
struct plan_embed {
    int table; /* weight (vocabulary, hidden), or (positions, hidden) */
    bool by_position;
    size_t first_position; /* the row of position 0 */
    float scale;
    int output;
};

enum plan_norm_kind { PLAN_NORM_RMS, PLAN_NORM_LAYER };

/* s = input + residual (residual may be PLAN_NONE); sum = s if wanted; output = norm(s) * weight +
 * bias. RMS:    norm(s) = s / sqrt(mean(s^2) + epsilon) layer:  norm(s) = (s - mean(s)) /
 * sqrt(variance(s) + epsilon) over each run of `group` columns: the whole row, or one head. weight
 * and bias have `group` elements. */
struct plan_norm {
    enum plan_norm_kind kind;
    int input;
    int residual;
    int sum; /* register, or PLAN_NONE */
    int output;
    int weight; /* vector */
    int bias;   /* vector, or PLAN_NONE */
    size_t group;
    float epsilon;
};

/* output_i = input W_i^T + bias_i for each i, sharing one (quantized) input, plus what the row's
 * adapter adds, if there is a place for that. */
struct plan_linear {
    int input;
    size_t count;
    struct {
        int weight;
        int bias;     /* vector, or PLAN_NONE */
        int low_rank; /* or PLAN_NONE */
        int output;
    } outputs[PLAN_LINEAR_OUTPUTS_MAX];
};

/* Grouped-query attention with everything around it, for the row at position p:
 *
 *     q, k <- per-head RMS norm                     if q_norm, k_norm
 *     q, k <- rotated by RoPE at p                  if rope; before the norms if rope_first
 *     k, v <- scale * clamp(round(x / scale))       if k_scales, v_scales: what a quantized cache
 *                                                   of cache_bits makes of them
 *     k, v -> KV cache at p
 *     s_j = scale * q . k_j                         for visible j: j <= p, and j > p - window where
 *                                                   the layer has one
 *     s_j <- softcap * tanh(s_j / softcap)          if softcap > 0
 *     output = sum_j exp(s_j) v_j / (sum_j exp(s_j) + exp(sink of the head))
 *
 * where the sink's term is absent without sinks. Query head h reads KV head h / (heads / kv_heads).
 * RoPE pairs (i, i + half), or (2i, 2i + 1) if interleaved; dims from 2 * half on pass through.
 * (com.microsoft GroupQueryAttention) */
struct plan_attention {
    struct plan_operand query; /* heads x head_dim columns */
    struct plan_operand key;   /* kv_heads x head_dim columns */
    struct plan_operand value; /* kv_heads x head_dim columns */
    int output;                /* heads x head_dim columns */
    size_t layer;              /* index into plan.kv_layers: window, kv_heads, head_dim */
    size_t heads;
    float scale;
    float softcap; /* 0: none */
    int rope;      /* or PLAN_NONE */
    bool rope_interleaved;
    bool rope_first;
    int q_norm; /* vector of head_dim, or PLAN_NONE */
    int k_norm;
    float q_norm_epsilon;
    float k_norm_epsilon;
    int sinks;    /* vector of heads, or PLAN_NONE */
    int k_scales; /* vector of kv_heads x head_dim, or PLAN_NONE */
    int v_scales;
    unsigned cache_bits; /* with scales only: codes are signed integers of 2 to 8 bits */
};

enum plan_activation {
    PLAN_ACTIVATION_GELU_TANH,    /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    PLAN_ACTIVATION_GELU_ERF,     /* 0.5 x (1 + erf(x / sqrt 2)) */
    PLAN_ACTIVATION_SILU,         /* x / (1 + exp(-x)) */
    PLAN_ACTIVATION_QUICK_GELU,   /* x / (1 + exp(-1.702 x)) */
    PLAN_ACTIVATION_RELU,         /* max(x, 0) */
    PLAN_ACTIVATION_RELU_SQUARED, /* max(x, 0)^2 */
    PLAN_ACTIVATION_SIGMOID,      /* 1 / (1 + exp(-x)) */
    PLAN_ACTIVATION_IDENTITY,     /* x */
    PLAN_ACTIVATION_COUNT,
};

/* output = activation(gate) * up, or activation(gate) where there is no up */
struct plan_gate {
    enum plan_activation activation;
    struct plan_operand gate; /* as many columns as output */
    struct plan_operand up;   /* likewise; its register may be PLAN_NONE */
    int output;
};

/* output = first + second, a register or, the same for every row, a vector: one of them is
 * PLAN_NONE. */
struct plan_add {
    int first;
    int second;
    int vector;
    int output;
};

/* With s = factor * input: output = s, or softcap * tanh(s / softcap) if softcap > 0. */
struct plan_scale {
    int input;
    float factor;
    float softcap;
    int output;
};

/* One projection of all experts. */
struct plan_expert_matrix {
    int weights; /* that of expert 0, which those of the others follow; all have one form. Of `up`
                    PLAN_NONE: there is none */
    int bias;    /* vector of experts x rows, or PLAN_NONE */
};

/* A mixture of experts. The `chosen` greatest of a row's router logits choose as many experts (of
 * equal ones the later, as onnxruntime does), and output is the sum over them, in ascending order, of
 *
 *     w_e (down_e hidden_e + bias_e)
 *     w_e = exp(logit_e) / sum of exp(logit), over the chosen, or over all if `softmax_over_all`
 *     hidden_e = activation(gate_e x) * (up_e x), or activation(gate_e x) without up
 *
 * each projection with its bias. If `swiglu`, hidden_e is instead, with g = min(gate_e x, limit) and
 * u = up_e x clamped to -limit .. limit, g / (1 + exp(-alpha g)) * (u + beta).
 * (com.microsoft MoE and QMoE) */
struct plan_experts {
    int input;
    int router; /* register of `experts` columns */
    int output;
    size_t experts;
    size_t chosen;
    bool softmax_over_all;
    bool swiglu;
    enum plan_activation activation; /* unless swiglu */
    float alpha;                     /* these three of swiglu only */
    float beta;
    float limit; /* INFINITY: none */
    struct plan_expert_matrix gate;
    struct plan_expert_matrix up;
    struct plan_expert_matrix down;
};

/* Nothing after this needs rows whose logits nobody wants: every register that is read later keeps
 * the wanted rows only, in their order. At most one in a plan. */
struct plan_select_rows {
    int unused;
};

enum plan_kind {
    PLAN_EMBED,
    PLAN_NORM,
    PLAN_LINEAR,
    PLAN_ATTENTION,
    PLAN_GATE,
    PLAN_ADD,
    PLAN_SCALE,
    PLAN_EXPERTS,
    PLAN_SELECT_ROWS,
    PLAN_KIND_COUNT,
};

struct plan_instruction {
    enum plan_kind kind;
    const char *name; /* of the node it came from, for inspect and for messages */
    union {
        struct plan_embed embed;
        struct plan_norm norm;
        struct plan_linear linear;
        struct plan_attention attention;
        struct plan_gate gate;
        struct plan_add add;
        struct plan_scale scale;
        struct plan_experts experts;
    };
};

struct plan_register {
    size_t width;
};

/* What tells one state of a file from another. */
struct plan_file_identity {
    bool known; /* false: not a file */
    uint64_t device;
    uint64_t inode;
    uint64_t modified_ns;
    uint64_t changed_ns;
};

/* A read-only mapping of a file: pages in it may be given back to the system, as they come back
 * from the file when they are read again. Weights that lie elsewhere are left alone. */
struct plan_mapping {
    const uint8_t *bytes;
    size_t size;
    struct plan_file_identity identity;
};

struct plan {
    struct arena arena;
    struct plan_instruction *instructions;
    size_t instruction_count;
    struct plan_register *registers;
    size_t register_count;
    struct plan_weight *weights;
    size_t weight_count;
    struct plan_vector *vectors;
    size_t vector_count;
    struct plan_rope *ropes;
    size_t rope_count;
    struct plan_low_rank *low_ranks;
    size_t low_rank_count;
    struct plan_kv_layer *kv_layers;
    size_t kv_layer_count;
    struct plan_mapping *mappings;
    size_t mapping_count;
    int logits; /* the register of width vocabulary_size that the last instruction writes */
    size_t vocabulary_size;
    size_t context_length; /* positions a sequence may have: the least that configuration, tables of
                              RoPE and tables of learned positions allow */
    size_t short_rope_length; /* a longer sequence is rotated by the long angles of each RoPE, from
                                 position 0 on; 0: there are none */
    bool full_precision; /* the file asks for f32 activations (accuracy_level 1): fast mode must not
                            quantize them */
};

/* ---- Building (importer) ---- */

void plan_init(struct plan *plan);
void plan_deinit(struct plan *plan);

/* Each copies what it is given (names included; not weight and table bytes) and returns the new
 * index, or PLAN_NONE when memory is out. plan_add_vector leaves it to the caller to fill values
 * (length floats, arena memory). */
int plan_add_register(struct plan *plan, size_t width);
int plan_add_weight(struct plan *plan, const struct plan_weight *weight);
int plan_add_vector(struct plan *plan, const char *name, size_t length, float **values);
int plan_add_rope(struct plan *plan, const struct plan_rope *rope);
int plan_add_low_rank(struct plan *plan, const struct plan_low_rank *low_rank);
int plan_add_kv_layer(struct plan *plan, const struct plan_kv_layer *layer);
bool plan_add_mapping(struct plan *plan, const struct plan_mapping *mapping);
bool plan_append(struct plan *plan, const struct plan_instruction *instruction);

/* Calls visit once for each register that the instruction reads (written = false), then writes
 * (true). */
typedef void plan_visit_register(void *context, int reg, bool written);
void plan_instruction_registers(const struct plan_instruction *instruction,
                                plan_visit_register *visit, void *context);

/* Calls visit once for each matrix that the instruction multiplies its rows with. */
typedef void plan_visit_weight(void *context, int weight);
void plan_instruction_matrices(const struct plan_instruction *instruction, plan_visit_weight *visit,
                               void *context);

/* Inserts select_rows behind the last attention and the last embedding, so that for a prompt only its
 * last row passes the rest of the last layer, the final norm and the lm_head. */
bool plan_insert_select_rows(struct plan *plan);

/* Checks every index, width and order, so that the executor need not. ERROR_BAD_FILE names the
 * instruction. */
bool plan_verify(const struct plan *plan, struct error *err);

/* Do the matrices of an adapter fit there? ERROR_BAD_FILE if not. */
bool plan_low_rank_fits(const struct plan_low_rank *low_rank, const struct plan_low_rank_pair *pair,
                        struct error *err);

/* ---- Reading ---- */

/* Is a sequence of `length` positions rotated by the long angles? One that outgrows the others has to
 * be computed anew, since they rotated its keys. (Phi-3, as onnxruntime-genai runs it) */
bool plan_uses_long_rope(const struct plan *plan, size_t length);

const char *plan_activation_name(enum plan_activation activation);
const char *plan_kind_name(enum plan_kind kind);

/* One line an instruction, for `quern inspect`. */
void plan_print(const struct plan *plan, FILE *out);

/* A drawing of instructions and registers for Graphviz' dot. False when memory is out. */
bool plan_print_dot(const struct plan *plan, FILE *out);

#endif
