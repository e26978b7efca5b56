/* How much memory this process may have: the least of the machine's memory, the limits of its control
 * groups (v2 memory.max and v1 memory.limit_in_bytes, its own and all above), and its address-space
 * limit (ulimit -v), which counts what is mapped. Any thread. */
#ifndef QUERN_ENGINE_MEMORY_LIMIT_H
#define QUERN_ENGINE_MEMORY_LIMIT_H

#include <stddef.h>

struct memory_limit {
    size_t bytes;
    const char *source; /* "the machine", "its control group", "its address space (ulimit -v)" */
};

struct memory_limit memory_limit_get(void);

/* Of that, the bytes for weights and KV pools: the rest is for activations, tokenizers and what the
 * system counts besides. */
size_t memory_limit_for_data(void);

#endif
