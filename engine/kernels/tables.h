/* The kernel tables that kernels.c chooses from. */
#ifndef QUERN_ENGINE_KERNELS_TABLES_H
#define QUERN_ENGINE_KERNELS_TABLES_H

#include "engine/kernels/kernels.h"

extern const struct kernels kernels_scalar;
#ifdef __x86_64__
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_avxvnni;
#endif

#endif
