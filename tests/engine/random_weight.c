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

/* Of one row. */
static size_t code_bytes(const struct plan_weight *weight) {
    size_t blocks = (weight->columns + weight->block_size - 1) / weight->block_size;
    size_t codes = weight->unpadded ? weight->columns : blocks * weight->block_size;
    return (codes * weight->bits + 7) / 8;
}

struct plan_weight random_weight(struct weight_form form, unsigned seed) {
    uint32_t state = seed;
    struct plan_weight weight = {
        .name = "random",
        .rows = form.rows,
        .columns = form.columns,
        .bits = form.bits,
        .type = form.type,
        .scale_type = form.type,
        .transposed = form.transposed,
        .block_size = form.block_size,
        .unpadded = form.unpadded,
        .row_skip = form.row_skip,
    };
    size_t file_rows = (form.rows - 1) * (form.row_skip + 1) + 1;
    if (form.bits == 0) {
        weight.data = random_numbers(file_rows * form.columns, form.type, 8, &state);
        return weight;
    }
    size_t blocks = (form.columns + form.block_size - 1) / form.block_size;
    weight.data = random_bytes(file_rows * code_bytes(&weight), &state);
    weight.scales = random_numbers(file_rows * blocks, form.type, 14, &state);
    if (form.zero_points) {
        weight.zero_points = random_bytes(file_rows * ((blocks * form.bits + 7) / 8), &state);
    }
    return weight;
}

static void free_bytes(const uint8_t *bytes) {
    if (bytes != NULL) {
        free((void *)((uintptr_t)bytes - 1));
    }
}

void random_weight_free(struct plan_weight *weight) {
    free_bytes(weight->data);
    free_bytes(weight->scales);
    free_bytes(weight->zero_points);
}

static float number_at(const uint8_t *bytes, enum element_type type, size_t index) {
    uint32_t bits = 0;
    memcpy(&bits, bytes + index * element_type_bytes(type), element_type_bytes(type));
    if (type == ELEMENT_F16) {
        return half_to_float((uint16_t)bits);
    }
    return float_from_bits(type == ELEMENT_BF16 ? bits << 16 : bits);
}

static int code_at(const uint8_t *bytes, unsigned bits, size_t index) {
    return bits == 8 ? bytes[index] : (bytes[index / 2] >> (index % 2 == 1 ? 4 : 0)) & 15;
}

float weight_at(const struct plan_weight *weight, size_t row, size_t k) {
    size_t file_row = row * (weight->row_skip + 1);
    if (weight->bits == 0) {
        size_t index = weight->transposed ? k * weight->rows + row : file_row * weight->columns + k;
        return number_at(weight->data, weight->type, index);
    }
    size_t blocks = (weight->columns + weight->block_size - 1) / weight->block_size;
    size_t b = k / weight->block_size;
    int code = code_at(weight->data + file_row * code_bytes(weight), weight->bits, k);
    int zero = 1 << (weight->bits - 1);
    if (weight->zero_points != NULL) {
        size_t row_bytes = (blocks * weight->bits + 7) / 8;
        zero = code_at(weight->zero_points + file_row * row_bytes, weight->bits, b);
    }
    return (float)(code - zero) *
           number_at(weight->scales, weight->scale_type, file_row * blocks + b);
}

const char *weight_form_name(const struct weight_form *form) {
    static char name[128];
    snprintf(name, sizeof name, "%u bits %s%s block %zu%s%s, row skip %zu (%zu, %zu)", form->bits,
             element_type_name(form->type), form->transposed ? " transposed" : "", form->block_size,
             form->zero_points ? " zero points" : "", form->unpadded ? " unpadded" : "",
             form->row_skip, form->rows, form->columns);
    return name;
}
