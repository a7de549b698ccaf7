/*
 * Evaluates a table's constraints and interactions for blocks of 64 rows.
 *
 * A program (air/program.py makes it from a table) is run by the interpreter of this room or by
 * code that was generated for the table; both have the type `air_evaluator` and give the same
 * values. A block holds 64 values of each operand side by side. All words are in Montgomery form.
 */
#ifndef P2PSEQ_AIR_TAPE_H
#define P2PSEQ_AIR_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include "hash/isa.h"

enum {
    AIR_BLOCK_ROWS = 64,
    /* Of scratch memory: for vectors, and for the pointers that the interpreter keeps there. */
    AIR_SCRATCH_ALIGNMENT = 64,
};

/*
 * What an instruction does. A vector operand is a place: the outputs come first, then the columns,
 * then the slots. A scalar operand numbers the constants and after them the public values.
 */
enum air_operation {
    AIR_ADD = 0,           /* target = a + b */
    AIR_SUBTRACT = 1,      /* target = a - b */
    AIR_MULTIPLY = 2,      /* target = a * b */
    AIR_ADD_SCALAR = 3,    /* target = a + scalar b */
    AIR_SUBTRACT_FROM = 4, /* target = scalar b - a */
    AIR_SCALE = 5,         /* target = a * scalar b */
    AIR_DOUBLE_ADD = 6,    /* target = 2 a + b */
    AIR_COPY = 7,          /* target = a */
    AIR_FILL = 8,          /* target = scalar b */
    AIR_OPERATIONS = 9,
};

struct air_instruction {
    uint32_t operation, target, a, b;
};

struct air_block {
    /* AIR_BLOCK_ROWS. */
    uint32_t rows;
    /* columns[i]: the values of the table's operand i (Table.operands). */
    const uint32_t *const *columns;
    const uint32_t *publics;
    /* Output o of row r at outputs[o * 64 + r] (Table.outputs); overlaps no column. */
    uint32_t *outputs;
};

struct air_program;

/* Returns 0, or -1 if the block has another number of rows. Allocates nothing. */
typedef int (*air_evaluator)(const struct air_program *program, const struct air_block *block,
                             uint32_t *scratch);

struct air_program {
    air_evaluator evaluate;
    /* Words of scratch memory, aligned to AIR_SCRATCH_ALIGNMENT bytes, that a call needs. */
    size_t scratch_words;
    uint32_t operand_count, output_count, public_count;
    /* The rest is the interpreter's. */
    uint32_t slot_count, constant_count, instruction_count;
    const uint32_t *constants;
    const struct air_instruction *instructions;
};

/* Code that was generated for one table; NULL for an instruction set that it has none for. */
struct air_generated {
    uint8_t digest[32];
    size_t scratch_words;
    uint32_t operand_count, output_count, public_count;
    air_evaluator evaluators[ISA_COUNT];
};

int air_tape_scalar(const struct air_program *program, const struct air_block *block,
                    uint32_t *scratch);
int air_tape_avx2(const struct air_program *program, const struct air_block *block,
                  uint32_t *scratch);
int air_tape_avx512(const struct air_program *program, const struct air_block *block,
                    uint32_t *scratch);

/* The interpreter of an instruction set; NULL if this build or this CPU lacks it. */
air_evaluator air_tape_evaluator(enum isa_id isa);

/* Words of scratch memory that the interpreter needs for a program. */
size_t air_tape_scratch_words(const struct air_program *program);

/* Whether every number of the program refers to something that there is. */
int air_tape_is_valid(const struct air_program *program);

#endif
