#if defined(__x86_64__)

#define KB_ISA_AVX2
#include "field/kb31_many_lanes.h"

const struct kb31_kernel kb31_avx2 = {"avx2", add_many, sub_many, mul_many};

#endif
