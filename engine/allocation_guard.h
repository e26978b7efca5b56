/* Proof that a step allocates nothing: where the build checks allocations (QUERN_CHECK_ALLOCATIONS, on
 * in builds for tests), a thread that asks for memory between no_allocations_begin and
 * no_allocations_end ends the process with a message. Otherwise both are nothing.
 *
 * The linker leads our own calls to malloc, calloc, realloc and aligned_alloc through the guard;
 * memory that a library takes for itself is not seen. Each thread guards itself; nests. */
#ifndef QUERN_ENGINE_ALLOCATION_GUARD_H
#define QUERN_ENGINE_ALLOCATION_GUARD_H

#ifdef QUERN_CHECK_ALLOCATIONS
void no_allocations_begin(void);
void no_allocations_end(void);
#else
static inline void no_allocations_begin(void) {
}
static inline void no_allocations_end(void) {
}
#endif

#endif
