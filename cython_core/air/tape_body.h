/* The interpreter over lanes; included once for each instruction set after field/kb31_lanes.h. */
#include "air/tape.h"
#include "air/tape_scratch.h"

#define EACH_VECTOR(statement)                                          \
    do {                                                                \
        for (uint32_t row = 0; row < AIR_BLOCK_ROWS; row += KB_LANES) { \
            kbv_store(target + row, statement);                         \
        }                                                               \
    } while (0)

#define A kbv_load(a + row)
#define B kbv_load(b + row)

KB_TARGET static void run_instruction(const struct air_instruction *instruction,
                                      const struct tape_scratch *state)
{
    uint32_t *target = state->places[instruction->target];
    const uint32_t *a = state->places[instruction->a];
    const uint32_t *b;
    kbv scalar;

    switch ((enum air_operation)instruction->operation) {
    case AIR_ADD:
        b = state->places[instruction->b];
        EACH_VECTOR(kbv_add(A, B));
        break;
    case AIR_SUBTRACT:
        b = state->places[instruction->b];
        EACH_VECTOR(kbv_sub(A, B));
        break;
    case AIR_MULTIPLY:
        b = state->places[instruction->b];
        EACH_VECTOR(kbv_mul(A, B));
        break;
    case AIR_ADD_SCALAR:
        scalar = kbv_set1(state->scalars[instruction->b]);
        EACH_VECTOR(kbv_add(A, scalar));
        break;
    case AIR_SUBTRACT_FROM:
        scalar = kbv_set1(state->scalars[instruction->b]);
        EACH_VECTOR(kbv_sub(scalar, A));
        break;
    case AIR_SCALE:
        scalar = kbv_set1(state->scalars[instruction->b]);
        EACH_VECTOR(kbv_mul(A, scalar));
        break;
    case AIR_DOUBLE_ADD:
        b = state->places[instruction->b];
        EACH_VECTOR(kbv_add(kbv_add(A, A), B));
        break;
    case AIR_COPY:
        EACH_VECTOR(A);
        break;
    case AIR_FILL:
        scalar = kbv_set1(state->scalars[instruction->b]);
        EACH_VECTOR(scalar);
        break;
    case AIR_OPERATIONS:
        break;
    }
}

KB_TARGET static int run_tape(const struct air_program *program, const struct air_block *block,
                              uint32_t *scratch)
{
    struct tape_scratch state;
    const struct air_instruction *instruction = program->instructions;
    const struct air_instruction *end = instruction + program->instruction_count;

    if (block->rows != AIR_BLOCK_ROWS) {
        return -1;
    }
    state = tape_scratch_lay_out(program, block, scratch);
    for (; instruction < end; instruction++) {
        run_instruction(instruction, &state);
    }
    return 0;
}
