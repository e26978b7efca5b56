/* Packed weights: the model's matrices in the form that the kernels stream.
 *
 * A matrix is cut into tiles of 16 output rows, interleaved so that one 64-byte load feeds a
 * dot-product instruction for 16 rows at once. Tiles lie one behind the other; within a tile, k
 * runs upwards, with the scales of a block of inputs just before its codes. So a thread that takes
 * a run of tiles reads one sequential stream.
 *
 *   Q4 tile, one block of `block` inputs (block = 16, or a multiple of 32):
 *
 *     [scales: 16 x f16 or f32, lane n = output row n]
 *     [zero points: 16 x u8, only if the matrix has them; otherwise 8]
 *     [codes: block / 8 groups of 64 bytes; a group holds 8 inputs of 16 rows:
 *         byte 4 n + i  =  code[n][8 g + i]  |  code[n][8 g + 4 + i] << 4,  n = 0..15, i = 0..3 ]
 *
 *   Q8 tile: the same with block / 4 groups of 64 bytes; byte 4 n + i = code[n][4 g + i]; the
 *   default zero point is 128.
 *
 *   Code book tile: as Q4 without zero points; the codes stand for numbers of plan_weight.code_book.
 *
 *   F32, F16 tile: for each input k, 16 numbers: lane n = W[n][k].
 *
 * Padding: rows up to a multiple of 16 have scale 0 (numbers 0); the codes of inputs up to a
 * multiple of the block mean nothing. Every tile starts 64-byte aligned.
 *
 * Scales are f16 if the file has them so, and in fast mode if every one of the matrix is 0 or a
 * normal f16; else f32. bf16 numbers become f32, 2-bit codes 4-bit ones. What has no such block form
 * (see weights_pack.h) is decoded into numbers, f32 or, in fast mode, f16. Which matrices are packed:
 * those that instructions multiply rows with. A table that only an embed instruction reads stays in the
 * mapped file (see weights_embed_row).
 *
 * weights_open is called once; after it everything is constant, and any thread may read. */
#ifndef QUERN_ENGINE_WEIGHTS_H
#define QUERN_ENGINE_WEIGHTS_H

#include "engine/error.h"
#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TILE_ROWS = 16,     /* f32 lanes of an AVX-512 register */
    WEIGHTS_LAYOUT = 2, /* of what is drawn above: to be counted up with every change */
};

enum weight_format {
    WEIGHT_Q4,
    WEIGHT_Q8,
    WEIGHT_CODE_BOOK,
    WEIGHT_F16,
    WEIGHT_F32,
    WEIGHT_FORMAT_COUNT,
};

struct packed_matrix {
    enum weight_format format;
    size_t rows;    /* outputs, before padding */
    size_t columns; /* inputs, before padding */
    size_t tiles;
    size_t tile_bytes;
    size_t block;     /* inputs that share a scale (Q4, Q8, code book) */
    size_t blocks;    /* ceil(columns / block) */
    bool wide_scales; /* scales are f32 instead of f16 */
    bool has_zero_points;
    const float *values;  /* of a code book, by code */
    bool full_precision;  /* its inputs are not to be quantized */
    bool fine_inputs;     /* they are to be quantized by 16 */
    const uint8_t *bytes; /* tile t at bytes + t * tile_bytes; NULL if this weight is not packed */
};

struct weights;
struct workers;

struct weights_options {
    bool exact;            /* scales as the file has them */
    const char *pack_path; /* the pack file (pack_file.h) to map, or else to write; NULL: none */
    size_t pack_least;     /* fewer bytes are not worth a file: none is written */
    size_t bytes_max;      /* of packed weights, by some memory limit; 0: any */
    /* How much is packed, out of all; on the calling thread, many times. May be NULL. */
    void (*progress)(void *context, size_t done, size_t total);
    void *context;
};

/* Maps the packed matrices of `plan` from the pack file if that holds them, else packs them, split
 * over the threads of `workers` (NULL: on this thread alone). Pages of the plan's mapped files are
 * given back to the system as they are consumed, so that nothing is held twice. The plan must
 * outlive the weights. ERROR_BAD_FILE for a scale that is not finite, ERROR_TOO_LARGE beyond
 * bytes_max; a pack file that cannot be used or written is no error, see weights_note. */
bool weights_open(struct weights **out, const struct plan *plan,
                  const struct weights_options *options, struct workers *workers,
                  struct error *err);
void weights_close(struct weights *weights);

/* What weights_open will pack, before it has looked at the numbers: less than it may turn out to be only
 * for quantized weights that no kernel has, and that are packed as numbers therefore. */
bool weights_plan_bytes(const struct plan *plan, bool exact, size_t *bytes, struct error *err);

/* The packed form of plan weight `index`. */
const struct packed_matrix *weights_matrix(const struct weights *weights, int index);

/* output[0..columns) = row `row` of plan weight `index`, times scale: decoded from the packed
 * tiles, or from the mapped file if the weight is not packed. */
void weights_embed_row(const struct weights *weights, int index, size_t row, float scale,
                       float *output);

/* Bytes of packed memory in all. */
size_t weights_bytes(const struct weights *weights);

enum weights_origin {
    WEIGHTS_IN_MEMORY, /* packed for this process alone */
    WEIGHTS_WRITTEN,   /* packed into the pack file */
    WEIGHTS_MAPPED,    /* as the pack file had them */
};
enum weights_origin weights_get_origin(const struct weights *weights);

/* Why the pack file was not used or not written, a sentence; "" if there is nothing to say. */
const char *weights_note(const struct weights *weights);

#endif
