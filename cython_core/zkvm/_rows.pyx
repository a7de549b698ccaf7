# cython: language_level=3, boundscheck=False, wraparound=False
"""The Python door of the sorting of rows (rows.h)."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset


cdef extern from "zkvm/rows.h" nogil:
    enum:
        ZK_NARROW_WORDS
        ZK_WIDE_WORDS
        ZK_CHIPS_MAX
        ZK_NO_CHIP
        ZK_REGISTERS
        ZK_FINAL_WORDS
        ZK_MEMORY_WORDS
        ZK_TOUCHED_WORDS

    enum zk_problem:
        ZK_FINE
        ZK_NO_MEMORY
        ZK_FULL
        ZK_UNACCEPTED
        ZK_OUTSIDE
        ZK_CUT

    ctypedef struct zk_list:
        uint32_t *words
        size_t count, room, row_words

    ctypedef struct zk_sorter:
        uint8_t chip_of[256]
        zk_list lists[64]
        size_t rows_max
        uint32_t rom_base, rom_count
        uint32_t *times
        uint32_t clock
        uint32_t ports[32][2]
        uint32_t about

    zk_problem zk_sort(zk_sorter *sorter, const uint32_t *rows, size_t count,
                       const uint32_t *wide, size_t wide_count)
    void zk_image_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                       uint32_t *rows)
    size_t zk_memory_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                          uint32_t *rows, uint32_t *range, uint32_t *aligned)


cdef enum:
    FACTS = 1 << 16
    WORD_BYTES = 4
    ROW_BYTES = 52
    WIDE_BYTES = 256
    ADDRESSES = 1 << 30
    ROM_MAX = 1 << 24

WORDS_PER_NARROW = ZK_NARROW_WORDS
WORDS_PER_WIDE = ZK_WIDE_WORDS


class TooManyRows(ValueError):
    pass


class NoTable(ValueError):
    pass


cdef class _Rows:
    """Gives the rows of a list as a buffer; the list is the sorter's."""
    cdef object owner
    cdef void *start
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.size, True, flags)


cdef class RowSorter:
    cdef zk_sorter state_
    cdef tuple names
    cdef bint is_spent
    cdef bint is_read

    def __cinit__(self, *_, **__):
        memset(&self.state_, 0, sizeof(zk_sorter))

    def __dealloc__(self):
        for number in range(ZK_CHIPS_MAX):
            free(self.state_.lists[number].words)
        free(self.state_.times)

    def __init__(self, chips not None, uint32_t rom_base, Py_ssize_t rom_count,
                 Py_ssize_t rows_max):
        """chips: (name, words of a row, places in the table of operations)."""
        if self.state_.times != NULL:
            raise ValueError("a sorter is for one run")
        if not (0 < rom_count <= ROM_MAX and 0 < rows_max <= 1 << 24) or rom_base % 4:
            raise ValueError("the program table or the limit of rows is out of bounds")
        if len(chips) > ZK_CHIPS_MAX:
            raise ValueError("there are too many chips")
        memset(self.state_.chip_of, ZK_NO_CHIP, sizeof(self.state_.chip_of))
        for number, (_, words, places) in enumerate(chips):
            if words != ZK_NARROW_WORDS and words != ZK_WIDE_WORDS:
                raise ValueError("a row has 16 or 80 words")
            self.state_.lists[number].row_words = words
            for place in places:
                if not 0 <= place < 256 or self.state_.chip_of[place] != ZK_NO_CHIP:
                    raise ValueError("two chips accept the same, or what is no operation")
                self.state_.chip_of[place] = number
        self.names = tuple(name for name, _, _ in chips)
        self.state_.rows_max = rows_max
        self.state_.rom_base = rom_base
        self.state_.rom_count = <uint32_t>rom_count
        self.state_.times = <uint32_t *>calloc(rom_count, WORD_BYTES)
        if self.state_.times == NULL:
            raise MemoryError

    def add(self, bytes rows not None, bytes wide not None):
        cdef const uint32_t *first_row = <const uint32_t *>PyBytes_AS_STRING(rows)
        cdef const uint32_t *first_wide = <const uint32_t *>PyBytes_AS_STRING(wide)
        cdef size_t count = len(rows) // ROW_BYTES
        cdef size_t wide_count = len(wide) // WIDE_BYTES
        cdef zk_problem problem
        if self.state_.times == NULL or self.is_spent or self.is_read:
            raise ValueError("this sorter takes no rows any more")
        if len(rows) % ROW_BYTES or len(wide) % WIDE_BYTES:
            raise ValueError("rows end in the middle of a record")
        if (<size_t>first_row | <size_t>first_wide) % WORD_BYTES:
            raise ValueError("rows are not aligned")
        with nogil:
            problem = zk_sort(&self.state_, first_row, count, first_wide, wide_count)
        if problem != ZK_FINE:
            self.is_spent = True
            raise self.failure(problem)

    cdef object failure(self, zk_problem problem):
        cdef uint32_t about = self.state_.about
        if problem == ZK_NO_MEMORY:
            return MemoryError()
        if problem == ZK_FULL:
            return TooManyRows(
                f"it has more than {self.state_.rows_max:,} rows of the table "
                f"{self.names[about]!r}, and a table has no more"
            )
        if problem == ZK_UNACCEPTED:
            return NoTable(f"no table accepts the operation of row {about}")
        if problem == ZK_OUTSIDE:
            return ValueError(f"row {about} is no step of this program")
        return ValueError("rows and wide records do not fit together")

    def rows(self, Py_ssize_t chip):
        cdef _Rows rows = _Rows()
        cdef zk_list *one
        if not 0 <= chip < len(self.names):
            raise IndexError(chip)
        # The buffers that are given away stay where they are.
        self.is_read = True
        one = &self.state_.lists[chip]
        rows.owner = self
        rows.start = one.words if one.words != NULL else <void *>self.state_.times
        rows.size = one.count * one.row_words * WORD_BYTES
        return memoryview(rows)

    @property
    def clock(self):
        return self.state_.clock

    @property
    def times(self):
        return PyBytes_FromStringAndSize(<char *>self.state_.times,
                                         <Py_ssize_t>self.state_.rom_count * WORD_BYTES)

    @property
    def registers(self):
        cdef Py_ssize_t number
        return tuple(
            (self.state_.ports[number][0], self.state_.ports[number][1])
            for number in range(ZK_REGISTERS)
        )


cdef class FactCounts:
    cdef uint32_t range_[65536]
    cdef uint32_t aligned[65536]

    def __cinit__(self):
        memset(self.range_, 0, sizeof(self.range_))
        memset(self.aligned, 0, sizeof(self.aligned))

    def column(self, str kind not None):
        if kind == "range":
            return PyBytes_FromStringAndSize(<char *>self.range_, sizeof(self.range_))
        if kind == "aligned":
            return PyBytes_FromStringAndSize(<char *>self.aligned, sizeof(self.aligned))
        if kind in ("pair", "conjunction"):
            return bytes(FACTS * WORD_BYTES)
        raise ValueError(f"there are no facts {kind!r}")


cdef Py_ssize_t checked(const unsigned char[::1] touched, Py_ssize_t first,
                        Py_ssize_t end) except -1:
    """How many words were touched."""
    if not 0 <= first <= end <= ADDRESSES:
        raise ValueError("an image is outside of the memory")
    if touched.shape[0] % (ZK_TOUCHED_WORDS * WORD_BYTES):
        raise ValueError("touched words end in the middle of one")
    if touched.shape[0] and <size_t>&touched[0] % WORD_BYTES:
        raise ValueError("touched words are not aligned")
    return touched.shape[0] // (ZK_TOUCHED_WORDS * WORD_BYTES)


def image_rows(const unsigned char[::1] touched not None, Py_ssize_t first, bytes image not None,
               Py_ssize_t height):
    cdef Py_ssize_t words = len(image) // WORD_BYTES
    cdef Py_ssize_t count = checked(touched, first, first + words)
    cdef Py_ssize_t place
    cdef uint32_t word
    cdef uint32_t *row
    if len(image) % WORD_BYTES or not (0 < height <= 1 << 24 and words <= height):
        raise ValueError("the image does not fit")
    rows = PyBytes_FromStringAndSize(NULL, height * ZK_FINAL_WORDS * WORD_BYTES)
    cdef uint32_t *cells = <uint32_t *>PyBytes_AS_STRING(rows)
    memset(cells, 0, height * ZK_FINAL_WORDS * WORD_BYTES)
    for place in range(words):
        memcpy(&word, PyBytes_AS_STRING(image) + place * WORD_BYTES, WORD_BYTES)
        row = cells + place * <Py_ssize_t>ZK_FINAL_WORDS
        row[1] = word & 0xffff
        row[2] = word >> 16
    if count:
        with nogil:
            zk_image_rows(<const uint32_t *>&touched[0], count, first, first + words, cells)
    return rows


def memory_rows(const unsigned char[::1] touched not None, Py_ssize_t first, Py_ssize_t end,
                FactCounts facts not None):
    cdef Py_ssize_t count = checked(touched, first, end)
    cdef const uint32_t *start = <const uint32_t *>&touched[0] if count else NULL
    cdef size_t used
    rows = PyBytes_FromStringAndSize(NULL, (count + 1) * ZK_MEMORY_WORDS * WORD_BYTES)
    cdef uint32_t *cells = <uint32_t *>PyBytes_AS_STRING(rows)
    memset(cells, 0, (count + 1) * ZK_MEMORY_WORDS * WORD_BYTES)
    with nogil:
        used = zk_memory_rows(start, count, <uint32_t>first, <uint32_t>end, cells, facts.range_,
                              facts.aligned)
    return rows[:used * ZK_MEMORY_WORDS * WORD_BYTES]
