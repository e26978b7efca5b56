/* The graph: our own small form of an ONNX graph, on which the passes work.
 *
 * Values and nodes are numbered. A value is a graph input, a constant (an initializer, or the output
 * of a Constant node), or one output of a node:
 *
 *     input_ids ──▶ node Gather ──▶ value "embed" ──▶ node Mul ──▶ ...
 *     table (constant) ──┘
 *
 * Passes rewrite nodes in place, so that they stay in topological order, or sort them again; a value
 * that a pass makes superfluous is replaced by another (graph_replace), and graph_sweep then
 * rewires all readers at once and marks as removed what nobody reads any more.
 *
 * Besides the operators of ONNX and com.microsoft a graph may hold, after the passes, those of
 * domain "quern" (see passes/passes.h).
 *
 * Owned by its reader: everything lives in the graph's arena, except the bytes of constants, which
 * may lie in the mapped model files. Used by one thread. */
#ifndef QUERN_IMPORTER_GRAPH_H
#define QUERN_IMPORTER_GRAPH_H

#include "engine/arena.h"
#include "engine/error.h"
#include "importer/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRAPH_NONE = -1,           /* an absent optional input or output, or no node */
    GRAPH_NODES_MAX = 1 << 18, /* a decomposed 100-layer model has about 40,000 */
    GRAPH_NESTING_MAX = 4,     /* subgraphs within subgraphs */
    GRAPH_CENSUS_MAX = 256,    /* operators that are counted one by one */
    GRAPH_DESCRIPTION_BYTES = 280,
    GRAPH_DIM_SYMBOLIC = -1, /* a declared dimension that is only known at run time */
};

enum graph_attribute_kind {
    ATTRIBUTE_FLOAT = 1,
    ATTRIBUTE_INT = 2,
    ATTRIBUTE_STRING = 3,
    ATTRIBUTE_TENSOR = 4,
    ATTRIBUTE_GRAPH = 5,
    ATTRIBUTE_FLOATS = 6,
    ATTRIBUTE_INTS = 7,
};

struct graph_attribute {
    const char *name;
    enum graph_attribute_kind kind;
    float number;
    int64_t integer;
    const char *text;
    const struct tensor *tensor;
    const struct graph *subgraph;
    const float *numbers;
    const int64_t *integers;
    size_t count; /* of numbers or integers */
};

struct graph_value {
    const char *name;
    int producer;                  /* node, or GRAPH_NONE for inputs and constants */
    const struct tensor *constant; /* NULL if it depends on the graph's inputs */
    int replaced_by;               /* value, or GRAPH_NONE */
    int uses;                      /* readers, graph outputs included, as of the last sweep */
    bool is_input;
    bool is_output;
    bool is_default; /* a constant that is an input, too: it holds unless another one is given */
    bool unread;     /* a declared output that a pass found to be read by nobody */
    enum tensor_type type; /* declared, for graph inputs and outputs; else TENSOR_NONE */
    size_t rank;
    const int64_t *dims; /* declared: GRAPH_DIM_SYMBOLIC where it is a name */
};

struct graph_node {
    const char *name;
    const char *domain; /* "" for the standard operators */
    const char *op;
    int *inputs; /* values, or GRAPH_NONE */
    size_t input_count;
    int *outputs;
    size_t output_count;
    struct graph_attribute *attributes;
    size_t attribute_count;
    bool removed;
    const char *note; /* why a pass that would have rewritten it did not, or NULL */
};

struct graph_opset {
    const char *domain;
    int64_t version;
};

struct graph_operator_count {
    const char *domain;
    const char *op;
    size_t count;
};

/* How often each operator occurs, in order of first occurrence. */
struct graph_census {
    struct graph_operator_count *operators;
    size_t count;
    size_t others; /* nodes of further operators, beyond GRAPH_CENSUS_MAX */
};

struct graph_pass_record {
    const char *name;
    size_t changes;
};

struct graph_name_slot;

struct graph {
    struct arena *arena;
    struct arena own_arena; /* the outermost graph's; subgraphs share it */
    struct graph_value *values;
    size_t value_count;
    size_t value_capacity;
    struct graph_node *nodes;
    size_t node_count;
    size_t node_capacity;
    int *inputs;
    size_t input_count;
    int *outputs; /* as declared; graph_output has what became of them */
    size_t output_count;
    struct graph_opset *opsets;
    size_t opset_count;
    const char *producer;
    struct graph_pass_record *passes; /* what ran, for inspect */
    size_t pass_count;
    struct graph_census census;    /* as the file had it, before the passes */
    struct graph_name_slot *names; /* hash table of value names */
    size_t name_capacity;
};

/* ---- Building ---- */

/* An empty graph. A subgraph lives in the arena of the graph that encloses it (outer) and must not
 * read that graph's values; for an outermost graph outer is NULL. */
struct graph *graph_open(struct graph *outer, struct error *err);

/* Frees an outermost graph with its subgraphs. NULL is allowed. */
void graph_close(struct graph *graph);

/* The value of that name, made if it does not exist yet: an id, or GRAPH_NONE when memory is out. */
int graph_value_named(struct graph *graph, const char *name);

/* The value of that name, or GRAPH_NONE. */
int graph_find(const struct graph *graph, const char *name);

/* A new node with room for that many inputs, outputs and attributes (inputs and outputs GRAPH_NONE).
 * Pointers to nodes and values are good until the next one is added. NULL when memory is out. */
struct graph_node *graph_add_node(struct graph *graph, size_t inputs, size_t outputs,
                                  size_t attributes);

/* A new value that holds `tensor` (copied, its bytes not). GRAPH_NONE when memory is out. The name is
 * for people only. */
int graph_add_constant(struct graph *graph, const char *name, const struct tensor *tensor);

/* To be called once, when everything is there: sets producers, sorts the nodes topologically and
 * sweeps. ERROR_BAD_FILE names the value or node: produced twice, never produced, in a cycle. */
bool graph_finish(struct graph *graph, struct error *err);

/* ---- Reading ---- */

/* The value that input `slot` of the node reads, after replacements; GRAPH_NONE if absent. */
int graph_input(const struct graph *graph, const struct graph_node *node, size_t slot);

/* The value that is the graph's i-th output by now; GRAPH_NONE: it is unread. */
int graph_output(const struct graph *graph, size_t i);

/* Output `slot` if anybody reads it, else GRAPH_NONE. */
int graph_used_output(const struct graph *graph, const struct graph_node *node, size_t slot);

/* The node that produces the value, or NULL (inputs, constants, GRAPH_NONE). */
struct graph_node *graph_producer(const struct graph *graph, int value);

/* What the value is behind Reshapes, perhaps itself. GRAPH_NONE is allowed. */
int graph_reshaped(const struct graph *graph, int value);

/* The constant that the value holds, or NULL. GRAPH_NONE is allowed. */
const struct tensor *graph_constant(const struct graph *graph, int value);

/* Is it a constant of exactly one element? Then *number is that. */
bool graph_scalar(const struct graph *graph, int value, double *number);

/* Do domain and operator match? "ai.onnx" is "". */
bool graph_node_is(const struct graph_node *node, const char *domain, const char *op);

const struct graph_attribute *graph_attribute(const struct graph_node *node, const char *name);
int64_t graph_attribute_int(const struct graph_node *node, const char *name, int64_t fallback);
float graph_attribute_float(const struct graph_node *node, const char *name, float fallback);
const char *graph_attribute_text(const struct graph_node *node, const char *name,
                                 const char *fallback);

/* Output `slot` of the subgraph that is attribute `name`, if the subgraph computes nothing: NULL for any
 * other. */
const struct tensor *graph_branch_output(const struct graph_node *node, const char *name,
                                         size_t slot);

/* "node /model/x (com.microsoft::QMoE)", what messages call a node, into
 * text[GRAPH_DESCRIPTION_BYTES]; very long names are cut. */
void graph_node_describe(const struct graph_node *node, char *text);

const char *graph_value_name(const struct graph *graph, int value);

/* Counts the operators of the nodes that are left, into memory of the graph. False when memory is out. */
bool graph_take_census(const struct graph *graph, struct graph_census *census);

/* ---- Rewriting ---- */

/* Every reader of `old` is to read `replacement`. */
void graph_replace(struct graph *graph, int old, int replacement);

/* Turns `node` into another operator in place. Its outputs stay; at least `inputs` input slots and
 * room for `attributes` more attributes are there afterwards. false when memory is out. */
bool graph_rewrite(struct graph *graph, struct graph_node *node, const char *domain, const char *op,
                   size_t inputs, size_t attributes);

/* Sets an attribute, replacing one of that name; there must be room (graph_rewrite). */
void graph_set_int(struct graph_node *node, const char *name, int64_t value);
void graph_set_float(struct graph_node *node, const char *name, float value);

/* Sorts the nodes topologically; to be called by a pass that has added some, and has set the producers
 * of their outputs. ERROR_BAD_FILE names a node that is part of a cycle. */
bool graph_sort(struct graph *graph, struct error *err);

/* Applies replacements, counts uses, removes nodes whose outputs nobody reads. */
void graph_sweep(struct graph *graph);

#endif
