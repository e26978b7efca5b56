/* The kernel table for processors with AVX-512 F, BW, VL, DQ and VNNI. */
#include "engine/kernels/dots_avx512.h"
#include "engine/kernels/lanes_avx512.h"

#include "engine/kernels/rows.inc.h"

#include "engine/kernels/linear.inc.h"

#include "engine/kernels/attention.inc.h"

#include "engine/kernels/tables.h"

const struct kernels kernels_avx512 = {
    .name = "avx512",
    ROW_KERNELS,
    LINEAR_KERNELS,
    ATTENTION_KERNELS,
};
