#if defined(__x86_64__)

#define KB_ISA_AVX2
#define GRIND_SEARCH grind_search_avx2
#include "transcript/grind_lanes.h"

#endif
