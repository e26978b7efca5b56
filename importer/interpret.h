/* A tiny reference interpreter of plain ONNX operators on small tensors.
 *
 * It serves two ends: folding what depends on no input, and proving what a subgraph means by running
 * it on probe inputs instead of matching its nodes (is this seqlens_k = total - 1?). It is written
 * to be obviously right, not fast, and refuses tensors of more than INTERPRET_ELEMENTS_MAX elements.
 *
 * Floats are computed in double and rounded to f32 (or stay f64) after every operator, which for one
 * operator gives the correctly rounded result.
 *
 * Where a run meets what cannot or need not be computed (activations, large tensors), it goes on with
 * the shape alone: a tensor that is shape_only. So the arithmetic on shapes that a graph does between
 * its layers can be run without running the layers. */
#ifndef QUERN_IMPORTER_INTERPRET_H
#define QUERN_IMPORTER_INTERPRET_H

#include "engine/arena.h"
#include "engine/error.h"
#include "importer/graph.h"
#include "importer/tensor.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    INTERPRET_ELEMENTS_MAX = 1 << 18, /* a row of a mask for the longest context there is */
    INTERPRET_BYTES_MAX = 256 << 20,  /* of all results of a run */
    INTERPRET_WORK_MAX = 1 << 27,     /* elements read in a run */
};

/* Can the interpreter compute the node's operator, if the inputs are small? */
bool interpret_knows(const struct graph_node *node);

/* The name of the i-th operator of the standard whose elements it can compute; NULL past the last. */
const char *interpret_operator_name(size_t i);

/* Runs one node of one output, of known elements. inputs[i] is NULL where absent; the output's bytes lie in `arena`, or
 * are those of an input. ERROR_UNSUPPORTED for an operator or a type that it does not know,
 * ERROR_BAD_FILE for inputs that contradict the operator. */
bool interpret_node(const struct graph_node *node, const struct tensor *const *inputs,
                    struct tensor *output, struct arena *arena, struct error *err);

/* One run of a graph: what the caller feeds, and what was computed from it. */
struct interpretation {
    const struct graph *graph;
    struct arena arena;
    size_t value_count;           /* of the graph, when the run was opened */
    size_t end;                   /* nodes from here on are not part of the run */
    const struct tensor **values; /* of each value: fed or computed, else NULL */
    bool *needed;                 /* of each node, while a value is computed */
    size_t spent;                 /* elements read */
};

bool interpretation_init(struct interpretation *run, const struct graph *graph, struct error *err);
void interpretation_deinit(struct interpretation *run);

/* Feeds a value; `tensor` must live as long as the run. */
void interpretation_feed(struct interpretation *run, int value, const struct tensor *tensor);

/* A run of the nodes before `end` that begins with all that `base` knows, which must outlive it. What is
 * replaced then costs as much as lies between, not as much as the whole graph. */
bool interpretation_init_from(struct interpretation *run, const struct interpretation *base,
                              size_t end, struct error *err);

/* Feeds a value and forgets all that was computed from it before. */
bool interpretation_replace(struct interpretation *run, int value, const struct tensor *tensor,
                            struct error *err);

/* Computes a value, or at least its shape; NULL with err: it depends on something that was not fed,
 * or on an operator that is not known. */
const struct tensor *interpretation_shape(struct interpretation *run, int value, struct error *err);

/* The same for a value whose elements are wanted. */
const struct tensor *interpretation_value(struct interpretation *run, int value, struct error *err);

/* Computes whatever can be. */
void interpretation_run(struct interpretation *run);

#endif
