/* A moment's rest for a thread that spins: a few tens of nanoseconds in which its processor computes
 * nothing, and leaves the memory alone that it is waiting for. */
#ifndef QUERN_ENGINE_PAUSE_H
#define QUERN_ENGINE_PAUSE_H

#if defined(__x86_64__)
static inline void pause_briefly(void) {
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
/* What is named for this, `yield`, takes no time on processors that run one thread a core. */
static inline void pause_briefly(void) {
    __asm__ volatile("isb" ::: "memory");
}
#else
static inline void pause_briefly(void) {
}
#endif

#endif
