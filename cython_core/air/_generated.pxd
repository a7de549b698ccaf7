"""Code that was generated for the tables of the shipped systems."""

from libc.stdint cimport uint8_t

from cython_core.air.tape cimport air_generated

# The code for a program's digest (32 bytes); NULL if there is none.
cdef const air_generated *find_generated(const uint8_t *digest) noexcept
