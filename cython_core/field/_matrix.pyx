# cython: language_level=3, boundscheck=False, wraparound=False
"""Matrices of base field elements in panels: the memory between the rooms of the proof engine."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

cdef extern from "field/kb31.h":
    const uint32_t KB31_P
    enum:
        KB31_PANEL
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil
    uint32_t kb31_to_plain(uint32_t value) noexcept nogil

cdef extern from "field/kb31_cells.h":
    uint32_t *kb31_cells_new(size_t count) noexcept nogil
    void kb31_cells_free(uint32_t *cells, size_t count) noexcept nogil

PANEL = KB31_PANEL


cdef uint32_t montgomery(object value) except? 0xffffffff:
    if not 0 <= value < KB31_P:
        raise ValueError(f"{value} is not an element of the field")
    return kb31_from_plain(<uint32_t>value)


cdef Py_ssize_t read_rows(const uint32_t *plain, uint32_t *cells, Py_ssize_t height,
                          Py_ssize_t width) noexcept nogil:
    """The number of values that are below p, up to the first that is not."""
    cdef Py_ssize_t row, column
    cdef uint32_t value
    for row in range(height):
        for column in range(width):
            value = plain[row * width + column]
            if value >= KB31_P:
                return row * width + column
            cells[((column // KB31_PANEL) * height + row) * KB31_PANEL + column % KB31_PANEL] = (
                kb31_from_plain(value)
            )
    return height * width


cdef void write_rows(const uint32_t *cells, uint32_t *plain, Py_ssize_t height,
                     Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t row, column
    for row in range(height):
        for column in range(width):
            plain[row * width + column] = kb31_to_plain(
                cells[((column // KB31_PANEL) * height + row) * KB31_PANEL + column % KB31_PANEL]
            )


cdef class Matrix:
    def __cinit__(self, Py_ssize_t height, Py_ssize_t width):
        cdef Py_ssize_t panels
        if height < 1 or width < 0:
            raise ValueError(f"there is no matrix of {height} rows and {width} columns")
        panels = width // KB31_PANEL + (width % KB31_PANEL != 0)
        if panels != 0 and height > <Py_ssize_t>((<size_t>-1 >> 8) // <size_t>panels):
            raise MemoryError
        self.height, self.width, self.panels = height, width, panels
        self.cell_count = <size_t>panels * <size_t>height * KB31_PANEL
        self.cells = kb31_cells_new(self.cell_count)
        if self.cells == NULL:
            raise MemoryError

    def __dealloc__(self):
        kb31_cells_free(self.cells, self.cell_count)

    cdef uint32_t *panel(self, Py_ssize_t index) noexcept nogil:
        return self.cells + index * self.height * KB31_PANEL

    cdef Py_ssize_t place(self, Py_ssize_t row, Py_ssize_t column) except -1:
        if not (0 <= row < self.height and 0 <= column < self.width):
            raise IndexError(f"row {row}, column {column} of {self.height} x {self.width}")
        return ((column // KB31_PANEL) * self.height + row) * KB31_PANEL + column % KB31_PANEL

    @classmethod
    def from_rows(cls, bytes rows not None, Py_ssize_t height, Py_ssize_t width):
        cdef Matrix matrix = Matrix(height, width)
        cdef const uint32_t *plain = <const uint32_t *>PyBytes_AS_STRING(rows)
        cdef Py_ssize_t good
        if PyBytes_GET_SIZE(rows) != 4 * height * width:
            raise ValueError(f"{height} x {width} elements have {4 * height * width} bytes")
        with nogil:
            good = read_rows(plain, matrix.cells, height, width)
        if good != height * width:
            raise ValueError(f"{plain[good]} is not an element of the field")
        return matrix

    @classmethod
    def from_columns(cls, columns):
        cdef Matrix matrix
        cdef Py_ssize_t row, column, height
        if len(columns) == 0:
            raise ValueError("a matrix from columns needs one")
        height = len(columns[0])
        matrix = Matrix(height, len(columns))
        for column, values in enumerate(columns):
            if len(values) != height:
                raise ValueError(f"column {column} has {len(values)} values, not {height}")
            for row, value in enumerate(values):
                matrix.cells[matrix.place(row, column)] = montgomery(value)
        return matrix

    def to_bytes(self):
        cdef bytes rows = PyBytes_FromStringAndSize(NULL, 4 * self.height * self.width)
        cdef uint32_t *plain = <uint32_t *>PyBytes_AS_STRING(rows)
        with nogil:
            write_rows(self.cells, plain, self.height, self.width)
        return rows

    def get(self, Py_ssize_t row, Py_ssize_t column):
        return kb31_to_plain(self.cells[self.place(row, column)])

    def set(self, Py_ssize_t row, Py_ssize_t column, value):
        self.cells[self.place(row, column)] = montgomery(value)

    def row(self, Py_ssize_t row):
        return tuple(self.get(row, column) for column in range(self.width))

    def column(self, Py_ssize_t column):
        return [self.get(row, column) for row in range(self.height)]

    def copy(self):
        cdef Matrix other = Matrix(self.height, self.width)
        with nogil:
            memcpy(other.cells, self.cells, self.cell_count * sizeof(uint32_t))
        return other

    def __eq__(self, other):
        cdef Matrix right
        cdef bint is_equal
        if not isinstance(other, Matrix):
            return NotImplemented
        right = other
        if self.height != right.height or self.width != right.width:
            return False
        with nogil:
            is_equal = memcmp(self.cells, right.cells, self.cell_count * sizeof(uint32_t)) == 0
        return is_equal

    __hash__ = None

    def __repr__(self):
        return f"Matrix({self.height}, {self.width})"
