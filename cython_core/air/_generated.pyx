# cython: language_level=3
"""Finds the generated code of a table. The code itself is written when the extension is built."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from cython_core.air.tape cimport air_generated

cdef extern from *:
    """
    #include <stddef.h>
    #include "air/tape.h"

    extern const struct air_generated *const AIR_GENERATED[];
    extern const size_t AIR_GENERATED_COUNT;
    """
    const air_generated *const AIR_GENERATED[]
    const size_t AIR_GENERATED_COUNT


cdef const air_generated *find_generated(const uint8_t *digest) noexcept:
    cdef size_t index
    for index in range(AIR_GENERATED_COUNT):
        if memcmp(AIR_GENERATED[index].digest, digest, 32) == 0:
            return AIR_GENERATED[index]
    return NULL


def generated_digests():
    cdef size_t index
    return tuple(PyBytes_FromStringAndSize(<const char *>AIR_GENERATED[index].digest, 32)
                 for index in range(AIR_GENERATED_COUNT))
