#if defined(__x86_64__)

#define KB_ISA_AVX512
#define FRI_FOLD fri_fold_avx512
#include "fri/fold_lanes.h"

#endif
