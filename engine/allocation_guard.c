#include "engine/allocation_guard.h"

#ifdef QUERN_CHECK_ALLOCATIONS

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local int depth;

void no_allocations_begin(void) {
    depth++;
}

void no_allocations_end(void) {
    depth--;
}

static void check(const char *function, size_t bytes) {
    if (depth > 0) {
        depth = 0; /* what follows may allocate */
        fprintf(stderr, "quern: %s of %zu bytes within a step: steps must not allocate\n", function,
                bytes);
        abort();
    }
}

/* With --wrap=NAME the linker gives calls of NAME to __wrap_NAME, and the original as __real_NAME. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    check("malloc", size);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    check("calloc", count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    check("realloc", size);
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    check("aligned_alloc", size);
    return __real_aligned_alloc(alignment, size);
}

#endif
