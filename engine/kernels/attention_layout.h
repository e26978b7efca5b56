/* Where things lie in a page's part of one head and in a softmax state: see kernels.h. */
#ifndef QUERN_ENGINE_KERNELS_ATTENTION_LAYOUT_H
#define QUERN_ENGINE_KERNELS_ATTENTION_LAYOUT_H

#include "engine/kernels/kernels.h"
#include "engine/sizes.h"

/* Floats of a state's a, and numbers of one position's value. */
static inline size_t attention_padded_dim(size_t head_dim) {
    return round_up(head_dim, 16);
}

static inline size_t kv_element_bytes(enum kv_type type) {
    return type == KV_F32 ? 4 : type == KV_F16 ? 2 : 1;
}

/* Offset of the key scales, where the type has them. */
static inline size_t kv_key_scales_offset(enum kv_type type, size_t head_dim) {
    return round_up(head_dim * KV_PAGE_POSITIONS * kv_element_bytes(type), 64);
}

static inline size_t kv_scales_bytes(enum kv_type type) {
    return type == KV_INT8 ? KV_PAGE_POSITIONS * sizeof(float) : 0;
}

static inline size_t kv_values_offset(enum kv_type type, size_t head_dim) {
    return kv_key_scales_offset(type, head_dim) + kv_scales_bytes(type);
}

static inline size_t kv_value_scales_offset(enum kv_type type, size_t head_dim) {
    return kv_values_offset(type, head_dim) +
           KV_PAGE_POSITIONS * attention_padded_dim(head_dim) * kv_element_bytes(type);
}

#endif
