#include "bench/peaks.h"

const struct peak *peak_of(const char *kernels) {
    (void)kernels;
    return NULL;
}
