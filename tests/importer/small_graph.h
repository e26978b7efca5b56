/* Small graphs for tests, written as a reader would draw them. */
#ifndef QUERN_TESTS_IMPORTER_SMALL_GRAPH_H
#define QUERN_TESTS_IMPORTER_SMALL_GRAPH_H

#include "engine/plan.h"
#include "importer/graph.h"

#include <stddef.h>
#include <stdint.h>

enum { ATTRIBUTES_MAX = 12 };

struct graph *small_graph(void);

/* A graph input of that type and rank, all dimensions symbolic. */
int add_input(struct graph *graph, const char *name, enum tensor_type type, size_t rank);
void add_output(struct graph *graph, const char *name);

/* Constants whose values are copied; rank 0 is a scalar. */
int add_integers(struct graph *graph, const char *name, size_t rank, const int64_t *dims,
                 const int64_t *values);
int add_floats(struct graph *graph, const char *name, size_t rank, const int64_t *dims,
               const float *values);
int add_elements(struct graph *graph, const char *name, enum tensor_type type, size_t rank,
                 const int64_t *dims, const void *values);

/* A node; inputs and outputs are names with commas between, "" for an absent one. It has room for
 * ATTRIBUTES_MAX attributes (graph_set_int, graph_set_float, set_text). */
struct graph_node *add_node(struct graph *graph, const char *domain, const char *op,
                            const char *inputs, const char *outputs);

void set_text(struct graph_node *node, const char *name, const char *text);

/* A subgraph of the node, as attribute `index`: its outputs are constants (rows, columns), which have
 * the bytes of `values`. */
void add_branch(struct graph *graph, struct graph_node *node, size_t index, const char *name,
                size_t outputs, int64_t rows, int64_t columns, const float *values);

/* The only node of that operator that is not removed, or NULL. */
const struct graph_node *find_node(const struct graph *graph, const char *op);

/* Gives the graph its output "logits", finishes, rewrites and lowers it, for a context of 16 and inputs
 * called as exporters call them, but caches "past.0.key" and so on. The reasons, which the caller frees,
 * or NULL for a sound plan. */
char *lower_small_graph(struct graph *graph, struct plan *plan);

/* Do the reasons why a graph cannot be lowered say this? */
void expect_reason(const char *reasons, const char *expected);

#endif
