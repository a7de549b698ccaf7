#define KB_ISA_SCALAR
#include "field/kb31_lanes.h"

#include "air/tape_body.h"

KB_TARGET int air_tape_scalar(const struct air_program *program, const struct air_block *block,
                  uint32_t *scratch)
{
    return run_tape(program, block, scratch);
}
