"""C declarations of commitments, for extensions that hash rows without the GIL.

Such an extension needs no file of commitment/sources.txt: the methods are called through the class.
"""

from libc.stdint cimport uint8_t, uint32_t

cdef extern from "hash/isa.h":
    cdef enum isa_id:
        ISA_SCALAR
        ISA_AVX2
        ISA_AVX512
    int isa_is_available(isa_id id) noexcept nogil
    isa_id isa_best() noexcept nogil

cdef extern from "commitment/row_hash.h":
    cdef enum:
        ROW_BLOCKS_MAX
        ROW_ORDER_POSITIONS
    cdef struct row_hasher:
        size_t rows
        uint32_t blocks
        int coset_log
        uint32_t *state
    int row_hasher_init(row_hasher *hasher, size_t rows, uint32_t blocks, int coset_log,
                        isa_id isa) noexcept nogil
    void row_hasher_free(row_hasher *hasher) noexcept nogil
    void row_hasher_absorb(const row_hasher *hasher, size_t first_row, size_t rows,
                           const uint32_t *panels, size_t stride, uint32_t first_block,
                           uint32_t blocks) noexcept nogil
    void row_hasher_finish(const row_hasher *hasher, uint8_t *digests) noexcept nogil


cdef class RowHasher:
    cdef row_hasher hasher

    cdef void absorb_rows(self, size_t first_row, size_t rows, const uint32_t *panel,
                          uint32_t block) noexcept nogil
    cdef void absorb_panels(self, size_t first_row, size_t rows, const uint32_t *panels,
                            size_t stride, uint32_t first_block, uint32_t blocks) noexcept nogil


cdef class CommitmentTree:
    cdef uint8_t *nodes
    cdef size_t word_count
    cdef readonly int log
    cdef readonly tuple matrices
