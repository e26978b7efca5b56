/* The kernel table for AArch64 processors with the dot product extension. */
#include "engine/kernels/dots_neon.h"
#include "engine/kernels/lanes_neon.h"

#include "engine/kernels/rows.inc.h"

#include "engine/kernels/linear.inc.h"

#include "engine/kernels/attention.inc.h"

#include "engine/kernels/tables.h"

const struct kernels kernels_neon = {
    .name = "neon",
    ROW_KERNELS,
    LINEAR_KERNELS,
    ATTENTION_KERNELS,
};
