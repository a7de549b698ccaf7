#include "air/tape_scratch.h"

/* Sizes of the parts of scratch memory are rounded to cache lines. */
enum { LINE_WORDS = AIR_SCRATCH_ALIGNMENT / sizeof(uint32_t) };

static size_t place_count(const struct air_program *program)
{
    return (size_t)program->slot_count + program->output_count + program->operand_count;
}

static size_t scalar_count(const struct air_program *program)
{
    return (size_t)program->constant_count + program->public_count;
}

static size_t whole_lines(size_t words)
{
    return (words + LINE_WORDS - 1) / LINE_WORDS * LINE_WORDS;
}

static size_t slot_words(const struct air_program *program)
{
    return (size_t)program->slot_count * AIR_BLOCK_ROWS;
}

size_t air_tape_scratch_words(const struct air_program *program)
{
    size_t pointer_bytes = place_count(program) * sizeof(uint32_t *);
    return slot_words(program) + whole_lines(scalar_count(program)) +
           whole_lines(pointer_bytes / sizeof(uint32_t));
}

struct tape_scratch tape_scratch_lay_out(const struct air_program *program,
                                         const struct air_block *block, uint32_t *scratch)
{
    uint32_t *scalars = scratch + slot_words(program);
    uint32_t **places = (uint32_t **)(void *)(scalars + whole_lines(scalar_count(program)));
    struct tape_scratch state = {.places = places, .scalars = scalars};
    uint32_t index;

    for (index = 0; index < program->constant_count; index++) {
        *scalars++ = program->constants[index];
    }
    for (index = 0; index < program->public_count; index++) {
        *scalars++ = block->publics[index];
    }
    for (index = 0; index < program->output_count; index++) {
        *places++ = block->outputs + (size_t)index * AIR_BLOCK_ROWS;
    }
    for (index = 0; index < program->operand_count; index++) {
        /* Never a target: air_tape_is_valid. */
        *places++ = (uint32_t *)(uintptr_t)block->columns[index];
    }
    for (index = 0; index < program->slot_count; index++) {
        *places++ = scratch + (size_t)index * AIR_BLOCK_ROWS;
    }
    return state;
}

int air_tape_is_valid(const struct air_program *program)
{
    size_t places = place_count(program), scalars = scalar_count(program);
    size_t first_slot = (size_t)program->output_count + program->operand_count;
    uint32_t index;

    for (index = 0; index < program->instruction_count; index++) {
        const struct air_instruction *instruction = &program->instructions[index];
        size_t limit = places;
        switch (instruction->operation) {
        case AIR_ADD_SCALAR:
        case AIR_SUBTRACT_FROM:
        case AIR_SCALE:
        case AIR_FILL:
            limit = scalars;
            break;
        default:
            break;
        }
        int is_operand = instruction->target >= program->output_count &&
                         instruction->target < first_slot;
        if (instruction->operation >= AIR_OPERATIONS || instruction->target >= places ||
            is_operand || instruction->a >= places || instruction->b >= limit) {
            return 0;
        }
    }
    return 1;
}

air_evaluator air_tape_evaluator(enum isa_id isa)
{
    if (!isa_is_available(isa)) {
        return NULL;
    }
    switch (isa) {
    case ISA_SCALAR:
        return air_tape_scalar;
#if defined(__x86_64__)
    case ISA_AVX2:
        return air_tape_avx2;
    case ISA_AVX512:
        return air_tape_avx512;
#endif
    default:
        return NULL;
    }
}
