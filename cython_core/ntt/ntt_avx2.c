#if defined(__x86_64__)

#define KB_ISA_AVX2
#include "ntt/ntt_lanes.h"

const struct ntt_kernel ntt_avx2 = {"avx2", inverse, forward, forward_blocks};

#endif
