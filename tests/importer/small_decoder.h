/* A decoder of one layer and a few ids, for tests: the sound parts are here, the rest is each test's. */
#ifndef QUERN_TESTS_IMPORTER_SMALL_DECODER_H
#define QUERN_TESTS_IMPORTER_SMALL_DECODER_H

#include "engine/plan.h"
#include "importer/passes/passes.h"
#include "small_graph.h"

enum { HIDDEN = 8, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 4, VOCABULARY = 16, POSITIONS = 12 };
enum { QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM };

/* Inputs, constants ("w_qkv", "w_o", "w_head", "norm", "head_norm", "cos", "sin", "one", "last",
 * "axis1"), the embedding and its norm ("x"), and the lengths ("seqlens", "total") as exporters compute
 * them. */
struct graph *begin_decoder(void);

/* More constants, of zeros unless given. */
void constant_matrix(struct graph *graph, const char *name, int64_t rows, int64_t columns);
void constant_vector(struct graph *graph, const char *name, int64_t length);
void constant_list(struct graph *graph, const char *name, int64_t length, const int64_t *values);

/* GroupQueryAttention with rotation, whose output is "a". */
struct graph_node *add_attention(struct graph *graph, const char *inputs);

/* What it reads if the graph has a "qkv". */
#define PACKED "qkv,,,past.0.key,past.0.value,seqlens,total,cos,sin"

/* lower_small_graph, with the caches as further outputs. */
char *finish_decoder(struct graph *graph, struct plan *plan);

const struct plan_attention *attention_of(const struct plan *plan);

#endif
