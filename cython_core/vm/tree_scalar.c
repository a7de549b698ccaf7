#define KB_ISA_SCALAR
#define TREE_HASH tree_hash_scalar
#include "vm/tree_lanes.h"
