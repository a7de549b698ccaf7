"""A table's program for other extensions: `program.program.evaluate(...)` needs no GIL."""

from libc.stdint cimport uint32_t

from cython_core.air.tape cimport air_block, air_evaluator, air_instruction, air_program


cdef class Program:
    cdef air_program own
    cdef air_instruction *instructions
    cdef uint32_t *constants
    # Points to `own`, for as long as the object lives; set by __init__.
    cdef const air_program *program
    cdef readonly bint is_generated
    cdef readonly str kernel

    cdef int _take(self, object compiled, object tape) except -1
    cdef int _adopt(self, bytes digest) except -1
