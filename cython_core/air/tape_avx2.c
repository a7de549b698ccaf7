#if defined(__x86_64__)

#define KB_ISA_AVX2
#include "field/kb31_lanes.h"

#include "air/tape_body.h"

KB_TARGET int air_tape_avx2(const struct air_program *program, const struct air_block *block,
                  uint32_t *scratch)
{
    return run_tape(program, block, scratch);
}

#else

typedef int air_tape_needs_x86;

#endif
