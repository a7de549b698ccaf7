#define KB_ISA_SCALAR
#include "ntt/ntt_lanes.h"

const struct ntt_kernel ntt_scalar = {"scalar", inverse, forward, forward_blocks};
