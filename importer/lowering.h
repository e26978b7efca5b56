/* What the files that lower operators share. */
#ifndef QUERN_IMPORTER_LOWERING_H
#define QUERN_IMPORTER_LOWERING_H

#include "importer/lower.h"
#include "importer/probe_switch.h"

#include <stddef.h>

enum row_state {
    ROW_NONE, /* not a row value: ids, masks, shapes, constants */
    ROW_COLUMNS,
    ROW_BROKEN, /* depends on something that has no instruction; its reason is known already */
};

/* A row value: columns [first, first + width) of a register, which the graph sees as runs of `view`
 * elements. A Reshape to (.., heads, head_dim) or (.., -1, head_dim) moves no element: it makes the
 * view head_dim. */
struct row_value {
    enum row_state state;
    int reg;
    size_t first;
    size_t width;
    size_t view;
    bool last_row; /* Gather took the last position; an Unsqueeze is to follow */
};

/* Values that were proven to be the sequence lengths that an attention expects. */
struct proven_lengths {
    int seqlens_k;
    int total;
};

/* A value that was proven to depend on the sequence's length alone. */
struct proven_switch {
    int value;
    size_t longest; /* 0: nothing is proven */
    struct length_switch found;
};
enum { LOWERING_SWITCHES = 4 };

/* Linear instructions of the plan by a register, or PLAN_NONE. */
struct register_linears {
    int reads;  /* the latest that reads it */
    int writes; /* the one that writes it */
};

struct reasons;

struct lowering {
    struct plan *plan;
    const struct graph *graph;
    const struct model_config *config;
    struct row_value *rows;           /* of each value */
    struct register_linears *linears; /* of each register */
    size_t linear_capacity;
    struct proven_lengths proven;
    struct proven_switch switches[LOWERING_SWITCHES]; /* the latest */
    size_t switch_count;
    bool last_row_chosen; /* no attention may follow */
    struct reasons *reasons;
    struct error *err;
};

enum lower_result {
    LOWER_DONE,
    LOWER_REFUSED, /* the reason is noted, the node's outputs are broken; lowering goes on */
    LOWER_FAILED,  /* err is set (memory, a contradiction in the file); the import ends */
};

typedef enum lower_result lower_operator(struct lowering *lowering, const struct graph_node *node);

lower_operator lower_embed; /* lower_rows.c */
lower_operator lower_norm;
lower_operator lower_reshape;
lower_operator lower_split;
lower_operator lower_slice;
lower_operator lower_gather;
lower_operator lower_unsqueeze;
lower_operator lower_gate; /* lower_elementwise.c */
lower_operator lower_add;
lower_operator lower_factor;
lower_operator lower_scale;
lower_operator lower_linear; /* lower_linear.c */
lower_operator lower_matmul_nbits;
lower_operator lower_matmul_bnb4;
lower_operator lower_low_rank;  /* lower_low_rank.c */
lower_operator lower_experts;   /* lower_experts.c */
lower_operator lower_attention; /* lower_attention.c */

/* Notes why the node cannot be lowered and marks its outputs as broken: LOWER_REFUSED. */
enum lower_result refuse(struct lowering *lowering, const struct graph_node *node,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a reason that depends on the node's input rows: if one of them is broken, its reason is
 * known already and nothing is noted. So what does not depend on rows is checked first. */
enum lower_result refuse_rows(struct lowering *lowering, const struct graph_node *node,
                              const char *format, ...) __attribute__((format(printf, 3, 4)));

/* LOWER_FAILED, with err set. */
enum lower_result out_of_memory(struct lowering *lowering);

/* The row value of input `slot`, or NULL if it is none. */
const struct row_value *row_input(const struct lowering *lowering, const struct graph_node *node,
                                  size_t slot);

/* Is it a whole register, seen as whole rows? That is what all instructions but attention read. */
bool is_whole(const struct lowering *lowering, const struct row_value *row);

/* Makes output `slot` of the node a new register of that width, seen in runs of `view` elements. */
enum lower_result new_row(struct lowering *lowering, const struct graph_node *node, size_t slot,
                          size_t width, size_t view, int *reg);

enum lower_result append(struct lowering *lowering, const struct plan_instruction *instruction);

/* *sum = a register of the rows of `reg` plus the vector of input `slot`, or `reg` itself where that
 * input is absent. (lower_elementwise.c) */
enum lower_result add_vector(struct lowering *lowering, const struct graph_node *node, int reg,
                             size_t slot, int *sum);

/* Makes the node's output the rows of `reg` times a factor. (lower_elementwise.c) */
enum lower_result scale_output(struct lowering *lowering, const struct graph_node *node, int reg,
                               float factor);

/* ---- lower_weights.c: constants to weights, vectors and tables of the plan ---- */

/* The constant that input `slot` is, or NULL if it is absent or no constant; its name. */
const struct tensor *constant_input(const struct lowering *lowering, const struct graph_node *node,
                                    size_t slot);
const char *input_name(const struct lowering *lowering, const struct graph_node *node, size_t slot);

/* A vector of `length` elements from input `slot`; an absent input is PLAN_NONE. */
enum lower_result lower_vector(struct lowering *lowering, const struct graph_node *node,
                               size_t slot, size_t length, int *vector);
enum lower_result lower_scaled_vector(struct lowering *lowering, const struct graph_node *node,
                                      size_t slot, size_t length, float factor, int *vector);

/* A matrix of floats, stored (outputs, inputs) or, if transposed, (inputs, outputs). A tensor that
 * the plan has already is shared. */
enum lower_result lower_matrix(struct lowering *lowering, const struct graph_node *node,
                               size_t slot, bool transposed, int *weight);

/* The inputs that make up a quantized matrix. */
struct quantized_slots {
    size_t data;
    size_t scales;
    size_t zero_points;
    size_t group_index; /* 0: there is none */
};

/* One of rows x columns, as MatMulNBits packs it, in rows of `codes`, 0: of as many as whole blocks
 * have. */
enum lower_result lower_quantized(struct lowering *lowering, const struct graph_node *node,
                                  const struct quantized_slots *slots, size_t rows, size_t columns,
                                  size_t codes, int *weight);

/* One of rows x columns with a code book, as MatMulBnb4 packs it. */
enum lower_result lower_code_book(struct lowering *lowering, const struct graph_node *node,
                                  const struct quantized_slots *slots, size_t rows, size_t columns,
                                  int *weight);

/* How fast mode may quantize what a weight is multiplied with, as attribute accuracy_level says: 1
 * not at all, 4 (int8) as coarsely as the weight's blocks allow, else finely. */
void lower_accuracy(struct lowering *lowering, const struct graph_node *node,
                    struct plan_weight *weight);

/* One with scales as DequantizeLinear has them: attributes transposed, axis, block_size. */
enum lower_result lower_dequantized(struct lowering *lowering, const struct graph_node *node,
                                    const struct quantized_slots *slots, int *weight);

/* How the engine calls numbers of that type; false for those that it does not read. */
bool lower_float_element(enum tensor_type type, enum element_type *element);

/* ---- lower_rope.c ---- */

/* The RoPE of three inputs: two tables (positions, half), constant or chosen by the sequence's length,
 * and the positions, which may be absent. */
struct rope_slots {
    size_t cosines;
    size_t sines;
    size_t positions;
};
enum lower_result lower_rope(struct lowering *lowering, const struct graph_node *node,
                             const struct rope_slots *slots, int *rope);

/* A RoPE of computed angles; PLAN_NONE if the input is absent. */
enum lower_result lower_frequencies(struct lowering *lowering, const struct graph_node *node,
                                    size_t slot, float amplitude, int *rope);

#endif
