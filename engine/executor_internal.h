/* What executor.c (stages, memory, running), executor_ops.c (what each kind of operation does),
 * executor_experts.c (those of a mixture of experts) and executor_low_rank.c (what adapters add)
 * share. */
#ifndef QUERN_ENGINE_EXECUTOR_INTERNAL_H
#define QUERN_ENGINE_EXECUTOR_INTERNAL_H

#include "engine/executor.h"

#include <stdatomic.h>

/* Operations: what instructions become. Attention and experts become three each. Those with a `row`
 * function work row by row; the others are cut into items of their own. */
enum op_kind {
    OP_ANGLES, /* cos and sin of each row's position, once for all layers */
    OP_EMBED,
    OP_NORM,
    OP_GATE,
    OP_ADD,
    OP_SCALE,
    OP_QUANTIZE, /* a linear output that another linear reads */
    OP_LOW_RANK, /* the first half of what adapters add to the linear instruction that follows */
    OP_LINEAR,
    OP_GATED_LINEAR, /* a linear instruction and the gate that follows it */
    OP_EXPERTS_ROUTE,
    OP_EXPERTS_HIDDEN,
    OP_EXPERTS_OUTPUT,
    OP_ATTENTION_PREPARE,
    OP_ATTENTION_SCORE,
    OP_ATTENTION_FINISH,
    OP_SELECT_ROWS,
    OP_KIND_COUNT,
};

struct op {
    enum op_kind kind;
    const struct plan_instruction *instruction;
    int reg;       /* OP_QUANTIZE: the register */
    bool selected; /* it runs on the wanted rows only */
};

/* One item streams so many tiles: enough for the one-row kernel to keep several in flight, and few
 * enough to leave the threads even at the end of a small matrix. */
enum {
    EXECUTOR_ITEM_TILES = 4,
    EXECUTOR_ITEM_OUTPUTS = EXECUTOR_ITEM_TILES * TILE_ROWS,
    EXECUTOR_GATED_FLOATS = 8192, /* 32 KB: most of a first cache */
    EXECUTOR_GATED_ROWS = EXECUTOR_GATED_FLOATS / (2 * EXECUTOR_ITEM_OUTPUTS), /* that share it */
};
_Static_assert(EXECUTOR_ITEM_OUTPUTS % ACTIVATION_BLOCK == 0, "an item quantizes whole blocks");

/* A stage runs ops [first, end): several row-wise ones, or one of another kind. */
struct stage {
    size_t first;
    size_t end;
    bool selected; /* it runs on the wanted rows only, as do its ops */
};

/* The items of a stage are shared out in runs, one a thread: neighbouring items lie one behind the
 * other in memory, so each thread reads one stream, which a third of the bandwidth may hang on. Who
 * is done with its own share takes from the others'. */
struct share {
    _Alignas(CACHE_LINE_BYTES) atomic_size_t taken; /* of its items, from the first one on */
};

/* Where a register lives. Row r of the f32 form is at values + r * stride. */
struct register_place {
    bool wants_values;
    bool wants_codes;
    bool codes_by_halves;   /* a matrix that reads the codes wants them so, or is attention's */
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

/* Adapters pass over the rows in runs of so many at most, so that those of a prompt are several items,
 * and over their inputs in chunks, so that those of one row are. */
enum { EXECUTOR_RUN_ROWS = 16, EXECUTOR_CHUNK_INPUTS = 2048 };

/* Neighbouring rows of one adapter, for which its matrices are read once. */
struct adapter_run {
    size_t adapter;
    size_t first_row;
    size_t rows;
};

struct adapter_runs {
    struct adapter_run *list; /* [rows_max], [wanted_max] */
    size_t count;
};

/* Seconds of one thread in the stages that begin with one kind of operation. */
struct stage_seconds {
    double working;
    double waiting;
};

/* Which experts the rows chose, of the experts instruction that runs: pairs of a row and an expert,
 * by ascending expert, of one expert by ascending row.
 *
 *     used           1       4       7
 *     pair_rows      0 2 3   1       0 1 2 3
 *     ends[e]              3       4         8
 */
struct expert_routing {
    uint32_t *used; /* [experts_max]: the experts that any row chose, ascending */
    size_t used_count;
    uint32_t *ends;      /* [experts_max]: pairs of expert e are those from ends[e - 1] (or 0) on */
    uint32_t *pair_rows; /* [pairs_max] */
    float *pair_weights; /* [pairs_max] */
    uint32_t *row_experts;        /* (rows_max, chosen): before they are sorted into pairs */
    float *row_weights;           /* (rows_max, chosen) */
    struct register_place hidden; /* row p of it belongs to pair p */
    size_t bytes;                 /* of all this */
    size_t weight_bytes_all;      /* of all experts of all instructions */
    size_t weight_bytes_read;     /* in this step, of the experts that were chosen */
};

/* What one thread needs for itself. */
struct thread_scratch {
    float *row;     /* a row whose f32 form nobody else wants */
    float *keys;    /* the row's keys, all KV heads */
    float *values;  /* the row's values, all KV heads, where a quantized cache changes them */
    float *states;  /* attention states of one block and one chunk */
    float *gated;   /* [EXECUTOR_GATED_FLOATS]: outputs of two matrices on their way to a gate */
    float *middles; /* (EXECUTOR_RUN_ROWS, middle_stride): sums of chunks */
    struct stage_seconds seconds[OP_KIND_COUNT];
};

struct executor {
    struct executor_parts parts;
    struct register_place *registers;
    struct op *ops;
    size_t op_count;
    struct stage *stages;
    size_t stage_count;
    struct share *shares[2];        /* [threads]: of stages with even numbers, and with odd ones */
    bool timed;                     /* executor_time_stages */
    struct thread_scratch *scratch; /* [threads] */
    float
        *angles; /* (rows_max, angles_stride): of each RoPE its cosines, then its sines, each padded
                      to whole lanes */
    size_t angles_stride;
    float *queries; /* normalised and rotated, (rows_max, queries_stride) */
    size_t queries_stride;
    /* What adapters have between their matrices, of each chunk of inputs, (PLAN_LINEAR_OUTPUTS_MAX,
     * rows_max, middle_chunks, middle_stride); NULL: there are no adapters. */
    float *middles;
    size_t middle_chunks; /* of the linear instruction that has most */
    size_t middle_stride; /* their greatest rank, whole lanes */
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
    struct adapter_runs runs[2]; /* of all rows, of the wanted ones; of none without adapters */
    struct expert_routing routing;
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

/* Makes a place provide the form of its rows that this matrix reads. */
void executor_mark_input(const struct executor *x, struct register_place *place,
                         const struct packed_matrix *matrix);

/* ---- executor_ops.c ---- */

/* The values of a vector; NULL for PLAN_NONE. */
const float *executor_vector(const struct executor *x, int vector);

/* Items that stream the tiles of a matrix. */
size_t executor_matrix_items(const struct packed_matrix *matrix);

/* Computes the task, in which the matrix, its tiles, rows and outputs are set, on the inputs that
 * begin at row `first_row` of `input`. */
void executor_multiply(const struct executor *x, struct linear_task *task,
                       const struct register_place *input, size_t first_row);

/* ---- executor_low_rank.c ---- */

/* Do adapters add something to an output of the instruction? */
bool executor_has_low_rank(const struct executor *x, const struct plan_linear *linear);

/* Sets middle_stride and middle_chunks. */
void executor_measure_low_rank(struct executor *x);

/* Finds the runs of the rows of a step. */
void executor_find_adapter_runs(struct executor *x);

/* The functions of OP_LOW_RANK. */
size_t executor_low_rank_items(const struct executor *x, const struct op *op, size_t rows);
void executor_low_rank_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                            size_t item);

/* Tiles [first_tile, end_tile), at most EXECUTOR_ITEM_TILES, of output `index` of a linear
 * instruction on some rows; y is where the first output of the first row is. */
struct executor_outputs {
    size_t index;
    size_t first_tile;
    size_t end_tile;
    size_t first_row;
    size_t rows;
    size_t thread; /* that computes them */
    float *y;
    size_t y_stride;
};

/* Asks the memory for what adapters will add to these outputs, to be called before they are computed. */
void executor_expect_low_rank(const struct executor *x, const struct op *op,
                              const struct executor_outputs *outputs);

/* Adds what the adapters of the rows add to outputs that have been computed. */
void executor_add_low_rank(const struct executor *x, const struct op *op,
                           const struct executor_outputs *outputs);

/* ---- executor_experts.c ---- */

/* Marks the forms that the experts' matrices read, of their input and of what is hidden. */
void executor_mark_experts(struct executor *x, const struct plan_experts *experts);

/* What the routing of the plan's experts needs: sets routing.bytes, SIZE_MAX if that is too much.
 * With memory of that size, places it there. */
void executor_measure_experts(struct executor *x);
void executor_place_experts(struct executor *x, uint8_t *memory);

/* The functions of the three operations. */
size_t executor_route_items(const struct executor *x, const struct op *op, size_t rows);
void executor_route_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                         size_t item);
size_t executor_hidden_items(const struct executor *x, const struct op *op, size_t rows);
void executor_hidden_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                          size_t item);
size_t executor_output_items(const struct executor *x, const struct op *op, size_t rows);
void executor_output_item(struct executor *x, const struct op *op, size_t rows, size_t thread,
                          size_t item);

#endif
