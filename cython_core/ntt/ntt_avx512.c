#if defined(__x86_64__)

#define KB_ISA_AVX512
#include "ntt/ntt_lanes.h"

const struct ntt_kernel ntt_avx512 = {"avx512", inverse, forward, forward_blocks};

#endif
