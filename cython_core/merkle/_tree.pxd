"""C declarations of the state tree, for extensions that use it without the GIL.

An extension that calls these functions is linked with the files of merkle/sources.txt, and reaches
the tree of a Python object by `(<StateTree>object).tree`. While it works without the GIL it holds
the object by `acquire` and `release`, as the methods here do.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "merkle/state_tree.h":
    cdef struct state_tree:
        pass
    cdef struct state_tree_cursor:
        uint32_t pending[257]
        uint32_t height
    cdef enum state_tree_status:
        STATE_TREE_OK
        STATE_TREE_NO_MEMORY
        STATE_TREE_DUPLICATE
        STATE_TREE_FLAG
        STATE_TREE_FULL
    state_tree *state_tree_new() noexcept nogil
    void state_tree_free(state_tree *tree) noexcept nogil
    int state_tree_use_kernel(state_tree *tree, int kernel_id) noexcept nogil
    const uint8_t *state_tree_root(const state_tree *tree) noexcept nogil
    size_t state_tree_length(const state_tree *tree) noexcept nogil
    uint64_t state_tree_generation(const state_tree *tree) noexcept nogil
    size_t state_tree_memory(const state_tree *tree) noexcept nogil
    int state_tree_get(const state_tree *tree, const uint8_t *path,
                       uint8_t *value_out) noexcept nogil
    int state_tree_update(state_tree *tree, size_t count, const uint8_t *paths,
                          const uint8_t *values, const uint8_t *present, uint8_t *old_values,
                          uint8_t *old_present) noexcept nogil
    int state_tree_prove(const state_tree *tree, size_t count, const uint8_t *paths,
                         const uint8_t *may_vanish, uint8_t **proof,
                         size_t *proof_length) noexcept nogil
    void state_tree_free_proof(uint8_t *proof) noexcept nogil
    void state_tree_cursor_start(const state_tree *tree, state_tree_cursor *cursor) noexcept nogil
    int state_tree_cursor_next(const state_tree *tree, state_tree_cursor *cursor,
                               const uint8_t **path, const uint8_t **value) noexcept nogil


cdef class StateTree:
    cdef state_tree *tree
    cdef bint is_busy

    cdef int acquire(self) except -1
    cdef void release(self) noexcept
