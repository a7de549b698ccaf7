# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the programs: tables are assembled and everything is checked here, once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from cython_core.air._generated cimport find_generated
from cython_core.air.tape cimport (
    AIR_BLOCK_ROWS,
    AIR_SCRATCH_ALIGNMENT,
    ISA_AVX2,
    ISA_AVX512,
    ISA_SCALAR,
    air_block,
    air_evaluator,
    air_generated,
    air_instruction,
    air_tape_evaluator,
    air_tape_is_valid,
    air_tape_scratch_words,
    isa_best,
    isa_id,
)

from cython_core.air.program import assembled, program_digest

cdef extern from "<stdlib.h>":
    void *aligned_alloc(size_t alignment, size_t size) noexcept nogil

cdef extern from "field/kb31.h":
    const uint32_t KB31_P
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil
    uint32_t kb31_to_plain(uint32_t value) noexcept nogil

cdef dict ISA_IDS = {"scalar": ISA_SCALAR, "avx2": ISA_AVX2, "avx512": ISA_AVX512}

BLOCK_ROWS = AIR_BLOCK_ROWS


def available_kernels():
    return tuple(name for name, number in ISA_IDS.items()
                 if air_tape_evaluator(<isa_id><int>number) != NULL)


cdef str kernel_name(str kernel):
    """The name itself, or what "auto" stands for. ValueError if there is none."""
    if kernel == "auto":
        return next(name for name, number in ISA_IDS.items() if number == <int>isa_best())
    if kernel not in ISA_IDS:
        raise ValueError(f"there is no kernel {kernel!r}")
    if air_tape_evaluator(<isa_id><int>ISA_IDS[kernel]) == NULL:
        raise ValueError(f"this CPU does not run the kernel {kernel!r}")
    return kernel


cdef uint32_t *words_new(size_t count) except NULL:
    """Memory for words, aligned for scratch use; to be freed."""
    cdef size_t size = (4 * count + AIR_SCRATCH_ALIGNMENT) // AIR_SCRATCH_ALIGNMENT
    cdef uint32_t *words = <uint32_t *>aligned_alloc(
        AIR_SCRATCH_ALIGNMENT, size * AIR_SCRATCH_ALIGNMENT)
    if words == NULL:
        raise MemoryError
    return words


cdef int read_words(bytes plain, uint32_t *words) except -1:
    """Plain little-endian words in Montgomery form. ValueError for one that is not below p."""
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(plain)
    cdef Py_ssize_t index
    cdef uint32_t value
    for index in range(PyBytes_GET_SIZE(plain) // 4):
        value = (source[4 * index] | <uint32_t>source[4 * index + 1] << 8
                 | <uint32_t>source[4 * index + 2] << 16 | <uint32_t>source[4 * index + 3] << 24)
        if value >= KB31_P:
            raise ValueError(f"{value} is not an element of the field")
        words[index] = kb31_from_plain(value)
    return 0


cdef bytes plain_words(const uint32_t *words, Py_ssize_t count):
    cdef bytes plain = PyBytes_FromStringAndSize(NULL, 4 * count)
    cdef uint8_t *target = <uint8_t *>PyBytes_AS_STRING(plain)
    cdef Py_ssize_t index
    cdef uint32_t value
    for index in range(count):
        value = kb31_to_plain(words[index])
        target[4 * index] = value & 0xff
        target[4 * index + 1] = value >> 8 & 0xff
        target[4 * index + 2] = value >> 16 & 0xff
        target[4 * index + 3] = value >> 24
    return plain


cdef class Program:
    def __init__(self, table not None, str kernel not None="auto", *, bint generated=True):
        if self.program != NULL:
            raise ValueError("a program is made once")
        self.kernel = kernel_name(kernel)
        compiled, tape = assembled(table)
        self._take(compiled, tape)
        if generated:
            self._adopt(program_digest(table))
        self.program = &self.own

    cdef int _take(self, object compiled, object tape) except -1:
        """Copies an assembled program for the interpreter."""
        cdef size_t count = len(tape.instructions)
        cdef Py_ssize_t index
        self.own.operand_count = len(compiled.table.operands)
        self.own.output_count = len(compiled.table.outputs)
        self.own.public_count = compiled.public_count
        self.own.slot_count = tape.slot_count
        self.own.constant_count = len(compiled.constants)
        self.own.instruction_count = count
        self.constants = words_new(self.own.constant_count)
        self.instructions = <air_instruction *>calloc(count + 1, sizeof(air_instruction))
        if self.instructions == NULL:
            raise MemoryError
        for index, constant in enumerate(compiled.constants):
            self.constants[index] = kb31_from_plain(<uint32_t>constant)
        for index, (operation, target, a, b) in enumerate(tape.instructions):
            self.instructions[index] = air_instruction(operation, target, a, b)
        self.own.constants = self.constants
        self.own.instructions = self.instructions
        if not air_tape_is_valid(&self.own):
            raise AssertionError("the program refers to a place that there is not")
        self.own.scratch_words = air_tape_scratch_words(&self.own)
        self.own.evaluate = air_tape_evaluator(<isa_id><int>ISA_IDS[self.kernel])
        return 0

    cdef int _adopt(self, bytes digest) except -1:
        """Takes the generated code of this name, if there is some."""
        cdef const air_generated *found = find_generated(
            <const uint8_t *>PyBytes_AS_STRING(digest))
        cdef air_evaluator evaluator
        if found == NULL:
            return 0
        evaluator = found.evaluators[<int>ISA_IDS[self.kernel]]
        if evaluator == NULL:
            return 0
        if (found.operand_count != self.own.operand_count
                or found.output_count != self.own.output_count
                or found.public_count != self.own.public_count):
            raise AssertionError("the generated code is of another table")
        self.own.evaluate = evaluator
        self.own.scratch_words = max(self.own.scratch_words, found.scratch_words)
        self.is_generated = True
        return 0

    def __dealloc__(self):
        free(self.constants)
        free(self.instructions)

    @property
    def operand_count(self):
        return self.own.operand_count

    @property
    def output_count(self):
        return self.own.output_count

    @property
    def public_count(self):
        return self.own.public_count

    @property
    def slot_count(self):
        return self.own.slot_count

    @property
    def instruction_count(self):
        return self.own.instruction_count

    def evaluate(self, bytes operands not None, bytes publics not None=b"", int repetitions=1):
        cdef size_t operand_words = <size_t>self.own.operand_count * AIR_BLOCK_ROWS
        cdef size_t output_words = <size_t>self.own.output_count * AIR_BLOCK_ROWS
        cdef size_t index
        cdef int _repetition, status = 0
        cdef uint32_t *values = NULL
        cdef uint32_t *public_values = NULL
        cdef uint32_t *outputs = NULL
        cdef uint32_t *scratch = NULL
        cdef const uint32_t **columns = NULL
        cdef air_block block
        if <size_t>PyBytes_GET_SIZE(operands) != 4 * operand_words:
            raise ValueError(f"{self.own.operand_count} operands have {4 * operand_words} bytes")
        if PyBytes_GET_SIZE(publics) < 4 * <Py_ssize_t>self.own.public_count:
            raise ValueError(f"{self.own.public_count} public values are read")
        try:
            values = words_new(operand_words)
            public_values = words_new(PyBytes_GET_SIZE(publics) // 4)
            outputs = words_new(output_words)
            scratch = words_new(self.own.scratch_words)
            columns = <const uint32_t **>calloc(
                self.own.operand_count + 1, sizeof(const uint32_t *))
            if columns == NULL:
                raise MemoryError
            read_words(operands, values)
            read_words(publics, public_values)
            for index in range(self.own.operand_count):
                columns[index] = values + index * AIR_BLOCK_ROWS
            block.rows = AIR_BLOCK_ROWS
            block.columns = columns
            block.publics = public_values
            block.outputs = outputs
            with nogil:
                for _repetition in range(repetitions):
                    status |= self.own.evaluate(&self.own, &block, scratch)
            if status != 0:
                raise AssertionError("the program refused its block")
            return plain_words(outputs, output_words)
        finally:
            free(values)
            free(public_values)
            free(outputs)
            free(scratch)
            free(columns)
