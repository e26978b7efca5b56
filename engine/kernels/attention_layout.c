#include "engine/kernels/attention_layout.h"

size_t kv_head_bytes(enum kv_type type, size_t head_dim) {
    return kv_value_scales_offset(type, head_dim) + kv_scales_bytes(type);
}

size_t attention_state_floats(size_t head_dim) {
    return attention_padded_dim(head_dim) + 16;
}
