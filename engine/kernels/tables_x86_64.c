#include "engine/kernels/tables.h"

#include <cpuid.h>

static bool runs_avx2(void) { /* every processor with AVX2 has F16C */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Asked of the processor itself: not every compiler's __builtin_cpu_supports knows the name. */
static bool runs_avxvnni(void) {
    const unsigned avx_vnni = 1u << 4; /* leaf 7, subleaf 1: EAX */
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return runs_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & avx_vnni) != 0;
}

static bool runs_avx512(void) {
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

const struct kernel_table kernel_tables[KERNEL_TABLES_MAX + 1] = {
    {&kernels_avx512, runs_avx512},
    {&kernels_avxvnni, runs_avxvnni},
    {&kernels_avx2, runs_avx2},
    {&kernels_scalar, NULL},
};

const char *const kernels_names[] = {"avx512", "avxvnni", "avx2", "scalar", NULL};
