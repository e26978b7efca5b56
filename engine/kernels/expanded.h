/* Kernel templates: functions whose `const` parameters are constants wherever they are called, and
 * which are expanded there. Their loops over rows carry `#pragma GCC unroll 8`, so that an array of
 * lanes, one for each row, becomes registers. */
#ifndef QUERN_ENGINE_KERNELS_EXPANDED_H
#define QUERN_ENGINE_KERNELS_EXPANDED_H

#define EXPANDED static inline __attribute__((always_inline))

#endif
