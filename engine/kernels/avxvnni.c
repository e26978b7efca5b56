/* The kernel table for processors with AVX2, FMA, F16C and AVX-VNNI. */
#include "engine/kernels/dots_avxvnni.h"
#include "engine/kernels/lanes_avx2.h"

#include "engine/kernels/rows.inc.h"

#include "engine/kernels/linear.inc.h"

#include "engine/kernels/attention.inc.h"

#include "engine/kernels/tables.h"

const struct kernels kernels_avxvnni = {
    .name = "avxvnni",
    ROW_KERNELS,
    LINEAR_KERNELS,
    ATTENTION_KERNELS,
};
