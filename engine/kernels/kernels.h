/* Kernels: the arithmetic, once per instruction set, behind one table of function pointers.
 *
 * Every instruction set computes the same sums in the same order with the same fused multiply-adds,
 * so that a row's bits depend neither on the batch it is in nor on which kernel variant (one row,
 * many rows) served it; the tests compare each table bit by bit with the scalar one, which is the
 * specification.
 *
 *   dot products   for each 32 inputs, or 16 where they are quantized by 16: exact integer sum, then
 *                  one f32 multiply-add per output; in ascending order.
 *   attention      16 positions (one page) a step, chunks of KV_CHUNK_PAGES pages from a fresh
 *                  online softmax, chunks merged in ascending order.
 *
 * A kernel never allocates, never locks and knows nothing of threads: it gets a range. Pointers to
 * activations are 64-byte aligned unless said otherwise. */
#ifndef QUERN_ENGINE_KERNELS_H
#define QUERN_ENGINE_KERNELS_H

#include "engine/plan.h"
#include "engine/weights.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ACTIVATION_BLOCK = 32,    /* inputs that share a scale; or halves do */
    KV_PAGE_POSITIONS = 16,   /* positions of a page: the f32 lanes of an AVX-512 register */
    KV_CHUNK_PAGES = 16,      /* pages whose attention is one unit of work: 256 positions */
    ATTENTION_ROWS_MAX = 8,   /* rows of one sequence that share a pass over K and V */
    ATTENTION_GROUP_MAX = 64, /* query heads per KV head */
    HEAD_DIM_MAX = 512,
    CACHE_LINE_BYTES = 64,
};

/* 32 inputs of a row quantized to int8: x = code * scale. They share one scale, or each half has its
 * own, which loses less: with blocks of 16, because inputs should be no coarser than weights, where
 * nothing asks for int8 inputs, and for attention. A row is ceil(columns / 32) blocks, padded with
 * zeros. Everything that a dot product needs of the inputs lies side by side, so that a kernel keeps
 * one pointer a row.
 *
 * Weight codes are unsigned, so a dot product owes sum((code - zero point) * x) - sum(code * x) =
 * -zero point * sum(x). The offsets hold that for the zero point 8, which 4-bit weights have unless
 * they say otherwise: their kernels start from an offset instead of from 0. */
struct quantized_block {
    int8_t codes[ACTIVATION_BLOCK]; /* to nearest even, -127..127 */
    float scales[2];    /* about max|x| / 127 (see quantize): of the block, or its halves */
    int32_t offsets[2]; /* -8 * the sum of the codes that share the scale */
};

enum kv_type { KV_F32, KV_F16, KV_INT8, KV_TYPE_COUNT };

/* Keys and values of one layer and one KV head within a page, each part starting 64-byte aligned:
 *
 *     keys          (head_dim, 16): dimension-major, so that the scores of 16 positions are the
 *                   lanes of one register and need no reduction
 *     key scales    (16) f32, KV_INT8 only: max|x| / 127 of each position's key
 *     values        (head_dim / 16 rounded up, 16 positions, 16), padded with zeros: 16 dimensions
 *                   are the lanes; attention reads this, too, from the first byte to the last
 *     value scales  (16) f32, KV_INT8 only
 *
 * kv_head_bytes() is the size of all together, a multiple of 64. Slots not yet stored to may hold
 * anything: they are never used. */
size_t kv_head_bytes(enum kv_type type, size_t head_dim);

/* The state of an online softmax over positions, one for each row and query head:
 *
 *     a[head_dim rounded up to 16] = sum exp(score - m) v
 *     m = greatest score so far
 *     l = sum exp(score - m)
 *
 * padded to attention_state_floats(head_dim), a multiple of 16. Empty state: m = -infinity, l = 0,
 * a = 0. */
size_t attention_state_floats(size_t head_dim);

/* One chunk of positions for up to ATTENTION_ROWS_MAX consecutive rows of one sequence and all
 * query heads of one KV head. Of the KV_CHUNK_PAGES pages from position chunk_begin on, row r sees
 * positions [first_visible[r], end_visible[r]); both are absolute and may lie outside the chunk. A
 * row that sees nothing of it gets an empty state. */
struct attention_task {
    const float *queries; /* row r, head g at r * query_stride + g * head_dim; not scaled */
    size_t query_stride;  /* floats */
    size_t rows;
    size_t group; /* query heads */
    size_t head_dim;
    float scale;
    float softcap; /* 0: none */
    enum kv_type kv_type;
    const uint8_t *const *pages; /* the keys of this layer and head in each page of the chunk; NULL
                                    where no row sees the page */
    size_t chunk_begin;          /* position, a multiple of KV_PAGE_POSITIONS * KV_CHUNK_PAGES */
    size_t first_visible[ATTENTION_ROWS_MAX];
    size_t end_visible[ATTENTION_ROWS_MAX];
    float *states; /* row r, head g at (r * group + g) * attention_state_floats(); overwritten */
};

/* Rows of inputs times a run of a matrix's tiles:
 *
 *     y[r][n - first] = bias[n] + sum_k x[r][k] W[n][k]
 *
 * for the outputs n of those tiles, of which `first` is the first; outputs at and beyond matrix->rows
 * are not written. Strides are in elements. */
struct linear_task {
    const struct packed_matrix *matrix;
    size_t first_tile;
    size_t end_tile;
    const struct quantized_block *codes; /* the inputs of linear_int8, (.., x_stride) */
    bool halves;                         /* their scales are those of halves */
    const float *values;                 /* the inputs of linear_f32, (.., x_stride) */
    size_t x_stride;
    const uint32_t *order; /* row r of the task is row order[r] of the inputs; NULL: row r */
    size_t rows;
    const float *bias; /* of all outputs of the matrix, any alignment; may be NULL */
    float *y;          /* (rows, y_stride), any alignment */
    size_t y_stride;
};

struct kernels {
    const char *name; /* one of kernels_names */

    /* ---- Rows: x and y are one row ---- */

    /* One row of `columns` numbers to ceil(columns / 32) blocks, each, or each half, with the scale
     * that loses least of a few. */
    void (*quantize)(const float *x, size_t columns, bool halves, struct quantized_block *blocks);
    /* s = x + residual (residual may be NULL); sum = s (may be NULL; may be x or residual itself);
     * y = s / sqrt(mean(s^2) + epsilon) * weight. */
    void (*rms_norm)(const float *x, const float *residual, float *sum, const float *weight,
                     float epsilon, size_t n, float *y);
    /* The same with the mean subtracted and, unless NULL, a bias added. */
    void (*layer_norm)(const float *x, const float *residual, float *sum, const float *weight,
                       const float *bias, float epsilon, size_t n, float *y);
    /* y = activation(gate) * up, or activation(gate) if up is NULL */
    void (*gate[PLAN_ACTIVATION_COUNT])(const float *gate, const float *up, size_t n, float *y);
    /* y = a + b; y may be a or b */
    void (*add)(const float *a, const float *b, size_t n, float *y);
    /* y = factor * x; softcap * tanh(that / softcap) if softcap > 0; y may be x */
    void (*scale)(const float *x, float factor, float softcap, size_t n, float *y);
    /* y = g / (1 + e^(-alpha g)) * (u + beta) with g = min(gate, limit) and u = up clamped to
     * -limit .. limit */
    void (*swiglu)(const float *gate, const float *up, size_t n, float alpha, float beta,
                   float limit, float *y);
    /* y = scale * code, where code is x * (1 / scale) to nearest even, within the signed integers of
     * `bits`; y may be x. (GroupQueryAttention of onnxruntime, which does not divide either) */
    void (*round_to_codes)(const float *x, const float *scales, unsigned bits, size_t n, float *y);
    /* Rotates one head in place; cosines and sines have `half` elements. */
    void (*rope)(float *head, const float *cosines, const float *sines, size_t half,
                 bool interleaved);

    /* ---- Linear ---- */

    /* linear_int8 exists for Q4 and Q8 only, whose codes are whole numbers; a matrix with blocks of 16 takes inputs with scales of
     * halves, any other takes both. */
    void (*linear_int8[WEIGHT_FORMAT_COUNT])(const struct linear_task *task);
    void (*linear_f32[WEIGHT_FORMAT_COUNT])(const struct linear_task *task);

    /* ---- Attention ---- */

    /* Stores one position's key and value (head_dim floats each) of one head into its page, at slot
     * 0..15. */
    void (*kv_store[KV_TYPE_COUNT])(uint8_t *page_head, size_t head_dim, size_t slot,
                                    const float *key, const float *value);
    void (*attention_chunk)(const struct attention_task *task);
    /* state = state merged with next (positions of `next` come after those of `state`). */
    void (*attention_merge)(float *state, const float *next, size_t head_dim);
    /* y[0..head_dim) = a / (l + exp(sink - m)): the sink is one more score in the softmax, of which no
     * value follows; -infinity: there is none. Zeros if the state is empty. */
    void (*attention_finish)(const float *state, size_t head_dim, float sink, float *y);

    /* ---- Sampling ---- */

    /* The greatest of n numbers; NaN counts as less than everything, of nothing else it is
     * -infinity. */
    float (*greatest)(const float *x, size_t n);
    /* The index of the greatest of n numbers, the lowest of equals; NaN counts as less than
     * everything. */
    size_t (*argmax)(const float *x, size_t n);
    float (*sum)(const float *x, size_t n);
    /* The indices of all numbers above `threshold`, ascending, and the numbers; returns how many.
     * Both arrays have room for n. */
    size_t (*find_above)(const float *x, size_t n, float threshold, int32_t *indices,
                         float *values);
    /* y = e^((x - origin) / divisor); 0 below e^-87. */
    void (*exponentials)(const float *x, size_t n, float origin, float divisor, float *y);
};

/* The best table for this processor, or the one called `name` ("scalar", "avx2", ...); NULL where
 * this processor cannot run it or no table has that name. */
const struct kernels *kernels_select(const char *name);

/* The names of all tables in this program, and of those that this processor can run: best first,
 * NULL-terminated. */
extern const char *const kernels_names[];
const char *const *kernels_available(void);

#endif
