# cython: language_level=3, boundscheck=False, wraparound=False
"""The Python door of the generated filling of the machine's chips."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from cython_core.field._matrix cimport Matrix

cdef extern from "zkvm/fill_support.h":
    ctypedef struct zk_tally:
        uint32_t range[65536]
        uint32_t pair[65536]
        uint32_t conjunction[65536]
        uint32_t aligned[65536]
    ctypedef void zk_filler(const uint32_t *row, size_t count, size_t height, uint32_t *cells,
                            zk_tally *tally) noexcept nogil
    ctypedef struct zk_chip:
        const char *name
        zk_filler *fill
        uint32_t width
        uint32_t row_words
    const zk_chip zk_chips[]
    const size_t zk_chip_count
    void zk_prepare() noexcept nogil

zk_prepare()


cdef class Tally:
    cdef zk_tally *counts

    def __cinit__(self):
        self.counts = <zk_tally *>calloc(1, sizeof(zk_tally))
        if self.counts == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.counts)

    def column(self, str kind not None):
        cdef uint32_t *column
        if kind == "range":
            column = self.counts.range
        elif kind == "pair":
            column = self.counts.pair
        elif kind == "conjunction":
            column = self.counts.conjunction
        elif kind == "aligned":
            column = self.counts.aligned
        else:
            raise ValueError(f"there are no facts {kind!r}")
        return PyBytes_FromStringAndSize(<char *>column, sizeof(self.counts.range))

    def add(self, str kind not None, Py_ssize_t place):
        if not 0 <= place < 65536:
            raise ValueError(f"place {place} is not below 2^16")
        if kind == "range":
            self.counts.range[place] += 1
        elif kind == "aligned":
            self.counts.aligned[place] += 1
        else:
            raise ValueError(f"there are no single facts {kind!r}")


def fill(str name not None, const unsigned char[::1] rows not None, Py_ssize_t height,
         Tally tally not None):
    cdef const zk_chip *chip = NULL
    cdef Matrix matrix
    cdef size_t index, count, row_bytes
    encoded = name.encode("ascii")
    for index in range(zk_chip_count):
        if encoded == zk_chips[index].name:
            chip = &zk_chips[index]
            break
    if chip == NULL:
        raise ValueError(f"there is no chip {name!r}")
    row_bytes = 4 * chip.row_words
    count = rows.shape[0] // row_bytes
    if rows.shape[0] % row_bytes != 0 or height < 1 or count > <size_t>height:
        raise ValueError(f"{rows.shape[0]} bytes are no rows of {row_bytes} bytes for {height}")
    if count and <size_t>&rows[0] % 4 != 0:
        raise ValueError("rows are not aligned")
    matrix = Matrix(height, chip.width)
    if count:
        with nogil:
            chip.fill(<const uint32_t *>&rows[0], count, height, matrix.cells, tally.counts)
    return matrix
