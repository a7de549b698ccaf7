# cython: boundscheck=False, wraparound=False
"""The Python door of the trace tree in C (tree.h).

Lengths and bounds are checked here, once; whether bytes are rows is checked in C while they are
read. The global lock is released while rows are hashed.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset


cdef extern from "hash/isa.h" nogil:
    ctypedef enum isa_id "enum isa_id":
        ISA_SCALAR
        ISA_AVX2
        ISA_AVX512
    int isa_is_available(isa_id id)
    isa_id isa_best()

cdef extern from "vm/tree.h" nogil:
    enum:
        TREE_DIGEST_BYTES
        TREE_SLOT_BYTES
        TREE_WIDE_BYTES
        TREE_DEPTH_MAX
        TREE_NONCES
        TREE_OK
        TREE_NO_MEMORY
        TREE_FULL
        TREE_MALFORMED

    ctypedef struct tree_watch "struct tree_watch":
        uint32_t index
        int is_wide
        uint8_t *record
        uint8_t (*path)[64]

    ctypedef struct trace_tree "struct trace_tree":
        uint32_t groups, depth, digit_sum
        int only_watched
        uint8_t *salt
        tree_watch *watches
        size_t watch_count
        uint8_t *roots
        uint32_t *nonces

    int trace_tree_init(trace_tree *tree, isa_id isa)
    void trace_tree_free(trace_tree *tree)
    int trace_tree_absorb(trace_tree *tree, const uint8_t *slots, size_t count,
                          const uint8_t *wide, size_t wide_count)
    int trace_tree_finish(trace_tree *tree)

DIGEST_BYTES = TREE_DIGEST_BYTES
WIDE_BYTES = TREE_WIDE_BYTES
DEPTH_MAX = TREE_DEPTH_MAX
NONCES = TREE_NONCES

cdef enum:
    SLOTS_MAX = 1 << 24
    WATCHES_MAX = 1 << 12

cdef dict KERNEL_IDS = {"scalar": ISA_SCALAR, "avx2": ISA_AVX2, "avx512": ISA_AVX512}


class Unreachable(ValueError):
    pass


cdef isa_id chosen_kernel(str kernel) except *:
    if kernel == "auto":
        return isa_best()
    if kernel not in KERNEL_IDS:
        raise ValueError(f"there is no kernel {kernel!r}")
    cdef isa_id isa = <isa_id><int>KERNEL_IDS[kernel]
    if not isa_is_available(isa):
        raise ValueError(f"this CPU does not run the kernel {kernel!r}")
    return isa


cdef class TraceTree:
    cdef trace_tree tree
    cdef bint is_set_up, is_open, is_finished, is_busy

    def __cinit__(self, *_, **__):
        memset(&self.tree, 0, sizeof(trace_tree))

    def __dealloc__(self):
        trace_tree_free(&self.tree)
        free(self.tree.watches)
        free(self.tree.roots)
        free(self.tree.nonces)

    def __init__(self, uint32_t groups, uint32_t depth, bytes salt not None, uint32_t digit_sum,
                 watched=(), bint only_watched=False, str kernel not None="auto"):
        cdef isa_id isa = chosen_kernel(kernel)
        cdef list indices = list(watched)
        cdef size_t number
        if self.is_set_up:
            raise ValueError("a tree is that of one run")
        if not (1 <= depth <= TREE_DEPTH_MAX and 1 <= groups <= <uint32_t>SLOTS_MAX >> 2 * depth):
            raise ValueError("a tree has at most 2^24 slots and a depth from 1 to 12")
        if PyBytes_GET_SIZE(salt) != TREE_DIGEST_BYTES:
            raise ValueError("a salt has 16 bytes")
        if len(indices) > WATCHES_MAX or indices != sorted(set(indices)):
            raise ValueError("watched slots ascend, and there are at most 4,096")
        if indices and not 0 <= min(indices) <= max(indices) < groups << 2 * depth:
            raise ValueError("a watched slot is outside the tree")
        self.is_set_up = True
        self.tree.groups, self.tree.depth = groups, depth
        self.tree.digit_sum = digit_sum
        self.tree.only_watched = only_watched
        memcpy(self.tree.salt, PyBytes_AS_STRING(salt), TREE_DIGEST_BYTES)
        self.tree.watch_count = len(indices)
        self.tree.watches = <tree_watch *>calloc(len(indices) + 1, sizeof(tree_watch))
        self.tree.roots = <uint8_t *>calloc(groups, TREE_DIGEST_BYTES)
        self.tree.nonces = <uint32_t *>calloc(groups, sizeof(uint32_t))
        if self.tree.watches == NULL or self.tree.roots == NULL or self.tree.nonces == NULL:
            raise MemoryError
        for number in range(self.tree.watch_count):
            self.tree.watches[number].index = indices[number]
        self.check(trace_tree_init(&self.tree, isa))
        self.is_open = True

    cdef int check(self, int status) except -1:
        if status == TREE_OK:
            return 0
        self.is_open = False
        if status == TREE_NO_MEMORY:
            raise MemoryError
        if status == TREE_FULL:
            raise ValueError("there are more rows than slots")
        if status == TREE_MALFORMED:
            raise ValueError("a row and its wide record differ, or one is missing or left over")
        raise Unreachable(f"no nonce below {NONCES:,} gives a root its digit sum")

    cdef int acquire(self) except -1:
        if self.is_busy or not self.is_open:
            raise ValueError("the tree is busy, finished or broken")
        self.is_busy = True
        return 0

    def absorb(self, bytes slots not None, bytes wide not None):
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AS_STRING(slots)
        cdef const uint8_t *first_wide = <const uint8_t *>PyBytes_AS_STRING(wide)
        cdef size_t size = PyBytes_GET_SIZE(slots), wide_size = PyBytes_GET_SIZE(wide)
        cdef int status
        if size % TREE_SLOT_BYTES or wide_size % TREE_WIDE_BYTES:
            raise ValueError("rows end in the middle of a record")
        self.acquire()
        with nogil:
            status = trace_tree_absorb(&self.tree, first, size // TREE_SLOT_BYTES, first_wide,
                                       wide_size // TREE_WIDE_BYTES)
        self.is_busy = False
        self.check(status)

    def finish(self):
        cdef int status
        self.acquire()
        with nogil:
            status = trace_tree_finish(&self.tree)
        self.is_busy = self.is_open = False
        self.check(status)
        self.is_finished = True

    cdef int require_finished(self) except -1:
        if not self.is_finished:
            raise ValueError("the tree is not finished")
        return 0

    cdef tree_watch *watch(self, size_t number) except NULL:
        self.require_finished()
        if number >= self.tree.watch_count:
            raise IndexError("there is no such watched slot")
        return &self.tree.watches[number]

    @property
    def roots(self):
        cdef bytes joined
        cdef size_t size = <size_t>TREE_DIGEST_BYTES * self.tree.groups
        self.require_finished()
        joined = PyBytes_FromStringAndSize(<char *>self.tree.roots, size)
        return tuple(joined[at : at + DIGEST_BYTES] for at in range(0, size, DIGEST_BYTES))

    @property
    def nonces(self):
        self.require_finished()
        return tuple(self.tree.nonces[group] for group in range(self.tree.groups))

    def record(self, size_t number):
        cdef tree_watch *watch = self.watch(number)
        return (PyBytes_FromStringAndSize(<char *>watch.record, TREE_WIDE_BYTES),
                bool(watch.is_wide))

    def path(self, size_t number):
        cdef tree_watch *watch = self.watch(number)
        return PyBytes_FromStringAndSize(<char *>watch.path,
                                         4 * TREE_DIGEST_BYTES * self.tree.depth)
