#include "engine/element_type.h"

#include "engine/half.h"

#include <string.h>

size_t element_type_bytes(enum element_type type) {
    static const size_t bytes[] = {
        [ELEMENT_F32] = 4, [ELEMENT_F16] = 2, [ELEMENT_BF16] = 2, [ELEMENT_U8] = 1};
    return bytes[type];
}

const char *element_type_name(enum element_type type) {
    static const char *const names[] = {
        [ELEMENT_F32] = "f32", [ELEMENT_F16] = "f16", [ELEMENT_BF16] = "bf16", [ELEMENT_U8] = "u8"};
    return names[type];
}

static float bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16; /* bf16 is the upper half of an f32 */
    float number;
    memcpy(&number, &wide, sizeof number);
    return number;
}

void element_type_to_f32(enum element_type type, const uint8_t *bytes, size_t count,
                         float *numbers) {
    if (type == ELEMENT_F32) {
        memcpy(numbers, bytes, count * sizeof *numbers);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        if (type == ELEMENT_U8) {
            numbers[i] = bytes[i];
            continue;
        }
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        numbers[i] = type == ELEMENT_F16 ? half_to_float(half) : bf16_to_float(half);
    }
}
