# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of commitments to matrices: shapes are checked here, once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from cython_core.commitment.positions import missing_siblings, rows_of
from cython_core.field._matrix cimport Matrix

cdef extern from "field/kb31.h":
    enum:
        KB31_PANEL
    uint32_t kb31_to_plain(uint32_t value) noexcept nogil

cdef extern from "field/kb31_cells.h":
    uint32_t *kb31_cells_uncleared(size_t count) noexcept nogil
    void kb31_cells_free(uint32_t *cells, size_t count) noexcept nogil

cdef extern from "hash/b3_many.h":
    ctypedef void (*b3_many_kernel)(const uint32_t *key, const uint8_t **messages,
                                    uint8_t **outputs, size_t count) noexcept nogil
    enum b3_kernel_id:
        pass
    b3_many_kernel b3_kernel_by_id(b3_kernel_id id) noexcept nogil

cdef extern from "commitment/tree.h":
    void tree_hash_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log) noexcept nogil
    void tree_inject_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log,
                           const uint8_t *digests) noexcept nogil

cdef dict ISA_BY_NAME = {"scalar": ISA_SCALAR, "avx2": ISA_AVX2, "avx512": ISA_AVX512}

BLOCKS_MAX = ROW_BLOCKS_MAX
LOG_HEIGHT_MAX = 26


def available_kernels():
    return tuple(name for name, number in ISA_BY_NAME.items()
                 if isa_is_available(<isa_id><int>number))


cdef isa_id isa_by_name(str kernel) except *:
    cdef isa_id isa
    if kernel == "auto":
        return isa_best()
    if kernel not in ISA_BY_NAME:
        raise ValueError(f"there is no kernel {kernel!r}")
    isa = <isa_id><int>ISA_BY_NAME[kernel]
    if not isa_is_available(isa):
        raise ValueError(f"this CPU does not run the kernel {kernel!r}")
    return isa


cdef int log_of_height(object height) except -1:
    cdef int log = height.bit_length() - 1
    if height < 1 or height != 1 << log or log > LOG_HEIGHT_MAX:
        raise ValueError(f"a matrix has 2^0 to 2^{LOG_HEIGHT_MAX} rows, not {height}")
    return log


cdef class RowHasher:
    """Hashes all rows of one height, block by block."""

    def __init__(self, rows, blocks, coset_log=None, str kernel not None="auto"):
        cdef isa_id isa = isa_by_name(kernel)
        cdef int log = log_of_height(rows)
        if self.hasher.state != NULL:
            raise RuntimeError("a row hasher starts once")
        if not 1 <= blocks <= ROW_BLOCKS_MAX:
            raise ValueError(f"a row has 1 to {BLOCKS_MAX} blocks, not {blocks}")
        if coset_log is not None and not 0 <= coset_log <= log:
            raise ValueError(f"{rows} rows do not make 2^{coset_log} cosets")
        if row_hasher_init(&self.hasher, rows, blocks,
                           ROW_ORDER_POSITIONS if coset_log is None else coset_log, isa) != 0:
            raise MemoryError

    def __dealloc__(self):
        row_hasher_free(&self.hasher)

    @property
    def rows(self):
        return self.hasher.rows

    @property
    def blocks(self):
        return self.hasher.blocks

    cdef void absorb_rows(self, size_t first_row, size_t rows, const uint32_t *panel,
                          uint32_t block) noexcept nogil:
        row_hasher_absorb(&self.hasher, first_row, rows, panel, 0, block, 1)

    cdef void absorb_panels(self, size_t first_row, size_t rows, const uint32_t *panels,
                            size_t stride, uint32_t first_block, uint32_t blocks) noexcept nogil:
        row_hasher_absorb(&self.hasher, first_row, rows, panels, stride, first_block, blocks)

    def absorb(self, Matrix matrix not None, first_block=0, first_row=0):
        cdef size_t row
        cdef uint32_t block
        if not 0 <= first_block <= self.hasher.blocks - matrix.panels:
            raise ValueError(f"blocks {first_block} to {first_block + matrix.panels - 1} "
                             f"of {self.hasher.blocks}")
        if not 0 <= first_row <= <object>self.hasher.rows - matrix.height:
            raise ValueError(f"rows {first_row} to {first_row + matrix.height - 1} "
                             f"of {self.hasher.rows}")
        row, block = first_row, first_block
        with nogil:
            self.absorb_panels(row, <size_t>matrix.height, matrix.cells,
                               <size_t>matrix.height * KB31_PANEL, block, <uint32_t>matrix.panels)

    def digests(self):
        cdef bytes digests = PyBytes_FromStringAndSize(NULL, 32 * self.hasher.rows)
        cdef uint8_t *target = <uint8_t *>PyBytes_AS_STRING(digests)
        with nogil:
            row_hasher_finish(&self.hasher, target)
        return digests


cdef int write_digests(object source, int log, uint8_t *target) except -1:
    """The digests of 2^log rows, out of a hasher or as they are."""
    cdef RowHasher hasher
    cdef bytes digests
    cdef Py_ssize_t count = <Py_ssize_t>1 << log
    if isinstance(source, RowHasher):
        hasher = source
        if <Py_ssize_t>hasher.hasher.rows != count:
            raise ValueError(f"a hasher of {hasher.rows} rows stands for 2^{log}")
        with nogil:
            row_hasher_finish(&hasher.hasher, target)
        return 0
    digests = bytes(source)
    if PyBytes_GET_SIZE(digests) != 32 * count:
        raise ValueError(f"2^{log} digests have {32 * count} bytes, not {len(digests)}")
    memcpy(target, PyBytes_AS_STRING(digests), 32 * <size_t>count)
    return 0


cdef class CommitmentTree:
    """All nodes of a commitment."""

    def __init__(self):
        raise TypeError("a tree comes from commit_matrices or CommitmentTree.from_digests")

    def __dealloc__(self):
        kb31_cells_free(<uint32_t *>self.nodes, self.word_count)

    @staticmethod
    def from_digests(digests, str kernel not None="auto"):
        return build_tree(dict(digests), (), isa_by_name(kernel))

    @property
    def root(self):
        return PyBytes_FromStringAndSize(<const char *>self.nodes + 32, 32)

    def node(self, int level, Py_ssize_t index):
        if not (0 <= level <= self.log and 0 <= index < <Py_ssize_t>1 << level):
            raise IndexError(f"there is no node {index} of level {level}")
        return PyBytes_FromStringAndSize(
            <const char *>self.nodes + 32 * ((<Py_ssize_t>1 << level) + index), 32)

    def open(self, positions, int domain_log):
        checked_positions(positions, domain_log)
        digests = []
        nodes = rows_of(positions, domain_log, self.log)
        for level in range(self.log, 0, -1):
            digests += [self.node(level, sibling) for sibling in missing_siblings(nodes)]
            nodes = rows_of(nodes, level, level - 1)
        return b"".join(digests)

    def open_rows(self, positions, int domain_log):
        cdef Matrix matrix
        if not self.matrices:
            raise ValueError("the tree was built from digests: it has no rows")
        checked_positions(positions, domain_log)
        opened = []
        for matrix in self.matrices:
            log = log_of_height(matrix.height)
            opened += [row_bytes(matrix, row) for row in rows_of(positions, domain_log, log)]
        opened.append(self.open(positions, domain_log))
        return b"".join(opened)


cdef bytes row_bytes(Matrix matrix, Py_ssize_t row):
    cdef bytes encoded = PyBytes_FromStringAndSize(NULL, 4 * matrix.width)
    cdef uint32_t *plain = <uint32_t *>PyBytes_AS_STRING(encoded)
    cdef Py_ssize_t column
    for column in range(matrix.width):
        plain[column] = kb31_to_plain(
            matrix.cells[((column // KB31_PANEL) * matrix.height + row) * KB31_PANEL
                         + column % KB31_PANEL]
        )
    return encoded


cdef int checked_positions(object positions, int domain_log) except -1:
    for position in positions:
        if not 0 <= position < 1 << domain_log:
            raise ValueError(f"{position} is no position of a domain of 2^{domain_log} points")
    return 0


cdef CommitmentTree build_tree(dict digests, tuple matrices, isa_id isa):
    cdef CommitmentTree tree = CommitmentTree.__new__(CommitmentTree)
    cdef b3_many_kernel kernel = b3_kernel_by_id(<b3_kernel_id>isa)
    cdef bytes injected
    cdef const uint8_t *rows
    cdef uint32_t level
    for log in digests:
        log_of_height(1 << log)
    if not digests:
        raise ValueError("a commitment is to one matrix at least")
    tree.matrices = matrices
    tree.log = max(digests)
    tree.word_count = <size_t>16 << tree.log
    tree.nodes = <uint8_t *>kb31_cells_uncleared(tree.word_count)
    if tree.nodes == NULL:
        raise MemoryError
    write_digests(digests[tree.log], tree.log, tree.nodes + (<size_t>32 << tree.log))
    for level in reversed(range(tree.log)):
        with nogil:
            tree_hash_level(kernel, tree.nodes, level)
        if level in digests:
            injected = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>32 << level)
            write_digests(digests[level], level, <uint8_t *>PyBytes_AS_STRING(injected))
            rows = <const uint8_t *>PyBytes_AS_STRING(injected)
            with nogil:
                tree_inject_level(kernel, tree.nodes, level, rows)
    return tree


def commit_matrices(matrices, str kernel not None="auto"):
    cdef isa_id isa = isa_by_name(kernel)
    cdef Matrix matrix
    by_log = {}
    matrices = tuple(matrices)
    for matrix in matrices:
        if matrix.width == 0:
            raise ValueError("a matrix without columns cannot be committed to")
        by_log.setdefault(log_of_height(matrix.height), []).append(matrix)
    hashers = {}
    for log, group in by_log.items():
        hasher = RowHasher(1 << log, sum([matrix.panels for matrix in group]), kernel=kernel)
        block = 0
        for matrix in group:
            hasher.absorb(matrix, block)
            block += matrix.panels
        hashers[log] = hasher
    return build_tree(hashers, matrices, isa)
