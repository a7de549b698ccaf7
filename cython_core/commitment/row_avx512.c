#if defined(__x86_64__)

#define KB_ISA_AVX512
#define ROW_ABSORB row_absorb_avx512
#define ROW_DIGESTS row_digests_avx512
#include "commitment/row_lanes.h"

#endif
