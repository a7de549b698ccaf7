#if defined(__x86_64__)
#define KB_ISA_AVX512
#define TREE_HASH tree_hash_avx512
#include "vm/tree_lanes.h"
#endif
