#include "engine/weights_pack.h"

#include "engine/checked.h"
#include "engine/half.h"

#include <math.h>
#include <string.h>

enum { TILE_ALIGNMENT = 64 };

/* ---- Bytes of any alignment ---- */

static uint32_t load_u32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint16_t load_u16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static float load_number(enum element_type type, const uint8_t *bytes, size_t index) {
    switch (type) {
    case ELEMENT_F32:
        return float_from_bits(load_u32(bytes + index * sizeof(float)));
    case ELEMENT_F16:
        return half_to_float(load_u16(bytes + index * sizeof(uint16_t)));
    case ELEMENT_BF16: /* the upper half of an f32 */
        return float_from_bits((uint32_t)load_u16(bytes + index * sizeof(uint16_t)) << 16);
    case ELEMENT_U8:
        break;
    }
    return bytes[index];
}

/* Element `index` of codes or zero points packed with low bits first. */
static unsigned load_code(const uint8_t *bytes, unsigned bits, size_t index) {
    unsigned byte = bytes[bits == 8 ? index : index / 2];
    return bits == 8 ? byte : (byte >> (index % 2 * 4)) & 15;
}

/* ---- Geometry ---- */

/* Rows of a tile before padding. */
static size_t rows_of_tile(const struct plan_weight *source, size_t tile) {
    size_t rest = source->rows - tile * TILE_ROWS;
    return rest < TILE_ROWS ? rest : (size_t)TILE_ROWS;
}

static size_t bytes_of_scale(const struct packed_matrix *matrix) {
    return matrix->wide_scales ? sizeof(float) : sizeof(uint16_t);
}

/* Scales and zero points that precede the codes of a block. */
static size_t bytes_of_block_head(const struct packed_matrix *matrix) {
    return TILE_ROWS * (bytes_of_scale(matrix) + (matrix->has_zero_points ? 1 : 0));
}

static unsigned bits_of_code(const struct packed_matrix *matrix) {
    return matrix->format == WEIGHT_Q4 ? 4 : 8;
}

static size_t bytes_of_block(const struct packed_matrix *matrix) {
    return bytes_of_block_head(matrix) + TILE_ROWS * matrix->block * bits_of_code(matrix) / 8;
}

bool pack_layout(const struct plan_weight *source, bool wide_scales, struct packed_matrix *matrix) {
    size_t padded_rows;
    if (!checked_round_up(source->rows, TILE_ROWS, &padded_rows)) {
        return false;
    }
    *matrix = (struct packed_matrix){
        .rows = source->rows,
        .columns = source->columns,
        .tiles = padded_rows / TILE_ROWS,
    };
    size_t pieces; /* blocks, or inputs of a matrix of numbers */
    size_t piece_bytes;
    if (source->bits == 0) {
        matrix->format = source->type == ELEMENT_F16 ? WEIGHT_F16 : WEIGHT_F32;
        pieces = source->columns;
        piece_bytes = TILE_ROWS * (matrix->format == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float));
    } else {
        size_t padded_columns;
        if (!checked_round_up(source->columns, source->block_size, &padded_columns) ||
            source->block_size > SIZE_MAX / TILE_ROWS / 2) {
            return false;
        }
        matrix->format = source->bits == 4 ? WEIGHT_Q4 : WEIGHT_Q8;
        matrix->block = source->block_size;
        matrix->blocks = padded_columns / source->block_size;
        matrix->wide_scales = wide_scales;
        matrix->has_zero_points = source->zero_points != NULL;
        pieces = matrix->blocks;
        piece_bytes = bytes_of_block(matrix);
    }
    return checked_multiply(pieces, piece_bytes, &matrix->tile_bytes) &&
           checked_round_up(matrix->tile_bytes, TILE_ALIGNMENT, &matrix->tile_bytes);
}

/* ---- Scales ---- */

struct scale_survey survey_scales(const struct plan_weight *source, size_t first_row,
                                  size_t end_row) {
    struct scale_survey survey = {.narrow = true, .finite = true};
    const struct plan_weight_rows in_file = plan_weight_rows(source);
    for (size_t row = first_row; row < end_row && survey.finite; row++) {
        const uint8_t *scales = source->scales + row * in_file.scales.stride;
        for (size_t b = 0; b < in_file.blocks && survey.finite; b++) {
            float scale = load_number(source->scale_type, scales, b);
            float magnitude = fabsf(scale);
            bool normal = magnitude >= 0x1p-14f && magnitude <= 65504.0f;
            survey.narrow &= normal || scale == 0.0f || source->scale_type == ELEMENT_F16;
            survey.finite = isfinite(scale);
            survey.bad_index = row * in_file.blocks + b;
            survey.bad_value = scale;
        }
    }
    return survey;
}

static void pack_scale(const struct packed_matrix *matrix, float scale, uint8_t *to) {
    if (matrix->wide_scales) {
        memcpy(to, &scale, sizeof scale);
    } else {
        uint16_t half = half_from_float(scale);
        memcpy(to, &half, sizeof half);
    }
}

/* ---- Codes ---- */

/* Eight 4-bit codes of a row, lowest nibble first, to the order of a group:
 *
 *     7 6 5 4 3 2 1 0  ->  7 3 6 2 5 1 4 0   (highest nibble first)
 *
 * so that the low nibbles are inputs 0..3 and the high ones inputs 4..7. */
static uint32_t interleave_nibbles(uint32_t x) {
    x = (x & 0xff0000ff) | (x & 0x00ff0000) >> 8 | (x & 0x0000ff00) << 8;
    return (x & 0xf00ff00f) | (x & 0x0f000f00) >> 4 | (x & 0x00f000f0) << 4;
}

/* The next 4 bytes of a row, or as many as are left, and zeros. */
static uint32_t load_codes(const uint8_t *bytes, size_t left) {
    if (left >= sizeof(uint32_t)) {
        return load_u32(bytes);
    }
    uint32_t codes = 0;
    memcpy(&codes, bytes, left);
    return codes;
}

/* The codes of one block of 16 rows: each takes the next 4 bytes of every row. */
static void pack_block_q4(const uint8_t *const *rows, size_t row_bytes, uint8_t *to) {
    for (size_t i = 0; i < row_bytes; i += 4) {
        for (size_t n = 0; n < TILE_ROWS; n++, to += 4) {
            uint32_t codes = interleave_nibbles(load_codes(rows[n] + i, row_bytes - i));
            memcpy(to, &codes, sizeof codes);
        }
    }
}

static void pack_block_q8(const uint8_t *const *rows, size_t row_bytes, uint8_t *to) {
    for (size_t i = 0; i < row_bytes; i += 4) {
        for (size_t n = 0; n < TILE_ROWS; n++, to += 4) {
            uint32_t codes = load_codes(rows[n] + i, row_bytes - i);
            memcpy(to, &codes, sizeof codes);
        }
    }
}

static void pack_quantized_tile(const struct plan_weight *source,
                                const struct packed_matrix *matrix, size_t tile, uint8_t *to) {
    const size_t first = tile * TILE_ROWS;
    const size_t valid = rows_of_tile(source, tile);
    const struct plan_weight_rows in_file = plan_weight_rows(source);
    const size_t block_bytes = matrix->block * source->bits / 8;

    for (size_t b = 0; b < matrix->blocks; b++) {
        const size_t left =
            in_file.data.row - b * block_bytes; /* the last block may be cut short */
        const uint8_t *rows[TILE_ROWS];
        for (size_t n = 0; n < TILE_ROWS; n++) {
            /* Padding repeats the last row with a scale of 0. */
            size_t row = first + (n < valid ? n : valid - 1);
            rows[n] = source->data + row * in_file.data.stride + b * block_bytes;
            const uint8_t *scales = source->scales + row * in_file.scales.stride;
            float scale = n < valid ? load_number(source->scale_type, scales, b) : 0.0f;
            pack_scale(matrix, scale, to + n * bytes_of_scale(matrix));
            if (matrix->has_zero_points) {
                const uint8_t *zeros = source->zero_points + row * in_file.zero_points.stride;
                uint8_t *to_zeros = to + TILE_ROWS * bytes_of_scale(matrix);
                to_zeros[n] = (uint8_t)load_code(zeros, source->bits, b);
            }
        }
        uint8_t *codes = to + bytes_of_block_head(matrix);
        if (matrix->format == WEIGHT_Q4) {
            pack_block_q4(rows, left < block_bytes ? left : block_bytes, codes);
        } else {
            pack_block_q8(rows, left < block_bytes ? left : block_bytes, codes);
        }
        to += bytes_of_block(matrix);
    }
}

/* ---- Numbers ---- */

/* Numbers of tiles [first, end), inlined once for each pair of widths. A bf16 is the upper half of
 * an f32, and the memory is zeroed: so every number is copied to the upper end of its place. The
 * loop over k is the outer one: in a transposed source, (columns, rows), a run of tiles is a run of
 * bytes. */
static inline __attribute__((always_inline)) void
pack_numbers(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
             size_t end, uint8_t *bytes, const size_t from_bytes, const size_t to_bytes) {
    const size_t row_step =
        from_bytes * (source->transposed ? 1 : source->columns * (source->row_skip + 1));
    const size_t k_step = from_bytes * (source->transposed ? source->rows : 1);
    for (size_t k = 0; k < source->columns; k++) {
        for (size_t tile = first; tile < end; tile++) {
            const size_t row = tile * TILE_ROWS;
            const size_t rows = rows_of_tile(source, tile);
            const uint8_t *from = source->data + row * row_step + k * k_step;
            uint8_t *to = bytes + tile * matrix->tile_bytes + k * TILE_ROWS * to_bytes;
            for (size_t n = 0; n < rows; n++) {
                memcpy(to + (n + 1) * to_bytes - from_bytes, from + n * row_step, from_bytes);
            }
        }
    }
}

static void pack_number_tiles(const struct plan_weight *source, const struct packed_matrix *matrix,
                              size_t first, size_t end, uint8_t *bytes) {
    if (source->type == ELEMENT_F32) {
        pack_numbers(source, matrix, first, end, bytes, sizeof(float), sizeof(float));
    } else if (source->type == ELEMENT_F16) {
        pack_numbers(source, matrix, first, end, bytes, sizeof(uint16_t), sizeof(uint16_t));
    } else {
        pack_numbers(source, matrix, first, end, bytes, sizeof(uint16_t), sizeof(float));
    }
}

void pack_tiles(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
                size_t end, uint8_t *bytes) {
    if (source->bits == 0 && source->transposed) {
        pack_number_tiles(source, matrix, first, end, bytes);
        return;
    }
    for (size_t tile = first; tile < end; tile++) {
        if (source->bits == 0) {
            pack_number_tiles(source, matrix, tile, tile + 1, bytes);
        } else {
            pack_quantized_tile(source, matrix, tile, bytes + tile * matrix->tile_bytes);
        }
    }
}

/* ---- Reading rows back ---- */

static void read_packed_codes(const struct packed_matrix *matrix, size_t lane, const uint8_t *block,
                              size_t columns, float *output) {
    const bool q4 = matrix->format == WEIGHT_Q4;
    const uint8_t *scales = block;
    const uint8_t *zeros = scales + TILE_ROWS * bytes_of_scale(matrix);
    const uint8_t *codes = block + bytes_of_block_head(matrix);
    float scale = load_number(matrix->wide_scales ? ELEMENT_F32 : ELEMENT_F16, scales, lane);
    int zero = matrix->has_zero_points ? zeros[lane] : 1 << (bits_of_code(matrix) - 1);
    for (size_t k = 0; k < columns; k++) {
        /* Input k is byte k % 4 of its group's lane; in Q4 inputs 4..7 of 8 are high nibbles. */
        size_t group = q4 ? k / 8 : k / 4;
        unsigned code = codes[group * TILE_ROWS * 4 + lane * 4 + k % 4];
        if (q4) {
            code = (code >> (k % 8 / 4 * 4)) & 15u;
        }
        output[k] = (float)((int)code - zero) * scale;
    }
}

void read_packed_row(const struct packed_matrix *matrix, size_t row, float *output) {
    const uint8_t *tile = matrix->bytes + row / TILE_ROWS * matrix->tile_bytes;
    const size_t lane = row % TILE_ROWS;
    if (matrix->format == WEIGHT_F16 || matrix->format == WEIGHT_F32) {
        enum element_type type = matrix->format == WEIGHT_F16 ? ELEMENT_F16 : ELEMENT_F32;
        for (size_t k = 0; k < matrix->columns; k++) {
            output[k] = load_number(type, tile, k * TILE_ROWS + lane);
        }
        return;
    }
    for (size_t k = 0; k < matrix->columns; k += matrix->block) {
        size_t rest = matrix->columns - k;
        read_packed_codes(matrix, lane, tile + k / matrix->block * bytes_of_block(matrix),
                          rest < matrix->block ? rest : matrix->block, output + k);
    }
}

void read_source_row(const struct plan_weight *source, size_t row, float *output) {
    if (source->bits == 0) {
        size_t step = source->columns * (source->row_skip + 1);
        for (size_t k = 0; k < source->columns; k++) {
            size_t index = source->transposed ? k * source->rows + row : row * step + k;
            output[k] = load_number(source->type, source->data, index);
        }
        return;
    }
    const struct plan_weight_rows in_file = plan_weight_rows(source);
    const uint8_t *codes = source->data + row * in_file.data.stride;
    const uint8_t *scales = source->scales + row * in_file.scales.stride;
    const uint8_t *zeros = NULL;
    if (source->zero_points != NULL) {
        zeros = source->zero_points + row * in_file.zero_points.stride;
    }
    for (size_t k = 0; k < source->columns; k++) {
        size_t b = k / source->block_size;
        float scale = load_number(source->scale_type, scales, b);
        unsigned zero =
            zeros != NULL ? load_code(zeros, source->bits, b) : 1u << (source->bits - 1);
        int code = (int)load_code(codes, source->bits, k) - (int)zero;
        output[k] = (float)code * scale;
    }
}
