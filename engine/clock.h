/* Time as it is measured everywhere here: seconds on the clock that nobody sets. Any thread. */
#ifndef QUERN_ENGINE_CLOCK_H
#define QUERN_ENGINE_CLOCK_H

#include <time.h>

static inline double clock_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

#endif
