#include "engine/weights_pack.h"

#include "engine/checked.h"
#include "engine/half.h"
#include "engine/kernels/kernels.h"

#include <assert.h>
#include <string.h>

enum { TILE_ALIGNMENT = 64 };

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
    return matrix->format == WEIGHT_Q8 ? 8 : 4;
}

static size_t bytes_of_block(const struct packed_matrix *matrix) {
    return bytes_of_block_head(matrix) + TILE_ROWS * matrix->block * bits_of_code(matrix) / 8;
}

/* The block of the packed form, 0 if none will do: one block for each of the file, or 16 columns
 * where those of the file are several times that. */
static size_t packed_block(const struct plan_weight *source) {
    const size_t size = source->block_size;
    if (source->group_index != NULL) {
        return 0;
    }
    if (size >= source->columns) {
        return (source->columns + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK * ACTIVATION_BLOCK;
    }
    return size % ACTIVATION_BLOCK == 0 ? size : size % 16 == 0 ? 16 : 0;
}

/* Packed codes are unsigned: what is added to the numbers that codes and zero points mean. Of signed
 * codes the zero point, 0 as a rule, becomes that which packed codes have unless they say otherwise,
 * 8 or 128; and of unsigned 2-bit codes, which are packed as 4-bit codes, so does their usual one, 2. */
static int code_offset(const struct plan_weight *source) {
    if (source->is_signed) {
        return source->bits == 8 ? 128 : 8;
    }
    return source->bits == 2 ? 6 : 0;
}

struct pack_form pack_choose_form(const struct plan_weight *source,
                                  const struct source_survey *survey, bool exact) {
    const float offset = (float)code_offset(source);
    bool bytes = survey->whole && survey->least_zero_point + offset >= 0 &&
                 survey->greatest_zero_point + offset <= 255;
    struct pack_form form = {.decoded = packed_block(source) == 0 || !bytes};
    bool narrow = survey->narrow && (!exact || source->scale_type == ELEMENT_F16);
    form.wide = form.decoded ? exact || !survey->narrow || !survey->halves : !narrow;
    return form;
}

bool pack_form_fits(const struct plan_weight *source, struct pack_form form) {
    return source->bits == 0 ? !form.wide && !form.decoded
                             : form.decoded || packed_block(source) != 0;
}

static bool lay_out_codes(const struct plan_weight *source, bool wide,
                          struct packed_matrix *matrix) {
    const struct code_book *book = source->code_book;
    matrix->format = book != NULL ? WEIGHT_CODE_BOOK : source->bits == 8 ? WEIGHT_Q8 : WEIGHT_Q4;
    matrix->values = book != NULL ? book->values : NULL;
    matrix->block = packed_block(source);
    assert(matrix->block > 0); /* pack_form_fits */
    matrix->blocks = (source->columns - 1) / matrix->block + 1;
    matrix->wide_scales = wide;
    matrix->has_zero_points = source->zero_points.bytes != NULL ||
                              (book == NULL && source->zero_point + code_offset(source) !=
                                                   1 << (bits_of_code(matrix) - 1));
    return matrix->block <= SIZE_MAX / TILE_ROWS / 2 &&
           checked_multiply(matrix->blocks, bytes_of_block(matrix), &matrix->tile_bytes);
}

static bool lay_out_numbers(const struct plan_weight *source, enum weight_format format,
                            struct packed_matrix *matrix) {
    matrix->format = format;
    return checked_multiply(source->columns,
                            TILE_ROWS * (format == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float)),
                            &matrix->tile_bytes);
}

bool pack_layout(const struct plan_weight *source, struct pack_form form,
                 struct packed_matrix *matrix) {
    size_t padded_rows;
    if (!checked_round_up(source->rows, TILE_ROWS, &padded_rows)) {
        return false;
    }
    *matrix = (struct packed_matrix){
        .rows = source->rows,
        .columns = source->columns,
        .tiles = padded_rows / TILE_ROWS,
        .full_precision = source->full_precision,
        .fine_inputs = source->fine_inputs,
    };
    bool laid_out;
    if (form.decoded) {
        laid_out = lay_out_numbers(source, form.wide ? WEIGHT_F32 : WEIGHT_F16, matrix);
    } else if (source->bits == 0) {
        laid_out =
            lay_out_numbers(source, source->type == ELEMENT_F16 ? WEIGHT_F16 : WEIGHT_F32, matrix);
    } else {
        laid_out = lay_out_codes(source, form.wide, matrix);
    }
    return laid_out && checked_round_up(matrix->tile_bytes, TILE_ALIGNMENT, &matrix->tile_bytes);
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

/* Eight 4-bit codes that lie high bits first, to low bits first. */
static uint32_t swap_nibbles(uint32_t x) {
    return (x & 0x0f0f0f0f) << 4 | (x & 0xf0f0f0f0) >> 4;
}

/* How the codes of a run of a row's columns are found. */
struct code_reader {
    const struct plan_weight *source;
    unsigned bits; /* of a packed code */
    size_t count;  /* columns in a word of 32 bits */
    uint32_t flip; /* the sign bits of its codes, if they have one */
    bool whole;    /* words can be read as they are: the codes of a row lie one behind the other */
};

static struct code_reader code_reader(const struct plan_weight *source,
                                      const struct packed_matrix *matrix) {
    const unsigned bits = bits_of_code(matrix);
    return (struct code_reader){
        .source = source,
        .bits = bits,
        .count = 32 / bits,
        .flip = !source->is_signed ? 0
                : bits == 8        ? 0x80808080
                                   : 0x88888888,
        .whole = source->bits == bits && source->data.step == 1 && source->data.row * bits % 8 == 0,
    };
}

/* The codes of `count` columns from `column` on, the first in the lowest bits; those past the last
 * column are zeros or mean nothing. A word begins at a whole byte, as 8 divides `column`, or 4 does and
 * codes are bytes. */
static uint32_t read_codes(const struct code_reader *reader, size_t row, size_t column) {
    const struct plan_weight *source = reader->source;
    const size_t left = source->columns - column;
    const size_t count = left < reader->count ? left : reader->count;
    uint32_t word = 0;
    if (reader->whole) {
        const uint8_t *from =
            source->data.bytes + (row * source->data.row + column) * reader->bits / 8;
        if (count == reader->count) {
            memcpy(&word, from, sizeof word);
        } else {
            memcpy(&word, from, (count * reader->bits + 7) / 8);
        }
        return source->code_book != NULL ? swap_nibbles(word) : word ^ reader->flip;
    }
    const int offset = code_offset(source);
    for (size_t i = 0; i < count; i++) {
        word |= (uint32_t)(source_code(source, row, column + i) + offset) << (i * reader->bits);
    }
    return word;
}

/* The columns from `begin` on of one block of 16 rows: each takes the next word of every row. */
static void pack_codes(const struct code_reader *reader, const size_t *rows, size_t begin,
                       size_t end, uint8_t *to) {
    for (size_t k = begin; k < end; k += reader->count) {
        for (size_t n = 0; n < TILE_ROWS; n++, to += sizeof(uint32_t)) {
            uint32_t word = read_codes(reader, rows[n], k);
            word = reader->bits == 4 ? interleave_nibbles(word) : word;
            memcpy(to, &word, sizeof word);
        }
    }
}

static void pack_scale(const struct packed_matrix *matrix, float scale, uint8_t *to) {
    if (matrix->wide_scales) {
        memcpy(to, &scale, sizeof scale);
    } else {
        uint16_t half = half_from_float(scale);
        memcpy(to, &half, sizeof half);
    }
}

static void pack_quantized_tile(const struct plan_weight *source,
                                const struct packed_matrix *matrix, size_t tile, uint8_t *to) {
    const struct code_reader reader = code_reader(source, matrix);
    const size_t valid = rows_of_tile(source, tile);
    size_t rows[TILE_ROWS];
    for (size_t n = 0; n < TILE_ROWS; n++) { /* padding repeats the last row, with a scale of 0 */
        rows[n] = tile * TILE_ROWS + (n < valid ? n : valid - 1);
    }
    for (size_t b = 0; b < matrix->blocks; b++, to += bytes_of_block(matrix)) {
        const size_t begin = b * matrix->block;
        const size_t rest = source->columns - begin;
        const size_t block = plan_weight_block(source, begin);
        uint8_t *zeros = to + TILE_ROWS * bytes_of_scale(matrix);
        for (size_t n = 0; n < TILE_ROWS; n++) {
            float scale = n < valid ? source_scale(source, rows[n], block) : 0.0f;
            pack_scale(matrix, scale, to + n * bytes_of_scale(matrix));
            if (matrix->has_zero_points) {
                int zero = (int)source_zero_point(source, rows[n], block);
                zeros[n] = (uint8_t)(zero + code_offset(source));
            }
        }
        pack_codes(&reader, rows, begin, begin + (rest < matrix->block ? rest : matrix->block),
                   to + bytes_of_block_head(matrix));
    }
}

/* ---- Numbers ---- */

/* Numbers of tiles [first, end), inlined once for each pair of widths. A bf16 is the upper half of
 * an f32, and the memory is zeroed: so every number is copied to the upper end of its place. The
 * loop over k is the outer one: in a source of (columns, rows), a run of tiles is a run of bytes. */
static inline __attribute__((always_inline)) void
pack_numbers(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
             size_t end, uint8_t *bytes, const size_t from_bytes, const size_t to_bytes) {
    const size_t row_step = from_bytes * source->data.row;
    const size_t k_step = from_bytes * source->data.step;
    for (size_t k = 0; k < source->columns; k++) {
        for (size_t tile = first; tile < end; tile++) {
            const size_t row = tile * TILE_ROWS;
            const size_t rows = rows_of_tile(source, tile);
            const uint8_t *from = source->data.bytes + row * row_step + k * k_step;
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

static void pack_decoded_tile(const struct plan_weight *source, const struct packed_matrix *matrix,
                              size_t tile, uint8_t *to) {
    const size_t rows = rows_of_tile(source, tile);
    for (size_t k = 0; k < source->columns; k++) {
        for (size_t n = 0; n < rows; n++) {
            const size_t at = k * TILE_ROWS + n;
            float number = source_element(source, tile * TILE_ROWS + n, k);
            if (matrix->format == WEIGHT_F32) {
                memcpy(to + at * sizeof number, &number, sizeof number);
            } else {
                uint16_t half = half_from_float(number);
                memcpy(to + at * sizeof half, &half, sizeof half);
            }
        }
    }
}

void pack_tiles(const struct plan_weight *source, const struct packed_matrix *matrix, size_t first,
                size_t end, uint8_t *bytes) {
    const bool numbers = matrix->format == WEIGHT_F32 || matrix->format == WEIGHT_F16;
    const bool copied =
        source->bits == 0 && (matrix->format == WEIGHT_F32 || source->type == ELEMENT_F16);
    if (copied && source->data.row < source->data.step) {
        pack_number_tiles(source, matrix, first, end, bytes);
        return;
    }
    for (size_t tile = first; tile < end; tile++) {
        if (copied) {
            pack_number_tiles(source, matrix, tile, tile + 1, bytes);
        } else if (numbers) {
            pack_decoded_tile(source, matrix, tile, bytes + tile * matrix->tile_bytes);
        } else {
            pack_quantized_tile(source, matrix, tile, bytes + tile * matrix->tile_bytes);
        }
    }
}

/* ---- Reading rows back ---- */

static void read_packed_codes(const struct packed_matrix *matrix, size_t lane, const uint8_t *block,
                              size_t columns, float *output) {
    const bool nibbles = matrix->format != WEIGHT_Q8;
    const uint8_t *scales = block;
    const uint8_t *zeros = scales + TILE_ROWS * bytes_of_scale(matrix);
    const uint8_t *codes = block + bytes_of_block_head(matrix);
    float scale = source_number(matrix->wide_scales ? ELEMENT_F32 : ELEMENT_F16, scales, lane);
    int zero = matrix->has_zero_points ? zeros[lane] : 1 << (bits_of_code(matrix) - 1);
    for (size_t k = 0; k < columns; k++) {
        /* Input k is byte k % 4 of its group's lane; inputs 4..7 of 8 are high nibbles. */
        size_t group = nibbles ? k / 8 : k / 4;
        unsigned code = codes[group * TILE_ROWS * 4 + lane * 4 + k % 4];
        if (nibbles) {
            code = (code >> (k % 8 / 4 * 4)) & 15u;
        }
        float number = matrix->values != NULL ? matrix->values[code] : (float)((int)code - zero);
        output[k] = number * scale;
    }
}

void read_packed_row(const struct packed_matrix *matrix, size_t row, float *output) {
    const uint8_t *tile = matrix->bytes + row / TILE_ROWS * matrix->tile_bytes;
    const size_t lane = row % TILE_ROWS;
    if (matrix->format == WEIGHT_F16 || matrix->format == WEIGHT_F32) {
        enum element_type type = matrix->format == WEIGHT_F16 ? ELEMENT_F16 : ELEMENT_F32;
        for (size_t k = 0; k < matrix->columns; k++) {
            output[k] = source_number(type, tile, k * TILE_ROWS + lane);
        }
        return;
    }
    for (size_t k = 0; k < matrix->columns; k += matrix->block) {
        size_t rest = matrix->columns - k;
        read_packed_codes(matrix, lane, tile + k / matrix->block * bytes_of_block(matrix),
                          rest < matrix->block ? rest : matrix->block, output + k);
    }
}
