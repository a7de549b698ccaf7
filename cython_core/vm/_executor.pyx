# cython: boundscheck=False, wraparound=False
"""The Python door of the machine in C (vm.h).

Lengths, bounds and alignment of what Python passes are checked here, once; what the guest does is
checked in C, step by step. The global lock is released while the guest runs.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset


cdef extern from "vm/vm.h" nogil:
    enum:
        VM_ENTRY_BYTES
        VM_ROW_WORDS
        VM_WIDE_WORDS
        VM_OUT_WORDS
        VM_PAGES
        VM_RUNNING
        VM_CYCLES
        VM_DONE
        VM_NO_ROOM

    ctypedef struct vm_stream:
        const uint32_t *words
        size_t count
        size_t next

    ctypedef struct vm_run:
        int with_rows
        uint32_t pages_used, pages_max
        uint64_t cycles, cycles_max
        uint32_t pc
        int state
        uint32_t address
        vm_stream input
        const uint8_t *answers
        size_t answer_count
        uint32_t *out
        uint64_t *out_count

    ctypedef struct vm_rows:
        uint32_t *rows
        size_t row_count, row_max
        uint32_t *wide
        size_t wide_count, wide_max

    int vm_init(vm_run *run, const uint8_t *rom, uint32_t count, uint32_t base, uint32_t entry)
    void vm_free(vm_run *run)
    int vm_load(vm_run *run, uint32_t address, const uint32_t *words, size_t count)
    void vm_run_plain(vm_run *run, uint64_t cycles)
    void vm_run_traced(vm_run *run, vm_rows *rows)
    size_t vm_touched(const vm_run *run, uint32_t *words)
    void vm_compress(const uint32_t *chaining, const uint32_t *message, uint32_t flags,
                     uint32_t *out)
    void vm_multiply(const uint32_t *left, const uint32_t *right, uint32_t *out)

TRAPS = VM_CYCLES
RUNNING = VM_RUNNING
DONE = VM_DONE
NO_ROOM = VM_NO_ROOM

cdef enum:
    CLOCK_MAX = (1 << 24) - 1
    ROWS_MAX = 1 << 24
    WORD_BYTES = 4
    TOUCHED_BYTES = 12


cdef uint32_t *copied_words(bytes content) except NULL:
    """An aligned copy: the buffer of a bytes object need not be aligned."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(content)
    cdef uint32_t *words = <uint32_t *>malloc(size + WORD_BYTES)
    if words == NULL:
        raise MemoryError
    memcpy(words, PyBytes_AS_STRING(content), size)
    return words


cdef class Executor:
    cdef vm_run state_
    cdef uint32_t *input_words
    cdef bytes kept_answers

    def __cinit__(self, *_, **__):
        memset(&self.state_, 0, sizeof(vm_run))
        self.input_words = NULL

    def __dealloc__(self):
        vm_free(&self.state_)
        free(self.input_words)

    def __init__(self, bytes rom not None, uint32_t rom_base, uint32_t entry, bytes image not None,
                 uint32_t image_base, bytes inputs not None, bytes answers not None,
                 uint64_t cycles, uint32_t memory_pages, bint with_rows):
        cdef uint64_t count = PyBytes_GET_SIZE(rom) // VM_ENTRY_BYTES
        cdef uint64_t image_bytes = PyBytes_GET_SIZE(image)
        cdef uint32_t *image_words
        if self.input_words != NULL:
            raise ValueError("an executor is one run")
        if len(rom) % VM_ENTRY_BYTES or not rom or rom_base % 4 or rom_base + 4 * count > 1 << 32:
            raise ValueError("the program table is empty, cut, misaligned or too long")
        if entry % 4 or not rom_base <= entry < rom_base + 4 * count:
            raise ValueError("the entry is no instruction of the program table")
        if image_bytes % 4 or image_base % 4 or image_base + image_bytes > 1 << 32:
            raise ValueError("the image is misaligned or too long")
        if len(inputs) % 4 or answers.strip(b"\0\1"):
            raise ValueError("inputs are whole words, and signature answers are 0 or 1")
        if memory_pages > VM_PAGES or cycles == 0 or cycles >= <uint64_t>1 << 62:
            raise ValueError("a limit is out of bounds")
        if with_rows and cycles > CLOCK_MAX:
            raise ValueError("a run with rows has at most 2^24 - 1 cycles")
        self.input_words = copied_words(inputs)
        self.kept_answers = answers
        self.state_.input.words = self.input_words
        self.state_.input.count = PyBytes_GET_SIZE(inputs) // WORD_BYTES
        self.state_.answers = <const uint8_t *>PyBytes_AS_STRING(answers)
        self.state_.answer_count = PyBytes_GET_SIZE(answers)
        self.state_.with_rows = with_rows
        self.state_.pages_max = memory_pages
        self.state_.cycles_max = cycles
        if vm_init(&self.state_, <const uint8_t *>PyBytes_AS_STRING(rom), <uint32_t>count, rom_base,
                   entry) != 0:
            raise MemoryError
        image_words = copied_words(image)
        vm_load(&self.state_, image_base, image_words, image_bytes // WORD_BYTES)
        free(image_words)

    cdef int check(self, bint with_rows) except -1:
        if self.input_words == NULL or self.state_.with_rows != with_rows:
            raise ValueError("this run was not set up for that")
        return 0

    def run(self, uint64_t cycles):
        self.check(False)
        if cycles >= <uint64_t>1 << 62:
            raise ValueError("too many cycles at once")
        if self.state_.state == VM_RUNNING:
            with nogil:
                vm_run_plain(&self.state_, cycles)
        return self.state_.state

    cdef int fill(self, vm_rows *room) except -1:
        """Allocates as `room` says and runs; the caller frees."""
        self.check(True)
        if not (0 < room.row_max <= ROWS_MAX and 0 < room.wide_max <= ROWS_MAX):
            raise ValueError("room for at least one and at most 2^24 rows")
        room.rows = <uint32_t *>malloc(room.row_max * VM_ROW_WORDS * WORD_BYTES)
        room.wide = <uint32_t *>malloc(room.wide_max * VM_WIDE_WORDS * WORD_BYTES)
        if room.rows == NULL or room.wide == NULL:
            raise MemoryError
        if self.state_.state == VM_RUNNING:
            with nogil:
                vm_run_traced(&self.state_, room)
        return 0

    def trace(self, size_t rows, size_t wide):
        cdef vm_rows room = vm_rows(NULL, 0, rows, NULL, 0, wide)
        try:
            self.fill(&room)
            return (
                PyBytes_FromStringAndSize(<char *>room.rows,
                                          room.row_count * VM_ROW_WORDS * WORD_BYTES),
                PyBytes_FromStringAndSize(<char *>room.wide,
                                          room.wide_count * VM_WIDE_WORDS * WORD_BYTES),
            )
        finally:
            free(room.rows)
            free(room.wide)

    def discard(self, size_t rows, size_t wide):
        cdef vm_rows room = vm_rows(NULL, 0, rows, NULL, 0, wide)
        cdef uint64_t before = self.state_.cycles
        cdef uint64_t at = before
        try:
            self.fill(&room)
            with nogil:
                while self.state_.state == VM_RUNNING and self.state_.cycles != at:
                    at = self.state_.cycles
                    room.row_count = 0
                    room.wide_count = 0
                    vm_run_traced(&self.state_, &room)
            return self.state_.cycles - before
        finally:
            free(room.rows)
            free(room.wide)

    def touched(self):
        cdef size_t count
        self.check(True)
        if self.state_.state == VM_RUNNING:
            raise ValueError("the run has not ended")
        with nogil:
            count = vm_touched(&self.state_, NULL)
        words = PyBytes_FromStringAndSize(NULL, count * TOUCHED_BYTES)
        cdef uint32_t *start = <uint32_t *>PyBytes_AS_STRING(words)
        with nogil:
            vm_touched(&self.state_, start)
        return words

    @property
    def state(self):
        return self.state_.state

    @property
    def pc(self):
        return self.state_.pc

    @property
    def cycles(self):
        return self.state_.cycles

    @property
    def address(self):
        return self.state_.address

    @property
    def pages(self):
        return self.state_.pages_used

    @property
    def inputs_read(self):
        return self.state_.input.next

    @property
    def outputs(self):
        return tuple(
            (self.state_.out_count[place], self.state_.out[place]) for place in range(VM_OUT_WORDS)
        )


def multiply(bytes left not None, bytes right not None):
    cdef uint32_t operands[16]
    cdef uint32_t product[8]
    if len(left) != 32 or len(right) != 32:
        raise ValueError("factors have 32 bytes")
    memcpy(operands, PyBytes_AS_STRING(left), 32)
    memcpy(&operands[8], PyBytes_AS_STRING(right), 32)
    vm_multiply(operands, &operands[8], product)
    return PyBytes_FromStringAndSize(<char *>product, 32)


def compress(bytes chaining not None, bytes block not None, uint32_t flags):
    cdef uint32_t words[24]
    cdef uint32_t out[8]
    if len(chaining) != 32 or len(block) != 64:
        raise ValueError("a chaining value has 32 bytes and a block 64")
    memcpy(words, PyBytes_AS_STRING(chaining), 32)
    memcpy(&words[8], PyBytes_AS_STRING(block), 64)
    vm_compress(words, &words[8], flags, out)
    return PyBytes_FromStringAndSize(<char *>out, 32)
