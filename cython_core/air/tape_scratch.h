/* How the interpreter lays out its scratch memory: pointers to all places, scalars, slots. */
#ifndef P2PSEQ_AIR_TAPE_SCRATCH_H
#define P2PSEQ_AIR_TAPE_SCRATCH_H

#include "air/tape.h"

struct tape_scratch {
    uint32_t *const *places;
    const uint32_t *scalars;
};

struct tape_scratch tape_scratch_lay_out(const struct air_program *program,
                                         const struct air_block *block, uint32_t *scratch);

#endif
