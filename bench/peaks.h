/* What an instruction set can multiply at most: loops over registers, which load nothing.
 *
 * The arithmetic kernels are measured against these; so far from its peak is a kernel, as it waits
 * for loads, unpacks codes and scales sums. */
#ifndef QUERN_BENCH_PEAKS_H
#define QUERN_BENCH_PEAKS_H

#include <stddef.h>

struct peak_loop {
    void (*run)(size_t rounds);
    size_t products; /* multiply-adds of a round */
};

struct peak {
    const char *kernels;   /* the table (engine/kernels/kernels.h) with these instructions */
    struct peak_loop int8; /* codes 0..15 times int8 */
    struct peak_loop f32;
};

/* NULL where none is known. */
const struct peak *peak_of(const char *kernels);

#endif
