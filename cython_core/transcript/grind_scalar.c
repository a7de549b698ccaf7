#define KB_ISA_SCALAR
#define GRIND_SEARCH grind_search_scalar
#include "transcript/grind_lanes.h"
