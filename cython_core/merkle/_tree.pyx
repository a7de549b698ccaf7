# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the state tree. Arguments are `bytes` and nothing mutable: the C code reads them
without the GIL, and a batch that changed under it would corrupt the tree."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

cdef dict KERNEL_IDS = {"scalar": 0, "avx2": 1, "avx512": 2}


cdef int check_status(int status) except -1:
    if status == STATE_TREE_OK:
        return 0
    if status == STATE_TREE_NO_MEMORY:
        raise MemoryError("no memory for the state tree; nothing was changed")
    if status == STATE_TREE_DUPLICATE:
        raise ValueError("a path stands twice in one batch")
    if status == STATE_TREE_FLAG:
        raise ValueError("a presence flag is 0 or 1")
    raise OverflowError("the state tree or the batch is too large")


cdef Py_ssize_t count_paths(bytes paths) except -1:
    if PyBytes_GET_SIZE(paths) % 32 != 0:
        raise ValueError("paths have 32 bytes each")
    return PyBytes_GET_SIZE(paths) // 32


cdef inline uint8_t *raw(bytes text) noexcept:
    return <uint8_t *>PyBytes_AS_STRING(text)


cdef class StateTree:
    def __cinit__(self, str kernel not None="auto"):
        self.tree = state_tree_new()
        if self.tree == NULL:
            raise MemoryError("no memory for a state tree")
        if kernel != "auto":
            if kernel not in KERNEL_IDS:
                raise ValueError(f"there is no kernel {kernel!r}")
            if state_tree_use_kernel(self.tree, KERNEL_IDS[kernel]) != 0:
                raise ValueError(f"this CPU does not run the kernel {kernel!r}")

    def __dealloc__(self):
        state_tree_free(self.tree)

    cdef int acquire(self) except -1:
        if self.is_busy:
            raise RuntimeError("the state tree is in use by another thread")
        self.is_busy = True
        return 0

    cdef void release(self) noexcept:
        self.is_busy = False

    @property
    def root(self):
        self.acquire()
        self.release()
        return PyBytes_FromStringAndSize(<const char *>state_tree_root(self.tree), 32)

    @property
    def memory_bytes(self):
        return state_tree_memory(self.tree)

    def __len__(self):
        return state_tree_length(self.tree)

    def get(self, bytes path not None):
        cdef uint8_t[64] value
        if PyBytes_GET_SIZE(path) != 32:
            raise ValueError("paths have 32 bytes each")
        self.acquire()
        cdef int is_present = state_tree_get(self.tree, raw(path), value)
        self.release()
        return PyBytes_FromStringAndSize(<const char *>value, 64) if is_present else None

    def get_many(self, bytes paths not None):
        cdef Py_ssize_t count = count_paths(paths)
        cdef bytes values = PyBytes_FromStringAndSize(NULL, 64 * count)
        cdef bytes present = PyBytes_FromStringAndSize(NULL, count)
        cdef Py_ssize_t index
        self.acquire()
        for index in range(count):
            raw(present)[index] = <uint8_t>state_tree_get(
                self.tree, raw(paths) + 32 * index, raw(values) + 64 * index)
        self.release()
        return values, present

    def update(self, bytes paths not None, bytes values not None, bytes present not None):
        cdef Py_ssize_t count = count_paths(paths)
        cdef uint8_t *path_bytes = raw(paths)
        cdef uint8_t *value_bytes = raw(values)
        cdef uint8_t *present_bytes = raw(present)
        cdef uint8_t *old_value_bytes
        cdef uint8_t *old_present_bytes
        cdef bytes old_values, old_present
        cdef int status

        if PyBytes_GET_SIZE(values) != 64 * count:
            raise ValueError("values have 64 bytes each, one for each path")
        if PyBytes_GET_SIZE(present) != count:
            raise ValueError("there is one presence flag for each path")
        old_values = PyBytes_FromStringAndSize(NULL, 64 * count)
        old_present = PyBytes_FromStringAndSize(NULL, count)
        old_value_bytes = raw(old_values)
        old_present_bytes = raw(old_present)
        self.acquire()
        with nogil:
            status = state_tree_update(self.tree, <size_t>count, path_bytes, value_bytes,
                                       present_bytes, old_value_bytes, old_present_bytes)
        self.release()
        check_status(status)
        return self.root, old_values, old_present

    def prove(self, bytes paths not None, bytes may_vanish=None):
        cdef Py_ssize_t count = count_paths(paths)
        cdef uint8_t *path_bytes = raw(paths)
        cdef uint8_t *vanish_bytes = NULL
        cdef uint8_t *proof = NULL
        cdef size_t proof_length = 0
        cdef int status

        if may_vanish is not None:
            if PyBytes_GET_SIZE(may_vanish) != count:
                raise ValueError("there is one flag for each path")
            vanish_bytes = raw(may_vanish)
        self.acquire()
        with nogil:
            status = state_tree_prove(self.tree, <size_t>count, path_bytes, vanish_bytes, &proof,
                                      &proof_length)
        self.release()
        check_status(status)
        try:
            return PyBytes_FromStringAndSize(<const char *>proof, <Py_ssize_t>proof_length)
        finally:
            state_tree_free_proof(proof)

    def items(self):
        return StateTreeItems(self)


cdef class StateTreeItems:
    cdef StateTree owner
    cdef uint64_t generation
    cdef state_tree_cursor cursor

    def __cinit__(self, StateTree owner not None):
        owner.acquire()
        self.owner = owner
        self.generation = state_tree_generation(owner.tree)
        state_tree_cursor_start(owner.tree, &self.cursor)
        owner.release()

    def __iter__(self):
        return self

    def __next__(self):
        cdef const uint8_t *path
        cdef const uint8_t *value
        if self.owner.is_busy or self.generation != state_tree_generation(self.owner.tree):
            raise RuntimeError("the state tree changed while it was read")
        if not state_tree_cursor_next(self.owner.tree, &self.cursor, &path, &value):
            raise StopIteration
        return (PyBytes_FromStringAndSize(<const char *>path, 32),
                PyBytes_FromStringAndSize(<const char *>value, 64))
