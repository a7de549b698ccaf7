#define KB_ISA_SCALAR
#include "field/kb31_many_lanes.h"

const struct kb31_kernel kb31_scalar = {"scalar", add_many, sub_many, mul_many};
