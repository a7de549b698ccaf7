"""Declarations of air/tape.h for Cython."""

from libc.stdint cimport uint8_t, uint32_t

cdef extern from "hash/isa.h":
    ctypedef enum isa_id "enum isa_id":
        ISA_SCALAR
        ISA_AVX2
        ISA_AVX512
    int isa_is_available(isa_id id) noexcept nogil
    isa_id isa_best() noexcept nogil

cdef extern from "air/tape.h":
    enum:
        AIR_BLOCK_ROWS
        AIR_SCRATCH_ALIGNMENT

    cdef struct air_instruction:
        uint32_t operation
        uint32_t target
        uint32_t a
        uint32_t b

    cdef struct air_block:
        uint32_t rows
        const uint32_t *const *columns
        const uint32_t *publics
        uint32_t *outputs

    ctypedef int (*air_evaluator)(const air_program *program, const air_block *block,
                                  uint32_t *scratch) noexcept nogil

    cdef struct air_program:
        air_evaluator evaluate
        size_t scratch_words
        uint32_t operand_count
        uint32_t output_count
        uint32_t public_count
        uint32_t slot_count
        uint32_t constant_count
        uint32_t instruction_count
        const uint32_t *constants
        const air_instruction *instructions

    cdef struct air_generated:
        uint8_t digest[32]
        size_t scratch_words
        uint32_t operand_count
        uint32_t output_count
        uint32_t public_count
        air_evaluator evaluators[3]

    air_evaluator air_tape_evaluator(isa_id isa) noexcept nogil
    size_t air_tape_scratch_words(const air_program *program) noexcept nogil
    int air_tape_is_valid(const air_program *program) noexcept nogil
