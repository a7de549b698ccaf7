"""The Matrix for extensions that work on its cells.

Cell (row, column) is `cells[((column // 16) * height + row) * 16 + column % 16]`: a panel of 16
columns lies together and one row of it is one cache line. Elements are in canonical Montgomery
form; the lanes beyond the width are zero and stay zero. The Matrix owns the memory and never moves
it.
"""

from libc.stdint cimport uint32_t


cdef class Matrix:
    cdef uint32_t *cells
    cdef size_t cell_count
    cdef readonly Py_ssize_t height
    cdef readonly Py_ssize_t width
    cdef readonly Py_ssize_t panels

    cdef uint32_t *panel(self, Py_ssize_t index) noexcept nogil
    cdef Py_ssize_t place(self, Py_ssize_t row, Py_ssize_t column) except -1
