#if defined(__x86_64__)

#define KB_ISA_AVX512
#include "stark/kernels_body.h"

const struct stark_kernels STARK_KERNELS_AVX512 = STARK_KERNELS("avx512");

#endif
