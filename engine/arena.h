/* An arena: many small allocations that die together (a graph, a plan, a request).
 *
 * Memory is taken from the heap in blocks and given back all at once by arena_deinit. An arena has
 * one owner and is used by one thread at a time. */
#ifndef QUERN_ENGINE_ARENA_H
#define QUERN_ENGINE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *newest;
    size_t used;  /* bytes handed out from the newest block */
    size_t total; /* bytes handed out so far */
};

void arena_init(struct arena *arena);
void arena_deinit(struct arena *arena);

/* `count` zeroed elements of `size` bytes, 64-byte aligned when that many bytes are asked for,
 * else 16. NULL when memory is out or count * size overflows. A zero size gives a valid pointer. */
void *arena_allocate(struct arena *arena, size_t count, size_t size);

/* A zero-terminated copy of `length` bytes of `text`. NULL when memory is out. */
char *arena_copy_text(struct arena *arena, const char *text, size_t length);

#endif
