#if defined(__x86_64__)

#define KB_ISA_AVX2
#define ROW_ABSORB row_absorb_avx2
#define ROW_DIGESTS row_digests_avx2
#include "commitment/row_lanes.h"

#endif
