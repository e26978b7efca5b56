#include "engine/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>

Test(arena, memory_is_zeroed_aligned_and_distinct) {
    struct arena arena;
    arena_init(&arena);
    unsigned char *first = arena_allocate(&arena, 100, 1);
    unsigned char *second = arena_allocate(&arena, 1, 3);
    cr_assert(first != NULL && second != NULL);
    cr_assert_eq((uintptr_t)first % 64, 0, "a large allocation starts a cache line");
    cr_assert_eq((uintptr_t)second % 16, 0, "a small one is aligned for any type");
    cr_assert(second >= first + 100 || second + 3 <= first, "allocations do not overlap");
    for (size_t i = 0; i < 100; i++) {
        cr_assert_eq(first[i], 0);
    }
    arena_deinit(&arena);
}

Test(arena, allocations_larger_than_a_block_succeed) {
    struct arena arena;
    arena_init(&arena);
    unsigned char *large = arena_allocate(&arena, 1 << 20, 1);
    cr_assert(large != NULL);
    large[(1 << 20) - 1] = 1;
    cr_assert(arena_allocate(&arena, 8, 1) != NULL);
    arena_deinit(&arena);
}

Test(arena, a_size_that_overflows_is_refused) {
    struct arena arena;
    arena_init(&arena);
    cr_assert(arena_allocate(&arena, SIZE_MAX / 2, 4) == NULL);
    cr_assert(arena_allocate(&arena, SIZE_MAX, 1) == NULL);
    cr_assert(arena_allocate(&arena, 16, 1) != NULL, "the arena is still usable");
    arena_deinit(&arena);
}

Test(arena, copied_text_is_terminated) {
    struct arena arena;
    arena_init(&arena);
    char *copy = arena_copy_text(&arena, "quern mill", 5);
    cr_assert_str_eq(copy, "quern");
    arena_deinit(&arena);
}
