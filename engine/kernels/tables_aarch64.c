#include "engine/kernels/tables.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

static bool runs_neon(void) {
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

const struct kernel_table kernel_tables[KERNEL_TABLES_MAX + 1] = {
    {&kernels_neon, runs_neon},
    {&kernels_scalar, NULL},
};

const char *const kernels_names[] = {"neon", "scalar", NULL};
