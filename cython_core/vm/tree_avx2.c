#if defined(__x86_64__)
#define KB_ISA_AVX2
#define TREE_HASH tree_hash_avx2
#include "vm/tree_lanes.h"
#endif
