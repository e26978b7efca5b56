/* The kernel tables that kernels.c chooses from: those of the processors that this program is built
 * for. One of tables_x86_64.c, tables_aarch64.c and tables_any.c defines what is declared here, and
 * knows how to ask its processor what it can run. */
#ifndef QUERN_ENGINE_KERNELS_TABLES_H
#define QUERN_ENGINE_KERNELS_TABLES_H

#include "engine/kernels/kernels.h"

enum { KERNEL_TABLES_MAX = 8 };

struct kernel_table {
    const struct kernels *kernels;
    bool (*runs)(void); /* on the processor that asks; NULL: on any */
};

/* Best first, the scalar one last; after it `kernels` is NULL. */
extern const struct kernel_table kernel_tables[KERNEL_TABLES_MAX + 1];

extern const struct kernels kernels_scalar;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_avxvnni;
extern const struct kernels kernels_neon;

#endif
