#if defined(__x86_64__)

#define KB_ISA_AVX2
#define FRI_FOLD fri_fold_avx2
#include "fri/fold_lanes.h"

#endif
