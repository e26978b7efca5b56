/* The number types that a model file stores, and their conversion to f32. */
#ifndef QUERN_ENGINE_ELEMENT_TYPE_H
#define QUERN_ENGINE_ELEMENT_TYPE_H

#include <stddef.h>
#include <stdint.h>

enum element_type {
    ELEMENT_F32,
    ELEMENT_F16,
    ELEMENT_BF16,
    ELEMENT_U8,
};

size_t element_type_bytes(enum element_type type);
const char *element_type_name(enum element_type type);

/* numbers[0..count) = the elements at `bytes`, which may have any alignment. */
void element_type_to_f32(enum element_type type, const uint8_t *bytes, size_t count,
                         float *numbers);

#endif
