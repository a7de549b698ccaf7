#define KB_ISA_SCALAR
#define ROW_ABSORB row_absorb_scalar
#define ROW_DIGESTS row_digests_scalar
#include "commitment/row_lanes.h"
