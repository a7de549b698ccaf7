#define KB_ISA_SCALAR
#define FRI_FOLD fri_fold_scalar
#include "fri/fold_lanes.h"
