/* The kernel table in plain C, the specification of the others. */
#include "engine/kernels/dots_scalar.h"
#include "engine/kernels/lanes_scalar.h"

#include "engine/kernels/rows.inc.h"

#include "engine/kernels/linear.inc.h"

#include "engine/kernels/attention.inc.h"

#include "engine/kernels/tables.h"

const struct kernels kernels_scalar = {
    .name = "scalar",
    ROW_KERNELS,
    LINEAR_KERNELS,
    ATTENTION_KERNELS,
};
