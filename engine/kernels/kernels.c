#include "engine/kernels/kernels.h"

#include "engine/kernels/tables.h"

#include <string.h>

static bool can_run(const struct kernel_table *table) {
    return table->runs == NULL || table->runs();
}

const struct kernels *kernels_select(const char *name) {
    for (const struct kernel_table *table = kernel_tables; table->kernels != NULL; table++) {
        bool meant = name == NULL || strcmp(name, table->kernels->name) == 0;
        if (meant && can_run(table)) {
            return table->kernels;
        }
    }
    return NULL;
}

const char *const *kernels_available(void) {
    static _Thread_local const char *names[KERNEL_TABLES_MAX + 1];
    size_t count = 0;
    for (const struct kernel_table *table = kernel_tables; table->kernels != NULL; table++) {
        if (can_run(table)) {
            names[count++] = table->kernels->name;
        }
    }
    names[count] = NULL;
    return names;
}
