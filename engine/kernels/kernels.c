#include "engine/kernels/kernels.h"

#include "engine/kernels/tables.h"

#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

static bool runs_always(void) {
    return true;
}

#ifdef __x86_64__
static bool runs_avx2(void) {
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
#endif

/* Best first. */
static const struct {
    const struct kernels *kernels;
    bool (*runs)(void);
} tables[] = {
#ifdef __x86_64__
    {&kernels_avx512, runs_avx512},
    {&kernels_avxvnni, runs_avxvnni},
    {&kernels_avx2, runs_avx2}, /* every processor with AVX2 has F16C */
#endif
    {&kernels_scalar, runs_always},
};

enum { TABLE_COUNT = sizeof tables / sizeof tables[0] };

const struct kernels *kernels_select(const char *name) {
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        bool meant = name == NULL || strcmp(name, tables[i].kernels->name) == 0;
        if (meant && tables[i].runs()) {
            return tables[i].kernels;
        }
    }
    return NULL;
}

const char *const *kernels_available(void) {
    static _Thread_local const char *names[TABLE_COUNT + 1];
    size_t count = 0;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (tables[i].runs()) {
            names[count++] = tables[i].kernels->name;
        }
    }
    names[count] = NULL;
    return names;
}
