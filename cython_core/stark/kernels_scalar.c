#define KB_ISA_SCALAR
#include "stark/kernels_body.h"

const struct stark_kernels STARK_KERNELS_SCALAR = STARK_KERNELS("scalar");
