#include "engine/arena.h"

#include "engine/checked.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARENA_BLOCK_BYTES = 64 * 1024, /* a graph of a thousand nodes fits into a handful of blocks */
    ARENA_LINE_BYTES = 64,
    ARENA_SMALL_ALIGNMENT = 16,
};

struct arena_block {
    struct arena_block *older;
    size_t capacity;
    _Alignas(ARENA_LINE_BYTES) unsigned char bytes[];
};

void arena_init(struct arena *arena) {
    *arena = (struct arena){0};
}

void arena_deinit(struct arena *arena) {
    struct arena_block *block = arena->newest;
    while (block != NULL) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
    arena_init(arena);
}

static struct arena_block *arena_grow(struct arena *arena, size_t bytes) {
    size_t capacity = bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES;
    size_t total;
    if (!checked_add(capacity, sizeof(struct arena_block), &total) ||
        !checked_round_up(total, ARENA_LINE_BYTES, &total)) {
        return NULL;
    }
    struct arena_block *block = aligned_alloc(ARENA_LINE_BYTES, total);
    if (block == NULL) {
        return NULL;
    }
    block->older = arena->newest;
    block->capacity = capacity;
    arena->newest = block;
    arena->used = 0;
    return block;
}

void *arena_allocate(struct arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!checked_multiply(count, size, &bytes)) {
        return NULL;
    }
    size_t alignment = bytes >= ARENA_LINE_BYTES ? ARENA_LINE_BYTES : ARENA_SMALL_ALIGNMENT;
    struct arena_block *block = arena->newest;
    size_t start = 0;
    bool fits = block != NULL && checked_round_up(arena->used, alignment, &start) &&
                checked_range(start, bytes, block->capacity);
    if (!fits) {
        block = arena_grow(arena, bytes);
        if (block == NULL) {
            return NULL;
        }
        start = 0;
    }
    arena->used = start + bytes;
    arena->total += bytes;
    return memset(block->bytes + start, 0, bytes);
}

char *arena_copy_text(struct arena *arena, const char *text, size_t length) {
    size_t bytes;
    if (!checked_add(length, 1, &bytes)) {
        return NULL;
    }
    char *copy = arena_allocate(arena, bytes, 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}
