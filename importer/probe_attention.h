/* What does an attention that is written out in plain operators mean? Run its parts and see.
 *
 *     rows ─▶ (norm) ─▶ value ──▶ MatMul ─▶ scores ──▶ Softmax ──▶ MatMul ─▶ context ──▶ output
 *     rows ─▶ (norm) ─▶ value ─▶ Concat(past) = present ─▶ operand ─┘         │
 *     rows ───────────▶ value ─▶ Concat(past) = present ─▶ operand ───────────┘
 *
 * Every arrow is some chain of reshapes, transposes, rotations, masks and scales that differs from one
 * exporter to the next. Except for the norms, which passes have recognized before, all of them are
 * linear or work element by element, so that a few runs on chosen numbers tell what they do: which
 * columns of the rows a head has, by which angles it is rotated at which position, which positions a
 * mask lets it see. What is found is then held against further runs, on other numbers, at other
 * positions; only if all agree may a fused attention take the place of the parts. */
#ifndef QUERN_IMPORTER_PROBE_ATTENTION_H
#define QUERN_IMPORTER_PROBE_ATTENTION_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/probe_runs.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- One attention ---- */

/* How a query, key or value comes out of the rows of a linear layer. */
struct projection {
    int rows;       /* (1, sequence, columns), or without the batch */
    int norm_input; /* a norm of each head; GRAPH_NONE: there is none */
    int norm_output;
    int value; /* (1, heads, sequence, head_dim) */
};

/* Values of the graph. Of those of four dimensions, all but the caches may lack the batch. */
struct attention_parts {
    struct projection query; /* its value is the first operand of the scores */
    struct projection key;
    struct projection value;
    int present_key; /* (1, kv_heads, total, head_dim) */
    int present_value;
    int key_operand;   /* (1, heads, head_dim, total) */
    int value_operand; /* (1, heads, total, head_dim) */
    int scores;        /* (1, heads, sequence, total); GRAPH_NONE: the mask alone is looked at */
    int softmax_input;
    bool causal; /* later positions are hidden, whatever the mask says */
    int softmax_output;
    int weights; /* first operand of the second product */
    int context; /* (1, heads, sequence, head_dim) */
    int output;  /* (1, sequence, heads * head_dim) */
};

/* Where the heads of a projection are: head h begins at column first + h * step of its rows. */
struct head_columns {
    size_t first;
    size_t step;
};

struct attention_meaning {
    size_t heads;
    size_t kv_heads;
    size_t head_dim;
    struct head_columns query;
    struct head_columns key;
    struct head_columns value;
    size_t window; /* 0: none */
    float scale;
    float softcap;
    size_t rope_half; /* pairs of dimensions that are rotated; 0: none */
    bool rope_interleaved;
    float rope_amplitude;
    float *frequencies; /* [rope_half], in the graph's arena */
};

/* ERROR_UNSUPPORTED says what is not as an ordinary decoder has it. */
bool probe_attention(struct probe_runs *probes, const struct attention_parts *parts,
                     struct attention_meaning *meaning, struct error *err);

/* Is a value that an operator adds to its causal scores a mask for a window, (1, 1 or heads, sequence,
 * total)? *window is 0 where it hides nothing else than later positions. */
bool probe_mask(struct probe_runs *probes, int mask, size_t heads, size_t *window,
                struct error *err);

#endif
