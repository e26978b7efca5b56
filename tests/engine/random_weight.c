#include "tests/engine/random_weight.h"

#include "engine/half.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static uint8_t *random_bytes(size_t bytes, uint32_t *state) {
    uint8_t *memory = malloc(bytes + 1);
    for (size_t i = 0; i <= bytes; i++) {
        memory[i] = (uint8_t)next_random(state);
    }
    return memory + 1;
}

/* Numbers of at most 8 significant bits, exact in every type: +-(128..255) * 2^-exponent. */
static uint8_t *random_numbers(size_t count, enum element_type type, int exponent,
                               uint32_t *state) {
    uint8_t *bytes = random_bytes(count * element_type_bytes(type), state);
    for (size_t i = 0; i < count; i++) {
        uint32_t random = next_random(state);
        float number = (float)(128 + random % 128) / (float)(1 << exponent);
        number = (random & 128) != 0 ? number : -number;
        uint16_t half = half_from_float(number);
        uint16_t brain = (uint16_t)(float_to_bits(number) >> 16);
        if (type == ELEMENT_F32) {
            memcpy(bytes + i * sizeof number, &number, sizeof number);
        } else {
            memcpy(bytes + i * sizeof half, type == ELEMENT_F16 ? &half : &brain, sizeof half);
        }
    }
    return bytes;
}

static size_t blocks_of(const struct weight_form *form) {
    return (form->columns + form->block_size - 1) / form->block_size;
}

/* Elements of `bits` bits in rows of whole bytes. */
static size_t whole_bytes(size_t elements, unsigned bits) {
    return (elements * bits + 7) / 8 * 8 / bits;
}

/* How a part of rows of `columns` elements, of which the file has `row` a row, lies. */
static struct plan_part lay(const struct weight_form *form, size_t columns, size_t row) {
    if (form->transposed) {
        return (struct plan_part){.row = 1, .step = form->rows};
    }
    return (struct plan_part){.row = (row > columns ? row : columns) * (form->row_skip + 1),
                              .step = 1};
}

static size_t elements_of(const struct weight_form *form, const struct plan_part *part,
                          size_t columns) {
    const size_t last = (form->rows - 1) * part->row + (columns - 1) * part->step;
    return (part->shared > 0 ? last / part->shared : last) + 1;
}

static void add_zero_points(struct plan_weight *weight, const struct weight_form *form,
                            uint32_t *state) {
    const size_t blocks = blocks_of(form);
    const bool numbers = form->zero_points >= ZERO_POINTS_WHOLE;
    struct plan_part part =
        lay(form, blocks, numbers || form->unpadded ? blocks : whole_bytes(blocks, form->bits));
    part = form->shared ? (struct plan_part){0} : part;
    const size_t count = form->shared ? 1 : elements_of(form, &part, blocks);
    if (!numbers) {
        part.bytes = random_bytes((count * form->bits + 7) / 8, state);
    } else {
        /* 128..255 by 2^-5 are 4 to 8 with fractions, by 2^-7 they are 1 to 2. */
        uint8_t *bytes = random_numbers(count, form->type, 5, state);
        for (size_t i = 0; form->zero_points == ZERO_POINTS_WHOLE && i < count; i++) {
            float whole = (float)(next_random(state) % 16);
            uint16_t half = half_from_float(whole);
            uint16_t brain = (uint16_t)(float_to_bits(whole) >> 16);
            size_t size = element_type_bytes(form->type);
            const void *from = form->type == ELEMENT_F32   ? (const void *)&whole
                               : form->type == ELEMENT_F16 ? (const void *)&half
                                                           : (const void *)&brain;
            memcpy(bytes + i * size, from, size);
        }
        part.bytes = bytes;
    }
    weight->zero_points = part;
    weight->zero_points_are_numbers = numbers;
}

struct plan_weight random_weight(struct weight_form form, unsigned seed) {
    uint32_t state = seed;
    struct plan_weight weight = {
        .name = "random",
        .rows = form.rows,
        .columns = form.columns,
        .bits = form.bits,
        .type = form.type,
        .is_signed = form.is_signed,
        .code_book = form.code_book,
        .scale_type = form.type,
        .block_size = form.block_size,
        .zero_point =
            form.bits == 0 || form.is_signed || form.code_book != NULL ? 0 : 1 << (form.bits - 1),
    };
    if (form.bits == 0) {
        weight.data = lay(&form, form.columns, form.columns);
        weight.data.bytes =
            random_numbers(elements_of(&form, &weight.data, form.columns), form.type, 8, &state);
        return weight;
    }
    const size_t blocks = blocks_of(&form);
    const size_t codes = form.unpadded ? form.columns : blocks * form.block_size;
    weight.data = lay(&form, form.columns, whole_bytes(codes, form.bits));
    const size_t bits = elements_of(&form, &weight.data, form.columns) * form.bits;
    weight.data.bytes = random_bytes((bits + 7) / 8, &state);
    weight.scales = form.shared ? (struct plan_part){0} : lay(&form, blocks, blocks);
    weight.scales.shared = form.shared_scales;
    weight.scales.bytes = random_numbers(
        form.shared ? 1 : elements_of(&form, &weight.scales, blocks), form.type, 14, &state);
    if (form.zero_points != ZERO_POINTS_NONE) {
        add_zero_points(&weight, &form, &state);
    }
    if (form.shuffled) {
        uint8_t *groups = random_bytes(form.columns * sizeof(int32_t), &state);
        for (size_t k = 0; k < form.columns; k++) {
            int32_t group = (int32_t)(next_random(&state) % blocks);
            memcpy(groups + k * sizeof group, &group, sizeof group);
        }
        weight.group_index = groups;
    }
    return weight;
}

static void free_bytes(const uint8_t *bytes) {
    if (bytes != NULL) {
        free((void *)((uintptr_t)bytes - 1));
    }
}

void random_weight_free(struct plan_weight *weight) {
    free_bytes(weight->data.bytes);
    free_bytes(weight->scales.bytes);
    free_bytes(weight->zero_points.bytes);
    free_bytes(weight->group_index);
}

static float number_at(const struct plan_part *part, enum element_type type, size_t row,
                       size_t column) {
    size_t index = row * part->row + column * part->step;
    index /= part->shared > 0 ? part->shared : 1;
    uint32_t bits = 0;
    memcpy(&bits, part->bytes + index * element_type_bytes(type), element_type_bytes(type));
    if (type == ELEMENT_F16) {
        return half_to_float((uint16_t)bits);
    }
    return float_from_bits(type == ELEMENT_BF16 ? bits << 16 : bits);
}

static float value_at(const struct plan_weight *weight, size_t row, size_t column) {
    const size_t index = row * weight->data.row + column * weight->data.step;
    const uint8_t both = weight->data.bytes[index / 2];
    return weight->code_book->values[index % 2 == 0 ? both >> 4 : both & 15];
}

static float code_at(const struct plan_weight *weight, const struct plan_part *part, size_t row,
                     size_t column) {
    const size_t bit = (row * part->row + column * part->step) * weight->bits;
    const int range = 1 << weight->bits;
    int code = (part->bytes[bit / 8] >> (bit % 8)) % range;
    return (float)(weight->is_signed && code >= range / 2 ? code - range : code);
}

float weight_at(const struct plan_weight *weight, size_t row, size_t k) {
    if (weight->bits == 0) {
        return number_at(&weight->data, weight->type, row, k);
    }
    size_t block = k / weight->block_size;
    if (weight->group_index != NULL) {
        int32_t group;
        memcpy(&group, weight->group_index + k * sizeof group, sizeof group);
        block = (size_t)group;
    }
    float zero = (float)weight->zero_point;
    if (weight->zero_points.bytes != NULL) {
        zero = weight->zero_points_are_numbers
                   ? number_at(&weight->zero_points, weight->scale_type, row, block)
                   : code_at(weight, &weight->zero_points, row, block);
    }
    const float number = weight->code_book != NULL ? value_at(weight, row, k)
                                                   : code_at(weight, &weight->data, row, k) - zero;
    return number * number_at(&weight->scales, weight->scale_type, row, block);
}

const char *weight_form_name(const struct weight_form *form) {
    static const char *const zero_points[] = {"", " zero points", " whole numbers as zero points",
                                              " fractional zero points"};
    static char name[192];
    snprintf(name, sizeof name, "%s%s%u bits %s%s block %zu%s%s%s%s, row skip %zu (%zu, %zu)",
             form->is_signed ? "signed " : "", form->code_book != NULL ? form->code_book->name : "",
             form->bits, element_type_name(form->type), form->transposed ? " transposed" : "",
             form->block_size, zero_points[form->zero_points], form->shared ? " shared" : "",
             form->shuffled ? " shuffled" : "", form->unpadded ? " unpadded" : "", form->row_skip,
             form->rows, form->columns);
    return name;
}
