#include "engine/weights_source.h"

#include "engine/half.h"

#include <math.h>
#include <string.h>

/* ---- Elements ---- */

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

float source_number(enum element_type type, const uint8_t *bytes, size_t index) {
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

static size_t index_of(const struct plan_part *part, size_t row, size_t column) {
    const size_t index = row * part->row + column * part->step;
    return part->shared > 1 ? index / part->shared : index;
}

static unsigned load_code(const uint8_t *bytes, unsigned bits, size_t index) {
    const size_t bit = index * bits;
    return ((unsigned)bytes[bit / 8] >> (bit % 8)) & ((1u << bits) - 1);
}

/* A code as the number that it means. */
static int signed_code(const struct plan_weight *source, unsigned raw) {
    const unsigned sign = source->is_signed ? 1u << (source->bits - 1) : 0;
    return (int)(raw ^ sign) - (int)sign;
}

unsigned source_raw_code(const struct plan_weight *source, size_t row, size_t column) {
    const size_t high_first = source->code_book != NULL ? 1 : 0; /* the other code of its byte */
    return load_code(source->data.bytes, source->bits,
                     index_of(&source->data, row, column) ^ high_first);
}

int source_code(const struct plan_weight *source, size_t row, size_t column) {
    return signed_code(source, source_raw_code(source, row, column));
}

/* What a code stands for, before its zero point and scale. */
static float code_number(const struct plan_weight *source, size_t row, size_t column) {
    return source->code_book != NULL
               ? source->code_book->values[source_raw_code(source, row, column)]
               : (float)source_code(source, row, column);
}

float source_scale(const struct plan_weight *source, size_t row, size_t block) {
    return source_number(source->scale_type, source->scales.bytes,
                         index_of(&source->scales, row, block));
}

float source_zero_point(const struct plan_weight *source, size_t row, size_t block) {
    const struct plan_part *part = &source->zero_points;
    if (part->bytes == NULL) {
        return (float)source->zero_point;
    }
    const size_t index = index_of(part, row, block);
    return source->zero_points_are_numbers
               ? source_number(source->scale_type, part->bytes, index)
               : (float)signed_code(source, load_code(part->bytes, source->bits, index));
}

float source_element(const struct plan_weight *source, size_t row, size_t column) {
    if (source->bits == 0) {
        return source_number(source->type, source->data.bytes,
                             index_of(&source->data, row, column));
    }
    const size_t block = plan_weight_block(source, column);
    return (code_number(source, row, column) - source_zero_point(source, row, block)) *
           source_scale(source, row, block);
}

/* Neighbours in the file one after another. */
bool source_suits_f16(const struct plan_weight *source) {
    const struct plan_part *data = &source->data;
    const bool by_columns = data->row < data->step;
    const size_t outer = by_columns ? source->columns : source->rows;
    const size_t inner = by_columns ? source->rows : source->columns;
    const size_t outer_step = by_columns ? data->step : data->row;
    const size_t inner_step = by_columns ? data->row : data->step;
    float greatest = 0;
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < inner; i++) {
            const size_t index = o * outer_step + i * inner_step;
            const float magnitude = fabsf(source_number(source->type, data->bytes, index));
            if (!(magnitude <= 65504.0f)) {
                return false;
            }
            greatest = magnitude > greatest ? magnitude : greatest;
        }
    }
    return greatest == 0.0f || greatest >= 0x1p-14f;
}

/* ---- Rows ---- */

void source_row(const struct plan_weight *source, size_t row, float *output) {
    if (source->bits == 0 && source->data.step == 1) {
        const size_t bytes = element_type_bytes(source->type);
        element_type_to_f32(source->type, source->data.bytes + row * source->data.row * bytes,
                            source->columns, output);
        return;
    }
    if (source->bits == 0 || source->group_index != NULL) {
        for (size_t k = 0; k < source->columns; k++) {
            output[k] = source_element(source, row, k);
        }
        return;
    }
    for (size_t k = 0; k < source->columns;) {
        const size_t block = plan_weight_block(source, k);
        const size_t end = (block + 1) * source->block_size;
        const float scale = source_scale(source, row, block);
        const float zero_point = source_zero_point(source, row, block);
        for (; k < end && k < source->columns; k++) {
            output[k] = (code_number(source, row, k) - zero_point) * scale;
        }
    }
}

/* ---- Survey ---- */

static void survey_block(const struct plan_weight *source, size_t row, size_t block,
                         struct source_survey *survey) {
    const float scale = source_scale(source, row, block);
    const float zero_point = source_zero_point(source, row, block);
    const float magnitude = fabsf(scale);
    const bool normal = magnitude >= 0x1p-14f && magnitude <= 65504.0f;
    survey->narrow &= normal || scale == 0.0f || source->scale_type == ELEMENT_F16;
    survey->halves &= magnitude * (fabsf(zero_point) + 256.0f) <= 65504.0f;
    survey->whole &= zero_point == rintf(zero_point);
    survey->least_zero_point = fminf(survey->least_zero_point, zero_point);
    survey->greatest_zero_point = fmaxf(survey->greatest_zero_point, zero_point);
    if (survey->finite && (!isfinite(scale) || !isfinite(zero_point))) {
        survey->finite = false;
        survey->bad_row = row;
        survey->bad_block = block;
        survey->bad_what = isfinite(scale) ? "zero point" : "scale";
        survey->bad_value = isfinite(scale) ? zero_point : scale;
    }
}

struct source_survey source_survey(const struct plan_weight *source, size_t first_row,
                                   size_t end_row) {
    struct source_survey survey = {
        .narrow = true,
        .halves = true,
        .whole = true,
        .least_zero_point = INFINITY,
        .greatest_zero_point = -INFINITY,
        .finite = true,
    };
    const size_t blocks = plan_weight_blocks(source);
    for (size_t row = first_row; row < end_row && survey.finite; row++) {
        for (size_t block = 0; block < blocks; block++) {
            survey_block(source, row, block, &survey);
        }
    }
    return survey;
}
