#include "engine/kernels/tables.h"

const struct kernel_table kernel_tables[KERNEL_TABLES_MAX + 1] = {
    {&kernels_scalar, NULL},
};

const char *const kernels_names[] = {"scalar", NULL};
