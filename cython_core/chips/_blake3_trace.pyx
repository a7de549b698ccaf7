# cython: language_level=3, boundscheck=False, wraparound=False
"""The Python door of the trace of the BLAKE3 chip."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cython_core.field._matrix cimport Matrix

cdef extern from "chips/blake3_trace.h":
    struct blake3_request:
        uint32_t flags
        uint32_t multiplicity
    enum:
        BLAKE3_TRACE_ROWS
        BLAKE3_TRACE_WIDTH
    void blake3_trace_fill(const blake3_request *requests, size_t count, size_t blocks,
                           uint32_t *cells) noexcept nogil

cdef extern from "field/kb31.h":
    const uint32_t KB31_P

REQUEST_BYTES = sizeof(blake3_request)

cdef enum:
    FLAGS_END = 256


def blake3_trace(bytes requests not None, Py_ssize_t blocks):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(requests)
    cdef size_t count = <size_t>size // sizeof(blake3_request)
    cdef blake3_request *aligned
    cdef Matrix matrix
    cdef size_t index
    if <size_t>size % sizeof(blake3_request) != 0:
        raise ValueError(f"requests have {sizeof(blake3_request)} bytes each")
    if blocks < 1 or blocks & (blocks - 1) or <size_t>blocks < count:
        raise ValueError(f"{count} requests do not fit into {blocks} blocks, or no power of two")
    matrix = Matrix(blocks * BLAKE3_TRACE_ROWS, BLAKE3_TRACE_WIDTH)
    aligned = <blake3_request *>malloc(max(size, 1))
    if aligned == NULL:
        raise MemoryError
    try:
        memcpy(aligned, PyBytes_AS_STRING(requests), size)
        for index in range(count):
            if aligned[index].flags >= FLAGS_END or aligned[index].multiplicity >= KB31_P:
                raise ValueError(f"request {index}: flags or multiplicity out of range")
        with nogil:
            blake3_trace_fill(aligned, count, blocks, matrix.cells)
    finally:
        free(aligned)
    return matrix
