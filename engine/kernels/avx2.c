/* The kernel table for processors with AVX2, FMA and F16C. */
#include "engine/kernels/dots_avx2.h"
#include "engine/kernels/lanes_avx2.h"

#include "engine/kernels/rows.inc.h"

#include "engine/kernels/linear.inc.h"

#include "engine/kernels/attention.inc.h"

#include "engine/kernels/tables.h"

const struct kernels kernels_avx2 = {
    .name = "avx2",
    ROW_KERNELS,
    LINEAR_KERNELS,
    ATTENTION_KERNELS,
};
