#if defined(__x86_64__)

#define KB_ISA_AVX512
#define GRIND_SEARCH grind_search_avx512
#include "transcript/grind_lanes.h"

#endif
