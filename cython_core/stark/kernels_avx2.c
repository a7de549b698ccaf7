#if defined(__x86_64__)

#define KB_ISA_AVX2
#include "stark/kernels_body.h"

const struct stark_kernels STARK_KERNELS_AVX2 = STARK_KERNELS("avx2");

#endif
