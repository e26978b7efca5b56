/* dot_inputs (see dots_scalar.h) where four of them are read from memory into every lane by the
 * instruction that needs them, or by one that costs no more than a load. */
#ifndef QUERN_ENGINE_KERNELS_INPUTS_IN_MEMORY_H
#define QUERN_ENGINE_KERNELS_INPUTS_IN_MEMORY_H

#include <stdint.h>

typedef const int8_t *dot_inputs;

static inline dot_inputs dot_inputs_load(const int8_t *from) {
    return from;
}

#endif
