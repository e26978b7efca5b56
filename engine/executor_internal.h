/* What executor.c (stages, memory, running) and executor_ops.c (what each kind of operation does)
 * share. */
#ifndef QUERN_ENGINE_EXECUTOR_INTERNAL_H
#define QUERN_ENGINE_EXECUTOR_INTERNAL_H

#include "engine/executor.h"

#include <stdatomic.h>

/* Operations: what instructions become. Attention becomes three. Those with a `row` function work
 * row by row; the others are cut into items of their own. */
enum op_kind {
    OP_ANGLES, /* cos and sin of each row's position, once for all layers */
    OP_EMBED,
    OP_NORM,
    OP_GATE,
    OP_ADD,
    OP_SCALE,
    OP_QUANTIZE, /* a linear output that another linear reads */
    OP_LINEAR,
    OP_GATED_LINEAR, /* a linear instruction and the gate that follows it */
    OP_ATTENTION_PREPARE,
    OP_ATTENTION_SCORE,
    OP_ATTENTION_FINISH,
    OP_SELECT_ROWS,
    OP_KIND_COUNT,
};

struct op {
    enum op_kind kind;
    const struct plan_instruction *instruction;
    int reg; /* OP_QUANTIZE: the register */
};

enum { EXECUTOR_GATED_FLOATS = 8192 }; /* 32 KB: most of a first cache */

/* A stage runs ops [first, end): several row-wise ones, or one of another kind. */
struct stage {
    size_t first;
    size_t end;
    bool selected;      /* it runs on the wanted rows only */
    atomic_size_t next; /* the next item that a thread takes */
};

/* Where a register lives. Row r of the f32 form is at values + r * stride. */
struct register_place {
    bool wants_values;
    bool wants_codes;
    bool crosses_selection; /* written before select_rows, read after it */
    float *values;
    size_t stride;
    struct quantized_block *codes; /* (rows, blocks) */
    size_t blocks;
};

/* Rows of one sequence that pass over K and V together. */
struct row_block {
    size_t first_row;
    size_t rows;
};

/* Seconds of one thread in the stages that begin with one kind of operation. */
struct stage_seconds {
    double working;
    double waiting;
};

/* What one thread needs for itself. */
struct thread_scratch {
    float *row;    /* a row whose f32 form nobody else wants */
    float *keys;   /* the row's keys, all KV heads */
    float *values; /* the row's values, all KV heads, where a quantized cache changes them */
    float *states; /* attention states of one block and one chunk */
    float *gated;  /* [EXECUTOR_GATED_FLOATS]: outputs of two matrices on their way to a gate */
    struct stage_seconds seconds[OP_KIND_COUNT];
};

struct executor {
    struct executor_parts parts;
    struct register_place *registers;
    struct op *ops;
    size_t op_count;
    struct stage *stages;
    size_t stage_count;
    bool timed;                     /* executor_time_stages */
    struct thread_scratch *scratch; /* [threads] */
    float
        *angles; /* (rows_max, angles_stride): of each RoPE its cosines, then its sines, each padded
                      to whole lanes */
    size_t angles_stride;
    float *queries; /* normalised and rotated, (rows_max, queries_stride) */
    size_t queries_stride;
    float *states; /* attention states: (rows, heads), or (rows, heads, chunks_max) where chunks are
                      split */
    size_t chunks_max;
    size_t split_rows_max; /* steps of up to so many rows may split chunks over threads */
    uint8_t *memory;       /* all of the above that is not a small list */
    size_t memory_bytes;

    /* This step. */
    const struct executor_row *rows;
    size_t row_count;
    size_t *wanted; /* [wanted_max]: row of each wanted row */
    size_t wanted_count;
    struct row_block *blocks; /* [rows_max] */
    size_t block_count;
};

/* How an operation runs: row by row, or in items. */
struct op_type {
    const char *name;
    void (*row)(struct executor *x, const struct op *op, size_t thread, size_t row);
    size_t (*items)(const struct executor *x, const struct op *op, size_t rows);
    void (*item)(struct executor *x, const struct op *op, size_t rows, size_t thread, size_t item);
};
extern const struct op_type executor_op_types[OP_KIND_COUNT];

/* Floats that the angles of `half` pairs take: cosines or sines alone. */
size_t executor_angle_floats(size_t half);

/* Whether activations that meet this matrix are quantized. */
bool executor_quantizes(const struct executor *x, const struct packed_matrix *matrix);

#endif
